//! Typed records over the store: what is kept is loaded, scanned and committed as domain types.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mesh::store::{
    Commit, Cursor, Event, Index, IndexEntry, Item, KeyRange, Kind, Limit, PageRequest, RecordId, Seq, Store,
    StoreError, Topic, Transition, Version,
};
use tokio::sync::watch;

mod news;

pub use news::RecordWatch;
use news::{News, RecordNews};

/// A thing that is kept under a key.
pub trait Entity: Sized + Send {
    /// Its kind.
    const KIND: Kind;

    /// Its key, unique within its kind.
    fn key(&self) -> Vec<u8>;

    /// Where a scan finds it.
    fn indexes(&self) -> Vec<IndexEntry>;

    /// Its body.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads it back.
    ///
    /// # Errors
    /// [`Damaged`] for bytes that [`Entity::to_bytes`] can't have written.
    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged>;
}

/// Stored bytes that can't be read back; says what they should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} can't be read back")]
pub struct Damaged(pub &'static str);

/// An entity with the version under which it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<E> {
    /// The version to expect when it is written again.
    pub version: Version,
    /// The entity.
    pub entity: E,
}

impl<E: Entity> Loaded<E> {
    pub(crate) fn of(item: Item) -> Result<Self, Damaged> {
        Ok(Self { version: item.record.version, entity: E::from_bytes(&item.id.key, item.record.body)? })
    }
}

/// Why the repository could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change breaks a limit of the store, which is a fault of this program.
    #[error("a change does not fit the store: {0}")]
    Refused(Limit),
    /// Stored bytes can't be read back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "changes that were not committed have changed nothing"]
pub enum Outcome {
    /// Everything is durable.
    Committed(Seq),
    /// Somebody was faster, or it is not known whether it was committed. Load again and decide again:
    /// what is loaded then tells, because nothing can be committed twice under one version.
    Stale,
    /// The idempotency key is known; this is the first answer.
    Duplicate(Bytes),
}

/// The acquirer's store, by its entities. Clones share it.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    news: Arc<News>,
    records: Arc<RecordNews>,
    /// In milliseconds since 1970; only grows.
    horizon: Arc<AtomicU64>,
}

impl Repository {
    /// A repository over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, news: Arc::default(), records: Arc::default(), horizon: Arc::default() }
    }

    /// The store itself, for what knows no entities: its health and its end.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Results of requests that were signed before this may have been removed, so that nobody can say of one
    /// that isn't found that it never was. The epoch until retention has said otherwise.
    #[must_use]
    pub fn horizon(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.horizon.load(Ordering::SeqCst))
    }

    /// Moves the horizon, which must be durable, and must be called before the first result behind it is
    /// removed: who looks for a result and only then at the horizon is then never misled. It never goes back.
    pub(crate) fn move_horizon(&self, to: SystemTime) {
        self.horizon.fetch_max(proto::time::unix_millis(to), Ordering::SeqCst);
    }

    /// The entity under a key.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Damaged`].
    pub async fn load<E: Entity>(&self, key: &[u8]) -> Result<Option<Loaded<E>>, Error> {
        let Some(record) = self.store.get(&RecordId::new(E::KIND, key)).await? else { return Ok(None) };
        Ok(Some(Loaded { version: record.version, entity: E::from_bytes(key, record.body)? }))
    }

    /// One page of an index whose entries are all of this kind, and where the next page begins.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Damaged`].
    pub async fn page<E: Entity>(
        &self,
        index: Index,
        range: KeyRange,
        page: PageRequest,
    ) -> Result<(Vec<Loaded<E>>, Option<Cursor>), Error> {
        let page = self.store.scan(index, range, page).await?;
        let loaded: Result<_, Damaged> = page.items.into_iter().map(Loaded::of).collect();
        Ok((loaded?, page.next))
    }

    /// As [`Repository::page`], without what can't be read back, which is logged: to a task that works
    /// through an index, one damaged record must not hide all the others.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn readable_page<E: Entity>(
        &self,
        index: Index,
        range: KeyRange,
        page: PageRequest,
    ) -> Result<(Vec<Loaded<E>>, Option<Cursor>), Error> {
        let page = self.store.scan(index, range, page).await?;
        let readable = page.items.into_iter().filter_map(|item| {
            let record = String::from_utf8_lossy(&item.id.key).into_owned();
            let damaged = |error| tracing::error!(%record, %error, index = index.as_str(), "a record is passed over");
            Loaded::of(item).map_err(damaged).ok()
        });
        Ok((readable.collect(), page.next))
    }

    /// The answer that was committed under an idempotency key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.store.answer(idempotency_key).await?)
    }

    /// The events of a topic after a place, ascending.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        Ok(self.store.events(topic, after, limit).await?)
    }

    /// Follows a topic: a change means that a commit of this process has added events to it, up to that
    /// sequence. It may come a moment before the store shows them. What another process commits, or what was
    /// committed without an answer, is not told.
    #[must_use]
    pub fn follow(&self, topic: &Topic) -> watch::Receiver<Seq> {
        self.news.follow(topic)
    }

    /// Follows one record: a change means that a commit of this process has written it. What another process
    /// commits is not told.
    #[must_use]
    pub fn follow_record<E: Entity>(&self, key: &[u8]) -> RecordWatch {
        RecordNews::follow(&self.records, RecordId::new(E::KIND, key))
    }

    /// Commits changes, all of them or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Refused`]; nothing was committed.
    pub async fn commit(&self, changes: Changes) -> Result<Outcome, Error> {
        let written: Vec<RecordId> = changes.0.writes.iter().map(|write| write.id.clone()).collect();
        let records = Arc::clone(&self.records);
        let topics: BTreeSet<Topic> = changes.0.events.iter().map(|event| event.topic.clone()).collect();
        let commit = if topics.is_empty() {
            let commit = self.store.commit(changes.0).await;
            records.tell(&written, &commit);
            commit
        } else {
            // On a task of its own: dropping this future does not withdraw the commit, so it must not keep
            // the news from those who wait for it either.
            let (store, news) = (Arc::clone(&self.store), Arc::clone(&self.news));
            let work = tokio::spawn(async move {
                let commit = store.commit(changes.0).await;
                if let Commit::Committed { versions: _, seq } = &commit {
                    news.tell(&topics, *seq);
                }
                records.tell(&written, &commit);
                commit
            });
            work.await.map_err(|_| StoreError::Panicked)?
        };
        match commit {
            Commit::Committed { seq, .. } => Ok(Outcome::Committed(seq)),
            Commit::Conflict(_) | Commit::Unknown => Ok(Outcome::Stale),
            Commit::Duplicate(answer) => Ok(Outcome::Duplicate(answer)),
            Commit::Refused(limit) => Err(Error::Refused(limit)),
            Commit::Fatal(error) => Err(error.into()),
        }
    }
}

/// Changes to be committed as one.
#[derive(Debug, Default)]
#[must_use = "changes that are not committed change nothing"]
pub struct Changes(Transition);

impl Changes {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an entity that must not exist yet.
    pub fn create<E: Entity>(self, entity: &E) -> Self {
        self.put(Version::ABSENT, entity)
    }

    /// Writes a loaded entity again.
    pub fn update<E: Entity>(self, loaded: &Loaded<E>) -> Self {
        self.put(loaded.version, &loaded.entity)
    }

    /// Writes an entity at an expected version, [`Version::ABSENT`] for one that must not exist yet.
    pub fn put<E: Entity>(self, expected: Version, entity: &E) -> Self {
        let id = RecordId::new(E::KIND, entity.key());
        Self(self.0.put(id, expected, entity.to_bytes(), entity.indexes()))
    }

    /// Removes a loaded entity.
    pub fn remove<E: Entity>(self, loaded: &Loaded<E>) -> Self {
        let id = RecordId::new(E::KIND, loaded.entity.key());
        Self(self.0.remove(id, loaded.version))
    }

    /// Appends an event.
    pub fn event(self, topic: Topic, body: impl Into<Bytes>) -> Self {
        Self(self.0.event(topic, body))
    }

    /// Adds what another module writes in the store's own terms.
    pub fn with(self, add: impl FnOnce(Transition) -> Transition) -> Self {
        Self(add(self.0))
    }

    /// Forgets an answer, so that its key may be used again.
    pub fn forget(self, key: impl Into<Vec<u8>>) -> Self {
        Self(self.0.forget(key))
    }

    /// Keeps an answer for repeats.
    pub fn idempotency(self, key: impl Into<Vec<u8>>, answer: impl Into<Bytes>) -> Self {
        Self(self.0.idempotency(key, answer))
    }
}
