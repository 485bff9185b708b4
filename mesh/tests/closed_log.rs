//! A process whose log goes nowhere goes on: the reader of its standard error has gone, or doesn't read.
//! Each process here is this test once more.

use mesh::config::{LogFormat, TelemetryConfig};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

const PART: &str = "BANKSIDE_TEST_CLOSED_LOG";

/// More lines than a pipe holds.
const LINES: u32 = 20_000;

#[test]
fn a_log_that_nobody_reads_costs_lines_and_nothing_else() {
    if std::env::var_os(PART).is_some() {
        return talk();
    }
    // Nobody is there: neither logging nor a panic that is to be logged ends the process.
    let (mut gone, mut says) = talker();
    drop(gone.stderr.take());
    talk_on(&mut gone, &mut says);
    drop(gone.stdin.take());
    assert!(gone.wait().expect("an end").success());

    // Somebody is there and doesn't read: nothing waits for it, and what was lost is told when it does.
    let (mut silent, mut says) = talker();
    talk_on(&mut silent, &mut says);
    let mut log = silent.stderr.take().expect("a pipe");
    let mut some = vec![0; 32 * 1024];
    log.read_exact(&mut some).expect("what fitted");
    talk_on(&mut silent, &mut says);
    drop(silent.stdin.take());
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("lines of the log were lost"), "{rest}");
    assert!(silent.wait().expect("an end").success());
}

/// Logs much, and panics, each time that it is told to.
fn talk() {
    let config = TelemetryConfig { filter: "info".to_owned(), format: LogFormat::Json };
    mesh::telemetry::init(&config).expect("a log");
    mesh::telemetry::install_panic_hook();
    for _ in io::stdin().lock().lines() {
        for line in 0..LINES {
            tracing::info!(line, "a line of the log");
        }
        assert!(std::panic::catch_unwind(|| panic!("contained")).is_err());
        io::stdout().write_all(b"\ntalked\n").expect("a reader");
    }
}

fn talker() -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("this test's own file"))
        .args(["--exact", "a_log_that_nobody_reads_costs_lines_and_nothing_else", "--nocapture"])
        .env(PART, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let says = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, says)
}

/// Has it talk, and waits until it has.
fn talk_on(child: &mut Child, says: &mut BufReader<ChildStdout>) {
    child.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("it listens");
    let mut line = String::new();
    while line.trim() != "talked" {
        line.clear();
        assert!(says.read_line(&mut line).expect("text") > 0, "it ended");
    }
}
