//! The courier against real servers: TLS, sockets and all.

#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use certs::authority::{AUTHORITY_LIFETIME, Authority, LeafRequest};
use mesh::{
    access::{AccessTable, Rule},
    config::TlsFiles,
    identity::Peer,
    serve::Server,
    tls::ServerTls,
};
use proto::pb::merchant_notification_server::{MerchantNotification, MerchantNotificationServer};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

use super::*;

const TRUST_DOMAIN: &str = "bankside.example";

/// A shop that keeps the events it gets, and who brought them.
#[derive(Clone, Default)]
struct Shop {
    got: Arc<Mutex<Vec<(String, pb::Signed)>>>,
    answer: Option<Code>,
}

#[async_trait]
impl MerchantNotification for Shop {
    async fn notify_order_event(
        &self,
        request: Request<pb::NotifyOrderEventRequest>,
    ) -> Result<Response<pb::NotifyOrderEventResponse>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>().unwrap().id.to_string();
        self.got.lock().unwrap().push((peer, request.into_inner().event.unwrap()));
        match self.answer {
            None => Ok(Response::new(pb::NotifyOrderEventResponse {})),
            Some(code) => Err(Status::new(code, "not now")),
        }
    }
}

struct Network {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Network {
    fn new() -> Self {
        let domain = TRUST_DOMAIN.parse().unwrap();
        let authority = Authority::create(domain, "Courier test", AUTHORITY_LIFETIME, SystemTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        Self { folder, authority }
    }

    fn identity(&self, role: Role, member: &str) -> Arc<TlsIdentity> {
        let request = LeafRequest::server(role, member.parse().unwrap(), vec!["127.0.0.1".parse().unwrap()]);
        let issued = self.authority.issue(&request, SystemTime::now()).unwrap();
        let folder = self.folder.path();
        let (certificate, key) = issued.save(&folder.join(format!("{role}-{member}"))).unwrap();
        let files = TlsFiles { certificate, key, authority: Path::join(folder, "ca.pem"), revocations: None };
        TlsIdentity::load(&files, TRUST_DOMAIN.parse().unwrap()).unwrap()
    }

    /// Serves a shop under some member's certificate until the token is cancelled.
    async fn serve(&self, shop: Shop, role: Role, member: &str) -> (String, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let table =
            AccessTable::new([Rule::roles("/bankside.v1.MerchantNotification/NotifyOrderEvent", &[Role::Acquirer])]);
        let tls = ServerTls::mutual(self.identity(role, member)).unwrap();
        let routes = Routes::new(MerchantNotificationServer::new(shop));
        let server = Server::grpc("shop", listener, tls, table, routes);
        let address = format!("https://{}", server.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            server.serve(stopped).await;
        });
        (address, stop, task)
    }
}

fn event() -> pb::Signed {
    pb::Signed { body: Bytes::from_static(b"event"), key_id: "0".repeat(32), signature: vec![1; 64].into() }
}

fn shop_a() -> MerchantId {
    "shop-a".parse().unwrap()
}

async fn deliver(courier: &MeshCourier, merchant: &MerchantId) -> Result<(), DeliveryError> {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, courier.deliver(merchant, event())).await.expect("an outcome in time")
}

#[tokio::test]
async fn an_event_arrives_unchanged_and_from_the_acquirer() {
    let (network, shop) = (Network::new(), Shop::default());
    let (address, stop, server) = network.serve(shop.clone(), Role::Merchant, "shop-a").await;
    let identity = network.identity(Role::Acquirer, "bank-harbor");
    let courier = MeshCourier::new([(shop_a(), address)], &identity).unwrap();
    assert_eq!(deliver(&courier, &shop_a()).await, Ok(()));
    let acquirer = format!("spiffe://{TRUST_DOMAIN}/acquirer/bank-harbor");
    assert_eq!(*shop.got.lock().unwrap(), [(acquirer, event())]);
    assert_eq!(deliver(&courier, &"shop-b".parse().unwrap()).await, Err(DeliveryError::NoEndpoint));

    stop.cancel();
    drop(courier);
    server.await.unwrap();
}

#[tokio::test]
async fn another_members_server_at_the_shops_address_gets_nothing() {
    for (role, member) in [(Role::Merchant, "shop-b"), (Role::Issuer, "shop-a")] {
        let (network, shop) = (Network::new(), Shop::default());
        let (address, stop, server) = network.serve(shop.clone(), role, member).await;
        let identity = network.identity(Role::Acquirer, "bank-harbor");
        let courier = MeshCourier::new([(shop_a(), address)], &identity).unwrap();
        assert!(matches!(deliver(&courier, &shop_a()).await, Err(DeliveryError::Refused(_))), "{role} {member}");
        assert!(shop.got.lock().unwrap().is_empty(), "{role} {member}");
        stop.cancel();
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_an_absent_server_is_a_refusal_too() {
    let network = Network::new();
    let shop = Shop { answer: Some(Code::ResourceExhausted), ..Shop::default() };
    let (address, stop, server) = network.serve(shop, Role::Merchant, "shop-a").await;
    let identity = network.identity(Role::Acquirer, "bank-harbor");
    let courier = MeshCourier::new([(shop_a(), address)], &identity).unwrap();
    assert_eq!(deliver(&courier, &shop_a()).await, Err(DeliveryError::Refused(Code::ResourceExhausted)));
    stop.cancel();
    server.await.unwrap();
    assert!(matches!(deliver(&courier, &shop_a()).await, Err(DeliveryError::Refused(_))));
}

#[test]
fn a_wrong_endpoint_is_refused_at_start_and_names_its_merchant() {
    let identity = Network::new().identity(Role::Acquirer, "bank-harbor");
    let error = MeshCourier::new([(shop_a(), "https://shop.example/path".to_owned())], &identity).unwrap_err();
    assert!(error.to_string().starts_with("merchant shop-a: "), "{error}");
}
