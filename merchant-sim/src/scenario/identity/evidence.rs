//! What a bank keeps of it all: its audit trail, whose chain anybody can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh::audit::{CheckOptions, check};
use serde_json::Value;

use crate::scenario::stage::Stage;
use crate::topology::Issuer;

/// How long an act may take to come into the trail, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Every bank's trail holds together.
pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    for issuer in &stage.topology().issuers {
        let folder = folder(issuer);
        let checked = check(&folder, &CheckOptions { heads: Vec::new(), after: None });
        let said = checked.as_ref().map_or_else(ToString::to_string, |_| "unbroken".to_owned());
        stage.check(&format!("{}: the audit trail's chain", issuer.id), "unbroken", &said);
        let entries = checked.map_or(0, |checked| checked.entries);
        stage.ensure(&format!("{}: with what was done here", issuer.id), entries > 100, &format!("{entries} entries"));
    }
    Ok(())
}

/// Waits until the trail tells of a charge's act, and returns the line.
pub(super) async fn told(issuer: &Issuer, act: &str, charge_id: &str) -> Result<Value> {
    let looking = async {
        loop {
            let lines = lines(&folder(issuer))?;
            let found = lines.into_iter().find(|line| line["act"] == act && line["charge"] == charge_id);
            if let Some(line) = found {
                return Ok(line);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(line) => line,
        Err(_) => bail!("{}'s audit trail never told of {act} for {charge_id}", issuer.id),
    }
}

fn folder(issuer: &Issuer) -> PathBuf {
    issuer.files.data.join("audit")
}

/// Every whole line of the trail.
fn lines(folder: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            all.extend(whole.filter_map(|line| serde_json::from_str(line).ok()));
        }
    }
    Ok(all)
}
