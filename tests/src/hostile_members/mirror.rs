//! An acquirer that answers every request for another authorization than the one that was asked for.

use crate::network::Network;
use mesh::{
    access::{AccessTable, Rule},
    identity::Role,
    serve::Server,
    tls::ServerTls,
};
use proto::pb::{self, authorization_server::AuthorizationServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

use super::world::MIRROR;

struct Mirror;

/// Serves until the test's runtime ends.
pub(crate) fn serve(network: &Network, listener: TcpListener) {
    let table = AccessTable::new([
        Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Platform]),
        Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Platform]),
    ]);
    let tls = ServerTls::mutual(network.identity(Role::Acquirer, MIRROR)).unwrap();
    let routes = Routes::default().add_service(AuthorizationServer::new(Mirror));
    tokio::spawn(Server::grpc("mirror", listener, tls, table, routes).serve(CancellationToken::new()));
}

fn other_id() -> String {
    proto::ids::AuthorizationId::from_random([9; 16]).to_string()
}

#[tonic::async_trait]
impl pb::authorization_server::Authorization for Mirror {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        let result = request.into_inner().request;
        Ok(Response::new(pb::AuthorizeResponse { authorization_id: other_id(), result }))
    }

    async fn resolve_authorization(
        &self,
        _: Request<pb::ResolveAuthorizationRequest>,
    ) -> Result<Response<pb::ResolveAuthorizationResponse>, Status> {
        Ok(Response::new(pb::ResolveAuthorizationResponse { authorization_id: other_id(), outcome: None }))
    }
}
