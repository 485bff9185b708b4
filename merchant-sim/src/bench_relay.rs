//! The relay under load, beside two proxies that check nothing and beside no relay at all.
//!
//! All contestants run at the same time on the same machine, and only one of them works at a time: in
//! each round every one of them gets the load once, in an order drawn anew, and what counts is the
//! median of the rounds. The far end answers at once with the same bytes, so that what is measured is
//! the way there and back. Everything is mutual TLS 1.3; load and far end share the processors with the
//! contestant, as they would not in production, so the ratios say more than the numbers.
//!
//! | contestant | what it is |
//! |---|---|
//! | `relay` | the platform's own binary with every check on and a small directory |
//! | `relay-large` | the same with as many banks and BIN ranges as were asked for |
//! | `envoy`, `haproxy` | plain proxies, by the configurations in `merchant-sim/bench-relay` |
//! | `direct` | no relay: the load goes to the far end itself |

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use mesh::clock::{Entropy as _, SystemEntropy};
use serde::Serialize;

use crate::console::{Console, column};

mod contestants;
mod far_end;
mod figures;
mod load;
mod members;
mod messages;

pub use figures::{Figures, Summary};

use contestants::Running;
use far_end::FarEnd;
use members::Members;

/// The directory of `relay`, and the least that `relay-large` can be asked for.
const SMALL: Directory = Directory { banks: 3, bin_ranges: 3 };

/// What takes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The platform with a small directory.
    Relay,
    /// The platform with a large directory.
    RelayLarge,
    /// Envoy.
    Envoy,
    /// HAProxy.
    Haproxy,
    /// No relay.
    Direct,
}

impl Contestant {
    /// Its name in the results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::RelayLarge => "relay-large",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Direct => "direct",
        }
    }
}

/// The size of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    /// How many banks.
    pub banks: u32,
    /// How many BIN ranges all of them have together.
    pub bin_ranges: u32,
}

/// What is wished for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How often each contestant gets the load.
    pub rounds: u32,
    /// How long it is measured each time, after a second of warming up.
    pub measured: Duration,
    /// Who takes part.
    pub contestants: Vec<Contestant>,
    /// The directory of `relay-large`; none leaves it out.
    pub large: Option<Directory>,
}

impl Wishes {
    fn contestants(&self) -> Vec<Contestant> {
        let mut contestants = self.contestants.clone();
        if self.large.is_some() {
            contestants.push(Contestant::RelayLarge);
        }
        contestants.sort_unstable();
        contestants.dedup();
        contestants
    }
}

/// Measures.
///
/// # Errors
/// A contestant isn't installed, doesn't start, or answers wrongly.
pub async fn run(folder: &Path, wishes: &Wishes, console: &Console) -> Result<Summary> {
    let contestants = wishes.contestants();
    ensure!(!contestants.is_empty(), "nobody takes part");
    for contestant in &contestants {
        contestants::check_installed(*contestant)?;
    }
    console.working("making certificates and directories");
    let members = Members::create(&folder.join("members"))?;
    let far_end = FarEnd::start(&members).await?;
    let mut running = Vec::new();
    for contestant in &contestants {
        console.working(format!("starting {}", contestant.name()));
        let directory = if *contestant == Contestant::RelayLarge { wishes.large.unwrap_or(SMALL) } else { SMALL };
        running.push(Running::start(*contestant, folder, &members, &far_end, directory).await?);
    }
    let mut rounds: Vec<Vec<Figures>> = Vec::new();
    for round in 1..=wishes.rounds {
        shuffle(&mut running)?;
        let mut figures = Vec::new();
        for contestant in &mut running {
            let name = contestant.contestant.name();
            console.working(format!("round {round} of {}: {name}", wishes.rounds));
            let measured = contestant.measure(wishes.measured).await.with_context(|| format!("{name} under load"))?;
            console.line(format!("round {round}  {} {}", column(name, 12), measured.in_words()));
            figures.push(measured);
        }
        rounds.push(figures);
    }
    for contestant in running {
        contestant.stop().await?;
    }
    console.done();
    Ok(Summary::of(rounds))
}

/// Shows the medians, and last the ratios of the throughputs.
pub fn show(summary: &Summary, console: &Console) {
    console.heading("Medians");
    for figures in &summary.medians {
        console.line(format!("{} {}", column(figures.contestant.name(), 12), figures.in_words()));
    }
    if let Some(ratio) = summary.ratio(Contestant::RelayLarge, Contestant::Relay) {
        console.line(format!("relay-large/relay={ratio:.2}"));
    }
    let ratios = [Contestant::Haproxy, Contestant::Envoy].into_iter().filter_map(|other| {
        let ratio = summary.ratio(Contestant::Relay, other)?;
        Some(format!("relay/{}={ratio:.2}", other.name()))
    });
    let ratios: Vec<String> = ratios.collect();
    if !ratios.is_empty() {
        console.line(ratios.join(" "));
    }
}

/// Fisher and Yates. The bias of the remainder is far below what a round's order can matter.
fn shuffle<T>(items: &mut [T]) -> Result<()> {
    let entropy = SystemEntropy::new();
    for last in (1..items.len()).rev() {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes).context("no random bytes")?;
        let chosen = usize::from_be_bytes(bytes) % (last + 1);
        items.swap(last, chosen);
    }
    Ok(())
}
