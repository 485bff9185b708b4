//! Cuts the power under the real store, and looks for every acknowledged commit afterwards.
//!
//! `--trials N` does it on a real file system: ext4 on a loop device, shut down in the middle of the
//! work without its log being written (needs root, loop devices, mkfs.ext4 and python3). Every tenth trial, and
//! the last one, is a disk that fails instead. `--images N` needs no root: a run recorded by strace is replayed into N states
//! that a disk may be in after a crash. `--without-sync` leaves the store's own sync out, which must be seen.
//!
//! Exit codes: 0 nothing lost, 1 something lost or doubled, 64 bad arguments, 69 this machine can't do
//! it, 77 no permission.
#![expect(clippy::print_stdout, reason = "a command says what it finds")]

#[path = "../../tests/power_loss/crash_disk.rs"]
mod crash_disk;
#[path = "../../tests/power_loss/dice.rs"]
mod dice;
mod loop_disk;
#[path = "../../tests/power_loss/replay.rs"]
mod replay;
#[path = "../../tests/power_loss/trace.rs"]
mod trace;
mod trials;
#[path = "../../tests/power_loss/verdict.rs"]
mod verdict;
#[path = "../../tests/power_loss/workload.rs"]
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

use replay::{Plan, Unsynced};
use workload::Writing;

/// Cuts the power under the store and looks for every acknowledged commit.
#[derive(Debug, Parser)]
struct Arguments {
    /// Power cuts on a loop-mounted ext4 (needs root)
    #[arg(long, default_value_t = 0)]
    trials: u32,
    /// Crash images made from recorded runs (needs strace)
    #[arg(long, default_value_t = 0)]
    images: usize,
    /// Leaves the store's own sync out, to see that the loss is noticed
    #[arg(long)]
    without_sync: bool,
    /// Takes this sync of a recorded run for not done
    #[arg(long, value_parser = unsynced, conflicts_with = "without_sync")]
    unsynced: Option<Unsynced>,
    /// Where the choices begin; the clock decides unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Writes into this folder until stopped; how the command starts its writer
    #[arg(long, hide = true)]
    write: Option<PathBuf>,
    #[arg(long, hide = true, default_value_t = 64)]
    callers: u32,
    #[arg(long, hide = true, default_value_t = u64::MAX)]
    commits: u64,
}

/// Why the command can't do its work, and its exit code.
#[derive(Debug)]
pub(crate) struct Impossible(u8, String);

impl Impossible {
    pub(crate) fn here(why: impl std::fmt::Display) -> Self {
        Self(69, why.to_string())
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where even that can't be printed there is nobody to tell.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    if let Some(folder) = arguments.write {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::ERROR).init();
        let (callers, commits, sync) = (arguments.callers, arguments.commits, !arguments.without_sync);
        Writing { folder, callers, commits, sync }.run();
        return ExitCode::SUCCESS;
    }
    if arguments.trials == 0 && arguments.images == 0 {
        eprintln!("say how many --trials or --images");
        return ExitCode::from(64);
    }
    let done = trials(&arguments).and_then(|good| Ok(images(&arguments)? && good));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Impossible(code, why)) => {
            eprintln!("power-loss: not possible: {why}");
            ExitCode::from(code)
        }
    }
}

fn seed(arguments: &Arguments) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    arguments.seed.unwrap_or_else(|| now.map_or(0, |now| now.as_nanos() as u64))
}

fn trials(arguments: &Arguments) -> Result<bool, Impossible> {
    if arguments.trials == 0 {
        return Ok(true);
    }
    trials::run(arguments.trials, seed(arguments), !arguments.without_sync)
}

fn images(arguments: &Arguments) -> Result<bool, Impossible> {
    if arguments.images == 0 {
        return Ok(true);
    }
    trace::available().map_err(Impossible::here)?;
    let program = std::env::current_exe().map_err(Impossible::here)?;
    let without_sync = arguments.without_sync;
    let writer = move |folder: &Path, callers: u32, commits: u64| {
        let mut command = Command::new(&program);
        command.arg("--write").arg(folder).args(without_sync.then_some("--without-sync"));
        command.args(["--callers", &callers.to_string(), "--commits", &commits.to_string()]);
        command
    };
    let seed = seed(arguments);
    println!("crash-images: seed {seed}");
    let plan = Plan { images: arguments.images, images_per_run: 500, seed, unsynced: arguments.unsynced };
    let figures = replay::replay(plan, &writer, |so_far| {
        println!(
            "  {} runs, {} syncs, {} images, {} acknowledged, {} lost, {} doubled",
            so_far.runs, so_far.syncs, so_far.images, so_far.acknowledged, so_far.lost, so_far.doubled
        );
    })
    .map_err(Impossible::here)?;
    for word in &figures.wrong {
        println!("  {word}");
    }
    println!(
        "crash-images: {} images of {} runs, {} with anything wrong, {} acknowledged commits, {} lost, {} doubled",
        figures.images, figures.runs, figures.bad, figures.acknowledged, figures.lost, figures.doubled
    );
    Ok(figures.bad == 0)
}

fn unsynced(name: &str) -> Result<Unsynced, String> {
    match name {
        "data" => Ok(Unsynced::Data),
        "folder" => Ok(Unsynced::Folder),
        "parents" => Ok(Unsynced::Parents),
        other => Err(format!("`{other}` is none of data, folder, parents")),
    }
}
