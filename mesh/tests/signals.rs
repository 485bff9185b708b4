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
