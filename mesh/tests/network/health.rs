//! What health says of services whose store can't work, while the port goes on.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mesh::{
    access::{AccessTable, Rule},
    channel::MeshChannel,
    config::Period,
    serve::{Drained, Limits, Server},
    store::{
        Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
        memory::MemoryStore,
    },
    tls::ServerTls,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Streaming, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::service::{Network, acquirer, soon};

/// A store that fails while it is told to.
struct Sickly {
    inner: MemoryStore,
    is_sick: AtomicBool,
    /// Doesn't even say how it is.
    hangs: AtomicBool,
    looks: AtomicUsize,
}

impl Sickly {
    fn new() -> Arc<Self> {
        let (is_sick, hangs) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { inner: MemoryStore::new(), is_sick, hangs, looks: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Store for Sickly {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.get(id).await
    }

    async fn answer(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.answer(key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        self.inner.commit(transition).await
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.inner.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(topic, after, limit).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.inner.watch()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        if self.is_sick.load(Ordering::SeqCst) {
            return Err(StoreError::Full { folder: "data".into(), free_bytes: 1, reserve_bytes: 2 });
        }
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What health says of one service, change by change.
struct Said(Streaming<HealthCheckResponse>);

impl Said {
    async fn of(channel: &MeshChannel, service: &str) -> Self {
        let request = HealthCheckRequest { service: service.to_owned() };
        Self(HealthClient::new(channel.clone()).watch(request).await.expect("a watch").into_inner())
    }

    async fn next(&mut self) -> ServingStatus {
        soon("a change", self.0.message()).await.expect("no error").expect("no end").status()
    }
}

async fn now(channel: &MeshChannel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel.clone()).check(request).await.expect("an answer").into_inner().status()
}

/// Longer than a store that has recovered is looked at before it counts as well.
const NOTICE: Duration = Duration::from_secs(5);

async fn serve(
    network: &Network,
    store: &Arc<Sickly>,
    without: &'static [&'static str],
    stop: &CancellationToken,
) -> (MeshChannel, JoinHandle<Drained>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let table = AccessTable::new([Rule::anyone("/books.Books/Write"), Rule::anyone("/relay.Relay/Pass")]);
    let tls = ServerTls::mutual(Arc::clone(&network.server_identity)).expect("a member's identity");
    let server = Server::grpc("trial", listener, tls, table, Routes::default());
    let server = server.limits(Limits { drain_notice: Period::new(NOTICE), ..Limits::default() });
    let server = server.needs_store(Arc::clone(store) as _, without);
    let address = format!("https://{}", server.local_addr().expect("an address"));
    let served = tokio::spawn(server.serve(stop.clone()));
    let channel = MeshChannel::new(&address, Arc::clone(&network.merchant_identity), acquirer());
    (channel.expect("a channel"), served)
}

#[tokio::test]
async fn a_store_that_does_not_even_say_how_it_is_counts_as_sick() {
    let network = Network::new();
    let store = Sickly::new();
    let (channel, _served) = serve(&network, &store, &[], &CancellationToken::new()).await;
    let mut whole = Said::of(&channel, "").await;
    assert_eq!(whole.next().await, ServingStatus::Serving);
    store.hangs.store(true, Ordering::SeqCst);
    assert_eq!(whole.next().await, ServingStatus::NotServing);
    let looks = store.looks.load(Ordering::SeqCst);
    assert_eq!(now(&channel, "").await, ServingStatus::NotServing);
    assert_eq!(store.looks.load(Ordering::SeqCst), looks, "a look that hangs is not repeated");
}

#[tokio::test]
async fn services_that_need_a_store_serve_for_as_long_as_it_works() {
    let network = Network::new();
    let store = Sickly::new();
    let sick = |is_sick| store.is_sick.store(is_sick, Ordering::SeqCst);
    let stop = CancellationToken::new();
    // A port all of whose services need the store, and one with a service that doesn't.
    let (all, all_served) = serve(&network, &store, &[], &stop).await;
    let (some, some_served) = serve(&network, &store, &["relay.Relay"], &stop).await;
    let mut whole = Said::of(&all, "").await;
    let mut books = Said::of(&some, "books.Books").await;
    assert_eq!((whole.next().await, books.next().await), (ServingStatus::Serving, ServingStatus::Serving));

    sick(true);
    assert_eq!((whole.next().await, books.next().await), (ServingStatus::NotServing, ServingStatus::NotServing));
    assert_eq!(now(&all, "relay.Relay").await, ServingStatus::NotServing);
    assert_eq!(now(&some, "relay.Relay").await, ServingStatus::Serving, "it needs no store");
    assert_eq!(now(&some, "").await, ServingStatus::Serving, "and with it the server");

    sick(false);
    assert_eq!((whole.next().await, books.next().await), (ServingStatus::Serving, ServingStatus::Serving));

    // A store that recovers while the port drains brings nobody back, however long that is shown.
    sick(true);
    assert_eq!((whole.next().await, books.next().await), (ServingStatus::NotServing, ServingStatus::NotServing));
    stop.cancel();
    sick(false);
    for served in [all_served, some_served] {
        soon("draining", served).await.expect("no panic");
    }
    while let Ok(Some(said)) = soon("the end", whole.0.message()).await {
        assert_eq!(said.status(), ServingStatus::NotServing);
    }
}
