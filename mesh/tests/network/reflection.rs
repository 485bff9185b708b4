//! Server reflection: there where it is turned on, and only for what the port serves.

use crate::service::{Network, soon};
use mesh::access::{AccessTable, Rule};
use mesh::channel::device_channel;
use mesh::serve::Server;
use mesh::tls::ServerTls;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{FILE_DESCRIPTOR_SET, ServerReflectionRequest};

async fn services(network: &Network, on: bool) -> Result<Vec<String>, Status> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let tls = ServerTls::device(Arc::clone(&network.server_identity));
    let table = AccessTable::new([Rule::anyone("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")]);
    let mut server = Server::grpc("devices", listener, tls, table, Routes::default());
    if on {
        server = server.reflection(FILE_DESCRIPTOR_SET).expect("descriptors");
    }
    let url = format!("https://{}", server.local_addr().expect("an address"));
    tokio::spawn(server.serve(CancellationToken::new()));
    let channel = device_channel(&url, &network.server_files.path("ca.pem")).expect("a channel");
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let asked = client.server_reflection_info(tokio_stream::iter([request]));
    let mut answers = soon("an answer", asked).await?.into_inner();
    let answer = soon("an answer", answers.message()).await?.expect("one answer");
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_lists_the_services_of_the_port_and_health() {
    let mut names = services(&Network::new(), true).await.expect("a list");
    names.sort();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
}

#[tokio::test]
async fn it_does_not_exist_where_it_is_off() {
    let status = services(&Network::new(), false).await.expect_err("off");
    assert_eq!(status.code(), Code::Unimplemented);
}
