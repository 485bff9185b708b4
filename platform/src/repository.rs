//! The platform's records in the store, typed.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use mesh::store::{
    Commit, Cursor, Event, Index, KeyRange, Limit, PageRequest, RecordId, Seq, Store, StoreError, Topic, Transition,
    Version,
};

use crate::records::{Damaged, Entity};

/// The platform's records. Clones share the store.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
}

/// A record with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<E> {
    /// The version.
    pub version: Version,
    /// The record.
    pub value: E,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "changes that were not committed have changed nothing"]
pub enum Outcome {
    /// It is durable.
    Committed,
    /// Somebody else was first, or nobody can say whether it was written: load again and decide again.
    /// Versions keep a change from being written twice, so that one answer serves both cases.
    Reload,
    /// The idempotency key is known; this is the first answer.
    Duplicate(Bytes),
}

/// Why the repository could not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change breaks a limit of the store, which is a mistake in this program.
    #[error("a change was refused: {0}")]
    Refused(Limit),
    /// A record can't be read back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Repository {
    /// A repository over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The store itself, for what knows no records: its health and its end.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The record under a key, or `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Damaged`].
    pub async fn load<E: Entity>(&self, key: &[u8]) -> Result<Option<Stored<E>>, Error> {
        let Some(record) = self.store.get(&RecordId::new(E::KIND, key)).await? else { return Ok(None) };
        Ok(Some(Stored { version: record.version, value: decode(record.body)? }))
    }

    /// One page of an index that holds records of this kind alone, and where the next page begins.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Damaged`].
    pub async fn page<E: Entity>(
        &self,
        index: Index,
        range: KeyRange,
        page: PageRequest,
    ) -> Result<(Vec<Stored<E>>, Option<Cursor>), Error> {
        let page = self.store.scan(index, range, page).await?;
        let read = |item: mesh::store::Item| -> Result<Stored<E>, Error> {
            Ok(Stored { version: item.record.version, value: decode(item.record.body)? })
        };
        Ok((page.items.into_iter().map(read).collect::<Result<_, _>>()?, page.next))
    }

    /// The events of a topic after a place, ascending.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        Ok(self.store.events(topic, after, limit).await?)
    }

    /// Commits changes, all of them or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Refused`]; nothing was committed.
    pub async fn commit(&self, changes: Changes) -> Result<Outcome, Error> {
        match self.store.commit(changes.0).await {
            Commit::Committed { .. } => Ok(Outcome::Committed),
            Commit::Conflict(_) | Commit::Unknown => Ok(Outcome::Reload),
            Commit::Duplicate(answer) => Ok(Outcome::Duplicate(answer)),
            Commit::Refused(limit) => Err(Error::Refused(limit)),
            Commit::Fatal(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repository")
    }
}

/// Changes to be committed together.
#[derive(Debug, Default)]
#[must_use = "changes that are not committed change nothing"]
pub struct Changes(Transition);

impl Changes {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record at an expected version, [`Version::ABSENT`] for one that must not exist yet.
    pub fn put<E: Entity>(self, expected: Version, value: &E) -> Self {
        let id = RecordId::new(E::KIND, value.key());
        Self(self.0.put(id, expected, value.encode_to_vec(), value.indexes()))
    }

    /// Removes a record as it was read.
    pub fn remove<E: Entity>(self, record: &Stored<E>) -> Self {
        Self(self.0.remove(RecordId::new(E::KIND, record.value.key()), record.version))
    }

    /// Appends an event.
    pub fn event(self, topic: Topic, body: impl Into<Bytes>) -> Self {
        Self(self.0.event(topic, body))
    }

    /// Keeps an answer for repeats.
    pub fn idempotency(self, key: impl Into<Vec<u8>>, answer: impl Into<Bytes>) -> Self {
        Self(self.0.idempotency(key, answer))
    }

    /// Drops an answer that nobody can ask for any more.
    pub fn forget(self, key: impl Into<Vec<u8>>) -> Self {
        Self(self.0.forget(key))
    }
}

fn decode<E: Entity>(body: Bytes) -> Result<E, Damaged> {
    E::decode(body).map_err(|_| Damaged { kind: E::NAME, field: "body" })
}
