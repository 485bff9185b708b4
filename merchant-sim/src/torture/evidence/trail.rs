//! Reading an issuer's audit trail.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use mesh::audit::{CheckOptions, Published, check};
use serde::Deserialize;

use super::Trail;

/// The parts of a line that are compared.
#[derive(Deserialize)]
struct Line {
    act: String,
    #[serde(default)]
    charge: String,
    #[serde(default)]
    customer: String,
    #[serde(default)]
    outcome: String,
}

/// Checks the chain, also against the heads that stand in the issuer's log, and reads what it says of charges.
/// Returns also whose each charge was.
///
/// # Errors
/// A file can't be read.
pub(in crate::torture) fn read(folder: &Path, log: &Path) -> Result<(Trail, BTreeMap<String, String>)> {
    let heads = heads(&fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?);
    let broken = check(folder, &CheckOptions { heads, after: None }).err().map(|error| error.to_string());
    let mut trail = Trail { broken, ..Trail::default() };
    let mut customers = BTreeMap::new();
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "jsonl")) {
        for line in fs::read_to_string(file)?.lines() {
            // What is no line has broken the chain, which is reported.
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            match line.act.as_str() {
                "charge_submitted" => {
                    *trail.submitted.entry(line.charge.clone()).or_default() += 1;
                    customers.insert(line.charge, line.customer);
                }
                "charge_ended" => trail.ended.entry(line.charge).or_default().push(line.outcome),
                _ => {}
            }
        }
    }
    Ok((trail, customers))
}

/// The heads in a log: `… audit head n=17 hash=…`.
fn heads(log: &str) -> Vec<Published> {
    let lines = log.lines().filter(|line| line.contains("audit head"));
    let value = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(name)?;
        Some(rest.chars().take_while(char::is_ascii_alphanumeric).collect())
    };
    lines.filter_map(|line| format!("{}:{}", value(line, " n=")?, value(line, " hash=")?).parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_in_a_log() {
        let hash = "ab".repeat(32);
        let log = format!("2026-11-24T10:00:00Z  INFO issuer::tasks::audit: audit head n=17 hash={hash}\nelse n=3\n");
        let found: Vec<String> = heads(&log).iter().map(|head| format!("{}:{}", head.n, head.hash)).collect();
        assert_eq!(found, [format!("17:{hash}")]);
    }
}
