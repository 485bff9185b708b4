//! Where a role keeps its state: one trait, and the engines behind it.
//!
//! The contract is one call for one transition. [`Store::commit`] takes every write, event and
//! idempotency answer of the transition at once and returns only when they are durable, all of
//! them or none. There is no closure and no open transaction in the caller's hands, so that the
//! same code runs over an embedded engine and over a database server.
//!
//! - [`sled`]: the embedded default, for one machine.
//! - [`memory`]: nothing on disk, deterministic; for unit tests and simulations.
//!
//! What every engine keeps to, and the contract test-suite checks:
//!
//! - **All or nothing.** A conflict on one record leaves everything of that transition unwritten.
//! - **Reads show durable state only.** Nothing that a reader has seen can vanish in a power loss.
//! - **Versions never return.** A record's versions grow, and a removed and recreated record does
//!   not get an old version again.
//! - **Commit order is sequence order.** A follower who reads [`Store::events`] with the last
//!   sequence it saw misses nothing and sees nothing twice.

pub mod limits;
pub mod memory;
pub mod sled;

mod judge;
mod layout;
mod names;
mod query;
mod raw;
mod transition;

pub use limits::Limit;
pub use names::{Index, Kind, RecordId, Seq, Topic, Version};
pub use transition::{Change, Idempotency, IndexEntry, NewEvent, Transition, Trim, Write};

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

/// A durable store of versioned records, secondary indexes, event streams and idempotency answers.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The record with this id, or `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Limit`] for an id that no record can have; otherwise the engine's failure.
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError>;

    /// The answer that was committed under this idempotency key.
    ///
    /// # Errors
    /// As for [`Store::get`].
    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Commits a transition, and returns when it is durable.
    ///
    /// The idempotency key is looked at first, then the expected versions. Dropping the future
    /// does not withdraw the transition: it may be committed all the same.
    async fn commit(&self, transition: Transition) -> Commit;

    /// One page of an index, ascending by index key and then by record id. A page is consistent in
    /// itself; between pages the index may change.
    ///
    /// # Errors
    /// [`StoreError::Limit`] for a page size outside `1..=`[`limits::PAGE_ITEMS_MAX`] or a cursor
    /// that is too long; otherwise the engine's failure.
    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError>;

    /// The events of one topic with a sequence above `after`, ascending, at most `limit` of them.
    /// Only events below the lowest sequence not yet committed are shown, so none is ever skipped.
    ///
    /// # Errors
    /// [`StoreError::Limit`] for a `limit` outside `1..=`[`limits::EVENTS_PAGE_MAX`]; otherwise
    /// the engine's failure.
    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Follows the newest visible sequence. A change means that [`Store::events`] may show more.
    fn watch(&self) -> tokio::sync::watch::Receiver<Seq>;

    /// Whether the store can work.
    ///
    /// # Errors
    /// Why it can't.
    async fn health(&self) -> Result<(), StoreError>;

    /// Finishes what was already handed over, refuses what comes later, and lets go of the
    /// engine's files or connections. A second call does nothing.
    async fn close(&self);
}

/// What became of a transition.
#[derive(Debug)]
#[must_use = "a transition that was not committed has changed nothing"]
pub enum Commit {
    /// Everything is written and durable.
    Committed {
        /// The new versions, in the order of the transition's writes.
        versions: Vec<Version>,
        /// The sequence of this commit, which is that of its last event.
        seq: Seq,
    },
    /// This record is not at the expected version. Nothing was written.
    Conflict(RecordId),
    /// The idempotency key is known; this is the answer of the first time. Nothing was written.
    Duplicate(Bytes),
    /// The transition breaks a limit, which is the caller's fault. Nothing was written.
    Refused(Limit),
    /// It is not known whether the transition was committed, for example because a connection was
    /// lost. The idempotency key settles it.
    Unknown,
    /// The store can't write: for now with [`StoreError::Full`], otherwise for as long as the process
    /// lives. Nothing was written.
    Fatal(StoreError),
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The version to expect when writing it again.
    pub version: Version,
    /// The caller's bytes.
    pub body: Bytes,
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the one order of all events; the cursor to resume after it.
    pub seq: Seq,
    /// The stream it belongs to.
    pub topic: Topic,
    /// The caller's bytes.
    pub body: Bytes,
}

/// A half-open range of index keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Keys from `start` (included) to `end` (excluded).
    #[must_use]
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Keys from `start` (included) on.
    #[must_use]
    pub fn starting_at(start: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: None }
    }

    /// Keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let end = layout::successor(&start);
        Self { start, end }
    }

    /// The one key.
    #[must_use]
    pub fn exactly(key: impl Into<Vec<u8>>) -> Self {
        let start = key.into();
        let mut end = start.clone();
        end.push(0);
        Self { start, end: Some(end) }
    }

    /// The first key in the range.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The first key behind the range, or `None` where it has no end.
    #[must_use]
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }
}

/// A place in an index to go on from. Its bytes may travel as a page token: any bytes are a valid
/// place in the scan's own index and range, so a forged one reveals nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// Takes a cursor up again. Its length is checked by the scan.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to hand to [`Cursor::from_bytes`] later.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Which page of a scan is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Go on after this place; `None` starts at the beginning of the range.
    pub after: Option<Cursor>,
    /// How many items at most.
    pub limit: usize,
}

impl PageRequest {
    /// The first page.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The page after `cursor`.
    #[must_use]
    pub fn after(cursor: Cursor, limit: usize) -> Self {
        Self { after: Some(cursor), limit }
    }
}

/// One page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The records found.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` when this was the last one.
    pub next: Option<Cursor>,
}

/// One record found by a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The index key under which it was found.
    pub index_key: Vec<u8>,
    /// Its id.
    pub id: RecordId,
    /// The record itself.
    pub record: Record,
}

/// Why a store could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request breaks a limit.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// The engine failed.
    #[error("the storage engine failed while it {doing}")]
    Engine {
        /// What it was doing, to follow "while it".
        doing: &'static str,
        /// The engine's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is too little room on the disk. Nothing was written, reading goes on, and writing does too
    /// as soon as there is room.
    #[error(
        "the disk of {} has {free_bytes} bytes left, and writing needs {reserve_bytes}; free space there, \
         and the store goes on by itself",
        folder.display()
    )]
    Full {
        /// The store's folder.
        folder: PathBuf,
        /// What is left on its disk, in bytes.
        free_bytes: u64,
        /// What must be left for a write to begin, in bytes.
        reserve_bytes: u64,
    },
    /// A write failed. Nobody in flight is answered, and the process must end.
    #[error("the store in {} has halted; {advice}", folder.display())]
    Failed {
        /// The store's folder.
        folder: PathBuf,
        /// What to do about it.
        advice: &'static str,
        /// What failed.
        #[source]
        source: Box<StoreError>,
    },
    /// Stored bytes cannot be read back.
    #[error("stored data is damaged: {0}")]
    Corrupt(&'static str),
    /// The engine's writer panicked. The panic hook has logged the place; the panic's text, which may
    /// quote records, goes nowhere.
    #[error("the storage writer panicked")]
    Panicked,
    /// A write failed earlier; the store accepts nothing until the process starts again.
    #[error("the store has halted after a failed write")]
    Halted,
    /// [`Store::close`] was called.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn engine(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Engine { doing, source: source.into() }
    }
}
