//! The directory in force, and how fresh it is.

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Directory;

/// A copy whose head is older than this starts no new authorization: a member that the operator has
/// suspended would still be taken for an active one.
pub const HEAD_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// The directory in force, replaced as a whole. Reading takes no lock.
#[derive(Debug, Default)]
pub struct DirectoryHandle {
    current: ArcSwap<Directory>,
    /// Whether the entries come from a platform, whose word they need to count as fresh.
    followed: bool,
    /// Counts the replacements.
    changes: watch::Sender<u64>,
}

/// Whether a directory is fresh enough to start something new with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It came from a file and there is no platform that could know better.
    Direct,
    /// The platform has vouched for it lately.
    Fresh,
    /// The platform has not vouched for it for longer than [`HEAD_AGE_MAX`], or never. Nothing new may
    /// start; what is under way may be resolved.
    Stale,
}

impl Freshness {
    /// Whether nothing new may start.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        match self {
            Self::Stale => true,
            Self::Direct | Self::Fresh => false,
        }
    }
}

impl DirectoryHandle {
    /// A handle on a directory from a file. Without a head it never becomes stale.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { current: ArcSwap::from_pointee(directory), followed: false, changes: watch::Sender::new(0) }
    }

    /// A handle on a copy of a platform's directory: stale until the platform has vouched for it.
    #[must_use]
    pub fn followed(directory: Directory) -> Self {
        Self { followed: true, ..Self::new(directory) }
    }

    /// The directory in force, to keep for a while.
    #[must_use]
    pub fn current(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// The directory in force, for a look-up or two: cheaper than [`DirectoryHandle::current`], and not
    /// to be held across an await.
    pub fn load(&self) -> impl Deref<Target = Arc<Directory>> + use<> {
        self.current.load()
    }

    /// Puts another one in force; whoever holds the former one keeps it.
    pub fn replace(&self, directory: Directory) {
        self.publish(Arc::new(directory));
    }

    /// As [`DirectoryHandle::replace`], for a directory that is shared already.
    pub fn publish(&self, directory: Arc<Directory>) {
        self.current.store(directory);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows the replacements: a change means that [`DirectoryHandle::current`] is another one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until a directory is in force that has anybody in it.
    pub async fn filled(&self) {
        let mut changes = self.subscribe();
        while self.current.load().is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How fresh the directory in force is.
    #[must_use]
    pub fn freshness(&self, now: SystemTime) -> Freshness {
        match self.current.load().head() {
            Some(head) if now.duration_since(head.signed_at).unwrap_or_default() <= HEAD_AGE_MAX => Freshness::Fresh,
            None if !self.followed => Freshness::Direct,
            Some(_) | None => Freshness::Stale,
        }
    }
}
