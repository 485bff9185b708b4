//! How large the issuer's store becomes, and how long a start over a large one takes.
//!
//! - `charge_scale week [CHARGES A DAY]` lives through a week and more by a clock that is moved by hand, once without
//!   retention and once with periods of a day and two, and prints the size of the folder after each day.
//! - `charge_scale restart [CHARGES]…` fills stores with so many ended charges and a thousand that a crash has left
//!   sent, and opens each in a process of its own, which does what a server does at its start.
//!
//! The stores lie in the folder for temporary files (`TMPDIR`). `cargo run --release -p issuer --example charge_scale`

use std::{
    error::Error,
    io::{self, Write as _},
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use issuer::{
    domain::retention::Periods,
    repository::Repository,
    tasks::{recovery::recover, retention::Retention},
};
use mesh::{
    clock::ManualClock,
    store::{
        Store,
        sled::{Options, SledStore},
    },
};

mod bank;
mod charges;

type Failed = Box<dyn Error + Send + Sync>;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Enough to see the size stay where it is after the first days of removal.
const DAYS: u32 = 8;
const CHARGES_A_DAY: u64 = 20_000;
/// What a crash leaves sent.
const UNDER_WAY: u64 = 1_000;
/// The cache of the sample configuration, in bytes.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &arguments[..] {
        ["week"] => week(CHARGES_A_DAY),
        ["week", charges] => charges.parse().map_err(Failed::from).and_then(week),
        ["restart"] => restarts(&[0, 100_000, 1_000_000]),
        ["restart", counts @ ..] => {
            let counts: Result<Vec<u64>, _> = counts.iter().map(|count| count.parse()).collect();
            counts.map_err(Failed::from).and_then(|counts| restarts(&counts))
        }
        ["start", folder] => start(Path::new(folder)),
        _ => Err("charge_scale week [CHARGES A DAY] | charge_scale restart [CHARGES]…".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn begin() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_789_603_200)
}

fn say(text: &str) -> Result<(), Failed> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn open(folder: &Path) -> Result<Arc<dyn Store>, Failed> {
    Ok(Arc::new(SledStore::open(folder, Options::new("issuer/scale").cache_bytes(CACHE_BYTES))?))
}

/// Lives through the days with and without retention, and compares.
fn week(charges: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    say(&format!("issuer: {charges} charges a day, MiB of the folder after each day"))?;
    let without = runtime.block_on(live(charges, false))?;
    let with = runtime.block_on(live(charges, true))?;
    for (day, (without, with)) in without.iter().zip(&with).enumerate() {
        say(&format!("day {:>2}   without retention {:>8.1}   with {:>8.1}", day + 1, mib(*without), mib(*with)))?;
    }
    let (Some(grown), Some(bounded)) = (without.last(), with.last()) else { return Err("no day was lived".into()) };
    let settled = with.get(with.len() / 2).copied().unwrap_or_default();
    say(&format!(
        "retention: {:.1} MiB without, {:.1} MiB with; {:.1} MiB at half time",
        mib(*grown),
        mib(*bounded),
        mib(settled)
    ))?;
    // What is kept is the same each day, so that the file grows by its own unevenness at most.
    let is_bounded = *bounded < *grown && bounded.saturating_sub(settled) * 4 <= settled;
    if is_bounded { Ok(()) } else { Err("the folder keeps growing".into()) }
}

async fn live(charges: u64, retained: bool) -> Result<Vec<u64>, Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store");
    let store = open(&path)?;
    let clock = Arc::new(ManualClock::new(begin()));
    let ctx = Arc::new(bank::context(&store, Arc::clone(&clock) as _, begin()).await?);
    let retention = Retention::new(ctx, Periods { charges: DAY, consents: DAY * 2 }, None);
    retention.prepare().await?;
    let repository = Repository::new(Arc::clone(&store));
    let mut sizes = Vec::new();
    for day in 0..DAYS {
        let first = u64::from(day) * charges;
        charges::pay(&repository, first..first + charges, begin() + DAY * day).await?;
        clock.advance(DAY);
        if retained {
            retention.run_once(DAY).await?;
        }
        sizes.push(size(&path)?);
    }
    store.close().await;
    Ok(sizes)
}

/// Fills stores and starts over each.
fn restarts(counts: &[u64]) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for count in counts {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store");
        let begun = Instant::now();
        runtime.block_on(async {
            let store = open(&path)?;
            let repository = Repository::new(Arc::clone(&store));
            charges::ended(&repository, 0..*count, begin()).await?;
            charges::sent(&repository, *count..*count + UNDER_WAY, begin() + DAY).await?;
            store.close().await;
            Ok::<_, Failed>(())
        })?;
        let filled = begun.elapsed();
        let output = Command::new(std::env::current_exe()?).arg("start").arg(&path).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        say(&format!(
            "issuer: {count} charges, {:.0} MiB, filled in {:.0} s: {}",
            mib(size(&path)?),
            filled.as_secs_f64(),
            String::from_utf8_lossy(&output.stdout).trim()
        ))?;
    }
    Ok(())
}

/// What a server does with its store before it takes the first call.
fn start(folder: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begun = Instant::now();
    let store = open(folder)?;
    let opened = begun.elapsed();
    let now = begin() + DAY * 2;
    let recovered = runtime.block_on(async {
        let clock = Arc::new(ManualClock::new(now));
        let ctx = Arc::new(bank::context(&store, clock, now).await?);
        let recovered = recover(&ctx).await?;
        Retention::new(ctx, Periods { charges: DAY, consents: DAY }, None).prepare().await?;
        Ok::<_, Failed>(recovered)
    })?;
    let ready = begun.elapsed();
    runtime.block_on(store.close());
    say(&format!(
        "open after {:.2} s, {} put right after {:.2} s, peak {:.0} MiB",
        opened.as_secs_f64(),
        recovered.unknown + recovered.abandoned,
        ready.as_secs_f64(),
        peak_mib()?
    ))
}

/// The most memory that this process has had, in MiB (proc_pid_status(5)).
fn peak_mib() -> Result<f64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(peak.ok_or("no peak in /proc/self/status")?.trim().parse::<f64>()? / 1024.0)
}

/// The bytes of a folder's files.
fn size(folder: &Path) -> Result<u64, Failed> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
