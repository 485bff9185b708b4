//! A process that moves records to a new key is killed, again and again, as by `kill -9`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use issuer::tasks::rotation::Sweep;
use mesh::store::{
    Store,
    sled::{Options, SledStore},
};

use super::bank::{fill, is_whole, needed, report, vault};

/// Set in the child alone.
const FOLDER: &str = "BANKSIDE_ROTATION_FOLDER";

/// 401 records, which are 51 batches.
const CUSTOMERS: u8 = 200;

/// Batches after which a child is killed, in turn; the last child comes to the end.
const KILLED_AFTER: [usize; 6] = [0, 1, 2, 5, 8, 13];

#[tokio::test]
async fn a_rotation_that_is_killed_goes_on() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return rotate(&PathBuf::from(folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, &vault(&[1]), CUSTOMERS).await;
    close(store).await;
    for after in KILLED_AFTER {
        let mut child = start(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A child that has just begun is killed before it has moved anything, or in the middle of its first batch.
        let told = lines.map_while(Result::ok).filter(|line| line.contains("rotating") || line.contains("moved"));
        assert_eq!(told.take(after + 1).count(), after + 1);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(folder.path());
        assert!(is_whole(&store, &vault(&[1, 2]), CUSTOMERS).await, "killed after {after}");
        assert!(needed(&store).await.contains(&1), "killed after {after}: it had not come to the end");
        close(store).await;
    }
    assert!(start(folder.path()).wait().unwrap().success());
    let store = open(folder.path());
    assert_eq!(needed(&store).await, [2]);
    assert!(is_whole(&store, &vault(&[2]), CUSTOMERS).await);
    assert!(report(&store, &vault(&[2])).await.0.is_empty());
    close(store).await;
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "vault::kill::a_rotation_that_is_killed_goes_on", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn rotate(folder: &Path) {
    let (store, keys) = (open(folder), vault(&[1, 2]));
    let tell = |what: &str| {
        // Past the harness's capture, and at once.
        let _ = std::io::stdout().lock().write_all(format!("{what}\n").as_bytes());
    };
    tell("rotating");
    let mut walk = Sweep::new(store.as_ref(), &keys);
    while let Some(swept) = walk.step().await.unwrap() {
        tell(&format!("moved {}", swept.moved));
    }
    drop(walk);
    close(store).await;
}

fn open(folder: &Path) -> Arc<dyn Store> {
    let options = Options::new("issuer/bank-aurora").cache_bytes(8 << 20);
    Arc::new(SledStore::open(folder.join("data"), options).unwrap())
}

async fn close(store: Arc<dyn Store>) {
    store.close().await;
}
