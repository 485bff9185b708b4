//! A mount namespace of this run's own, so that the disks which it mounts and fills are seen by nobody else and go
//! with it, however it ends.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// The option with which this program is started again inside.
const INSIDE: &str = "--inside";

/// How a namespace can be had: as root, or as the root of a user namespace.
const WAYS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];

/// How long the run inside may take to end its servers once it is asked to, and how often it is looked at.
const END_TIME: Duration = Duration::from_secs(15);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// The run inside. Dropping it ends it, and returns when it has ended, and its servers with it: only then can its
/// folder be removed.
struct Inside(Child);

/// Runs this very command again in a mount namespace, with this folder. `None` where there can't be one.
///
/// # Errors
/// The operating system can't say how it ended.
pub(super) async fn run_inside(
    arguments: impl IntoIterator<Item = OsString>,
    folder: &Path,
) -> Result<Option<ExitStatus>> {
    let Some(way) = way().await else { return Ok(None) };
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = unshare(way);
    // unshare becomes that program, so that its process is the one that is asked to end.
    command.arg(program).args(arguments).arg(INSIDE).arg(folder);
    // It notices by its input when this program is gone, however that came.
    command.stdin(Stdio::piped());
    let mut inside = Inside(command.spawn().context("cannot start again")?);
    let input = inside.0.stdin.take();
    let status = inside.0.wait().await.context("cannot wait for the run in its own namespace")?;
    drop(input);
    Ok(Some(status))
}

/// Inside: is cancelled when the program that started this one is gone.
pub(super) fn outside_is_gone() -> CancellationToken {
    let gone = CancellationToken::new();
    let told = gone.clone();
    std::thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        told.cancel();
    });
    gone
}

impl Drop for Inside {
    fn drop(&mut self) {
        // No id: it has ended and was waited for.
        let Some(pid) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + END_TIME;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // Its servers notice by their own inputs.
                let _ = self.0.start_kill();
            }
            std::thread::sleep(LOOK_PERIOD);
        }
    }
}

/// The first way in which a disk can be mounted.
async fn way() -> Option<&'static [&'static str]> {
    for way in WAYS {
        let folder = tempfile::tempdir().ok()?;
        let mut trial = unshare(way);
        trial.args(["mount", "-t", "tmpfs", "-o", "size=1m", "torture"]).arg(folder.path());
        let quiet = trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if quiet.status().await.is_ok_and(|status| status.success()) {
            return Some(way);
        }
    }
    None
}

fn unshare(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).args(way);
    command
}
