//! A platform as far as an acquirer meets it: it streams its directory and takes orders to publish.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use certs::authority::LeafRequest;
use mesh::{
    access::{AccessTable, Rule, peer_of},
    config::{MembershipConfig, Period},
    directory::Directory,
    identity::Role,
    serve::Server,
    signing::{Signer, SigningTrust},
    tls::ServerTls,
};
use prost::Message as _;
use proto::{
    directory::Head,
    pb::{
        self, bank_directory_server::BankDirectoryServer, checkout_server::CheckoutServer, watch_banks_response::Update,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

use super::site::{DOMAIN, Site, host, signer};

/// Where the hub will be; nobody answers there before [`Place::open`].
pub(super) struct Place {
    listener: TcpListener,
    pub(super) address: String,
}

impl Place {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        Self { listener, address }
    }

    pub(super) fn config(&self, site: &Site) -> MembershipConfig {
        let copy = site.path().join("directory.copy");
        MembershipConfig {
            id: "hub".parse().unwrap(),
            endpoint: self.address.clone(),
            directory_copy: copy,
            first_directory_wait: Period::new(Duration::from_secs(10)),
        }
    }

    /// Opens a platform of this id here.
    pub(super) fn open(self, site: &Site, id: &str) -> Open {
        let folder = site.path().join(id);
        let server = LeafRequest::server(Role::Platform, id.parse().unwrap(), vec![host()]);
        site.authority.issue(&server, SystemTime::now()).unwrap().save(&folder).unwrap();
        let signing = LeafRequest::signing(Role::Platform, id.parse().unwrap());
        let hub = Hub {
            signer: signer(&site.authority.issue(&signing, SystemTime::now()).unwrap()),
            operator: Bytes::copy_from_slice(site.operator.certificate_der()),
            trust: SigningTrust::new([site.authority.certificate().clone()]).unwrap(),
            directory: site.directory.clone(),
            published: Arc::default(),
        };
        let (published, stop) = (Arc::clone(&hub.published), CancellationToken::new());
        let table = AccessTable::new([
            Rule::roles("/bankside.v1.BankDirectory/WatchBanks", &[Role::Acquirer]).stream(),
            Rule::roles("/bankside.v1.Checkout/PublishOrder", &[Role::Acquirer]),
        ]);
        let routes = Routes::new(BankDirectoryServer::new(hub.clone())).add_service(CheckoutServer::new(hub));
        let tls = ServerTls::mutual(site.identity_from(&folder, "server")).unwrap();
        let limits = mesh::serve::Limits { drain: Period::new(Duration::from_millis(1)), ..Default::default() };
        let server = Server::grpc("hub", self.listener, tls, table, routes).limits(limits);
        let ending = stop.clone();
        let serving = tokio::spawn(async move {
            let _ = server.serve(ending).await;
        });
        Open { published, serving, stop }
    }
}

/// A hub that answers.
pub(super) struct Open {
    /// What was published, and by whom.
    pub(super) published: Arc<Mutex<Vec<(String, pb::Signed)>>>,
    serving: JoinHandle<()>,
    stop: CancellationToken,
}

impl Open {
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

#[derive(Clone)]
struct Hub {
    signer: Signer,
    operator: Bytes,
    trust: SigningTrust,
    directory: pb::DirectoryFile,
    published: Arc<Mutex<Vec<(String, pb::Signed)>>>,
}

impl Hub {
    /// Every entry, and then a head of this moment.
    fn updates(&self) -> Vec<Update> {
        let file = self.directory.encode_to_vec();
        let directory = Directory::from_file(&file, &self.trust, &DOMAIN.parse().unwrap()).unwrap();
        let head = Head {
            directory_version: 1,
            entry_count: u32::try_from(directory.len()).unwrap(),
            entries_digest: directory.digest(),
            signed_at: SystemTime::now(),
        };
        let body = head.to_pb().encode_to_vec();
        let head = pb::Signed {
            key_id: self.signer.key_id().to_string(),
            signature: self.signer.sign("DirectoryHead", &body).to_vec().into(),
            body: body.into(),
        };
        let platform_certificate = Bytes::copy_from_slice(self.signer.certificate_der());
        let entry = |entry: &pb::Signed| {
            Update::Entry(pb::EntryChanged {
                entry: Some(entry.clone()),
                operator_certificate: self.operator.clone(),
                directory_version: 1,
            })
        };
        let head = Update::Head(pb::HeadRenewed { head: Some(head), platform_certificate });
        self.directory.entries.iter().map(entry).chain([head]).collect()
    }
}

#[tonic::async_trait]
impl pb::bank_directory_server::BankDirectory for Hub {
    type WatchBanksStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::WatchBanksResponse, Status>> + Send>>;

    async fn watch_banks(&self, _: Request<pb::WatchBanksRequest>) -> Result<Response<Self::WatchBanksStream>, Status> {
        let (sender, updates) = mpsc::channel(1);
        let all = self.updates();
        tokio::spawn(async move {
            for update in all {
                let update = pb::WatchBanksResponse { update: Some(update) };
                if sender.send(Ok(update)).await.is_err() {
                    return;
                }
            }
            sender.closed().await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(updates))))
    }

    async fn list_banks(&self, _: Request<pb::ListBanksRequest>) -> Result<Response<pb::ListBanksResponse>, Status> {
        Err(nothing())
    }

    async fn put_bank(&self, _: Request<pb::PutBankRequest>) -> Result<Response<pb::PutBankResponse>, Status> {
        Err(nothing())
    }

    async fn suspend_bank(
        &self,
        _: Request<pb::SuspendBankRequest>,
    ) -> Result<Response<pb::SuspendBankResponse>, Status> {
        Err(nothing())
    }

    async fn resume_bank(&self, _: Request<pb::ResumeBankRequest>) -> Result<Response<pb::ResumeBankResponse>, Status> {
        Err(nothing())
    }

    async fn remove_bank(&self, _: Request<pb::RemoveBankRequest>) -> Result<Response<pb::RemoveBankResponse>, Status> {
        Err(nothing())
    }

    async fn list_changes(
        &self,
        _: Request<pb::ListChangesRequest>,
    ) -> Result<Response<pb::ListChangesResponse>, Status> {
        Err(nothing())
    }
}

#[tonic::async_trait]
impl pb::checkout_server::Checkout for Hub {
    async fn publish_order(
        &self,
        request: Request<pb::PublishOrderRequest>,
    ) -> Result<Response<pb::PublishOrderResponse>, Status> {
        let caller = peer_of(&request)?.id.to_string();
        self.published.lock().unwrap().push((caller, request.into_inner().order.unwrap()));
        let checkout_url = "https://pay.network.example/c/chk_abc".into();
        Ok(Response::new(pb::PublishOrderResponse { checkout_url, ..Default::default() }))
    }

    async fn get_checkout(
        &self,
        _: Request<pb::GetCheckoutRequest>,
    ) -> Result<Response<pb::GetCheckoutResponse>, Status> {
        Err(nothing())
    }

    async fn select_bank(&self, _: Request<pb::SelectBankRequest>) -> Result<Response<pb::SelectBankResponse>, Status> {
        Err(nothing())
    }

    async fn redeem_code(&self, _: Request<pb::RedeemCodeRequest>) -> Result<Response<pb::RedeemCodeResponse>, Status> {
        Err(nothing())
    }
}

/// The access table lets no such call in.
fn nothing() -> Status {
    Status::unimplemented("an acquirer never calls this")
}
