//! The servers' disks: small file systems in memory that can be filled up, where this program may mount some, and
//! limits on the size of files everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// How large each disk is, in MiB: room for the stores' reserve, and for what grows in a minute.
const DISK_MIB: u64 = 384;
/// How much larger for each minute of the run, in MiB.
const GROWTH_MIB_PER_MINUTE: u64 = 128;

/// One server's disk. A disk that was mounted goes with the mount namespace of this program.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    is_own: bool,
}

/// How full a disk is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fullness {
    /// Below what the stores want to have left, so that they refuse to write.
    Nearly,
    /// To the last byte, also for the logs of what waits in memory.
    Entirely,
}

impl Disk {
    /// The disk of a data folder: one of its own where mounting is possible, else the one that it lies on.
    ///
    /// # Errors
    /// The folder can't be made, or the mount fails although mounting is possible.
    pub(super) fn make(folder: &Path, may_mount: bool, minutes: u64) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if may_mount {
            let size = format!("size={}m,mode=0700", DISK_MIB + GROWTH_MIB_PER_MINUTE * minutes);
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &size, "torture"]).arg(folder);
            run(mount).with_context(|| format!("cannot mount a disk on {}", folder.display()))?;
        }
        Ok(Self { folder: folder.to_owned(), is_own: may_mount })
    }

    /// Whether it can be filled up without harm to anybody else.
    pub(super) const fn can_be_filled(&self) -> bool {
        self.is_own
    }

    /// Fills it.
    ///
    /// # Errors
    /// It isn't its own, or nothing can be written to it.
    pub(super) fn fill(&self, fullness: Fullness) -> Result<()> {
        /// Less than the stores' reserve of 64 MiB.
        const LEFT_MIB: u64 = 24;

        ensure!(self.is_own, "a disk that others use is not filled");
        let free = free_mib(&self.folder)?;
        let size = match fullness {
            Fullness::Nearly => free.saturating_sub(LEFT_MIB),
            Fullness::Entirely => free,
        };
        let mut fallocate = Command::new("fallocate");
        fallocate.args(["-l", &format!("{}MiB", size.max(1))]).arg(self.filler());
        run(fallocate)?;
        if fullness == Fullness::Entirely {
            // What is less than a whole MiB. That the last write finds no room is the point.
            let _ = fs::write(self.folder.join(REST), vec![0; 1024 * 1024]);
        }
        Ok(())
    }

    /// Takes away what it was filled with.
    pub(super) fn empty(&self) {
        // Where it isn't there, there is nothing to be done.
        let _ = (fs::remove_file(self.filler()), fs::remove_file(self.folder.join(REST)));
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

const REST: &str = "filler.rest";

/// Keeps a process from making its store's file any larger: the next write that would gets it killed in the
/// middle (SIGXFSZ, setrlimit(2)).
///
/// # Errors
/// There is no such process, or no such file yet.
pub(super) fn limit_files(pid: u32, data: &Path) -> Result<()> {
    let size = fs::metadata(data.join("db")).context("there is no store yet")?.len();
    set_limit(pid, Some(size))
}

/// Takes the limit back.
///
/// # Errors
/// There is no such process.
pub(super) fn unlimit_files(pid: u32) -> Result<()> {
    set_limit(pid, None)
}

/// The soft limit alone, so that it can be taken back.
fn set_limit(pid: u32, current: Option<u64>) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process")?;
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).context("prlimit")?;
    Ok(())
}

/// What is free, in whole MiB.
fn free_mib(folder: &Path) -> Result<u64> {
    let mut df = Command::new("df");
    df.args(["--output=avail", "-BK"]).arg(folder);
    let output = df.output().context("df can't be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default().trim().trim_end_matches('K');
    Ok(last.parse::<u64>().context("df says nothing")? / 1024)
}

fn run(mut command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} can't be started"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
