//! The commands that look for what must not be: a secret in the open, a payment without an end.

use anyhow::{Context as _, Result};
use clap::Args;
use mesh::clock::{Entropy as _, SystemEntropy};

use super::{Ended, Folder, print, start, start_changed};
use crate::console::{Console, Style};
use crate::topology::{Issuer, plan};
use crate::{canary as search, crash as killing, scenario, timing};

#[derive(Debug, Args)]
pub(super) struct Canary {
    /// Keep the folder that was searched
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct Timing {
    /// How many answers of each kind are timed
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    samples: u32,
    /// In which orders; a random seed where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// Print the result as JSON on standard output, and the rest on standard error
    #[arg(long)]
    pub(super) json: bool,
    /// Keep the folder with configurations, data and logs
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct Crash {
    /// How many payments, each with one kill
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Which servers and moments; a random seed where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the folder with configurations, data and logs
    #[arg(long)]
    keep: bool,
}

pub(super) async fn canary(wishes: &Canary, console: &Console) -> Result<Ended> {
    let folder = Folder::new(wishes.keep, console)?;
    let wishes =
        plan::Wishes { reflection: true, log_filter: "trace", load_customers: 0, pages: plan::Pages::Programs };
    let slow = |issuer: &mut Issuer| issuer.vault_rotation_rate = scenario::ROTATION_RATE;
    let mut network = start_changed(&folder, wishes, slow, console).await?;
    let topology = network.topology.clone();
    let what = scenario::Wishes { patient: false, rotate: true };
    let report = scenario::play(&mut network, what, console).await?;
    let search = search::Search::of_running(&network).await?;
    network.stop().await?;
    let findings = search.of_written(&topology)?;
    console.heading("Canary scan");
    let mut sound = true;
    for issuer in &topology.issuers {
        let checked = search::vault(issuer)?;
        console.line(format!("{}: {}", issuer.id, checked.said));
        sound &= checked.sound;
    }
    for find in &findings.finds {
        console.line(console.paint(Style::Bad, &format!("{} ({})", find.secret, find.form)));
        console.line(format!("  {} at byte {}", find.file.display(), find.offset));
    }
    console.line(format!("{} forms of planted secrets were searched for.", findings.needles));
    console.line(findings.summary());
    Ok(if findings.finds.is_empty() && report.passed && sound { Ended::Well } else { Ended::Badly })
}

pub(super) async fn crash(wishes: &Crash, console: &Console) -> Result<Ended> {
    let seed = seed(wishes.seed)?;
    console.line(format!("The seed is {seed}; --seed {seed} plays the same kills again."));
    let folder = Folder::new(wishes.keep, console)?;
    let mut network = start(&folder, CUSTOMERS, "info", console).await?;
    let survived = killing::run(&mut network, killing::Wishes { rounds: wishes.rounds, seed }, console).await?;
    network.stop().await?;
    for problem in &survived.problems {
        console.line(console.paint(Style::Bad, problem));
    }
    console.line(survived.summary());
    Ok(if survived.problems.is_empty() { Ended::Well } else { Ended::Badly })
}

pub(super) async fn timing(wishes: &Timing, console: &Console) -> Result<Ended> {
    let seed = seed(wishes.seed)?;
    let folder = Folder::new(wishes.keep, console)?;
    let plain = plan::Wishes { reflection: true, log_filter: "info", load_customers: 0, pages: plan::Pages::Programs };
    // All failed proofs come from this machine.
    let patient = |issuer: &mut Issuer| issuer.source_failures_max = u32::MAX;
    let network = start_changed(&folder, plain, patient, console).await?;
    let measured = timing::run(&network, timing::Wishes { samples: wishes.samples, seed }, console).await?;
    network.stop().await?;
    timing::show(&measured, console);
    if wishes.json {
        print(&measured)?;
    }
    Ok(if measured.passed { Ended::Well } else { Ended::Badly })
}

/// The seed that was asked for, or a random one.
fn seed(wished: Option<u64>) -> Result<u64> {
    if let Some(seed) = wished {
        return Ok(seed);
    }
    let mut bytes = [0; 8];
    SystemEntropy::new().fill(&mut bytes).context("no random seed")?;
    Ok(u64::from_be_bytes(bytes))
}

/// How many cardholders take turns.
const CUSTOMERS: u32 = 4;
