//! A store in a process that has no file descriptor left: whatever it acknowledges is there afterwards, and
//! what it can't do it says.

use mesh::store::sled::{Options, SledStore};
use mesh::store::{Commit, Kind, RecordId, Store as _, Transition, Version};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use tokio::task::JoinSet;

const FOLDER: &str = "BANKSIDE_TEST_STORE_DESCRIPTORS_FOLDER";
const NAME: &str = "store_descriptors::without_descriptors_a_store_keeps_its_word";
const OWNER: &str = "issuer/bank-a";
const KIND: Kind = Kind::new("thing");

/// How many files the process may have open.
const OPEN_FILES: u32 = 60;

/// More than sled keeps in its buffers, so that it must write while there is no descriptor.
const WRITERS: u32 = 8;
const WRITES_EACH: u32 = 500;
const BODY_BYTES: usize = 2_000;

#[test]
fn without_descriptors_a_store_keeps_its_word() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Ok(folder) = std::env::var(FOLDER) {
        return runtime.block_on(write_without_descriptors(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {OPEN_FILES}; exec \"$0\" --exact {NAME} --nocapture")])
        .arg(std::env::current_exe().expect("this test's own file"))
        .env(FOLDER, folder.path())
        .output()
        .expect("the process starts");
    let said = String::from_utf8(output.stdout).expect("text");
    let told = String::from_utf8_lossy(&output.stderr);
    let keys = |word: &str| -> Vec<String> {
        said.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
    };
    let (acknowledged, refused) = (keys("acknowledged "), keys("refused "));
    let all = usize::try_from(WRITERS * WRITES_EACH).expect("few");
    // Each write had an answer, unless the store has ended the process, as it does where a write may be lost.
    assert!(
        acknowledged.len() + refused.len() == all || !output.status.success(),
        "{} acknowledged, {} refused, {}: {told}",
        acknowledged.len(),
        refused.len(),
        output.status
    );
    assert!(said.contains("no descriptor is left"), "{said} {told}");
    assert!(acknowledged.len() > 100, "it has done next to nothing: {told}");
    runtime.block_on(async {
        // The next start, with descriptors again, needs no hand work.
        let store = SledStore::open(folder.path(), Options::new(OWNER)).expect("opens");
        for key in &acknowledged {
            let record = store.get(&RecordId::new(KIND, key.as_bytes())).await.expect("get");
            assert!(record.is_some_and(|record| record.body == body(key)), "{key} was acknowledged and is lost");
        }
        for key in &refused {
            let record = store.get(&RecordId::new(KIND, key.as_bytes())).await.expect("get");
            assert!(record.is_none(), "{key} was refused and is there");
        }
    });
}

async fn write_without_descriptors(folder: &Path) {
    let options = Options::new(OWNER).cache_bytes(1 << 20);
    let store = std::sync::Arc::new(SledStore::open(folder, options).expect("opens"));
    // Nothing lets go of these, and so every descriptor is taken.
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let error = File::open("/dev/null").expect_err("none is left");
    say(&format!("no descriptor is left after {}: {error}", taken.len()));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = std::sync::Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..WRITES_EACH {
                let key = format!("{writer}/{number}");
                let id = RecordId::new(KIND, key.as_bytes());
                let transition = Transition::new().put(id, Version::ABSENT, body(&key), Vec::new());
                match store.commit(transition).await {
                    Commit::Committed { .. } => say(&format!("acknowledged {key}")),
                    Commit::Fatal(_) => say(&format!("refused {key}")),
                    other @ (Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Refused(_) | Commit::Unknown) => {
                        panic!("{other:?}")
                    }
                }
            }
        });
    }
    writers.join_all().await;
    drop(taken);
}

/// Different for each key, so that one can't stand in for another.
fn body(key: &str) -> Vec<u8> {
    key.bytes().cycle().take(BODY_BYTES).collect()
}

/// Written past the harness's capture, on a line of its own.
fn say(text: &str) {
    std::io::stdout().lock().write_all(format!("\n{text}\n").as_bytes()).expect("a reader");
}
