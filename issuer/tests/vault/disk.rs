//! Damage to the store's own file. The engine takes what it can't verify for the end of its log, so that a
//! flipped bit or a cut is no error to it: the store opens as it was at some time before. What matters then is
//! that nothing altered comes out of it, and that the loss shows in the count of commits.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use issuer::records::{Card, Credential, Customer};
use mesh::store::{
    RecordId, Store,
    sled::{Options, SledStore},
};

use super::bank::{customer, fill, option, report, sweep, vault};

const CUSTOMERS: u8 = 40;

fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SledStore::open(folder, Options::new("issuer/bank-aurora").cache_bytes(8 << 20)).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn ids() -> impl Iterator<Item = RecordId> {
    (0..CUSTOMERS).flat_map(|number| {
        let (id, option) = (customer(number), option(number));
        [Customer::at(&id).record_id(), Credential::at(&id).record_id(), Card::at(&option).record_id()]
    })
}

/// Every record with its version.
async fn contents(store: &Arc<dyn Store>) -> BTreeMap<RecordId, (u64, Bytes)> {
    let mut found = BTreeMap::new();
    for id in ids() {
        if let Some(record) = store.get(&id).await.unwrap() {
            found.insert(id, (record.version.number(), record.body));
        }
    }
    found
}

fn commits(store: &Arc<dyn Store>) -> u64 {
    store.watch().borrow().number()
}

/// What was in the store after each of its commits, as far as this test wrote it.
struct Truth {
    history: Vec<BTreeMap<RecordId, (u64, Bytes)>>,
    last: u64,
}

impl Truth {
    /// Whether a record ever was like this.
    fn knows(&self, id: &RecordId, record: &(u64, Bytes)) -> bool {
        self.history.iter().any(|state| state.get(id) == Some(record))
    }
}

#[tokio::test]
async fn what_a_damaged_file_still_gives_was_once_true_and_a_loss_shows_in_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    fill(&store, &vault(&[1]), CUSTOMERS).await;
    let mut history = vec![contents(&store).await];
    for newest in 2..5 {
        sweep(&store, &vault(&(1..=newest).collect::<Vec<_>>())).await;
        history.push(contents(&store).await);
    }
    let truth = Truth { history, last: commits(&store) };
    store.close().await;
    drop(store);

    let whole = fs::read(data.join("db")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut losses = 0;
    for at in (0..16).map(|part| used / 16 * part) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        let mut blank = whole.clone();
        blank[at..].fill(0);
        for (number, damaged) in [flipped, whole[..at].to_vec(), blank].into_iter().enumerate() {
            let copied = folder.path().join(format!("{at}-{number}"));
            copy(&data, &copied);
            fs::write(copied.join("db"), damaged).unwrap();
            losses += usize::from(is_behind(&copied, &truth).await);
        }
    }
    assert!(losses > 16, "the damage was done where it matters: {losses} losses");
}

/// Looks at a damaged copy; whether commits are lost.
async fn is_behind(folder: &Path, truth: &Truth) -> bool {
    let store = open(folder);
    let found = contents(&store).await;
    let behind = commits(&store) < truth.last;
    let newest = truth.history.last().unwrap();
    assert!(behind || found == *newest, "{}: a loss that the count doesn't show", folder.display());
    for (id, record) in found.iter().filter(|(id, record)| newest.get(*id) != Some(*record)) {
        assert!(truth.knows(id, record), "{}: {id:?} never was so", folder.display());
    }
    let (lines, _) = report(&store, &vault(&[1, 2, 3, 4])).await;
    assert_eq!(lines, [] as [String; 0], "{}", folder.display());
    store.close().await;
    behind
}
