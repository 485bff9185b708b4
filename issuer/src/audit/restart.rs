//! Going on after the trail or the store has lost something, by an operator's decision.

use std::time::SystemTime;

use mesh::{
    audit::{self, Head, Options},
    store::Version,
};

use super::{
    carry::{CarryError, note},
    head::AuditHead,
};
use crate::repository::{self, Repository};

/// Why the trail was not begun anew.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// The files can't be read or written.
    #[error(transparent)]
    Trail(#[from] audit::OpenError),
    /// The store failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The file was begun, but the store could not note it. Doing it again is safe.
    #[error("the new file was begun, but the store could not note that: {0}; do it again")]
    NotNoted(CarryError),
    /// The thread that wrote panicked.
    #[error("writing the audit trail panicked")]
    Panicked,
}

/// A trail that was begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarted {
    /// Its first line.
    pub head: Head,
    /// The last line that the store had known of.
    pub before: Option<Head>,
}

/// Begins the trail anew in a file of its own, with a line that says so and why. What the store knows of the old
/// one is in that line; what waits in the store comes behind it. Nobody else may have the store open.
///
/// # Errors
/// [`RestartError`].
pub async fn restart(
    repository: &Repository,
    options: Options,
    because: String,
    now: SystemTime,
) -> Result<Restarted, RestartError> {
    let stored = repository.load(&AuditHead::at()).await?;
    let before = match &stored {
        Some(stored) => Some(stored.value.head().map_err(repository::Error::from)?),
        None => None,
    };
    let begin = move || audit::restart(&options, before, &because, now);
    let head = tokio::task::spawn_blocking(begin).await.map_err(|_| RestartError::Panicked)??;
    let version = stored.map_or(Version::ABSENT, |stored| stored.version);
    note(repository, version, &head).await.map_err(RestartError::NotNoted)?;
    Ok(Restarted { head, before })
}
