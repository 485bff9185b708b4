//! The issuer's records in the store, typed.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use mesh::store::{Commit, Cursor, Index, KeyRange, Limit, PageRequest, Seq, Store, StoreError, Transition, Version};

use crate::{
    audit::{self, Entry},
    records::{Damaged, Entity, Key},
};

/// The issuer's records. Clones share the store.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
}

/// A record as it was read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// The version.
    pub version: Version,
    /// The record.
    pub value: T,
}

/// One page of records.
#[derive(Debug)]
pub struct Found<T> {
    /// The records, ascending by index key.
    pub items: Vec<Stored<T>>,
    /// Where to go on; `None` after the last page.
    pub next: Option<Cursor>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "changes that were not committed have changed nothing"]
pub enum Outcome {
    /// It is durable.
    Committed,
    /// Somebody else was first, or nobody can say whether the change was written: load again and decide
    /// again. Versions keep a change from being written twice, so that one answer serves both cases.
    Reload,
}

/// Why the store could not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change breaks a limit of the store, which is a mistake in this program.
    #[error("a change was refused: {0}")]
    Refused(Limit),
    /// A record cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Repository {
    /// A repository over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The record at this key, or `None` where there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn load<T: Entity>(&self, key: &Key<T>) -> Result<Option<Stored<T>>, Error> {
        let Some(record) = self.store.get(&key.record_id()).await? else {
            return Ok(None);
        };
        Ok(Some(Stored { version: record.version, value: decode(record.body)? }))
    }

    /// One page of an index that holds records of the kind `T` alone.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn page<T: Entity>(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Found<T>, Error> {
        let page = self.store.scan(index, range, page).await?;
        let read = |item: mesh::store::Item| -> Result<Stored<T>, Error> {
            Ok(Stored { version: item.record.version, value: decode(item.record.body)? })
        };
        Ok(Found { items: page.items.into_iter().map(read).collect::<Result<_, _>>()?, next: page.next })
    }

    /// Commits these changes, all of them or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`Error`]; after [`Error::Store`] nothing was written.
    pub async fn commit(&self, changes: Changes) -> Result<Outcome, Error> {
        match self.store.commit(changes.transition).await {
            Commit::Committed { .. } => Ok(Outcome::Committed),
            // No change here carries an idempotency key, so that nothing can be a duplicate of another.
            Commit::Conflict(_) | Commit::Unknown | Commit::Duplicate(_) => Ok(Outcome::Reload),
            Commit::Refused(limit) => Err(Error::Refused(limit)),
            Commit::Fatal(error) => Err(Error::Store(error)),
        }
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repository")
    }
}

/// Changes to be committed together.
#[derive(Debug, Default)]
#[must_use]
pub struct Changes {
    transition: Transition,
}

impl Changes {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a record where there is none.
    pub fn create<T: Entity>(self, value: &T) -> Self {
        self.put(value, Version::ABSENT)
    }

    /// Replaces the record that was read at this version.
    pub fn replace<T: Entity>(self, read_at: Version, value: &T) -> Self {
        self.put(value, read_at)
    }

    /// Removes a record as it was read.
    pub fn remove<T: Entity>(mut self, record: &Stored<T>) -> Self {
        self.transition = self.transition.remove(record.value.key().record_id(), record.version);
        self
    }

    /// Adds what the audit trail will say of these changes. It is durable together with them, or not at all.
    pub fn audit(mut self, entry: &Entry) -> Self {
        self.transition = self.transition.event(audit::topic().clone(), entry.to_bytes());
        self
    }

    /// Removes the oldest entries that are in the audit trail by now, one batch of it at most.
    pub(crate) fn forget_audited(mut self, up_to: Seq) -> Self {
        self.transition = self.transition.trim(audit::topic().clone(), up_to);
        self
    }

    fn put<T: Entity>(mut self, value: &T, expected: Version) -> Self {
        let body = value.encode_to_vec();
        self.transition = self.transition.put(value.key().record_id(), expected, body, value.indexes());
        self
    }
}

fn decode<T: Entity>(body: Bytes) -> Result<T, Damaged> {
    T::decode(body).map_err(|_| Damaged { kind: std::any::type_name::<T>(), field: "body" })
}
