//! The command.

use std::{
    io::{self, Write},
    num::NonZero,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;

use crate::{
    mistake::Mistake,
    model::Plan,
    run::{Outcome, run, shrink},
};

/// How often a line of progress appears.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Runs all roles' real code in one process under a seeded scheduler with faults.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happened
    #[arg(long, requires = "seed")]
    history: bool,
    /// Print the whole history of a failure instead of the one of the smallest run that fails alike
    #[arg(long)]
    whole: bool,
    /// Go on after a failure, and name every seed that fails
    #[arg(long)]
    all: bool,
    /// Make this mistake
    #[arg(long, value_enum)]
    mistake: Option<Mistake>,
    /// Threads; each runs seeds of its own
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, NonZero::get))]
    threads: usize,
}

/// What many runs came to.
#[derive(Debug, Default)]
struct Sum {
    seeds: AtomicU64,
    payments: AtomicU64,
    faults: AtomicU64,
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn start(arguments: &Arguments, out: &mut impl Write) -> io::Result<bool> {
    let (first, count) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    if let (true, Some(seed)) = (arguments.history, arguments.seed) {
        let outcome = run(Plan::of(seed), arguments.mistake, true);
        out.write_all(outcome.history.as_bytes())?;
    }
    let sum = Sum::default();
    let began = Instant::now();
    let failed = all(arguments, first, count, &sum, &began, out)?;
    if arguments.all && failed.len() > 1 {
        for (seed, outcome) in &failed {
            if let Some(failure) = &outcome.failure {
                writeln!(out, "seed {seed} failed: {}: {}", failure.checker, failure.why)?;
            }
        }
        let seeds = sum.seeds.load(Ordering::Relaxed);
        writeln!(out, "sim: {seeds} seeds, {} of them failed", failed.len())?;
        return Ok(false);
    }
    let [seeds, payments, faults] =
        [&sum.seeds, &sum.payments, &sum.faults].map(|number| number.load(Ordering::Relaxed));
    if let Some((seed, outcome)) = failed.first() {
        report(arguments, *seed, outcome, out)?;
        return Ok(false);
    }
    writeln!(out, "sim: {seeds} seeds, {payments} payments, {faults} faults, 0 lost, 0 doubled")?;
    Ok(true)
}

/// Runs the seeds until one fails, or all of them, and hands out those that do, in ascending order.
fn all(
    arguments: &Arguments,
    first: u64,
    count: u64,
    sum: &Sum,
    began: &Instant,
    out: &mut impl Write,
) -> io::Result<Vec<(u64, Outcome)>> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut failed = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                break;
            }
            let outcome = run(Plan::of(first + at), arguments.mistake, false);
            sum.seeds.fetch_add(1, Ordering::Relaxed);
            sum.payments.fetch_add(outcome.payments, Ordering::Relaxed);
            sum.faults.fetch_add(outcome.faults, Ordering::Relaxed);
            if outcome.failure.is_some() {
                stop.store(!arguments.all, Ordering::Relaxed);
                failed.push((first + at, outcome));
            }
        }
        failed
    };
    thread::scope(|scope| {
        let (ended, all_ended) = mpsc::channel::<()>();
        let begin = |ended: Sender<()>| {
            scope.spawn(move || {
                let failed = work();
                // The channel closes when the last thread has ended.
                drop(ended);
                failed
            })
        };
        let workers: Vec<_> = (0..arguments.threads.max(1)).map(|_| begin(ended.clone())).collect();
        drop(ended);
        while all_ended.recv_timeout(PROGRESS_EVERY) == Err(RecvTimeoutError::Timeout) {
            let seeds = sum.seeds.load(Ordering::Relaxed);
            let rate = seeds as f64 / began.elapsed().as_secs_f64();
            writeln!(out, "{seeds} of {count} seeds, {rate:.0} per second")?;
        }
        let mut failed = Vec::new();
        for worker in workers {
            failed.extend(worker.join().map_err(|_| io::Error::other("a thread of the simulation panicked"))?);
        }
        failed.sort_by_key(|(seed, _)| *seed);
        Ok(failed)
    })
}

fn report(arguments: &Arguments, seed: u64, outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let Some(failure) = &outcome.failure else { return Ok(()) };
    if arguments.whole {
        out.write_all(run(Plan::of(seed), arguments.mistake, true).history.as_bytes())?;
    } else {
        let shrunk = shrink(&Plan::of(seed), arguments.mistake, failure.checker);
        let orders: Vec<_> = shrunk.plan.orders.iter().map(|order| order.number.to_string()).collect();
        let accidents = shrunk.plan.accidents.len();
        writeln!(
            out,
            "the smallest run that fails alike has the orders {} and {accidents} accidents:",
            orders.join(", ")
        )?;
        out.write_all(shrunk.outcome.history.as_bytes())?;
    }
    writeln!(out, "seed {seed} failed: {}: {}", failure.checker, failure.why)?;
    let mistake = arguments.mistake.map(|mistake| format!(" --mistake {mistake}")).unwrap_or_default();
    writeln!(out, "again: cargo run -q -p simulation -- --seed {seed} --history{mistake}")
}
