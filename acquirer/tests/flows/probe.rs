//! A store and a card network that can be cut off at any step, as a crash cuts off the process between them.

use std::{
    future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

use acquirer::network::{
    AuthorizationNetwork, Inquiry, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Sale,
};
use async_trait::async_trait;
use bytes::Bytes;
use mesh::store::{
    Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
};
use tokio::sync::watch;

/// Burns down by one with every step that a process takes; once it is burnt, the process does nothing more.
#[derive(Debug)]
pub(crate) struct Fuse(AtomicU32);

impl Fuse {
    /// A fuse for so many steps.
    pub(crate) fn new(steps: u32) -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(steps)))
    }

    pub(crate) fn is_burnt(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    /// Takes one step, or none ever again.
    async fn step(&self) {
        if self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            future::pending::<()>().await;
        }
    }
}

/// A store that is reached as long as the fuse burns, refuses what it is told to, and counts who reads events.
pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    fuse: Arc<Fuse>,
    pub(crate) is_broken: AtomicBool,
    pub(crate) event_reads: AtomicUsize,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn Store>, fuse: Arc<Fuse>) -> Arc<Self> {
        Arc::new(Self { inner, fuse, is_broken: AtomicBool::new(false), event_reads: AtomicUsize::new(0) })
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Probe {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.get(id).await
    }

    async fn answer(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.answer(key).await
    }

    /// Two steps: before the commit, and before its answer.
    async fn commit(&self, transition: Transition) -> Commit {
        if self.is_broken.load(Ordering::SeqCst) {
            return Commit::Fatal(StoreError::Halted);
        }
        self.fuse.step().await;
        let commit = self.inner.commit(transition).await;
        self.fuse.step().await;
        commit
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.inner.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.event_reads.fetch_add(1, Ordering::SeqCst);
        self.inner.events(topic, after, limit).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.inner.watch()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A network that is reached as long as the fuse burns, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct CutLine {
    inner: Arc<dyn AuthorizationNetwork>,
    fuse: Arc<Fuse>,
    asked: Arc<Mutex<Vec<NetworkId>>>,
    panics_in_reversals: AtomicU32,
}

impl CutLine {
    pub(crate) fn new(inner: Arc<dyn AuthorizationNetwork>, fuse: Arc<Fuse>) -> Self {
        Self { inner, fuse, asked: Arc::default(), panics_in_reversals: AtomicU32::new(0) }
    }

    /// The first reversals panic.
    pub(crate) fn panicking(self, reversals: u32) -> Self {
        self.panics_in_reversals.store(reversals, Ordering::SeqCst);
        self
    }

    /// The authorizations that have reached the network.
    pub(crate) fn asked(&self) -> Arc<Mutex<Vec<NetworkId>>> {
        Arc::clone(&self.asked)
    }
}

#[async_trait]
impl AuthorizationNetwork for CutLine {
    async fn authorize(&self, request: NetworkRequest) -> Result<NetworkDecision, NetworkError> {
        self.fuse.step().await;
        self.asked.lock().unwrap().push(request.id.clone());
        let answer = self.inner.authorize(request).await;
        self.fuse.step().await;
        answer
    }

    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError> {
        self.fuse.step().await;
        let answer = self.inner.inquire(id, sale).await;
        self.fuse.step().await;
        answer
    }

    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError> {
        let panics = &self.panics_in_reversals;
        if panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("on purpose");
        }
        self.fuse.step().await;
        let answer = self.inner.reverse(id, sale).await;
        self.fuse.step().await;
        answer
    }
}
