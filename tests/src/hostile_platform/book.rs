//! The bank directory as the hostile platform hands it out: the genuine one to whoever opens a stream, and
//! whatever an attack pushes to those that are open.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use crate::{
    network::{certificate, sign},
    wait::soon,
};
use bytes::Bytes;
use mesh::signing::Signer;
use proto::pb::{self, watch_banks_response::Update};
use tokio::sync::{broadcast, watch};
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};
use tonic::{Request, Response, Status};

/// The directory. Clones are one.
#[derive(Clone)]
pub(crate) struct Book(Arc<Parts>);

struct Parts {
    /// The genuine entries, with the operator's certificate.
    entries: Vec<pb::EntryChanged>,
    /// Their digest, which a head names.
    digest: Bytes,
    platform: Signer,
    pushed: broadcast::Sender<pb::WatchBanksResponse>,
    /// How many streams were opened, and how many have ended.
    opened: watch::Sender<u32>,
    ended: watch::Sender<u32>,
}

impl Book {
    /// The genuine directory.
    pub(crate) fn new(entries: Vec<pb::Signed>, digest: Bytes, operator: &Signer, platform: Signer) -> Self {
        let changed = |(version, entry)| pb::EntryChanged {
            entry: Some(entry),
            operator_certificate: certificate(operator),
            directory_version: version,
        };
        Self(Arc::new(Parts {
            entries: (1..).zip(entries).map(changed).collect(),
            digest,
            platform,
            pushed: broadcast::Sender::new(16),
            opened: watch::Sender::new(0),
            ended: watch::Sender::new(0),
        }))
    }

    /// A head of the genuine directory, signed now or at another time by the platform's genuine key.
    pub(crate) fn head(&self, change: impl FnOnce(&mut pb::DirectoryHead)) -> Update {
        let count = self.0.entries.len();
        let mut head = pb::DirectoryHead {
            directory_version: count as u64,
            entry_count: count as u32,
            entries_digest: self.0.digest.clone(),
            signed_at: Some(proto::time::to_pb(SystemTime::now())),
        };
        change(&mut head);
        let signed = sign(&self.0.platform, &head).to_pb();
        Update::Head(pb::HeadRenewed { head: Some(signed), platform_certificate: certificate(&self.0.platform) })
    }

    /// Sends an update on every open stream, and waits until each of the followers has hung up on it and
    /// has come back for the genuine directory.
    pub(crate) async fn push_and_see_it_refused(&self, update: Update, followers: u32) {
        let (mut opened, mut ended) = (self.0.opened.subscribe(), self.0.ended.subscribe());
        let (opened_before, ended_before) = (*opened.borrow_and_update(), *ended.borrow_and_update());
        assert_eq!(opened_before - ended_before, followers, "everybody follows");
        self.0.pushed.send(pb::WatchBanksResponse { update: Some(update) }).unwrap();
        soon("the refusal", ended.wait_for(|count| *count >= ended_before + followers)).await.unwrap();
        soon("the followers' return", opened.wait_for(|count| *count >= opened_before + followers)).await.unwrap();
    }
}

/// One follower's stream. It counts its own end.
struct Followed {
    updates: Pin<Box<dyn Stream<Item = Result<pb::WatchBanksResponse, Status>> + Send>>,
    ended: watch::Sender<u32>,
}

impl Stream for Followed {
    type Item = Result<pb::WatchBanksResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.as_mut().poll_next(cx)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.ended.send_modify(|count| *count += 1);
    }
}

#[tonic::async_trait]
impl pb::bank_directory_server::BankDirectory for Book {
    type WatchBanksStream = Pin<Box<dyn Stream<Item = Result<pb::WatchBanksResponse, Status>> + Send>>;

    async fn watch_banks(
        &self,
        request: Request<pb::WatchBanksRequest>,
    ) -> Result<Response<Self::WatchBanksStream>, Status> {
        let after = request.into_inner().after_version;
        let pushed = BroadcastStream::new(self.0.pushed.subscribe());
        let news = self.0.entries.iter().filter(|entry| entry.directory_version > after).cloned().map(Update::Entry);
        let first: Vec<_> =
            news.chain([self.head(|_| {})]).map(|update| pb::WatchBanksResponse { update: Some(update) }).collect();
        let pushed = pushed.map(|update| update.map_err(|_| Status::unavailable("too slow")));
        let updates = Box::pin(tokio_stream::iter(first).map(Ok).chain(pushed));
        self.0.opened.send_modify(|count| *count += 1);
        Ok(Response::new(Box::pin(Followed { updates, ended: self.0.ended.clone() })))
    }

    async fn list_banks(&self, _: Request<pb::ListBanksRequest>) -> Result<Response<pb::ListBanksResponse>, Status> {
        Err(not_here())
    }

    async fn put_bank(&self, _: Request<pb::PutBankRequest>) -> Result<Response<pb::PutBankResponse>, Status> {
        Err(not_here())
    }

    async fn suspend_bank(
        &self,
        _: Request<pb::SuspendBankRequest>,
    ) -> Result<Response<pb::SuspendBankResponse>, Status> {
        Err(not_here())
    }

    async fn resume_bank(&self, _: Request<pb::ResumeBankRequest>) -> Result<Response<pb::ResumeBankResponse>, Status> {
        Err(not_here())
    }

    async fn remove_bank(&self, _: Request<pb::RemoveBankRequest>) -> Result<Response<pb::RemoveBankResponse>, Status> {
        Err(not_here())
    }

    async fn list_changes(
        &self,
        _: Request<pb::ListChangesRequest>,
    ) -> Result<Response<pb::ListChangesResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("the hostile platform serves followers alone")
}
