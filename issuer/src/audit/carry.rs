//! From the store into the trail: every entry once, in its order.
//!
//! An entry is durable in the store before the trail hears of it. A batch is appended and synced; then one
//! transition notes the new head and removes the batch's events. Whatever dies in between, the events are still
//! there, the lines may be, and both are told by the store's sequence: what the files have behind the noted
//! head must be exactly what the next events say, and is not appended again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use mesh::{
    audit::{self, AppendError, BATCH_MAX, Head, Opened, Options, Record, Repair, Trail},
    store::{Seq, Version},
};

use super::{event::Event, head::AuditHead, topic};
use crate::repository::{self, Changes, Outcome, Repository};

/// The trail, and what the store knows of it.
#[derive(Debug)]
pub struct Audit {
    repository: Repository,
    // Its calls block, and so are made on another thread.
    trail: Arc<Mutex<Trail>>,
    /// The last line that is durable in the files.
    written: Head,
    /// The last line that the store knows of, with the version of that record.
    noted: Head,
    version: Version,
}

/// A trail that can be carried on.
#[derive(Debug)]
pub struct Resumed {
    /// It.
    pub audit: Audit,
    /// Entries that were in the files already, though the last process had not noted that any more.
    pub ahead: usize,
    /// What a crash had left unfinished in the files, and was cut off.
    pub repaired: Option<Repair>,
}

/// Why a trail can't be carried on. An operator decides; `issuer audit restart` is the way if it is to go on
/// without what was lost.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files can't be opened, or are not those that the store knows.
    #[error(transparent)]
    Trail(#[from] audit::OpenError),
    /// The files have entries of a time that the store has not come to.
    #[error(
        "the trail's n={n} has the store's sequence {written}, but the store has come only to {reached}: \
         the store was cut short or is an older copy"
    )]
    StoreBehind {
        /// The last line's number.
        n: u64,
        /// Its sequence.
        written: u64,
        /// The store's last sequence.
        reached: u64,
    },
    /// The files have an entry that the store has not committed so.
    #[error("n={n} of the trail, with sequence {seq}, is not what the store has committed")]
    Foreign {
        /// The line's number.
        n: u64,
        /// Its sequence.
        seq: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The store could not note how far the files have come.
    #[error(transparent)]
    NotNoted(CarryError),
    /// The thread that opened the files panicked.
    #[error("opening the audit trail panicked")]
    Panicked,
}

/// Why entries are not in the trail yet. They are durable in the store, and trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The files can't be written.
    #[error(transparent)]
    Trail(#[from] AppendError),
    /// The store failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// Somebody else has noted another head, which nobody may.
    #[error("the store's note of the audit trail was changed by another process")]
    Contended,
    /// The thread that wrote panicked.
    #[error("writing the audit trail panicked")]
    Panicked,
}

impl Audit {
    /// Opens the trail and compares it with the store, or begins it where there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(repository: Repository, options: Options, now: SystemTime) -> Result<Resumed, OpenError> {
        let stored = repository.load(&AuditHead::at()).await?;
        let known = match &stored {
            Some(stored) => Some(stored.value.head().map_err(repository::Error::from)?),
            None => None,
        };
        let opened = tokio::task::spawn_blocking(move || Trail::open(options, known, now)).await;
        let Opened { trail, ahead, repaired } = opened.map_err(|_| OpenError::Panicked)??;
        let written = trail.head();
        let reached = repository.store().watch().borrow().number();
        if written.seq > reached {
            return Err(OpenError::StoreBehind { n: written.n, written: written.seq, reached });
        }
        if let Some(known) = known {
            compare(&repository, known, &ahead).await?;
        }
        let mut audit = Self {
            repository,
            trail: Arc::new(Mutex::new(trail)),
            written,
            noted: known.unwrap_or(Head { n: 0, seq: 0, hash: written.hash }),
            version: stored.map_or(Version::ABSENT, |stored| stored.version),
        };
        audit.note().await.map_err(OpenError::NotNoted)?;
        // The line that begins a trail is no entry of the store's.
        let ahead = if known.is_some() { ahead.len() } else { 0 };
        Ok(Resumed { audit, ahead, repaired })
    }

    /// The last line that is durable in the files and noted in the store.
    #[must_use]
    pub fn head(&self) -> Head {
        self.noted
    }

    /// Where entries wait.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Carries one batch, the oldest entries first, and returns how many that were: fewer than [`BATCH_MAX`]
    /// where none is left.
    ///
    /// # Errors
    /// [`CarryError`]; nothing is lost, and the next call goes on where this one has stopped.
    pub async fn carry(&mut self) -> Result<usize, CarryError> {
        if self.written != self.noted {
            self.note().await?;
        }
        let records = waiting(&self.repository, self.noted.seq).await?;
        if records.is_empty() {
            return Ok(0);
        }
        let count = records.len();
        let trail = Arc::clone(&self.trail);
        let append = move || trail.lock().unwrap_or_else(PoisonError::into_inner).append(&records);
        let appended = tokio::task::spawn_blocking(append).await;
        self.written = appended.map_err(|_| CarryError::Panicked)??;
        self.note().await?;
        Ok(count)
    }

    /// Notes in the store how far the files have come, and removes the events that are in them.
    async fn note(&mut self) -> Result<(), CarryError> {
        if self.written == self.noted {
            return Ok(());
        }
        self.version = note(&self.repository, self.version, &self.written).await?;
        self.noted = self.written;
        Ok(())
    }
}

/// Stores a head, and returns the version of its record.
pub(super) async fn note(repository: &Repository, version: Version, head: &Head) -> Result<Version, CarryError> {
    let record = AuditHead::of(head);
    let changes = Changes::new().replace(version, &record).forget_audited(Seq::new(head.seq));
    match repository.commit(changes).await? {
        Outcome::Committed | Outcome::Reload => {}
    }
    // The version is looked up in either case: the change of a lost answer may be there.
    match repository.load(&AuditHead::at()).await? {
        Some(stored) if stored.value == record => Ok(stored.version),
        Some(_) | None => Err(CarryError::Contended),
    }
}

/// What the files have behind the noted head must be what the next events say.
async fn compare(repository: &Repository, known: Head, ahead: &[Head]) -> Result<(), OpenError> {
    if ahead.is_empty() {
        return Ok(());
    }
    let records = waiting(repository, known.seq).await?;
    let mut last = known;
    for (at, head) in ahead.iter().enumerate() {
        match records.get(at).map(|record| record.head_after(&last)) {
            Some(expected) if expected == *head => last = expected,
            Some(_) | None => return Err(OpenError::Foreign { n: head.n, seq: head.seq }),
        }
    }
    Ok(())
}

/// The oldest entries that wait, at most one batch.
async fn waiting(repository: &Repository, behind: u64) -> Result<Vec<Record>, repository::Error> {
    let events = repository.store().events(topic(), Seq::new(behind), BATCH_MAX).await?;
    Ok(events.iter().map(Event::read).collect())
}
