//! A platform as far as an issuer meets it: it streams its directory, and relays as the test says.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use mesh::{
    access::{AccessTable, Rule},
    config::Period,
    directory::Directory,
    identity::Role,
    serve::{Limits, Server},
    signing::{Signer, SigningTrust},
    tls::{ServerTls, TlsIdentity},
};
use prost::Message as _;
use proto::{
    directory::Head,
    pb::{
        self, authorization_server::AuthorizationServer, bank_directory_server::BankDirectoryServer,
        watch_banks_response::Update,
    },
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes};

use super::{
    acquirer::Acquirer,
    pki::{Pki, domain},
};

#[derive(Clone)]
pub(super) struct Hub {
    signer: Signer,
    operator: Bytes,
    trust: SigningTrust,
    directory: pb::DirectoryFile,
}

impl Hub {
    /// A hub with this signing key that publishes this directory.
    pub(super) fn new(pki: &Pki, signer: Signer, directory: &[u8]) -> Self {
        Self {
            signer,
            operator: Bytes::copy_from_slice(pki.operator.certificate_der()),
            trust: pki.trust(),
            directory: pb::DirectoryFile::decode(directory).unwrap(),
        }
    }

    /// Serves under this identity, with `relay` for the authorizations.
    pub(super) async fn serve(
        self,
        relay: Acquirer,
        listener: TcpListener,
        identity: Arc<TlsIdentity>,
        stop: CancellationToken,
    ) {
        let table = AccessTable::new([
            Rule::roles("/bankside.v1.Authorization/Authorize", &[Role::Issuer]),
            Rule::roles("/bankside.v1.Authorization/ResolveAuthorization", &[Role::Issuer]),
            Rule::roles("/bankside.v1.BankDirectory/WatchBanks", &[Role::Issuer]).stream(),
        ]);
        let routes = Routes::new(AuthorizationServer::new(relay)).add_service(BankDirectoryServer::new(self));
        let tls = ServerTls::mutual(identity).unwrap();
        let limits = Limits { drain: Period::new(Duration::from_millis(1)), ..Limits::default() };
        Server::grpc("hub", listener, tls, table, routes).limits(limits).serve(stop).await;
    }

    /// Every entry, and then a head of this moment.
    fn updates(&self) -> Vec<Update> {
        let file = self.directory.encode_to_vec();
        let directory = Directory::from_file(&file, &self.trust, &domain()).unwrap();
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

/// The access table lets no such call in.
fn nothing() -> Status {
    Status::unimplemented("an issuer never calls this")
}
