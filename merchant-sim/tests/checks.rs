//! The commands that look for what must not be, against real servers.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merchant-sim"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn no_planted_secret_is_found_anywhere() {
    let (output, said) = run(&["canary"]);
    let last = said.lines().last().unwrap_or_default();
    assert!(output.status.success() && last.starts_with("0 finds in "), "{said}");
}

#[test]
fn payments_survive_servers_that_are_killed_at_random_moments() {
    let (output, said) = run(&["crash", "--rounds", "12"]);
    // The first line names the seed, which plays the same kills again.
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
