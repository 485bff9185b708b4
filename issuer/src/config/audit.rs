//! The audit trail's table.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use mesh::config::{FieldError, Period, resolve};
use serde::Deserialize;

use super::check_period;

/// The audit trail.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Where its files are, for this process alone. Default: the folder `audit` in the store's. Another disk keeps
    /// the trail and the store from filling up each other's.
    pub folder: Option<PathBuf>,
    /// How often the head, the number and hash of the last entry, goes to the log. Default 1 min: so much of the
    /// trail could be cut off without the log's knowing better.
    pub head_every: Period,
    /// After how many entries it goes to the log at the latest. Default 1,000.
    pub head_entries: u32,
    /// The size at which a file is full and the next one is begun, in MiB. Default 64.
    pub file_mib: u32,
    /// How long entries may wait for a trail that can't be written before nobody may begin a sign-in any more.
    /// Default 15 min: the life of an order.
    pub wait_max: Period,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            folder: None,
            head_every: Period::new(Duration::from_secs(60)),
            head_entries: 1000,
            file_mib: 64,
            wait_max: Period::new(Duration::from_secs(15 * 60)),
        }
    }
}

impl AuditConfig {
    /// Every period and count must be more than zero.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_period("head_every", self.head_every, &mut errors);
        check_period("wait_max", self.wait_max, &mut errors);
        for (field, value) in [("head_entries", self.head_entries), ("file_mib", self.file_mib)] {
            if value == 0 {
                errors.push(FieldError::new(field, "must be at least 1"));
            }
        }
        errors
    }

    /// Makes the folder relative to `folder`, where it is relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        if let Some(own) = &mut self.folder {
            resolve(own, folder);
        }
    }

    /// Where the files are, if the store is in that folder.
    #[must_use]
    pub fn folder(&self, store: &Path) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| store.join("audit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_happen_is_named() {
        let zero = Period::new(Duration::ZERO);
        let config = AuditConfig { folder: None, head_every: zero, head_entries: 0, file_mib: 0, wait_max: zero };
        let fields: Vec<String> = config.validate().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["head_every", "wait_max", "head_entries", "file_mib"]);
        assert_eq!(AuditConfig::default().validate(), []);
    }

    #[test]
    fn the_files_are_in_the_stores_folder_unless_another_is_named() {
        let mut config = AuditConfig::default();
        assert_eq!(config.folder(Path::new("/data/bank")), Path::new("/data/bank/audit"));
        config.folder = Some("trail".into());
        config.resolve_paths(Path::new("/etc/issuer"));
        assert_eq!(config.folder(Path::new("/data/bank")), Path::new("/etc/issuer/trail"));
    }
}
