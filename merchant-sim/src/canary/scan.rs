//! Searching files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Needles;

/// A secret where it must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Find {
    /// What it is, without the secret itself.
    pub secret: String,
    /// The form that it stands in.
    pub form: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Where in it the first one begins, in bytes.
    pub offset: usize,
}

/// What was searched so far.
#[derive(Debug, Default)]
pub struct Scanned {
    pub(super) finds: Vec<Find>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Scanned {
    /// What was found there already, where something is searched in pieces.
    fn finds_in(&self, path: &Path) -> BTreeSet<(String, &'static str)> {
        let finds = self.finds.iter().filter(|find| find.file == path);
        finds.map(|find| (find.secret.clone(), find.form)).collect()
    }
}

/// Searches a file, or every file in a folder and its folders.
pub(super) fn folder(place: &Path, needles: &Needles, scanned: &mut Scanned) -> Result<()> {
    if place.is_file() {
        return file(place, needles, scanned);
    }
    for entry in fs::read_dir(place).with_context(|| format!("cannot search {}", place.display()))? {
        folder(&entry?.path(), needles, scanned)?;
    }
    Ok(())
}

/// Searches one file.
pub(super) fn file(path: &Path, needles: &Needles, scanned: &mut Scanned) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot search {}", path.display()))?;
    scanned.files += 1;
    bytes_of(path, &bytes, needles, scanned);
    Ok(())
}

/// Searches bytes that stand for a file. Each form of each secret is reported once.
pub(super) fn bytes_of(path: &Path, bytes: &[u8], needles: &Needles, scanned: &mut Scanned) {
    scanned.bytes += bytes.len() as u64;
    let mut seen: BTreeSet<(String, &str)> = scanned.finds_in(path);
    for (needle, offset) in needles.find(bytes) {
        if seen.insert((needle.secret.clone(), needle.form)) {
            let (secret, form) = (needle.secret.clone(), needle.form);
            scanned.finds.push(Find { secret, form, file: path.to_owned(), offset });
        }
    }
}
