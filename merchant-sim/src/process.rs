//! Server processes: each in a group of its own, watched, and always ended and reaped.
//!
//! A process that is dropped is killed. One that outlives even that, because this program was killed
//! itself, notices that its standard input has closed and stops: see [`crate::role`].

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub mod cpu;
pub mod memory;
pub mod ports;

/// How often a process that should end or become ready is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How many lines of a server's log an error shows.
const TAIL_LINES: usize = 15;

/// The part of a log that is read for its tail, in bytes.
const TAIL_BYTES_MAX: usize = 16 * 1024;

/// A running server, or one that has ended and was reaped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a command in a process group of its own, with both outputs appended to `log` and a
    /// standard input that closes when this program goes.
    ///
    /// # Errors
    /// The log can't be opened, or the command can't be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let output = open().with_context(|| format!("cannot write the log {}", log.display()))?;
        let errors = output.try_clone().context("cannot share a log")?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().to_string_lossy()))?;
        let pid = Pid::from_child(&child);
        Ok(Self { name: name.to_owned(), child, pid, log: log.to_owned(), ended: None })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// The operating system can't say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits until it ends by itself, and kills its group where that takes longer than `patience`.
    ///
    /// # Errors
    /// The operating system can't say how it ended.
    pub async fn finish(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
        self.kill()
    }

    /// Asks it to stop (SIGTERM), waits, and kills its group where that takes longer than `patience`.
    ///
    /// # Errors
    /// The operating system can't say how it ended.
    pub async fn stop(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        // The only failure is that it has gone meanwhile, which the wait below notices.
        let _ = kill_process(self.pid, Signal::TERM);
        self.finish(patience).await
    }

    /// The last lines of its log, for an error message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let part = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let text = String::from_utf8_lossy(part);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        lines[from..].iter().map(|line| format!("  | {line}\n")).collect()
    }

    /// Kills the whole group and reaps the process.
    ///
    /// # Errors
    /// The operating system can't say how it ended.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // Until it is reaped its id can't belong to anybody else, so this reaches no other process.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left to be done where even killing fails.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A shell with a child of its own, which writes both ids to its log.
    fn family(folder: &Path) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' TERM; sleep 600 & echo $$ $!; wait; wait"]);
        Process::spawn("family", shell, &folder.join("family.log")).unwrap()
    }

    fn ids(process: &Process) -> Vec<u32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(process.log()).unwrap();
            let ids: Vec<u32> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
            if text.ends_with('\n') && ids.len() == 2 {
                return ids;
            }
            assert!(Instant::now() < deadline, "the family did not start: {text}");
            std::thread::yield_now();
        }
    }

    /// Whether the process is there; one that is only waiting to be reaped by its new parent is not.
    fn lives(id: u32) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
        let state = stat.rsplit(')').next().unwrap().trim_start().chars().next().unwrap();
        state != 'Z' && state != 'X'
    }

    fn assert_gone(ids: &[u32]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for id in ids {
            while lives(*id) {
                assert!(Instant::now() < deadline, "process {id} is still there");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let process = family(folder.path());
        let ids = ids(&process);
        assert_eq!(ids[0], process.id());
        assert!(ids.iter().all(|id| lives(*id)));
        drop(process);
        assert_gone(&ids);
    }

    #[tokio::test]
    async fn one_that_ignores_the_request_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = family(folder.path());
        let ids = ids(&process);
        let status = process.stop(Duration::from_millis(100)).await.unwrap();
        assert!(!status.success());
        assert_gone(&ids);
        assert_eq!(process.stop(Duration::ZERO).await.unwrap(), status);
    }

    #[tokio::test]
    async fn one_that_stops_is_reaped_with_its_own_status() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do read -r _ || exit 4; done"]);
        let mut process = Process::spawn("polite", shell, &folder.path().join("polite.log")).unwrap();
        while !process.log_tail().contains("up") {
            tokio::task::yield_now().await;
        }
        let status = process.stop(Duration::from_secs(10)).await.unwrap();
        // A shell runs its trap once the read that it waits in has ended, so it may see the signal alone.
        assert!(status.code() == Some(3) || status.code().is_none(), "{status}");
        assert!(!lives(process.id()));
    }
}
