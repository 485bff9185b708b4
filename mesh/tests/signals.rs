//! SIGTERM asks a role to stop, and it stops with success. This test has a process of its own, since
//! a signal goes to the whole process.

use mesh::boot::{Failure, RoleConfig, supervise};
use mesh::config::{Config, FieldError, ListenConfig, TelemetryConfig};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

#[derive(Deserialize)]
struct NoPorts {
    #[serde(default)]
    telemetry: TelemetryConfig,
}

impl Config for NoPorts {
    fn validate(&self) -> Vec<FieldError> {
        Vec::new()
    }

    fn resolve_paths(&mut self, _folder: &Path) {}
}

impl RoleConfig for NoPorts {
    fn telemetry(&self) -> &TelemetryConfig {
        &self.telemetry
    }

    fn listeners(&self) -> Vec<(&'static str, &ListenConfig)> {
        Vec::new()
    }
}

/// Set in the child alone.
const CHILD: &str = "BANKSIDE_CORE_CHILD";

/// A process of a role leaves no core behind, whatever its limits were.
#[test]
fn a_role_leaves_no_core() {
    if std::env::var_os(CHILD).is_some() {
        mesh::boot::forbid_core_dumps();
        let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits");
        std::io::Write::write_all(&mut std::io::stdout(), limits.as_bytes()).expect("somebody reads");
        return;
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    let child = child.args(["--exact", "a_role_leaves_no_core", "--nocapture"]).env(CHILD, "1").output();
    let text = String::from_utf8(child.expect("it runs").stdout).expect("UTF-8");
    let line = text.lines().find(|line| line.starts_with("Max core file size")).expect("the limit");
    assert_eq!(line.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"], "{line}");
}

fn ask_to_stop() {
    let pid = std::process::id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn one_signal_drains_and_a_second_one_ends() {
    let config = || NoPorts { telemetry: TelemetryConfig::default() };
    let drained = supervise("sample", config(), |_, context| async move {
        ask_to_stop();
        context.stop.cancelled().await;
        Ok(())
    });
    assert!(drained.is_ok(), "{drained:?}");

    let ended = supervise("sample", config(), |_, context| async move {
        ask_to_stop();
        context.stop.cancelled().await;
        ask_to_stop();
        std::future::pending::<Result<(), Failure>>().await
    });
    assert_eq!(ended.expect_err("did not drain").code(), 70);

    // Not even work that cannot be interrupted keeps the second signal waiting.
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let begun = std::time::Instant::now();
    let ended = supervise("sample", config(), |_, context| async move {
        tokio::task::spawn_blocking(move || wait.recv());
        ask_to_stop();
        context.stop.cancelled().await;
        ask_to_stop();
        std::future::pending::<Result<(), Failure>>().await
    });
    assert_eq!(ended.expect_err("did not drain").code(), 70);
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(release);
}
