//! How long the embedded store takes to open, and how much memory, by the number of its records.
//!
//! Fills a folder with records of 200 bytes, each with an index entry, and an event for every eight; ends
//! without closing it, as a killed process does; and opens it in two processes one after the other: the first
//! replays sled's log and writes a snapshot, the second starts from that.
#![expect(clippy::print_stdout, reason = "a command says what it finds")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use mesh::store::sled::{Options, SledStore};
use mesh::store::{
    Commit, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Store, Topic, Transition, Version,
};

const RECORD: Kind = Kind::new("record");
const BY_SHARD: Index = Index::new("by_shard");
const BODY_BYTES: usize = 200;
const WRITES: u64 = 8;
const CALLERS: usize = 128;

/// Measures how the store's opening grows with its records.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many records
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Where to make the folder; its parent's disk counts
    #[arg(long, default_value = "store-recovery")]
    folder: PathBuf,
    /// What the command starts itself for
    #[arg(long, hide = true)]
    only: Option<Step>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Step {
    Fill,
    Open,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.only {
        Some(Step::Fill) => fill(&arguments.folder, arguments.records),
        Some(Step::Open) => open(&arguments.folder),
        None => return measure(&arguments),
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments) -> ExitCode {
    if arguments.folder.exists() {
        eprintln!("{} is there already; choose another folder", arguments.folder.display());
        return ExitCode::from(64);
    }
    let steps = ["fill", "open", "open"];
    let done = steps.iter().all(|step| {
        let program = std::env::current_exe().expect("this command's own file");
        let mut command = Command::new(program);
        command.args(["--records", &arguments.records.to_string(), "--only", step, "--folder"]);
        command.arg(&arguments.folder).status().is_ok_and(|status| status.success())
    });
    let removed = std::fs::remove_dir_all(&arguments.folder).is_ok();
    if done && removed {
        println!("store-recovery: {} records opened", arguments.records);
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn store(folder: &Path) -> SledStore {
    SledStore::open(folder, Options::new("issuer/bank-aurora")).unwrap_or_else(|error| panic!("{error}"))
}

/// Ends without closing the store.
fn fill(folder: &Path, records: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime starts");
    let store = Arc::new(store(folder));
    let start = Instant::now();
    runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(0));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            callers.spawn(async move {
                loop {
                    let first = next.fetch_add(WRITES, Ordering::Relaxed);
                    if first >= records {
                        return;
                    }
                    let commit = store.commit(transition(first, records.min(first + WRITES))).await;
                    assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
                }
            });
        }
        callers.join_all().await;
    });
    let taken = start.elapsed().as_secs_f64();
    println!("filled: {records} records in {taken:.1} s, {:.0} MiB on disk, {}", on_disk(folder), memory());
    std::process::exit(0);
}

fn transition(first: u64, end: u64) -> Transition {
    let mut transition = Transition::new().event(Topic::new("made").expect("a topic"), first.to_be_bytes().to_vec());
    for number in first..end {
        // Spread over the tree, as ids drawn at random are.
        let key = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let entries = vec![IndexEntry::new(BY_SHARD, (number % 64).to_be_bytes())];
        transition = transition.put(RecordId::new(RECORD, key), Version::ABSENT, vec![7; BODY_BYTES], entries);
    }
    transition
}

fn open(folder: &Path) {
    let start = Instant::now();
    let store = store(folder);
    let taken = start.elapsed().as_secs_f64();
    let last = store.watch().borrow().number();
    let before = memory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let first = runtime.block_on(store.scan(BY_SHARD, KeyRange::all(), PageRequest::first(500)));
    assert_eq!(first.expect("the index is read").items.len(), 500);
    println!("opened: {taken:.2} s, {before}, {:.0} MiB on disk, last sequence {last}", on_disk(folder));
}

fn on_disk(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let bytes: u64 = entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.len()).sum();
    bytes as f64 / f64::from(1 << 20)
}

/// The process's memory now and at its most (proc(5)).
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    };
    format!("{} MiB resident, {} MiB at most", mib("VmRSS:"), mib("VmHWM:"))
}
