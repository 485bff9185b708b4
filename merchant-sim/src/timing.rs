//! Whether anybody can learn from an answer's time what the answer itself doesn't tell: if a customer
//! exists, which secret was wrong, if a lock is on, if a device or a passkey is known.
//!
//! One caller sends every kind of wrong proof over one connection, in rounds: each round holds each kind
//! once, in an order that is drawn anew. Each two kinds that must look alike are then compared, see
//! [`statistics`]. A control shows that the measurement isn't blind: an answer that comes without the
//! work must be told apart.

pub mod statistics;

mod kinds;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh::clock::{Entropy as _, SeededEntropy};
use serde::Serialize;

use crate::console::{Console, Style, column, duration};
use crate::network::Network;

use kinds::{Kind, Prober};
use statistics::{Comparison, median};

/// Rounds that are not counted: connections open, caches fill, the machine finds its pace.
const WARM_UP: u32 = 20;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// How many times of each kind.
    pub samples: u32,
    /// Draws the orders; the same seed draws the same ones.
    pub seed: u64,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How many times of each kind.
    pub samples: u32,
    /// Every pair that was compared.
    pub pairs: Vec<Pair>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether every pair is as it must be.
    pub passed: bool,
}

/// Two kinds of wrong proofs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The first kind.
    pub first: &'static str,
    /// The second.
    pub second: &'static str,
    /// Their medians, in milliseconds.
    pub medians_ms: [f64; 2],
    /// Welch's t over all times.
    pub t: f64,
    /// Welch's t over the fastest nine of ten.
    pub t_cropped: f64,
    /// The area under the ROC curve.
    pub auc: f64,
    /// The same in standard deviations from one half.
    pub z: f64,
    /// The smallest difference of the means that would have been noticed, in milliseconds.
    pub noticed_ms: f64,
    /// Whether the two must be told apart: the control.
    pub control: bool,
    /// Whether it is as it must be.
    pub passed: bool,
}

/// Measures a network's bank.
///
/// # Errors
/// The customers can't be set up, or an answer isn't the one that such a proof gets.
pub async fn run(network: &Network, wishes: Wishes, console: &Console) -> Result<Measured> {
    let begin = Instant::now();
    let mut prober = Prober::set_up(network).await?;
    let chance = SeededEntropy::new(wishes.seed);
    let mut times: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    let bar = console.bar(Some(u64::from(WARM_UP + wishes.samples)), "rounds");
    for round in 0..WARM_UP + wishes.samples {
        prober.refresh().await?;
        for kind in shuffled(&chance)? {
            let time = prober.time(kind).await.with_context(|| kind.name())?;
            if round >= WARM_UP {
                times.entry(kind).or_default().push(time.as_secs_f64() * 1e3);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut pairs = Vec::new();
    for group in Kind::GROUPS {
        for (place, first) in group.iter().enumerate() {
            for second in &group[place + 1..] {
                pairs.push(pair(*first, *second, &times, false)?);
            }
        }
    }
    let (first, second) = Kind::CONTROL;
    pairs.push(pair(first, second, &times, true)?);
    let passed = pairs.iter().all(|pair| pair.passed);
    Ok(Measured { samples: wishes.samples, pairs, seconds: begin.elapsed().as_secs_f64(), passed })
}

/// Shows what was found out.
pub fn show(measured: &Measured, console: &Console) {
    console.heading("Answers to wrong proofs, by their time");
    let [kinds, medians] = [column("two kinds", 62), "medians, ms".to_owned()];
    let head =
        format!("     {kinds} {medians:>17}{:>9}{:>9}{:>9}{:>9}{:>14}", "t", "t 90 %", "AUC", "z", "noticed, ms");
    console.line(console.paint(Style::Faint, &head));
    for pair in &measured.pairs {
        let mark = if pair.passed { console.paint(Style::Good, "ok  ") } else { console.paint(Style::Bad, "FAIL") };
        let control = if pair.control { "control: " } else { "" };
        let name = column(&format!("{control}{} / {}", pair.first, pair.second), 62);
        let medians = format!("{:.2} / {:.2}", pair.medians_ms[0], pair.medians_ms[1]);
        let figures = format!("{:>9.2}{:>9.2}{:>9.3}{:>9.2}", pair.t, pair.t_cropped, pair.auc, pair.z);
        console.line(format!("{mark} {name} {medians:>17}{figures}{:>14.2}", pair.noticed_ms));
    }
    let alike = measured.pairs.iter().filter(|pair| !pair.control);
    let largest = alike.clone().flat_map(|pair| [pair.t, pair.t_cropped, pair.z]).map(f64::abs).fold(0.0, f64::max);
    console.line("The last column is the smallest difference that would have been noticed.");
    console.line("");
    let verdict = if measured.passed { "can't be told apart" } else { "CAN BE TOLD APART, or the control failed" };
    console.line(format!(
        "{verdict}: {} pairs, {} answers of each kind in random order, largest |t| or |z| {largest:.2} (bound {}), in {}",
        alike.count(),
        measured.samples,
        statistics::DIFFERENCE,
        duration(Duration::from_secs_f64(measured.seconds))
    ));
}

fn pair(first: Kind, second: Kind, times: &BTreeMap<Kind, Vec<f64>>, control: bool) -> Result<Pair> {
    let of = |kind: Kind| times.get(&kind).with_context(|| format!("no times of {}", kind.name()));
    let (one, two) = (of(first)?, of(second)?);
    let comparison = Comparison::of(one, two);
    let Comparison { t, t_cropped, auc, z, noticed: noticed_ms } = comparison;
    let passed = comparison.differs() == control;
    let (first, second, medians_ms) = (first.name(), second.name(), [median(one), median(two)]);
    Ok(Pair { first, second, medians_ms, t, t_cropped, auc, z, noticed_ms, control, passed })
}

/// Every kind once, in an order of chance (Fisher and Yates).
fn shuffled(chance: &SeededEntropy) -> Result<Vec<Kind>> {
    let mut kinds = Kind::ALL.to_vec();
    ensure!(kinds.len() < 256, "a byte must be able to pick any kind");
    for place in (1..kinds.len()).rev() {
        let mut byte = [0];
        chance.fill(&mut byte).context("no chance")?;
        // With ten kinds the bias of the remainder is below two in a hundred, and the same for each kind
        // in the long run, since the list begins anew each time.
        kinds.swap(place, usize::from(byte[0]) % (place + 1));
    }
    Ok(kinds)
}
