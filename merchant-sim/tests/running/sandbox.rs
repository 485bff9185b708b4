//! A sandbox that runs for a test, as a user starts it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take here, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A running sandbox, which is stopped with its test.
pub(crate) struct Sandbox(pub(crate) Child);

impl Sandbox {
    /// Starts one in this folder and waits until it says that it is up.
    pub(crate) fn start(folder: &Path) -> Self {
        let output = folder.with_extension("out");
        let mut command = Command::new(env!("CARGO_BIN_EXE_merchant-sim"));
        command.args(["sandbox", "--dir"]).arg(folder).stdin(Stdio::null());
        let mut sandbox = Self(command.stdout(fs::File::create(&output).unwrap()).spawn().unwrap());
        until("the sandbox did not come up", || {
            let said = fs::read_to_string(&output).unwrap();
            assert_eq!(sandbox.0.try_wait().unwrap(), None, "{said}");
            said.contains("Stop it with")
        });
        sandbox
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

/// Asks a process to end, and kills it where it does not.
pub(crate) fn stop(process: &mut Child) {
    let _ = kill_process(Pid::from_child(process), Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
        pause();
    }
    let _ = process.kill();
    let _ = process.wait();
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        pause();
    }
}

/// Leaves the processor to the process that is waited for.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(5));
}
