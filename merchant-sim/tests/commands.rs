//! The commands as a user runs them, with real servers in processes of their own.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use merchant_sim::sandbox::describe;
use rustix::process::Signal;
use serde_json::Value;

#[path = "running/sandbox.rs"]
mod sandbox;

use sandbox::{Sandbox, until};

fn merchant_sim() -> Command {
    Command::new(env!("CARGO_BIN_EXE_merchant-sim"))
}

fn run(arguments: &[&str]) -> Output {
    merchant_sim().args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn wrong_command_lines_exit_with_64_and_say_why() {
    for (arguments, why) in [
        (&["bench", "--payers", "0"][..], "--payers"),
        (&["e2e", "--nonsense"], "--nonsense"),
        (&["sandbox"], "--dir"),
        (&["pay"], "pay"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    }
    assert!(run(&["--help"]).status.success());
}

/// What a platform's network must have refused in every run.
const REFUSED: [&str; 31] = [
    "ISSUER_MISMATCH",
    "ACQUIRER_UNKNOWN",
    "MEMBER_UNKNOWN",
    "ROLE_NOT_ALLOWED",
    "RPC_UNKNOWN",
    "CONNECTION_REFUSED",
    "BIN_NOT_OF_ISSUER",
    "NEVER_RECEIVED",
    "TICKET_MISSING",
    "TICKET_INVALID",
    "TICKET_EXPIRED",
    "TICKET_OF_OTHER_BANK",
    "TICKET_OF_OTHER_ORDER",
    "ROUTE_MISMATCH",
    "AMOUNT_LIMIT",
    "AMOUNT_MISMATCH",
    "SIGNATURE_INVALID",
    "CARD_UNREADABLE",
    "AUTHORIZATION_ID_REUSED",
    "ORDER_ALTERED",
    "MEMBER_SUSPENDED",
    "BANK_UNAVAILABLE",
    "DIRECTORY_STALE",
    "ACTIVATION_CODE_INVALID",
    "AUTHENTICATION_INSUFFICIENT",
    "CONSENT_INVALID",
    "CONSENT_REQUIRED",
    "DEVICE_NOT_FOUND",
    "FACTORS_INSUFFICIENT",
    "PASSKEY_NOT_FOUND",
    "SESSION_INVALID",
];

#[test]
fn the_scenario_passes_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = merchant_sim().args(["e2e", "--json"]).env("TMPDIR", temporary.path()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(|c| c["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<&str> = report["steps"].as_array().unwrap().iter().map(|s| s["number"].as_str().unwrap()).collect();
    assert_eq!(steps[..9], ["S01", "S01", "S02", "S03", "S04", "S05", "S06", "S07", "S07"]);
    let relayed =
        ["S11", "S11", "S12", "S12", "S12", "S13", "S14", "S15", "S16", "S17", "S18", "S19", "S19", "S20", "S20"];
    assert_eq!(steps[9..], [relayed, relayed].concat());
    let refusals: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["refusal"] == true)
        .map(|c| c["got"].as_str().unwrap())
        .collect();
    for reason in REFUSED {
        assert!(refusals.iter().any(|got| got.starts_with(reason)), "{reason} is not among {refusals:?}");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_benchmark_reports_what_it_measured() {
    let output = run(&["bench", "--payers", "2", "--payments", "6", "--scan", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["payments"], 6);
    let phases: Vec<&str> = result["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert!(phases.contains(&"page and QR code") && phases.contains(&"shop told after"), "{phases:?}");
    // The platform, the acquirer, three banks, and this program.
    assert_eq!(result["processes"].as_array().unwrap().len(), 6);
}

#[test]
fn sign_ins_are_measured_with_each_credential() {
    let output = run(&["bench", "--sign-in", "--payers", "2", "--seconds", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let credentials = result["credentials"].as_array().unwrap();
    let names: Vec<&str> = credentials.iter().map(|credential| credential["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["knowledge", "possession", "inherence", "passkey"]);
    assert!(credentials.iter().all(|credential| credential["sign_ins_per_second"].as_f64().unwrap() > 0.0));
}

#[test]
fn a_benchmark_goes_through_the_relay() {
    let output = run(&["bench", "--via", "platform", "--payers", "4", "--payments", "8", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["payments"], &result["via"]), (&Value::from(8), &Value::from("platform")));
    let phases: Vec<&str> = result["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert!(phases.contains(&"ticket"), "{phases:?}");
}

fn servers(folder: &Path) -> Vec<u32> {
    let topology = describe(folder).unwrap();
    let servers = topology.servers();
    assert_eq!(servers.len(), 6);
    let pids = servers.iter().map(|(_, _, files)| fs::read_to_string(merchant_sim::network::pid_file(files)).unwrap());
    pids.map(|pid| pid.trim().parse().unwrap()).collect()
}

fn lives(pid: u32) -> bool {
    // One that waits to be reaped by its new parent has ended.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn a_sandbox_keeps_its_data_and_never_leaves_a_server_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("box");
    let mut sandbox = Sandbox::start(&folder);
    let made = describe(&folder).unwrap();
    let first = servers(&folder);
    assert!(first.iter().all(|pid| lives(*pid)));
    let bench = ["bench", "--sandbox", folder.to_str().unwrap(), "--payers", "1", "--payments", "2"];
    assert!(run(&bench).status.success());

    let second = run(&["sandbox", "--dir", folder.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("running"));

    sandbox.signal(Signal::TERM);
    assert!(sandbox.ended().success());
    assert!(!first.iter().any(|pid| lives(*pid)));

    let mut sandbox = Sandbox::start(&folder);
    assert_eq!(describe(&folder).unwrap(), made);
    assert!(run(&bench).status.success());
    let again = servers(&folder);
    // A program that is killed can't end its servers; they notice that it is gone.
    sandbox.signal(Signal::KILL);
    sandbox.ended();
    until("a server outlived its sandbox", || !again.iter().any(|pid| lives(*pid)));
}
