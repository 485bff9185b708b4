//! A store that does to its caller what real ones do: others come in between, answers get lost, and
//! the process dies in the middle.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use mesh::store::{
    Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
    memory::MemoryStore,
};
use tokio::sync::watch;

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody else was first.
    Conflict,
    /// It is written, and the answer is lost.
    LostAfter,
    /// It is not written, and nobody knows.
    LostBefore,
    /// Nobody knows, and it is written just before the second read afterwards: the connection to the store
    /// was lost, and the store goes on all the same.
    LandsLate,
    /// The store fails for good.
    Fatal,
    /// The process dies before it is written.
    DieBefore,
    /// It is written, and the process dies.
    DieAfter,
}

/// A memory store with faults. Clones of `inner` see what is durable.
pub(super) struct FaultyStore {
    pub inner: Arc<MemoryStore>,
    faults: Mutex<Vec<(usize, Fault)>>,
    commits: AtomicUsize,
    dead: AtomicBool,
    /// What will be written later, and after how many reads.
    on_the_way: Mutex<Option<(usize, Transition)>>,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<MemoryStore>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
            commits: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            on_the_way: Mutex::default(),
        }
    }

    /// Lets the commit after so many others fail like this.
    pub(super) fn fail(&self, after: usize, fault: Fault) {
        let at = self.commits.load(Ordering::SeqCst) + after;
        self.faults.lock().unwrap().push((at, fault));
    }

    pub(super) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Others come in between; a dead process does nothing any more.
    async fn step(&self) {
        tokio::task::yield_now().await;
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Writes what was on its way, when it is time.
    async fn land(&self) {
        let landing = {
            let mut on_the_way = self.on_the_way.lock().unwrap();
            match on_the_way.take() {
                Some((0, transition)) => Some(transition),
                waiting => {
                    *on_the_way = waiting.map(|(reads, transition)| (reads - 1, transition));
                    None
                }
            }
        };
        if let Some(transition) = landing {
            assert!(matches!(self.inner.commit(transition).await, Commit::Committed { .. }));
        }
    }

    async fn die(&self) -> ! {
        self.dead.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.step().await;
        self.land().await;
        self.inner.get(id).await
    }

    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.step().await;
        self.inner.answer(idempotency_key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        self.step().await;
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        match fault {
            None => self.inner.commit(transition).await,
            Some(Fault::Conflict) => Commit::Conflict(transition.writes[0].id.clone()),
            Some(Fault::LostBefore) => Commit::Unknown,
            Some(Fault::LandsLate) => {
                *self.on_the_way.lock().unwrap() = Some((1, transition));
                Commit::Unknown
            }
            Some(Fault::LostAfter) => {
                assert!(matches!(self.inner.commit(transition).await, Commit::Committed { .. }));
                Commit::Unknown
            }
            Some(Fault::Fatal) => Commit::Fatal(StoreError::Halted),
            Some(Fault::DieBefore) => self.die().await,
            Some(Fault::DieAfter) => {
                assert!(matches!(self.inner.commit(transition).await, Commit::Committed { .. }));
                self.die().await
            }
        }
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.step().await;
        self.inner.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
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
