//! A store and a folder, and faults of both.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use issuer::{
    audit::{Act, Audit, Entry, OpenError, Resumed, note},
    repository::Repository,
};
use mesh::{
    audit::{CheckOptions, Checked, Disk, Options, check},
    store::{
        Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
        memory::MemoryStore,
    },
};
use tempfile::TempDir;
use tokio::sync::watch;

pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_000_000_123)
}

/// What fails next, step by step; then everything works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The step works.
    Works,
    /// Nothing is done, or of an append so many bytes.
    Fails(usize),
    /// It is done, and nobody hears of it. Of an append or a sync that is a failure all the same.
    LostAfter,
}

/// The faults of the disk and the store, in the order of their steps: append, sync, commit.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(super) fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut list: Vec<Fault> = faults.into_iter().collect();
        list.reverse();
        *self.0.lock().unwrap() = list;
    }

    fn next(&self) -> Fault {
        self.0.lock().unwrap().pop().unwrap_or(Fault::Works)
    }
}

struct FaultyDisk(Arc<Faults>);

impl Disk for FaultyDisk {
    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match self.0.next() {
            Fault::Works => file.write_all(bytes),
            Fault::Fails(room) => {
                file.write_all(&bytes[..room.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::LostAfter => {
                file.write_all(bytes)?;
                Err(io::Error::other("lost"))
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        match self.0.next() {
            Fault::Works => file.sync_data(),
            Fault::Fails(_) => Err(io::Error::other("the disk is gone")),
            Fault::LostAfter => file.sync_data().and(Err(io::Error::other("lost"))),
        }
    }
}

/// A memory store whose commits fail where a test says so.
struct FaultyStore {
    inner: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.get(id).await
    }

    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.answer(idempotency_key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        match self.faults.next() {
            Fault::Works => self.inner.commit(transition).await,
            Fault::Fails(_) => Commit::Fatal(StoreError::Halted),
            Fault::LostAfter => {
                assert!(matches!(self.inner.commit(transition).await, Commit::Committed { .. }));
                Commit::Unknown
            }
        }
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.inner.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(topic, after, limit).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.inner.watch()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.inner.health().await
    }

    async fn close(&self) {}
}

/// What survives the process: the store and the trail's folder.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) disk: Arc<MemoryStore>,
    pub(super) faults: Arc<Faults>,
    pub(super) file_bytes: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            disk: Arc::new(MemoryStore::new()),
            faults: Arc::default(),
            file_bytes: u64::MAX,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// The store without faults.
    pub(super) fn durable(&self) -> Repository {
        Repository::new(Arc::clone(&self.disk) as Arc<_>)
    }

    pub(super) fn options(&self) -> Options {
        Options::new(self.path(), "issuer/bank-aurora")
            .file_bytes(self.file_bytes)
            .disk(Arc::new(FaultyDisk(Arc::clone(&self.faults))))
    }

    pub(super) async fn open(&self) -> Result<Resumed, OpenError> {
        let store = FaultyStore { inner: Arc::clone(&self.disk), faults: Arc::clone(&self.faults) };
        Audit::open(Repository::new(Arc::new(store)), self.options(), now()).await
    }

    /// Commits entries of these customers.
    pub(super) async fn note(&self, customers: std::ops::Range<u64>) {
        for customer in customers {
            let customer = format!("customer-{customer}").parse().unwrap();
            note(&self.durable(), &Entry::new(now(), Act::SessionEnded).customer(&customer)).await.unwrap();
        }
    }

    pub(super) fn check(&self) -> Checked {
        check(&self.path(), &CheckOptions::default()).unwrap()
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
        files.sort();
        files
    }

    pub(super) fn newest(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    /// The customers that the trail names, line by line.
    pub(super) fn customers(&self) -> Vec<u64> {
        let number = |line: &str| -> Option<u64> {
            let (_, rest) = line.split_once("\"customer\":\"customer-")?;
            rest.split('"').next()?.parse().ok()
        };
        let texts = self.files().into_iter().map(|file| std::fs::read_to_string(file).unwrap());
        texts.flat_map(|text| text.lines().filter_map(number).collect::<Vec<_>>()).collect()
    }

    /// Whether nothing waits in the store any more.
    pub(super) async fn is_drained(&self) -> bool {
        let topic = Topic::new("audit").unwrap();
        self.disk.events(&topic, Seq::START, 1).await.unwrap().is_empty()
    }
}

/// Carries until nothing waits.
pub(super) async fn carry(audit: &mut Audit) {
    while audit.carry().await.unwrap() > 0 {}
}

pub(super) fn cut(path: &Path, lines: usize) {
    let bytes = std::fs::read(path).unwrap();
    let kept: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').take(lines).flatten().copied().collect();
    std::fs::write(path, kept).unwrap();
}
