//! Processes on faulty ground: in a mount namespace of a user's own, or within limits.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workload::Acknowledged;

/// The folder that the writing process writes to.
pub(crate) const FOLDER: &str = "BANKSIDE_TEST_STORE_FAULTS_FOLDER";

/// Which of its syncs fails.
pub(crate) const SYNCS: &str = "BANKSIDE_TEST_STORE_FAULTS_SYNCS";

/// Says that a test runs in the process that it has started for itself.
pub(crate) const INSIDE: &str = "BANKSIDE_TEST_STORE_FAULTS_INSIDE";

/// The exit code of a test whose folder could not be opened, or that failed otherwise.
pub(crate) const EXIT_NOT_OPENED: i32 = 101;

/// How a process ended, and what it had said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) errors: String,
}

/// A place to mount on, for a test that runs in its own namespace.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Mounts a file system in memory with these options, or mounts it again.
    pub(crate) fn mount(&self, options: &str) {
        let mut command = Command::new("mount");
        if !options.starts_with("remount") {
            command.args(["-t", "tmpfs", "none"]);
        }
        let output = command.args(["-o", options]).arg(self.0.path()).output().expect("mount starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Disk {
    pub(crate) fn unmount(&self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).output());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder can't be removed with something mounted on it.
        self.unmount();
    }
}

/// Runs the test of this name again in a namespace where it may mount, and returns `None`; in there, returns
/// the place to mount on.
pub(crate) fn mounted(test: &str) -> Option<Disk> {
    if std::env::var_os(INSIDE).is_some() {
        return Some(Disk(tempfile::tempdir().expect("a temporary folder")));
    }
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"];
    let possible = Command::new(unshare[0]).args(&unshare[1..]).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let possible = possible.as_ref().is_ok_and(|output| output.status.success());
    if !possible {
        let why = "this user may not mount in a namespace of its own (sysctl kernel.unprivileged_userns_clone)";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("not checked: {why}");
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("this test's own file"));
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let ended = run(within(&unshare, &command));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    None
}

/// The process that writes into a folder until it fails.
pub(crate) fn writer(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test's own file"));
    command.args(["--exact", "writer_process", "--nocapture"]).env(FOLDER, folder);
    command
}

/// The same command, started by another one that sets its limits.
pub(crate) fn within(outer: &[&str], inner: &Command) -> Command {
    let mut command = Command::new(outer[0]);
    command.args(&outer[1..]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// Runs a command to its end, which only one that hangs does not reach by itself.
pub(crate) fn run(command: Command) -> Ended {
    let output = within(&["timeout", "--kill-after=1", "100"], &command)
        .stdin(Stdio::null())
        .output()
        .expect("the process starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ended {
        code: output.status.code(),
        acknowledged: said.lines().filter_map(Acknowledged::read).collect(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
