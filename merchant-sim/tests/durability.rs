//! A result reaches the disk before it is sent: the system calls of a running acquirer, as strace sees
//! them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use merchant_sim::network::{pid_file, port};
use merchant_sim::sandbox::describe;
use merchant_sim::topology::Topology;
use rustix::process::{Pid, Signal, kill_process};

#[path = "running/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;

use sandbox::{Sandbox, stop, until};

/// How many payments are watched.
const PAYMENTS: usize = 4;

#[test]
fn an_authorization_is_synced_twice_before_its_result_is_sent() {
    if Command::new("strace").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing; .ci/install installs it");
        eprintln!("not checked: strace is missing; .ci/install installs it");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("box");
    let _sandbox = Sandbox::start(&folder);
    let topology = describe(&folder).unwrap();
    // The first payment opens the issuer's connection, which the others use too.
    pay(&folder, 1);
    let acquirer = pid(&topology.acquirers[0].files);
    let trace = temporary.path().join("trace");
    let mut strace = Ended(attach(acquirer, &trace));
    pay(&folder, PAYMENTS);
    kill_process(Pid::from_child(&strace.0), Signal::INT).unwrap();
    strace.0.wait().unwrap();
    judge(&fs::read_to_string(&trace).unwrap(), &issuer_sockets(&topology, acquirer));
}

/// On the issuer's connection to the acquirer each large answer is a result. Before it begins to be
/// sent, the intent and then the outcome must have been synced.
fn judge(trace: &str, sockets: &BTreeSet<String>) {
    assert!(!sockets.is_empty(), "the issuer has no connection to the acquirer");
    let (mut synced, mut asked, mut results) = (0, false, 0);
    for call in calls(trace) {
        let on_issuers_socket = sockets.iter().any(|socket| call.text.contains(socket.as_str()));
        match call.edge {
            Edge::Returned(Some(0)) if call.text.contains("fdatasync(") => synced += 1,
            Edge::Returned(Some(bytes)) if on_issuers_socket && call.text.contains("recv") && bytes > REQUEST_BYTES => {
                (asked, synced) = (true, 0);
            }
            Edge::Begun(Some(bytes)) if on_issuers_socket && call.sends() && asked && bytes > RESULT_BYTES => {
                assert!(synced >= 2, "a result of {bytes} bytes was sent after {synced} syncs:\n{trace}");
                (asked, synced, results) = (false, 0, results + 1);
            }
            Edge::Begun(_) | Edge::Returned(_) => {}
        }
    }
    assert!(results >= PAYMENTS, "only {results} results were seen on {sockets:?} among:\n{trace}");
}

/// A system call at its begin or its end.
struct Call<'a> {
    text: &'a str,
    edge: Edge,
}

impl Call<'_> {
    fn sends(&self) -> bool {
        self.text.contains("send") || self.text.contains("writev(")
    }
}

/// Which edge of a call, with what the call returned in the end.
enum Edge {
    Begun(Option<i64>),
    Returned(Option<i64>),
}

/// Every call's begin and end, in order. A line tells both, unless another thread's call came in
/// between: then the line is cut, and another one tells the end.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let lines: Vec<&str> = trace.lines().collect();
    let thread = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut calls = Vec::new();
    for (number, text) in lines.iter().copied().enumerate() {
        if text.contains("<unfinished ...>") {
            let end = lines[number..].iter().find(|end| end.contains(" resumed>") && thread(end) == thread(text));
            calls.push(Call { text, edge: Edge::Begun(end.and_then(|end| returned(end))) });
        } else if text.contains(" resumed>") {
            let begin = lines[..number].iter().rfind(|b| b.contains("<unfinished ...>") && thread(b) == thread(text));
            calls.extend(begin.map(|begin| Call { text: begin, edge: Edge::Returned(returned(text)) }));
        } else {
            calls.push(Call { text, edge: Edge::Begun(returned(text)) });
            calls.push(Call { text, edge: Edge::Returned(returned(text)) });
        }
    }
    calls
}

/// A signed authorization request is larger than this, and no other message on the connection is.
const REQUEST_BYTES: i64 = 700;
/// A signed result is larger than this, an HTTP/2 acknowledgement smaller.
const RESULT_BYTES: i64 = 250;

/// What a system call returned.
fn returned(line: &str) -> Option<i64> {
    line.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()
}

fn attach(pid: u32, trace: &Path) -> Child {
    let mut command = Command::new("strace");
    // -yy names the sockets' addresses; no content is shown.
    command.args(["-f", "-yy", "-s", "0", "-e", "trace=fdatasync,recvfrom,recvmsg,sendto,sendmsg,writev,readv", "-o"]);
    let said = trace.with_extension("said");
    command.arg(trace).args(["-p", &pid.to_string()]).stderr(fs::File::create(&said).unwrap());
    let mut strace = command.spawn().unwrap();
    until("strace did not attach", || {
        let said = fs::read_to_string(&said).unwrap();
        assert_eq!(strace.try_wait().unwrap(), None, "{said}");
        said.contains("attached")
    });
    strace
}

fn pay(folder: &Path, payments: usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_merchant-sim"));
    command.args(["bench", "--payers", "1", "--payments", &payments.to_string(), "--sandbox"]).arg(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn pid(files: &merchant_sim::topology::ServerFiles) -> u32 {
    fs::read_to_string(pid_file(files)).unwrap().trim().parse().unwrap()
}

/// How strace names the issuer's connections to the acquirer's port for members, from the acquirer's side.
fn issuer_sockets(topology: &Topology, acquirer: u32) -> BTreeSet<String> {
    let members = port(&topology.acquirers[0].endpoint).unwrap();
    let issuer = pid(&topology.issuers[0].files);
    assert_ne!(acquirer, issuer);
    let inodes: BTreeSet<String> = fs::read_dir(format!("/proc/{issuer}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let connections = fs::read_to_string(format!("/proc/{issuer}/net/tcp")).unwrap();
    let own = connections.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        let (local, remote) = (port(columns.get(1)?)?, port(columns.get(2)?)?);
        (remote == members && inodes.contains(*columns.get(9)?)).then_some(local)
    });
    own.map(|local| format!("127.0.0.1:{members}->127.0.0.1:{local}]")).collect()
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}
