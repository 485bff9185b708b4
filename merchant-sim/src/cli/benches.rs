//! The commands that measure.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{Ended, Folder, print, start};
use crate::bench::{self, Until, sign_in};
use crate::console::Console;
use crate::{bench_relay, sandbox};

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// How many pay at one time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    payers: u32,
    /// By which way the banks send their requests: to the acquirer, or to the platform that relays
    #[arg(long, value_enum, default_value_t = bench::Via::Acquirer)]
    via: bench::Via,
    /// Stop after so many payments (300 where neither is given)
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000), conflicts_with = "seconds")]
    payments: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: Option<u64>,
    /// Open each payment page and read its QR code too; costs this program more than the servers
    #[arg(long)]
    scan: bool,
    /// Measure sign-ins with each credential instead of payments, each for so many --seconds (5 where not given)
    #[arg(long, conflicts_with_all = ["payments", "scan", "sandbox", "via"])]
    sign_in: bool,
    /// Measure the running sandbox in this folder instead of a network of its own
    #[arg(long, value_name = "FOLDER")]
    sandbox: Option<PathBuf>,
    /// Print the result as JSON on standard output, and the rest on standard error
    #[arg(long)]
    pub(super) json: bool,
    /// Keep the folder with configurations, data and logs
    #[arg(long, conflicts_with = "sandbox")]
    keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct BenchRelay {
    /// How often each one gets the load; what counts is the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each one is measured in a round
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Who takes part
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',', default_values = ["relay", "envoy", "haproxy", "direct"])]
    only: Vec<bench_relay::Contestant>,
    /// Have a second relay take part, whose directory has so many banks
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "bin_ranges")]
    banks: Option<u32>,
    /// So many BIN ranges in that directory, shared out among its banks
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "banks")]
    bin_ranges: Option<u32>,
    /// Print the result as JSON on standard output, and the rest on standard error
    #[arg(long)]
    pub(super) json: bool,
    /// Keep the folder with configurations, data and logs
    #[arg(long)]
    keep: bool,
}

pub(super) async fn payments(wishes: &Bench, console: &Console) -> Result<Ended> {
    if wishes.sign_in {
        return sign_ins(wishes, console).await;
    }
    let until = match (wishes.payments, wishes.seconds) {
        (_, Some(seconds)) => Until::Time(Duration::from_secs(seconds)),
        (Some(payments), None) => Until::Payments(payments),
        (None, None) => Until::Payments(300),
    };
    let what = bench::Wishes { payers: wishes.payers, via: wishes.via, until, scan: wishes.scan };
    let measured = match &wishes.sandbox {
        Some(folder) => bench::run(&sandbox::describe(folder)?, None, &what, console).await?,
        None => {
            let folder = Folder::new(wishes.keep, console)?;
            let network = start(&folder, wishes.payers, "info", console).await?;
            let measured = bench::run(&network.topology, Some(&network), &what, console).await?;
            network.stop().await?;
            measured
        }
    };
    bench::show(&measured, console);
    if wishes.json {
        print(&measured)?;
    }
    Ok(if measured.failures.is_empty() { Ended::Well } else { Ended::Badly })
}

async fn sign_ins(wishes: &Bench, console: &Console) -> Result<Ended> {
    let folder = Folder::new(wishes.keep, console)?;
    let network = start(&folder, wishes.payers, "info", console).await?;
    let time = Duration::from_secs(wishes.seconds.unwrap_or(SIGN_IN_SECONDS));
    let measured = sign_in::run(&network, wishes.payers, time, console).await?;
    network.stop().await?;
    sign_in::show(&measured, console);
    if wishes.json {
        print(&measured)?;
    }
    Ok(Ended::Well)
}

pub(super) async fn relay(wishes: &BenchRelay, console: &Console) -> Result<Ended> {
    let folder = Folder::new(wishes.keep, console)?;
    let size = wishes.banks.zip(wishes.bin_ranges);
    let what = bench_relay::Wishes {
        rounds: wishes.rounds,
        measured: Duration::from_secs(wishes.seconds),
        contestants: wishes.only.clone(),
        large: size.map(|(banks, bin_ranges)| bench_relay::Directory { banks, bin_ranges }),
    };
    let summary = bench_relay::run(folder.path(), &what, console).await?;
    bench_relay::show(&summary, console);
    if wishes.json {
        print(&summary)?;
    }
    Ok(Ended::Well)
}

/// How long sign-ins with each credential are measured.
const SIGN_IN_SECONDS: u64 = 5;
