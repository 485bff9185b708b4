//! What the platform holds while it runs: its memory, which is what a core dump of it would hold, and its
//! numbers.

use std::path::PathBuf;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};

use super::Needles;
use super::scan::{self, Scanned};
use crate::metrics;
use crate::network::Network;
use crate::process::memory;
use crate::topology::Topology;

/// Searches the running platform of a network.
///
/// # Errors
/// Its memory or its numbers can't be read, or what is certainly there isn't found: then the search would
/// prove nothing.
pub(super) async fn platform(network: &Network, needles: &Needles) -> Result<Scanned> {
    let topology = &network.topology;
    let platform = &topology.platform;
    let process = network.servers().iter().find(|server| server.name() == platform.id);
    let process = process.with_context(|| format!("{} does not run", platform.id))?;
    let mut scanned = Scanned::default();

    let names = known(topology);
    let proof = AhoCorasick::new(&names).context("the names of the banks")?;
    let mut seen = vec![false; names.len()];
    let path = PathBuf::from(format!("/proc/{}/mem", process.id()));
    let longest = needles.longest().max(names.iter().map(String::len).max().unwrap_or_default());
    memory::read(process.id(), longest, |piece| {
        for hit in proof.find_iter(piece) {
            seen[hit.pattern().as_usize()] = true;
        }
        scan::bytes_of(&path, piece, needles, &mut scanned);
    })?;
    for (name, seen) in names.iter().zip(seen) {
        ensure!(seen, "the search is blind: the platform's memory does not hold {name}, which it must");
    }
    scanned.files += 1;

    let numbers = metrics::text(platform).await?;
    ensure!(numbers.contains("bankside_relay_answered_total"), "the platform's numbers lack those of its relay");
    scan::bytes_of(&PathBuf::from(&platform.metrics), numbers.as_bytes(), needles, &mut scanned);
    scanned.files += 1;
    Ok(scanned)
}

/// What the platform can't do without, and what is no secret: the banks' names, which came to it in the
/// directory. The program itself has them too, and is not searched.
fn known(topology: &Topology) -> Vec<String> {
    topology.issuers.iter().map(|issuer| issuer.name_zh_tw.clone()).collect()
}
