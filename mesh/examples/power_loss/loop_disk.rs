//! An ext4 file system of our own on a loop device, whose power can be cut.
//!
//! Everything is mounted in a mount namespace of this process's own, so that nothing of it is left
//! when the process ends, however it ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{major, minor};

use crate::Impossible;

/// The kernel's number of loop devices (devices.txt).
const LOOP_MAJOR: u32 = 7;

/// Says that this process is already in its own namespace.
const INSIDE: &str = "BANKSIDE_POWER_LOSS_INSIDE";

/// `EXT4_IOC_SHUTDOWN` is `_IOR('X', 125, __u32)`, and 2 is `EXT4_GOING_FLAGS_NOLOGFLUSH` (linux/ext4.h):
/// from now on nothing reaches the device, the log in memory included. Its argument is the descriptor that the
/// guard has looked at, and no name that could mean something else by now. It is done in Python because
/// Rust has no safe call for it.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys; \
                         fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('=I', 2))";

/// A mounted file system and what it lives on.
pub(crate) struct LoopDisk {
    // Removed last, when nothing is mounted in it.
    temporary: tempfile::TempDir,
    mounted: bool,
    in_memory: bool,
}

/// Goes on in a mount namespace of its own, as root.
pub(crate) fn enter_namespace() -> Result<(), Impossible> {
    if !rustix::process::geteuid().is_root() {
        return Err(Impossible(77, "mounting a loop device needs root; run it with sudo".to_owned()));
    }
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(Impossible::here)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(program).args(std::env::args_os().skip(1));
    // Returns only where it fails.
    Err(Impossible::here(format!("unshare: {}", command.env(INSIDE, "1").exec())))
}

impl LoopDisk {
    /// A new, empty file system of so many MiB on a file in the temporary folder.
    pub(crate) fn make(mib: u32) -> Result<Self, Impossible> {
        let temporary = tempfile::tempdir().map_err(Impossible::here)?;
        Self { temporary, mounted: false, in_memory: false }.format(mib)
    }

    /// The same on a file that has less room than the file system believes, so that the disk fails
    /// when it has taken `room_mib`.
    pub(crate) fn make_failing(mib: u32, room_mib: u32) -> Result<Self, Impossible> {
        let temporary = tempfile::tempdir().map_err(Impossible::here)?;
        let mut disk = Self { temporary, mounted: false, in_memory: true };
        fs::create_dir(disk.backing()).map_err(Impossible::here)?;
        let size = format!("size={room_mib}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(disk.backing()))?;
        disk = disk.format(mib)?;
        Ok(disk)
    }

    fn format(mut self, mib: u32) -> Result<Self, Impossible> {
        if !self.in_memory {
            fs::create_dir(self.backing()).map_err(Impossible::here)?;
        }
        fs::create_dir(self.mount_point()).map_err(Impossible::here)?;
        let file = File::create(self.image()).and_then(|file| file.set_len(u64::from(mib) << 20));
        file.map_err(Impossible::here)?;
        // Its own structures are written out in full, so that on a failing disk only contents find no room;
        // otherwise ext4 would take the disk for broken before anyone is told that a sync has failed.
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        let mut format = Command::new("mkfs.ext4");
        format.args(["-q", "-F", "-m", "0", "-N", "128", "-J", "size=4", "-E", whole]).arg(self.image());
        run(format.env("UNIX_IO_NOZEROOUT", "1"))?;
        self.mount()?;
        Ok(self)
    }

    /// Below this everything is on the disk.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.temporary.path().join("disk")
    }

    /// Mounts it. The loop device goes with the mount.
    pub(crate) fn mount(&mut self) -> Result<(), Impossible> {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,errors=continue"])
            .arg(self.image())
            .arg(self.mount_point()))?;
        self.mounted = true;
        if self.in_memory {
            // A write of several pages that finds room for the first alone is reported as done by the loop
            // device, as no disk would; a write of one page is done or fails.
            let device = fs::metadata(self.mount_point()).map_err(Impossible::here)?.dev();
            let setting = format!("/sys/dev/block/{}:{}/queue/max_sectors_kb", major(device), minor(device));
            fs::write(&setting, "4").map_err(|error| Impossible::here(format!("{setting}: {error}")))?;
        }
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), Impossible> {
        run(Command::new("umount").arg(self.mount_point()))?;
        self.mounted = false;
        Ok(())
    }

    /// Cuts the power: what the kernel has not written to the device by now is gone.
    pub(crate) fn shut_down(&self) -> Result<(), Impossible> {
        let folder = self.guarded()?;
        let open = format!("/proc/{}/fd/{}", std::process::id(), folder.as_raw_fd());
        run(Command::new("python3").args(["-c", SHUT_DOWN, &open]))
    }

    /// Gives a failing disk the room that it lacks.
    pub(crate) fn heal(&self, room_mib: u32) -> Result<(), Impossible> {
        let size = format!("remount,size={room_mib}m");
        run(Command::new("mount").args(["-o", &size]).arg(self.backing()))
    }

    /// Opens the mount point, and makes sure that it is our own file system on a loop device over our own file.
    fn guarded(&self) -> Result<File, Impossible> {
        let refuse =
            |why: &str| Impossible::here(format!("refusing to shut down {}: {why}", self.mount_point().display()));
        let folder = File::open(self.mount_point()).map_err(Impossible::here)?;
        let device = folder.metadata().map_err(Impossible::here)?.dev();
        if major(device) != LOOP_MAJOR {
            return Err(refuse("it is not on a loop device"));
        }
        let around = fs::metadata(self.temporary.path()).map_err(Impossible::here)?.dev();
        if around == device {
            return Err(refuse("nothing is mounted there"));
        }
        let backing = format!("/sys/dev/block/{}:{}/loop/backing_file", major(device), minor(device));
        let backing = fs::read_to_string(&backing).map_err(Impossible::here)?;
        let image = self.image().canonicalize().map_err(Impossible::here)?;
        if Path::new(backing.trim_end()) != image {
            return Err(refuse("the loop device is over another file"));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Impossible::here)?;
        let own = format!(" {}:{} / {} ", major(device), minor(device), self.mount_point().display());
        if !mounts.lines().any(|line| line.contains(&own) && line.contains(" - ext4 ")) {
            return Err(refuse("it is not the root of an ext4 file system"));
        }
        Ok(folder)
    }

    fn backing(&self) -> PathBuf {
        self.temporary.path().join("backing")
    }

    fn image(&self) -> PathBuf {
        self.backing().join("image")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // What can't be unmounted goes with the namespace.
        if self.mounted {
            drop(run(Command::new("umount").arg(self.mount_point())));
        }
        if self.in_memory {
            drop(run(Command::new("umount").arg(self.backing())));
        }
    }
}

fn run(command: &mut Command) -> Result<(), Impossible> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdout(Stdio::null()).output();
    let output = output.map_err(|error| Impossible::here(format!("{name} can't be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Impossible::here(format!("{command:?} failed with {}: {}", output.status, why.trim())))
}
