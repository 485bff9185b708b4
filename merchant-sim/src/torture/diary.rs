//! A file that tells when each fault began and was over, for whoever looks into a kept folder.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// The diary of one run.
#[derive(Debug)]
pub(super) struct Diary(Mutex<File>);

impl Diary {
    /// Opens the diary in a run's folder.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("faults.txt");
        let file = File::options().create(true).append(true).open(&path);
        Ok(Self(Mutex::new(file.with_context(|| format!("cannot write {}", path.display()))?)))
    }

    /// Notes something under this moment.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn note(&self, what: &str) -> Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{} {what}", now()).context("cannot write the diary of faults")
    }
}

/// This moment, as the servers' logs write it (RFC 3339).
pub(super) fn now() -> String {
    prost_types::Timestamp::from(SystemTime::now()).to_string()
}
