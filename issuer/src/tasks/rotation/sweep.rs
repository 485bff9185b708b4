//! A walk over the records that need an older key, batch by batch.

use std::fmt;

use mesh::{
    sealing::at_rest::{Vault, VaultError},
    store::{Commit, Cursor, PageRequest, RecordId, Store, StoreError, Transition, Write, limits::WRITES_MAX},
};

use crate::vault::{
    Problem, RecordName, needs,
    sealed::{INDEX_KEY_VERSION, SealedKind},
};

/// One walk. Each step is one page of the index and, where nobody comes in between, one commit.
pub struct Sweep<'a> {
    store: &'a dyn Store,
    vault: &'a Vault,
    after: Option<Cursor>,
    ended: bool,
}

/// What one step did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Records that need the current key now.
    pub moved: usize,
    /// Records that were changing, or of which nobody knows: a later walk finds them where they are left.
    pub busy: usize,
    /// Records that can't be moved.
    pub stuck: Vec<Stuck>,
}

/// A record that can't be moved.
#[derive(Debug)]
pub struct Stuck {
    /// The record.
    pub id: RecordId,
    /// Its name.
    pub name: RecordName,
    /// Why.
    pub problem: Problem,
}

/// Why a walk can't go on now.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys can't be reached.
    #[error(transparent)]
    Keys(Problem),
}

impl<'a> Sweep<'a> {
    /// A walk from the beginning.
    #[must_use]
    pub fn new(store: &'a dyn Store, vault: &'a Vault) -> Self {
        Self { store, vault, after: None, ended: false }
    }

    /// Moves the next batch; `None` at the end. After an error the same batch is next.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn step(&mut self) -> Result<Option<Swept>, SweepError> {
        if self.ended {
            return Ok(None);
        }
        let range = needs::before(self.vault.current());
        let request = PageRequest { after: self.after.clone(), limit: WRITES_MAX };
        let page = self.store.scan(INDEX_KEY_VERSION, range, request).await?;
        let mut swept = Swept::default();
        let mut writes = Vec::with_capacity(page.items.len());
        for item in page.items {
            let Some(line) = SealedKind::of_record(&item.id) else {
                let name = RecordName::new("record of an unknown kind", &item.id.key);
                swept.stuck.push(Stuck { id: item.id, name, problem: Problem::Unreadable });
                continue;
            };
            match line.rewrap(self.vault, &item.id, item.record) {
                Ok(write) => writes.push(write),
                Err(problem) if problem.is_damage() => {
                    swept.stuck.push(Stuck { name: line.name(&item.id), id: item.id, problem });
                }
                Err(problem) => return Err(SweepError::Keys(problem)),
            }
        }
        self.commit(writes, &mut swept).await?;
        self.ended = page.next.is_none();
        self.after = page.next;
        Ok(Some(swept))
    }

    /// Commits the batch without those that somebody else was changing.
    async fn commit(&self, mut writes: Vec<Write>, swept: &mut Swept) -> Result<(), SweepError> {
        while !writes.is_empty() {
            match self.store.commit(Transition { writes: writes.clone(), ..Transition::new() }).await {
                Commit::Committed { .. } => {
                    swept.moved += writes.len();
                    return Ok(());
                }
                Commit::Conflict(id) => {
                    let before = writes.len();
                    writes.retain(|write| write.id != id);
                    swept.busy += before - writes.len();
                    if writes.len() == before {
                        break;
                    }
                }
                Commit::Duplicate(_) | Commit::Unknown => break,
                Commit::Refused(limit) => {
                    // The new wrapped key is longer than the old one, and some record has no room for it.
                    let Some(alone) = writes.pop() else { break };
                    match self.store.commit(Transition { writes: vec![alone.clone()], ..Transition::new() }).await {
                        Commit::Committed { .. } => swept.moved += 1,
                        Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => swept.busy += 1,
                        Commit::Refused(_) => {
                            let what = SealedKind::of_record(&alone.id).map_or("record", SealedKind::what);
                            let name = RecordName::new(what, &alone.id.key);
                            tracing::error!(record = %name, %limit, "a record has no room for its new key");
                            swept.stuck.push(Stuck { id: alone.id, name, problem: VaultError::TooLong.into() });
                        }
                        Commit::Fatal(error) => return Err(error.into()),
                    }
                }
                Commit::Fatal(error) => return Err(error.into()),
            }
        }
        swept.busy += writes.len();
        Ok(())
    }
}

impl fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").field("vault", &self.vault).field("ended", &self.ended).finish_non_exhaustive()
    }
}
