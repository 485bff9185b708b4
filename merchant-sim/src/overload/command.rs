//! The command line of the overload.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::affinity::Halves;
use super::{CUSTOMERS, Path, Wishes, measure, show};
use crate::console::{Console, Style};
use crate::network::Network;
use crate::shop::inbox::Beginning;
use crate::topology::plan;

/// Send up to ten times the load that the servers carry, and see what they still get done.
#[derive(Debug, Args)]
pub struct Command {
    /// What is put under load
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["authorize", "payment"])]
    paths: Vec<Path>,
    /// How often all levels are gone through; the middle of what was done counts
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each level of load lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Write a plot to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Keep the folder with configurations, data and logs
    #[arg(long)]
    keep: bool,
}

/// The process that makes the load.
#[derive(Debug, Args)]
pub struct LoadCommand {
    /// What it puts under load.
    #[arg(long, value_enum)]
    pub path: Path,
    /// The description of the network.
    #[arg(long, value_name = "FILE")]
    pub topology: PathBuf,
}

/// Puts a network of its own under load. Says whether everything was as it should be.
///
/// # Errors
/// The network doesn't start, or the load can't be made.
pub async fn run(wishes: &Command, console: &Console) -> Result<bool> {
    let mut folder = tempfile::Builder::new().prefix("bankside-").tempdir().context("no folder to work in")?;
    if wishes.keep {
        folder.disable_cleanup(true);
        console.line(format!("Everything is kept in {}", folder.path().display()));
    }
    if cfg!(debug_assertions) {
        let advice = "This is an unoptimised build; cargo run --release measures what the servers can do.";
        console.line(console.paint(Style::Bad, advice));
    }
    console.working("making certificates and keys");
    let plan =
        plan::Wishes { reflection: false, log_filter: "info", load_customers: CUSTOMERS, pages: plan::Pages::Programs };
    let plan::Planned { topology, reserved } = plan::make(folder.path(), plan)?;
    let halves = Halves::of_all()?;
    halves.begin()?;
    let mut network = Network::start(topology, Some(reserved), Beginning::FirstOrder, console).await?;
    let level = Duration::from_secs(wishes.seconds);
    let what = Wishes { paths: wishes.paths.clone(), rounds: wishes.rounds, level, svg: wishes.svg.clone() };
    let reports = measure(&mut network, &halves, &what, console).await?;
    network.stop().await?;
    show(&reports, console);
    Ok(reports.iter().all(|report| report.problems().is_empty()))
}
