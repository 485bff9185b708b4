//! Complete payments per second, how long they take, and what they cost each server.

pub mod figures;
mod payer;
pub mod sign_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::console::{Console, Style, column, duration};
use crate::device::{BankApp, Browser, Checkouts, Credentials};
use crate::network::{Network, server_pid};
use crate::process::cpu;
use crate::sample::CURRENCY;
use crate::shop::{Inbox, Shop};
use crate::topology::{Issuer, NextHop, Topology};

use figures::{Figures, Line, Phase};
use payer::Payer;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How many pay at one time.
    pub payers: u32,
    /// By which way the banks send their requests.
    pub via: Via,
    /// When to stop.
    pub until: Until,
    /// Whether each payer opens the payment page and reads its QR code.
    pub scan: bool,
}

/// By which way the banks send their authorization requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// Directly to the acquirer.
    Acquirer,
    /// To the platform, which relays.
    Platform,
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many payments.
    Payments(u64),
    /// After this time; payments under way are finished.
    Time(Duration),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Whether this program, and with it the servers that it starts, was built with optimisations.
    pub optimised_build: bool,
    /// How many paid at one time.
    pub payers: u32,
    /// By which way the banks sent their requests.
    pub via: Via,
    /// How many payments came to their end.
    pub payments: u64,
    /// How long they took altogether.
    pub seconds: f64,
    /// The rate.
    pub payments_per_second: f64,
    /// The times of each phase.
    pub phases: Vec<Line>,
    /// What each process used.
    pub processes: Vec<Used>,
    /// Why payments failed.
    pub failures: std::collections::BTreeMap<String, u64>,
}

/// The processor time of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// Which server, or "merchant-sim" for the shops and devices.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Its processor time for one payment, in milliseconds.
    pub cpu_ms_per_payment: f64,
}

/// A process whose time is taken, and where it stood at the beginning.
struct Watched {
    name: String,
    pid: u32,
    before: Duration,
}

/// Measures a network. Where its shops' servers run in another process, nobody waits for notifications.
///
/// # Errors
/// A payer can't be set up, or a server's process can't be looked at.
pub async fn run(
    topology: &Topology,
    network: Option<&Network>,
    wishes: &Wishes,
    console: &Console,
) -> Result<Measured> {
    let payers = payers(topology, network, wishes)?;
    console.working(format!("warming up with one payment by each of {} payers", payers.len()));
    let warm = drive(&payers, Until::Payments(u64::from(wishes.payers)), &ProgressBar::hidden()).await?;
    console.done();
    if warm.payments() == 0 {
        let reasons: Vec<&str> = warm.failures().keys().map(String::as_str).collect();
        anyhow::bail!("not one payment of the warm-up succeeded: {}", reasons.join(", "));
    }
    let watched = watch(topology)?;
    let bar = console.bar(
        match wishes.until {
            Until::Payments(count) => Some(count),
            Until::Time(_) => None,
        },
        "payments",
    );
    let begin = Instant::now();
    let figures = drive(&payers, wishes.until, &bar).await?;
    let took = begin.elapsed();
    bar.finish_and_clear();
    measured(wishes, &figures, took, watched)
}

/// Shows what was measured.
pub fn show(measured: &Measured, console: &Console) {
    console.heading("Complete payments");
    let rate = format!("{:.1} payments per second", measured.payments_per_second);
    console.line(format!(
        "{} with {} payers {}: {} payments in {}",
        console.paint(Style::Strong, &rate),
        measured.payers,
        match measured.via {
            Via::Acquirer => "directly",
            Via::Platform => "via the platform",
        },
        measured.payments,
        duration(Duration::from_secs_f64(measured.seconds)),
    ));
    console.line("");
    let head = format!(
        "{}{:>9}{:>10}{:>10}{:>10}{:>10}{:>8}",
        column("milliseconds", 20),
        "mean",
        "p50",
        "p90",
        "p99",
        "max",
        "share"
    );
    console.line(console.paint(Style::Faint, &head));
    for line in &measured.phases {
        let share = line.share.map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default();
        console.line(format!(
            "{}{:>9.1}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{share:>8}",
            column(&line.phase, 20),
            line.mean_ms,
            line.p50_ms,
            line.p90_ms,
            line.p99_ms,
            line.max_ms,
        ));
    }
    console.heading("Processor time for one payment");
    for used in &measured.processes {
        console.line(format!("{}{:>9.2} ms", column(&used.name, 20), used.cpu_ms_per_payment));
    }
    if let Some(share) = sign_in_share(&measured.phases) {
        console.line("");
        console.line(format!(
            "Signing in takes {:.0} % of a payment's time, waiting included: the bank hashes each password with \
             argon2id, which is slow on purpose.",
            share * 100.0
        ));
    }
    if !measured.optimised_build {
        console.line("This is an unoptimised build; cargo run --release measures what the servers can do.");
    }
    for (reason, count) in &measured.failures {
        console.line(console.paint(Style::Bad, &format!("{count} payments failed: {reason}")));
    }
}

fn sign_in_share(lines: &[Line]) -> Option<f64> {
    lines.iter().find(|line| line.phase == Phase::SignIn.name())?.share
}

/// One payer for each customer for load, over all shops and all banks of the way in turn.
fn payers(topology: &Topology, network: Option<&Network>, wishes: &Wishes) -> Result<Vec<Payer>> {
    let hop = match wishes.via {
        Via::Acquirer => NextHop::Acquirer,
        Via::Platform => NextHop::Platform,
    };
    let banks: Vec<&Issuer> = topology.issuers.iter().filter(|issuer| issuer.next_hop == hop).collect();
    let count = banks.iter().map(|bank| bank.load_customers.len()).sum::<usize>();
    let enough = usize::try_from(wishes.payers).is_ok_and(|wanted| wanted <= count);
    ensure!(enough, "there are {count} customers for load: ask for at most so many --payers");
    let checkouts = match wishes.via {
        Via::Acquirer => None,
        Via::Platform => Some(Checkouts::of(topology)?),
    };
    let shops = shops(topology, network)?;
    let browser = wishes.scan.then(|| Browser::trusting(&topology.authority)).transpose()?;
    (0..wishes.payers as usize)
        .map(|number| {
            let issuer = banks[number % banks.len()];
            let customer = issuer.load_customers.get(number / banks.len());
            let customer = customer.with_context(|| format!("{} has too few customers for load", issuer.id))?;
            let (shop, inbox) = shops[number % shops.len()].clone();
            let card = customer.cards().next().with_context(|| format!("{} has no card", customer.id))?;
            Ok(Payer {
                shop,
                inbox,
                app: BankApp::of(issuer, &topology.authority)?,
                bank: issuer.id.clone(),
                checkouts: checkouts.clone(),
                credentials: Credentials::from(customer),
                card: card.clone(),
                browser: browser.clone(),
            })
        })
        .collect()
}

/// The shops that take what the customers for load can pay with, by either way: their currency, a password alone,
/// and an acquirer that is a member of the platform.
fn shops(topology: &Topology, network: Option<&Network>) -> Result<Vec<(Shop, Option<Inbox>)>> {
    let mut shops = Vec::new();
    for merchant in &topology.merchants {
        let fits = merchant.currency == CURRENCY && merchant.demand.is_none();
        if !fits || !topology.acquirer_of(merchant)?.at_platform {
            continue;
        }
        let open = network.and_then(|network| network.shops.iter().find(|open| open.shop.merchant().id == merchant.id));
        shops.push(match open {
            Some(open) => (open.shop.clone(), Some(open.inbox.clone())),
            None => (Shop::new(topology, merchant)?, None),
        });
    }
    ensure!(!shops.is_empty(), "the network has no shop for {CURRENCY}");
    Ok(shops)
}

/// Lets every payer pay until the run is over.
async fn drive(payers: &[Payer], until: Until, bar: &ProgressBar) -> Result<Figures> {
    let begun = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for payer in payers {
        let (payer, begun, bar) = (payer.clone(), Arc::clone(&begun), bar.clone());
        tasks.spawn(async move {
            let mut figures = Figures::new()?;
            loop {
                let over = match until {
                    Until::Payments(count) => begun.fetch_add(1, Ordering::Relaxed) >= count,
                    Until::Time(time) => begin.elapsed() >= time,
                };
                if over {
                    return Ok::<_, anyhow::Error>(figures);
                }
                payer.pay(&mut figures).await;
                bar.inc(1);
            }
        });
    }
    let mut all = Figures::new()?;
    while let Some(figures) = tasks.join_next().await {
        all.add(&figures.context("a payer panicked")??)?;
    }
    Ok(all)
}

/// Every server by its process id, and this program.
fn watch(topology: &Topology) -> Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for (_, name, files) in topology.servers() {
        watched.push(watched_process(name, server_pid(files)?)?);
    }
    watched.push(watched_process("merchant-sim", std::process::id())?);
    Ok(watched)
}

fn watched_process(name: &str, pid: u32) -> Result<Watched> {
    Ok(Watched { name: name.to_owned(), pid, before: cpu::used(pid)? })
}

fn measured(wishes: &Wishes, figures: &Figures, took: Duration, watched: Vec<Watched>) -> Result<Measured> {
    let payments = figures.payments();
    let count = Duration::from_secs(payments.max(1)).as_secs_f64();
    let used = |process: Watched| -> Result<Used> {
        let spent = cpu::used(process.pid)?.saturating_sub(process.before);
        let cpu_ms_per_payment = spent.as_secs_f64() * 1e3 / count;
        Ok(Used { name: process.name, pid: process.pid, cpu_ms_per_payment })
    };
    let payments_per_second = if payments == 0 { 0.0 } else { count / took.as_secs_f64() };
    Ok(Measured {
        optimised_build: !cfg!(debug_assertions),
        payers: wishes.payers,
        via: wishes.via,
        payments,
        seconds: took.as_secs_f64(),
        payments_per_second,
        phases: figures.lines(),
        processes: watched.into_iter().map(used).collect::<Result<_>>()?,
        failures: figures.failures().clone(),
    })
}
