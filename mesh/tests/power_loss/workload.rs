//! The process that writes until it is stopped: many callers at once on the real store, each of
//! which says which commit was acknowledged, outside of the store's disk.
//!
//! Everything that a commit holds follows from its caller and its number, so that whoever looks
//! afterwards can compare byte for byte without having kept anything but the acknowledgements.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh::store::sled::{Options, SledStore};
use mesh::store::{Commit, Index, IndexEntry, Kind, Record, RecordId, Store, Topic, Transition, Version};
use tokio::task::JoinSet;

use crate::dice::Dice;

pub(crate) const PAYMENT: Kind = Kind::new("payment");
pub(crate) const ACCOUNT: Kind = Kind::new("account");
pub(crate) const BY_CALLER: Index = Index::new("by_caller");

/// Bytes of the largest body of a payment; with events and answers a group fills a log segment soon.
const BODY_BYTES_MAX: usize = 2000;

/// A commit that the store has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub(crate) caller: u32,
    pub(crate) number: u64,
    /// The sequence it was given; unknown where the answer was one from before.
    pub(crate) seq: Option<u64>,
}

impl Acknowledged {
    /// The line that announces it.
    pub(crate) fn line(&self) -> String {
        let seq = self.seq.map_or("-".to_owned(), |seq| seq.to_string());
        format!("acknowledged {} {} {seq} end\n", self.caller, self.number)
    }

    /// Reads such a line. Other lines are someone else's, and one may be cut short.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.trim_end().strip_prefix("acknowledged ")?.strip_suffix(" end")?.split(' ');
        let (caller, number, seq) = (words.next()?, words.next()?, words.next()?);
        Some(Self { caller: caller.parse().ok()?, number: number.parse().ok()?, seq: seq.parse().ok() })
    }
}

/// What the writing process is to do.
#[derive(Debug, Clone)]
pub(crate) struct Writing {
    pub(crate) folder: PathBuf,
    pub(crate) callers: u32,
    /// After how many commits it closes the store and ends; never, where it is to be stopped.
    pub(crate) commits: u64,
    /// Whether the store's own sync is done; leaving it out is the mistake that must be seen.
    pub(crate) sync: bool,
}

impl Writing {
    /// Writes, on a runtime of its own.
    pub(crate) fn run(self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime starts");
        runtime.block_on(self.write());
    }

    async fn write(self) {
        let store = match SledStore::open(&self.folder, options(self.sync)) {
            Ok(store) => Arc::new(store),
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        };
        let left = Arc::new(AtomicU64::new(self.commits));
        let mut callers = JoinSet::new();
        for caller in 0..self.callers {
            callers.spawn(call(Arc::clone(&store), caller, Arc::clone(&left)));
        }
        callers.join_all().await;
        store.close().await;
    }
}

/// One caller, who commits one payment after the other.
pub(crate) async fn call(store: Arc<SledStore>, caller: u32, left: Arc<AtomicU64>) {
    let found = store.get(&account(caller)).await.expect("the account is read");
    let mut number = count(found.as_ref());
    let mut version = found.map_or(Version::ABSENT, |record| record.version);
    if number > 0 {
        // The last one may never have been acknowledged. Asking again brings its answer out.
        let again = store.commit(transition(caller, number - 1, version)).await;
        let Commit::Duplicate(found) = again else { panic!("{again:?}") };
        assert_eq!(found, answer(caller, number - 1));
        say(Acknowledged { caller, number: number - 1, seq: None });
    }
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        match store.commit(transition(caller, number, version)).await {
            Commit::Committed { versions, seq } => {
                version = versions[1];
                say(Acknowledged { caller, number, seq: Some(seq.number()) });
            }
            other @ (Commit::Conflict(_)
            | Commit::Duplicate(_)
            | Commit::Refused(_)
            | Commit::Unknown
            | Commit::Fatal(_)) => panic!("{other:?}"),
        }
        number += 1;
    }
}

/// The options of the store under test: its writes are refused by no reserve, and a small cache makes it
/// read from its file.
pub(crate) fn options(sync: bool) -> Options {
    let options = Options::new("issuer/bank-aurora").cache_bytes(8 << 20).reserve_bytes(0);
    if sync { options } else { options.sync_step(Arc::new(|_: &File| Ok(()))) }
}

pub(crate) fn topic() -> Topic {
    Topic::new("written").expect("a topic")
}

pub(crate) fn key(caller: u32, number: u64) -> String {
    format!("{caller}/{number}")
}

/// Reads a key that [`key`] has made.
pub(crate) fn split_key(key: &[u8]) -> Option<(u32, u64)> {
    let (caller, number) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some((caller.parse().ok()?, number.parse().ok()?))
}

pub(crate) fn payment(caller: u32, number: u64) -> RecordId {
    RecordId::new(PAYMENT, key(caller, number))
}

pub(crate) fn account(caller: u32) -> RecordId {
    RecordId::new(ACCOUNT, caller.to_be_bytes())
}

/// A payment's body: small or large, of any bytes.
pub(crate) fn body(caller: u32, number: u64) -> Vec<u8> {
    let mut dice = Dice::new((u64::from(caller) << 40) ^ number);
    let max = if dice.percent(50) { BODY_BYTES_MAX } else { BODY_BYTES_MAX / 10 };
    (0..dice.below(max)).map(|_| dice.roll() as u8).collect()
}

/// The answer that is kept for repeats.
pub(crate) fn answer(caller: u32, number: u64) -> String {
    format!("the answer to {} {}", key(caller, number), "paid ".repeat(number as usize % 40))
}

/// How many payments an account's body counts.
pub(crate) fn count(account: Option<&Record>) -> u64 {
    let body = account.map(|record| <[u8; 8]>::try_from(&record.body[..]).expect("a count has 8 bytes"));
    body.map_or(0, u64::from_be_bytes)
}

/// One payment, which counts its caller's account up.
pub(crate) fn transition(caller: u32, number: u64, account_version: Version) -> Transition {
    let key = key(caller, number);
    let entries = vec![IndexEntry::new(BY_CALLER, caller.to_be_bytes())];
    Transition::new()
        .put(payment(caller, number), Version::ABSENT, body(caller, number), entries)
        .put(account(caller), account_version, (number + 1).to_be_bytes().to_vec(), Vec::new())
        .event(topic(), key.clone())
        .idempotency(key, answer(caller, number))
}

/// In one write, so that no line is mixed with another's.
fn say(acknowledged: Acknowledged) {
    let said = std::io::stdout().lock().write_all(acknowledged.line().as_bytes());
    if said.is_err() {
        // Whoever listened is gone.
        std::process::exit(1);
    }
}
