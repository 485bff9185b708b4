//! Looking for secrets in what the processes wrote, and for panics in their logs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::canary::Needles;
use crate::secrets::Secrets;
use crate::topology::Topology;

/// Searches the data folders, the shops' logs and every process's log for the cards, passwords and national ids
/// of every customer, the keys of the vaults and every session token that came up.
///
/// # Errors
/// A file can't be read, or the search is blind: it doesn't find what certainly is in the customers' files.
pub(in crate::torture) fn search(topology: &Topology, noted: &Secrets, card_network: &Path) -> Result<Vec<String>> {
    let needles = Needles::of(topology, &noted.all())?;
    for issuer in &topology.issuers {
        let bytes = fs::read(&issuer.customers_file)?;
        let found: BTreeSet<&str> = needles.find(&bytes).map(|(needle, _)| needle.secret.as_str()).collect();
        let blind = needles.secrets_of(&issuer.id).find(|secret| !found.contains(secret));
        ensure!(blind.is_none(), "the search is blind: it does not find {blind:?}");
    }
    let mut files = Vec::new();
    for (_, _, place) in topology.servers() {
        list(&place.data, &mut files)?;
    }
    list(card_network, &mut files)?;
    list(&topology.folder.join("logs"), &mut files)?;
    for merchant in &topology.merchants {
        list(&crate::torture::fleet::shop_log(&topology.folder, merchant), &mut files)?;
    }
    ensure!(!files.is_empty(), "there is nothing to search");
    let mut offences = BTreeSet::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot search {}", file.display()))?;
        for (needle, offset) in needles.find(&bytes) {
            offences.insert(format!("{} ({}) at byte {offset} of {}", needle.secret, needle.form, file.display()));
        }
    }
    Ok(offences.into_iter().collect())
}

/// Every panic that stands in a log.
///
/// # Errors
/// A log can't be read.
pub(in crate::torture) fn panics(topology: &Topology) -> Result<Vec<String>> {
    let mut logs = Vec::new();
    list(&topology.folder.join("logs"), &mut logs)?;
    let mut found = Vec::new();
    for log in logs {
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let panics = text.lines().filter(|line| line.contains("panicked"));
        found.extend(panics.map(|line| format!("{}: {line}", log.display())));
    }
    Ok(found)
}

fn list(place: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if place.is_file() {
        files.push(place.to_owned());
    } else if place.is_dir() {
        for entry in fs::read_dir(place).with_context(|| format!("cannot search {}", place.display()))? {
            list(&entry?.path(), files)?;
        }
    }
    Ok(())
}
