//! The canary scan: the whole scenario with every log at trace level, and then a search for each
//! planted secret, in every form that it could have taken, in every file that the servers wrote, in the
//! memory of the running platform, and in its numbers.
//!
//! The planted secrets are the sample's own, card numbers, verification values, national ids, user
//! codes, passwords and activation codes, and those that the run brings up: the private keys of devices and
//! passkeys, every feature vector that was sent, every session token that a bank gave out. What a bank's
//! people hand in (the customers' file, the key file) is not searched; everything that a server makes of it
//! is: logs, data folders with the vault and the audit trail in them, configurations.

mod living;
mod needles;
mod scan;
mod vault;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

pub use needles::{Needle, Needles};
pub use scan::{Find, Scanned};
pub use vault::{Checked, check as vault};

use crate::network::Network;
use crate::secrets::{Secret, Value};
use crate::topology::Topology;

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The secrets that were found.
    pub finds: Vec<Find>,
    /// How many files were searched.
    pub files: u64,
    /// How many bytes were searched.
    pub bytes: u64,
    /// How many forms of how many secrets were searched for.
    pub needles: usize,
}

impl Findings {
    /// One line that sums it up.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{} finds in {} files, {} bytes", self.finds.len(), self.files, self.bytes)
    }
}

/// A search that has begun: with what can only be seen while the servers run.
#[derive(Debug)]
pub struct Search {
    needles: Needles,
    scanned: Scanned,
}

impl Search {
    /// Searches what the running platform of a network holds in memory and tells in its numbers.
    ///
    /// # Errors
    /// It can't be read, or the search doesn't find what is certainly there: then it would prove nothing.
    pub async fn of_running(network: &Network) -> Result<Self> {
        let noted = network.secrets.all();
        let needles = Needles::of(&network.topology, &noted)?;
        prove(&needles, &network.topology)?;
        prove_noted(&needles, &noted)?;
        let scanned = living::platform(network, &needles).await?;
        Ok(Self { needles, scanned })
    }

    /// Then searches everything that the servers wrote, and says what was found altogether.
    ///
    /// # Errors
    /// A file can't be read, or there is none.
    pub fn of_written(self, topology: &Topology) -> Result<Findings> {
        let Self { needles, mut scanned } = self;
        let before = scanned.files;
        for place in written_by_servers(topology)? {
            scan::folder(&place, &needles, &mut scanned)?;
        }
        ensure!(scanned.files > before, "the servers wrote nothing: there is nothing to search");
        Ok(Findings { finds: scanned.finds, files: scanned.files, bytes: scanned.bytes, needles: needles.len() })
    }
}

/// The customers' file holds every secret in the clear, so that the search must find them there.
fn prove(needles: &Needles, topology: &Topology) -> Result<()> {
    for issuer in &topology.issuers {
        let mut scanned = Scanned::default();
        scan::file(&issuer.customers_file, needles, &mut scanned)?;
        let secrets = needles.secrets_of(&issuer.id);
        let found = scanned.finds.iter().map(|find| find.secret.as_str()).collect::<std::collections::BTreeSet<_>>();
        for secret in secrets {
            ensure!(
                found.contains(secret),
                "the search is blind: it does not find {secret} in {}, which holds it",
                issuer.customers_file.display()
            );
        }
    }
    Ok(())
}

/// What devices hold and send stands in no file here; each secret must be found in what holds it.
fn prove_noted(needles: &Needles, noted: &[Secret]) -> Result<()> {
    for secret in noted {
        let found = needles.find(&secret.value.holder()).any(|(needle, _)| needle.secret == secret.name);
        ensure!(found, "the search is blind: it does not find {} in what holds it", secret.name);
    }
    for kind in [Value::Key(Vec::new()), Value::Token(Vec::new()), Value::Features(Vec::new())] {
        let some = noted.iter().any(|secret| secret.value.kind() == kind.kind());
        ensure!(some, "the search is blind: the run brought up no {}", kind.kind());
    }
    Ok(())
}

/// What servers write: everything in the folders that have a configuration, and the logs. What was handed
/// in to them, the customers and the keys, stays out.
fn written_by_servers(topology: &Topology) -> Result<Vec<PathBuf>> {
    const WRITTEN: [&str; 4] = ["data", "config.toml", "import.toml", "directory.copy"];

    let mut places = vec![topology.folder.join("logs")];
    let entries = fs::read_dir(&topology.folder).context("cannot search the network's folder")?;
    for entry in entries {
        let own = entry.context("cannot search the network's folder")?.path();
        if own.join("config.toml").is_file() {
            places.extend(WRITTEN.iter().map(|name| own.join(name)).filter(|place| place.exists()));
        }
    }
    places.sort();
    Ok(places)
}
