//! More load than the servers can carry: what they still get done, how long it takes, what they refuse and
//! how, and how much memory they need for it.
//!
//! First a closed loop finds what is carried: callers that each wait for their answer before they ask again.
//! Then an open loop sends 1, 2, 5 and 10 times as much, whether it is answered or not, as a crowd does. All of that
//! is done in several rounds, every second one from the highest level down, and the middle of what was done counts:
//! else what the machine and its disk do beside, and what a store that fills costs, would weigh on one level alone.
//! Measured are [`Path::Authorize`], an issuer's requests to the acquirer, which cost it two commits each and
//! signatures, and [`Path::Payment`], whole payments from the sign-in on, of which the password's hash is
//! the largest part.
//!
//! The load comes from a process of its own. Where the machine has more than one processor, it and the servers get
//! separate ones, from their start to the end: else what a stronger load costs to make would be taken from what the
//! servers can do, and nobody could tell the two apart. Servers that are not measured have nothing to do meanwhile.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::console::Console;
use crate::network::Network;
use crate::role::Server;
use crate::topology::{Issuer, NextHop, Topology};

mod affinity;
mod authorize;
mod command;
mod drive;
pub mod generator;
mod outcome;
mod payment;
mod plot;
mod pool;
mod report;
mod servers;
mod show;

pub use command::{Command, LoadCommand, run};
pub use outcome::{Order, Outcome};
pub use report::{Level, Report, Round};
pub use servers::Usage;
pub use show::show;

use affinity::Halves;
use generator::Generator;
use servers::{Pid, Watch};

/// The share of a round's peak that the goodput keeps, in the middle of the rounds.
pub const GOODPUT_SHARE_MIN: f64 = 0.8;

/// The share that it keeps in every round, whatever else the machine does meanwhile.
pub const GOODPUT_SHARE_LOWEST: f64 = 0.6;

/// What a server may hold more at the end than after the first level, in MiB. Its store's cache, which fills
/// with the load's own orders, is 64 of it.
pub const MEMORY_GROWTH_MIB_MAX: f64 = 96.0;

/// How long after a level it may take until a new unit is made and done: about what somebody who waits puts down to
/// the network.
pub const RECOVERY_MAX: Duration = Duration::from_secs(3);

/// How many times what is carried each level sends.
pub const LEVELS: [u32; 4] = [1, 2, 5, 10];

/// How many customers of each bank pay.
pub const CUSTOMERS: u32 = 64;

/// What is put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// `Authorize` at the acquirer, with requests that were prepared before.
    Authorize,
    /// Whole payments at one bank, with orders that were prepared before.
    Payment,
}

impl Path {
    /// What one unit of it is called.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Authorize => "authorizations",
            Self::Payment => "payments",
        }
    }

    /// The longest that 99 of 100 answers that were no refusals may take. For a payment, the bank lets 132
    /// sign-ins wait for a password's hash of some 20 to 30 ms each.
    #[must_use]
    pub fn p99_max(self) -> Duration {
        match self {
            Self::Authorize => Duration::from_secs(1),
            Self::Payment => Duration::from_secs(6),
        }
    }

    /// How many callers find out what is carried.
    fn callers(self) -> u32 {
        match self {
            Self::Authorize => 64,
            Self::Payment => 16,
        }
    }

    /// How many units are there before anything is known about how many are carried.
    fn first(self) -> u64 {
        match self {
            Self::Authorize => 8_000,
            Self::Payment => 500,
        }
    }
}

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// What is put under load, one after another.
    pub paths: Vec<Path>,
    /// How often all levels are gone through.
    pub rounds: u32,
    /// How long each level lasts.
    pub level: Duration,
    /// Where a plot is written, as SVG.
    pub svg: Option<PathBuf>,
}

/// Puts a running network under load.
///
/// # Errors
/// The load can't be made, or a server has ended.
async fn measure(network: &mut Network, halves: &Halves, wishes: &Wishes, console: &Console) -> Result<Vec<Report>> {
    let description = network.topology.folder.join("overload.json");
    network.topology.save(&description)?;
    let mut reports = Vec::new();
    for path in &wishes.paths {
        reports.push(measure_one(&network.topology, halves, &description, *path, wishes, console).await?);
        if let Some(fallen) = network.fallen()? {
            anyhow::bail!("{fallen}");
        }
    }
    if let Some(file) = &wishes.svg {
        std::fs::write(file, plot::svg(&reports)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(reports)
}

async fn measure_one(
    topology: &Topology,
    halves: &Halves,
    description: &FilePath,
    path: Path,
    wishes: &Wishes,
    console: &Console,
) -> Result<Report> {
    let time = wishes.level;
    let mut generator = Generator::start(description, path)?;
    let loaded = loaded(topology, path)?;
    let processors = halves.separate(generator.id()?)?;
    console.working(format!("finding how many {} a second are carried", path.unit()));
    generator.prepare(path.first()).await?;
    // Once to warm up: connections, caches, and what is allocated once.
    let warm = generator.run(Order::closed(path.callers(), time / 4)).await?;
    let mut carried = warm.goodput();
    let mut rounds = Vec::new();
    for number in 1..=wishes.rounds {
        console.working(format!("round {number}: finding how many {} a second are carried", path.unit()));
        generator.prepare(room(carried, time)).await?;
        carried = generator.run(Order::closed(path.callers(), time)).await?.goodput();
        ensure!(carried > 0.0, "nothing is carried at all");
        let mut levels = Vec::new();
        let mut order = LEVELS;
        if number % 2 == 0 {
            order.reverse();
        }
        for times in order {
            console.working(format!("round {number}: {times} times the load for {} s", time.as_secs()));
            generator.prepare(room(carried, time)).await?;
            let watch = Watch::begin(topology, generator.id()?)?;
            let outcome = generator.run(Order::open(carried * f64::from(times), time)).await?;
            levels.push(Level { times, outcome, usage: watch.end().await? });
        }
        rounds.push(Round { carried, levels });
    }
    generator.stop().await?;
    console.done();
    let loaded = loaded.into_iter().map(|server| server.name).collect();
    Ok(Report { path, processors, rounds, loaded })
}

/// How many units are enough for a level, whose goodput can't be much more than what is carried, with those
/// that are under way at one time.
fn room(per_second: f64, time: Duration) -> u64 {
    // Rounding doesn't matter here, and a rate is positive and small.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let units = (per_second * time.as_secs_f64() * 1.3) as u64;
    units + generator::UNDER_WAY_MAX
}

/// The servers that a path's load goes to.
fn loaded(topology: &Topology, path: Path) -> Result<Vec<Pid>> {
    let bank = direct_bank(topology)?;
    let servers = topology.servers().into_iter().filter(|(server, id, _)| match server {
        Server::Acquirer => true,
        Server::Issuer => path == Path::Payment && *id == bank.id,
        Server::Platform | Server::CardNetwork => false,
    });
    servers.map(|(_, id, files)| Pid::of(id, files)).collect()
}

/// The bank that pays: one that asks the acquirer itself.
fn direct_bank(topology: &Topology) -> Result<&Issuer> {
    let bank = topology.issuers.iter().find(|issuer| issuer.next_hop == NextHop::Acquirer);
    bank.context("the network has no bank that asks the acquirer itself")
}
