//! A process that writes is killed, again and again, on one folder: whatever it had
//! acknowledged is there afterwards, whole and in sequence.
//!
//! This shows recovery of the process, not of the disk: the page cache survives a kill.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mesh::store::sled::{EXIT_STORE_FAILED, Options, SledStore};
use mesh::store::{
    Commit, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Seq, Store, Topic, Transition, Version,
};

const FOLDER: &str = "BANKSIDE_TEST_STORE_KILL_FOLDER";
const ROUND: &str = "BANKSIDE_TEST_STORE_KILL_ROUND";
const WRITERS: u32 = 8;
const BY_WRITER: Index = Index::new("by_writer");
const HALVES: [Kind; 2] = [Kind::new("left"), Kind::new("right")];

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    if let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) {
        // This is the process to be killed; it only ever ends that way.
        runtime.block_on(write_forever(Path::new(&folder), &round));
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = Vec::new();
    // Early and late kills; the early ones hit a store that is still opening or just did.
    for (round, lines) in [200, 1, 2, 400, 0, 3, 100, 0].into_iter().enumerate() {
        let mut child = writer(folder.path(), round);
        let stdout = child.stdout.take().expect("a pipe");
        let mut output = BufReader::new(stdout).lines().map(|line| line.expect("text"));
        let mut seen = 0;
        while seen < lines {
            let line = output.next().expect("the writer writes until it is killed");
            seen += usize::from(note(&line, &mut acknowledged));
        }
        child.kill().expect("the kill");
        child.wait().expect("the end");
        for line in output {
            note(&line, &mut acknowledged);
        }
        runtime.block_on(verify(folder.path(), &acknowledged));
    }
    assert!(acknowledged.len() >= 700);
}

/// Without a hook of its own, a process whose sync fails ends with the status for a supervisor.
#[test]
fn a_failed_sync_ends_the_process() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let options =
            Options::new("issuer/bank-a").sync_step(Arc::new(|_| Err(std::io::Error::other("the disk is gone"))));
        let store = SledStore::open(folder, options).expect("opens");
        let id = RecordId::new(HALVES[0], "lost");
        let transition = Transition::new().put(id, Version::ABSENT, "", Vec::new());
        let commit = runtime.block_on(store.commit(transition));
        panic!("the process has ended before it could answer {commit:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = Command::new(std::env::current_exe().expect("this test's own file"))
        .args(["--exact", "a_failed_sync_ends_the_process"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .status()
        .expect("the process starts");
    assert_eq!(status.code(), Some(EXIT_STORE_FAILED));
}

fn writer(folder: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().expect("this test's own file"))
        .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts")
}

/// Keeps an acknowledgement; other lines are the test harness's, and one may be cut short.
fn note(line: &str, acknowledged: &mut Vec<String>) -> bool {
    let text = line.strip_prefix("acknowledged ").and_then(|l| l.strip_suffix(" end"));
    acknowledged.extend(text.map(str::to_owned));
    text.is_some()
}

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, Options::new("issuer/bank-a").cache_bytes(8 << 20)).expect("opens")
}

fn topic() -> Topic {
    Topic::new("written").expect("a topic")
}

async fn write_forever(folder: &Path, round: &str) {
    let store = Arc::new(open(folder));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, round) = (store.clone(), round.to_owned());
        writers.spawn(async move {
            for number in 0u64.. {
                let key = format!("{round}/{writer}/{number}");
                let mut transition =
                    Transition::new().event(topic(), key.clone()).idempotency(key.clone(), key.clone());
                for kind in HALVES {
                    let entries = vec![IndexEntry::new(BY_WRITER, writer.to_be_bytes())];
                    let id = RecordId::new(kind, key.clone());
                    transition = transition.put(id, Version::ABSENT, key.clone(), entries);
                }
                let commit = store.commit(transition).await;
                assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
                let line = format!("acknowledged {key} end\n");
                // Written past the harness's capture; a closed pipe means that the test has failed.
                if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
                    std::process::exit(1);
                }
            }
        });
    }
    writers.join_all().await;
}

async fn verify(folder: &Path, acknowledged: &[String]) {
    let store = open(folder);
    for key in acknowledged {
        for kind in HALVES {
            let record = store.get(&RecordId::new(kind, key.as_bytes())).await;
            let record = record.expect("get").unwrap_or_else(|| panic!("{key} is lost"));
            assert_eq!(record.body, key.as_bytes());
        }
        let answer = store.answer(key.as_bytes()).await.expect("answer");
        assert_eq!(answer.expect("an answer"), key.as_bytes());
    }
    // Also what was not acknowledged is there as a whole or not at all.
    let mut events = Vec::new();
    let mut after = Seq::START;
    loop {
        let page = store.events(&topic(), after, 1000).await.expect("events");
        let Some(last) = page.last() else { break };
        after = last.seq;
        events.extend(page);
    }
    assert!(events.len() >= acknowledged.len());
    assert_eq!(after, *store.watch().borrow());
    let numbers = events.iter().map(|event| event.seq.number());
    assert!(numbers.eq(1..=events.len() as u64), "no gap in the sequence");
    for event in &events {
        for kind in HALVES {
            let record = store.get(&RecordId::new(kind, event.body.to_vec())).await;
            assert_eq!(record.expect("get").expect("a half").version.number(), event.seq.number());
        }
    }
    assert_eq!(indexed(&store).await, events.len() * HALVES.len());
}

async fn indexed(store: &SledStore) -> usize {
    let mut count = 0;
    let mut request = PageRequest::first(500);
    loop {
        let page = store.scan(BY_WRITER, KeyRange::all(), request).await.expect("scan");
        count += page.items.len();
        let Some(next) = page.next else { return count };
        request = PageRequest::after(next, 500);
    }
}
