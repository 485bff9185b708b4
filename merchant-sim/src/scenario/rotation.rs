//! The vault's key is replaced while the bank serves, and the bank is killed in the middle of it.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use certs::files::{Access, read_text, replace};
use data_encoding::HEXLOWER;
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::authorization::Factor::{Inherence, Knowledge, Passkey, Possession};

use super::identity::{AURORA, Visitor};
use super::stage::Stage;
use crate::console::Console;
use crate::device::authenticators::Algorithm;
use crate::network::Network;
use crate::report::Report;
use crate::sample::customers::EVERYDAY_PLACE;
use crate::topology::ServerFiles;

const GROUP: &str = "The vault's key is replaced, and the bank killed meanwhile";

/// How many records move to a new key in a second: so few that the bank can be killed in between.
pub const RATE: u32 = 10;

/// What is paid each time, in minor units.
const AMOUNT: i64 = 1_000;

/// What the bank says in its log when records begin to move, and when none needs the old key any more.
const BEGINS: &str = "records move to a new key";
const ENDS: &str = "no record needs key version";

/// How long after the begin the bank is killed: so long that some records have moved, and some not.
const KILL_AFTER: Duration = Duration::from_millis(700);

/// How long the bank may take to notice a new key or to move everything, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Plays the part; the network is changed by it, so that it comes in its own hands. The bank must move its
/// records at [`RATE`].
pub(super) async fn play(network: &mut Network, console: &Console, report: Report) -> Result<Report> {
    let files = network.topology.issuer(AURORA)?.files.clone();
    let mut stage = Stage::resume(network, console, report)?;
    let mut visitor = Visitor::of(&stage, AURORA, EVERYDAY_PLACE)?;
    let mut begun = None;
    stage
        .part(GROUP, async |stage| {
            visitor.wallet.equip(Algorithm::EdDsa, &visitor.bank.issuer.passkeys).await?;
            pay(stage, &mut visitor, "before").await?;
            begun = Some(begin(stage, &files).await?);
            Ok(())
        })
        .await;
    let wallet = visitor.wallet;
    let mut report = stage.into_report();
    let Some((mut log, left)) = begun else { return Ok(report) };
    network.kill_and_restart(AURORA, console).await?;
    let mut stage = Stage::resume(network, console, report)?;
    let mut visitor = Visitor { wallet, ..Visitor::of(&stage, AURORA, EVERYDAY_PLACE)? };
    stage
        .again(GROUP, async |stage| {
            stage.working("the rest of the records moves");
            let line = log.wait_for(BEGINS).await?;
            let rest = number_in(&line)?;
            stage.ensure(
                "some records had moved, and some not",
                (1..left).contains(&rest),
                &format!("{rest} of {left}"),
            );
            log.wait_for(ENDS).await?;
            stage.done();
            stage.check("after the restart the rest has moved", "yes", "yes");
            pay(stage, &mut visitor, "after").await
        })
        .await;
    report = stage.into_report();
    Ok(report)
}

/// Puts a new key into the file and waits until records move to it: says how many there are.
async fn begin(stage: &mut Stage<'_>, files: &ServerFiles) -> Result<(Log, u64)> {
    let mut log = Log::at_its_end(&files.log)?;
    let version = add_key(stage, &files.keys)?;
    stage.working("the bank takes the new key in");
    let line = log.wait_for(BEGINS).await?;
    stage.done();
    let left = number_in(&line)?;
    stage.ensure(&format!("records move to key version {version} while the bank serves"), left > 1, &line);
    tokio::time::sleep(KILL_AFTER).await;
    Ok((log, left))
}

/// One payment with each credential.
async fn pay(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>, when: &str) -> Result<()> {
    for factor in [Knowledge, Possession, Inherence, Passkey] {
        let name = format!("{when}: a payment with {}", super::identity::together(&[factor]));
        let got = visitor.pay(stage, 0, AMOUNT, &[factor]).await?;
        stage.check(&name, "APPROVED", &got);
    }
    Ok(())
}

/// Appends a key with the next version.
fn add_key(stage: &Stage<'_>, file: &Path) -> Result<u32> {
    let mut text = read_text(file)?;
    let versions = text.lines().filter_map(|line| line.split_once(':')?.0.trim().parse::<u32>().ok());
    let version = versions.max().unwrap_or(1) + 1;
    let mut key = [0; 32];
    SystemEntropy::new().fill(&mut key).context("no new key")?;
    stage.network.secrets.note_key("vault", &key);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{version}:{}\n", HEXLOWER.encode(&key)));
    replace(file, text.as_bytes(), Access::Owner)?;
    Ok(version)
}

/// The first number after the word that stands before it in the log's line.
fn number_in(line: &str) -> Result<u64> {
    let (_, after) = line.split_once("left").with_context(|| format!("no number of records in: {line}"))?;
    let digits: String = after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("no number of records in: {line}"))
}

/// A log that grows.
struct Log {
    path: PathBuf,
    /// Where the next line begins that was not looked at.
    offset: u64,
}

impl Log {
    fn at_its_end(path: &Path) -> Result<Self> {
        let offset = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Self { path: path.to_owned(), offset })
    }

    /// The next line that holds these words.
    async fn wait_for(&mut self, words: &str) -> Result<String> {
        let waiting = async {
            loop {
                if let Some(line) = self.next_with(words)? {
                    return Ok::<_, anyhow::Error>(line);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.with_context(|| format!("the log never said \"{words}\""))?
    }

    /// That line, if it has been written; what stands before it is passed over.
    fn next_with(&mut self, words: &str) -> Result<Option<String>> {
        let mut file = fs::File::open(&self.path).context("cannot read a log")?;
        file.seek(SeekFrom::Start(self.offset)).context("cannot read a log")?;
        let mut new = Vec::new();
        file.read_to_end(&mut new).context("cannot read a log")?;
        for line in new.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            self.offset += line.len() as u64;
            let line = String::from_utf8_lossy(line);
            if line.contains(words) {
                return Ok(Some(line.trim_end().to_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_records_is_read_from_the_line() {
        let line = "2026-11-24T11:02:03Z  INFO the vault's records move to a new key key_version=2 left=37";
        assert_eq!(number_in(line).ok(), Some(37));
        assert!(number_in("nothing here").is_err() && number_in("left over").is_err());
    }
}
