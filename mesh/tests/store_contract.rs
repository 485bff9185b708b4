//! The contract of [`mesh::store::Store`], run against every engine.
//!
//! An engine joins by implementing [`Engine`] and with one line of [`store_contract!`].

mod store_contract {
    pub(crate) mod cases;
    pub(crate) mod concurrency;
    pub(crate) mod model;
    pub(crate) mod reads;
}

use std::sync::Arc;

use async_trait::async_trait;
use mesh::store::memory::MemoryStore;
use mesh::store::sled::{Options, SledStore};
use mesh::store::{Commit, RecordId, Seq, Store, Transition, Version};

/// How a test makes an engine and opens it again.
#[async_trait]
pub(crate) trait Engine: Send + Sized {
    /// An empty store.
    async fn make() -> Self;

    /// The store as it is open now.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store and opens it again; an engine that is not durable does nothing.
    async fn reopen(&mut self);
}

/// Makes one test of each case for one engine.
macro_rules! store_contract {
    ($name:ident, $engine:ty) => {
        mod $name {
            store_contract!(@cases $engine,
                cases: a_conflict_leaves_nothing, versions_grow_and_never_return,
                    a_repeat_gets_the_first_answer, limits_are_refused_by_name, reopening_keeps_everything,
                    forgetting_and_trimming, closing_finishes_and_refuses;
                reads: the_index_follows_the_record, pages_are_complete_and_ordered, ranges_are_half_open,
                    events_keep_order_and_topics, bad_pages_are_refused, keys_of_any_bytes_are_kept;
                concurrency: increments_of_one_record_happen_once, a_follower_skips_nothing,
                    a_watcher_wakes_when_events_show, many_callers_finish, a_page_shows_whole_transitions;
                model: random_transitions_match_a_model;
            );
        }
    };
    (@cases $engine:ty, $($module:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                $crate::run($crate::store_contract::$module::$case::<$engine>());
            }
        )+)+
    };
}

store_contract!(memory, crate::Memory);
store_contract!(sled, crate::Sled);

/// Runs a case on its own runtime, within a deadline that only a hang exceeds.
pub(crate) fn run(case: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts");
    let deadline = std::time::Duration::from_secs(120);
    runtime.block_on(async { tokio::time::timeout(deadline, case).await }).expect("the case ends before its deadline");
}

/// The versions and sequence of a commit that must succeed.
#[track_caller]
pub(crate) fn committed(commit: Commit) -> (Vec<Version>, Seq) {
    match commit {
        Commit::Committed { versions, seq } => (versions, seq),
        other @ (Commit::Conflict(_)
        | Commit::Duplicate(_)
        | Commit::Refused(_)
        | Commit::Unknown
        | Commit::Fatal(_)) => panic!("not committed: {other:?}"),
    }
}

/// Creates a record without index entries.
pub(crate) fn create(id: &RecordId, body: &'static str) -> Transition {
    Transition::new().put(id.clone(), Version::ABSENT, body, Vec::new())
}

pub(crate) struct Memory(Arc<MemoryStore>);

#[async_trait]
impl Engine for Memory {
    async fn make() -> Self {
        Self(Arc::new(MemoryStore::new()))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn reopen(&mut self) {}
}

pub(crate) struct Sled {
    store: Option<Arc<SledStore>>,
    folder: tempfile::TempDir,
}

impl Sled {
    fn open(&mut self) {
        let options = Options::new("acquirer/test").cache_bytes(8 << 20);
        let store = SledStore::open(self.folder.path().join("store"), options);
        self.store = Some(Arc::new(store.expect("the folder opens")));
    }
}

#[async_trait]
impl Engine for Sled {
    async fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut engine = Self { store: None, folder };
        engine.open();
        engine
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().expect("the store is open")
    }

    async fn reopen(&mut self) {
        let store = self.store.take().expect("the store is open");
        store.close().await;
        self.open();
    }
}
