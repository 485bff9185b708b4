//! A mount namespace of this run's own, so that the disks which it mounts and fills are seen by nobody else and go
//! with it, however it ends.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use tokio::process::Command;

/// The option with which this program is started again inside.
pub(super) const INSIDE: &str = "--inside";

/// How a namespace can be had: as root, or as the root of a user namespace.
const WAYS: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];

/// Runs this very command again in a mount namespace. `None` where there can't be one.
///
/// # Errors
/// The operating system can't say how it ended.
pub(super) async fn run_inside(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<ExitStatus>> {
    let Some(way) = way().await else { return Ok(None) };
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = unshare(way);
    command.args(["--fork", "--kill-child"]).arg(program).args(arguments).arg(INSIDE).kill_on_drop(true);
    Ok(Some(command.status().await.context("cannot start again")?))
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
