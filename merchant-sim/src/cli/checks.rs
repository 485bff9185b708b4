//! The commands that look for what must not be: a secret in the open, a payment without an end.

use anyhow::{Context as _, Result};
use clap::Args;
use mesh::clock::{Entropy as _, SystemEntropy};

use super::{Ended, Folder, start};
use crate::console::{Console, Style};
use crate::{canary as search, crash as killing, scenario};

#[derive(Debug, Args)]
pub(super) struct Canary {
    /// Keep the folder that was searched
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
    let mut network = start(&folder, 0, "trace", console).await?;
    let topology = network.topology.clone();
    let report = scenario::play(&mut network, scenario::Wishes::default(), console).await?;
    let search = search::Search::of_running(&network).await?;
    network.stop().await?;
    let findings = search.of_written(&topology)?;
    console.heading("Canary scan");
    for find in &findings.finds {
        console.line(console.paint(Style::Bad, &format!("{} ({})", find.secret, find.form)));
        console.line(format!("  {} at byte {}", find.file.display(), find.offset));
    }
    console.line(format!("{} forms of planted secrets were searched for.", findings.needles));
    console.line(findings.summary());
    Ok(if findings.finds.is_empty() && report.passed { Ended::Well } else { Ended::Badly })
}

pub(super) async fn crash(wishes: &Crash, console: &Console) -> Result<Ended> {
    let seed = match wishes.seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 8];
            SystemEntropy::new().fill(&mut bytes).context("no random seed")?;
            u64::from_be_bytes(bytes)
        }
    };
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

/// How many cardholders take turns.
const CUSTOMERS: u32 = 4;
