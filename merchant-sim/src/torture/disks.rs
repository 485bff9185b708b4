//! The servers' disks: small file systems in memory that can be filled up, where this program may mount some, and
//! limits on the size of files everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::statvfs;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// How large each disk is, in MiB: room for the stores' reserve, and for what grows in a minute.
const DISK_MIB: u64 = 384;
/// How much larger for each minute of the run, in MiB.
const GROWTH_MIB_PER_MINUTE: u64 = 128;

/// What is left on a disk that is nearly full, in bytes: less than the stores' reserve of 64 MiB.
const NEARLY: u64 = 24 * MIB;
const MIB: u64 = 1024 * 1024;
/// A store may take some room between the look at what is used and the change: so often it is looked at again.
const TRIES_MAX: u32 = 100;

/// One server's disk. A disk that was mounted goes with the mount namespace of this program.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    /// How large it is when it is well, in bytes; none where it is one that others use, too.
    size: Option<u64>,
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
        let size = may_mount.then_some((DISK_MIB + GROWTH_MIB_PER_MINUTE * minutes) * MIB);
        if let Some(size) = size {
            mount(folder, &format!("size={size},mode=0700"))?;
        }
        Ok(Self { folder: folder.to_owned(), size })
    }

    /// Whether it can be filled up without harm to anybody else.
    pub(super) const fn can_be_filled(&self) -> bool {
        self.size.is_some()
    }

    /// Fills it: it becomes no larger than what is on it. A file that fills it up would take as much memory.
    ///
    /// # Errors
    /// It isn't its own, or can't be changed.
    pub(super) fn fill(&self, fullness: Fullness) -> Result<()> {
        ensure!(self.can_be_filled(), "a disk that others use is not filled");
        let left = match fullness {
            Fullness::Nearly => NEARLY,
            Fullness::Entirely => 0,
        };
        let mut tries = 0;
        loop {
            let room = statvfs(&self.folder).context("the disk can't be looked at")?;
            let used = (room.f_blocks - room.f_bfree) * room.f_frsize;
            match mount(&self.folder, &format!("remount,size={}", used + left)) {
                Err(_) if tries < TRIES_MAX => tries += 1,
                changed => return changed,
            }
        }
    }

    /// Makes it as large again as it was.
    ///
    /// # Errors
    /// It can't be changed.
    pub(super) fn empty(&self) -> Result<()> {
        self.size.map_or(Ok(()), |size| mount(&self.folder, &format!("remount,size={size}")))
    }
}

fn mount(folder: &Path, options: &str) -> Result<()> {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "torture"]).arg(folder);
    run(mount).with_context(|| format!("cannot mount a disk on {}", folder.display()))
}

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

fn run(mut command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} can't be started"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
