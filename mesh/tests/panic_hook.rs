//! A panic leaves its place in the log and never its text. This test has a process of its own, since
//! the hook is the process's.

use mesh::config::{LogFormat, TelemetryConfig};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic inside").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_is_logged_by_its_place_alone() {
    let log = Log::default();
    let config = TelemetryConfig { filter: "info".to_owned(), format: LogFormat::Json };
    let writer = log.clone();
    let dispatch = mesh::telemetry::dispatch(&config, move || writer.clone()).expect("a filter");
    mesh::telemetry::install_panic_hook();
    let panicked =
        tracing::dispatcher::with_default(&dispatch, || std::panic::catch_unwind(|| panic!("4111 1111 1111 1111")));
    // From here on a failing assertion must be seen, so the hook goes first.
    let _ = std::panic::take_hook();
    assert!(panicked.is_err());
    let bytes = log.0.lock().expect("no panic inside").clone();
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("panic_hook.rs:"), "{text}");
    assert!(!text.contains("4111"), "{text}");
}
