//! The embedded engine: sled 0.34.7, run so that what it acknowledged survives a power cut.
//!
//! sled's own `flush` is not enough on Linux: it calls `sync_file_range`, which commits neither
//! the file's size nor the disk's cache. So one thread owns all writes, gathers what is waiting
//! into one sled transaction, flushes it, syncs sled's file through a descriptor of its own, and
//! only then answers. The descriptor must be our own, because the kernel reports a failed write-back once for each
//! descriptor, and sled's background thread swallows what it is told.
//!
//! **What readers see.** sled shows a transaction to readers before it is synced. If a reader acted on
//! that, for example by repeating an idempotency answer, and the power failed, an answer would be
//! out in the world that no disk remembers. So, before a group is applied, what its
//! keys held before is laid over the tree, and the cover is taken off after the sync. A reader
//! looks at cover and tree under one lock, so it sees all of a group or nothing, and only once
//! it is durable. At start the whole folder is synced before the first read, because a killed process can
//! leave writes that are in the page cache but not on the disk.
//!
//! **When a write fails**, the thread answers nobody, marks the store as halted and calls the
//! [`FatalHook`], which ends the process. A failed sync is never repeated: the kernel may have dropped
//! the very pages that it failed to write, or keep them in memory as if they were on the disk. Callers in
//! flight wait until the process ends and learn the outcome from the next one, by their idempotency key.
//!
//! **A restart reads the disk, not the page cache.** Pages whose write failed stay in memory, marked as
//! written, and outlive the process. So opening drops the folder's files from the page cache before it reads
//! them, looks whether they are gone, and warns where they are not: where another process has them mapped,
//! or the file system has a cache of its own. There, only a restart of the machine after a failed sync is
//! sound. The kernel's directory and inode entries can't be dropped; they don't say what a commit holds.
//!
//! **When the disk is nearly full**, writes are refused with [`StoreError::Full`] before sled gets to see
//! them, reads go on, and writes do too when there is room again. Nothing else is needed by hand.
//!
//! The file only grows and there is no replica.

mod disk;
mod folder;
mod view;
mod writer;

pub use folder::OpenError;

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use self::disk::Room;
use self::folder::Folder;
use self::view::View;
use self::writer::{Job, Writer};
use super::{
    Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
    query,
};

/// The exit status of a process whose store failed: `EX_SOFTWARE` of sysexits.h. A supervisor
/// starts the process again, and opening the store recovers it.
pub const EXIT_STORE_FAILED: i32 = 70;

/// Transitions that wait for the writer. Two groups' worth, so that the next group is full
/// when the writer comes back; further callers wait for a place.
const QUEUE_MAX: usize = 2 * writer::GROUP_MAX;

/// Memory for sled's page cache unless configured: room for some hundred thousand small records.
const CACHE_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;

/// How often sled writes out its buffers and collects garbage by itself, in milliseconds.
const FLUSH_EVERY_MS: u64 = 500;

/// Room on the disk below which writes are refused, unless configured: a full group of the largest
/// transitions is 40 MiB, and sled's snapshot and the log of a process that complains need some as well.
const RESERVE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// Called once when a write failed, on the writer's thread. The one in use must end the process.
pub type FatalHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// Makes durable what was written to this file: `File::sync_data`, or a test's failing stand-in.
pub type SyncStep = Arc<dyn Fn(&File) -> std::io::Result<()> + Send + Sync>;

/// How to open a folder.
#[derive(Clone)]
pub struct Options {
    owner: String,
    cache_bytes: u64,
    reserve_bytes: u64,
    on_fatal: FatalHook,
    sync: SyncStep,
}

impl Options {
    /// The usual options for the folder of `owner`, for example `acquirer/bank-a`: role and id.
    /// A folder that belongs to anyone else will not be opened.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            cache_bytes: CACHE_BYTES_DEFAULT,
            reserve_bytes: RESERVE_BYTES_DEFAULT,
            on_fatal: Arc::new(|_| std::process::exit(EXIT_STORE_FAILED)),
            sync: Arc::new(File::sync_data),
        }
    }

    /// Memory for sled's page cache, in bytes.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Room on the disk, in bytes, below which writes are refused with [`StoreError::Full`]; 64 MiB
    /// unless set. With 0 a full disk is met in the middle of a write, which ends the process.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// Replaces the end of the process after a failed write, in tests.
    #[must_use]
    pub fn on_fatal(mut self, hook: FatalHook) -> Self {
        self.on_fatal = hook;
        self
    }

    /// Replaces the sync of the data file, in tests.
    #[must_use]
    pub fn sync_step(mut self, step: SyncStep) -> Self {
        self.sync = step;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("owner", &self.owner)
            .field("cache_bytes", &self.cache_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .finish_non_exhaustive()
    }
}

/// A store in one folder of a local disk.
pub struct SledStore {
    view: Arc<View>,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    visible: watch::Receiver<Seq>,
    // Its sender lives as long as the writer's thread.
    ended: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
    room: Room,
}

impl SledStore {
    /// Opens the folder, or makes it. Blocks while sled recovers, so call it before serving.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what to do.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let folder = Folder::claim(path.as_ref(), &options.owner)?;
        let config = ::sled::Config::new().path(folder.path()).cache_capacity(options.cache_bytes);
        let config = config.flush_every_ms(Some(FLUSH_EVERY_MS));
        // sled panics where its log has a hole, which no crash leaves, but a disk that lost a write does.
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| OpenError::Damaged { path: folder.path().to_owned() })?
            .map_err(|error| OpenError::sled(folder.path(), error))?;
        db.flush().map_err(|error| OpenError::sled(folder.path(), error))?;
        let file = folder.settle()?;
        let blobs = folder.blobs()?;
        let last = query::last_seq(&*db).map_err(OpenError::Unreadable)?;
        tracing::info!(
            folder = %folder.path().display(),
            owner = %options.owner,
            last_seq = last.number(),
            "store opened"
        );
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let (visible, follow) = watch::channel(last);
        let view = Arc::new(View::new(db.clone()));
        let room = Room { folder: folder.path().to_owned(), reserve_bytes: options.reserve_bytes };
        let writer = Writer {
            view: Arc::clone(&view),
            db,
            file,
            blobs,
            room: room.clone(),
            refusing: false,
            folder,
            jobs,
            last,
            visible,
            sync: options.sync,
            on_fatal: options.on_fatal,
        };
        let (ending, ended) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let _ending = ending;
                writer.run();
            })
            .map_err(OpenError::Thread)?;
        Ok(Self { view, queue: Mutex::new(Some(queue)), visible: follow, ended, thread: Some(thread), room })
    }

    fn queue(&self) -> Option<mpsc::Sender<Job>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.clone()
    }

    fn end_queue(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.take();
    }
}

#[async_trait]
impl Store for SledStore {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.view.read(|raw| query::record(raw, id))
    }

    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.view.read(|raw| query::answer(raw, idempotency_key))
    }

    async fn commit(&self, transition: Transition) -> Commit {
        if let Err(limit) = transition.check() {
            return Commit::Refused(limit);
        }
        let Some(queue) = self.queue() else {
            return Commit::Fatal(StoreError::Closed);
        };
        let (reply, answer) = oneshot::channel();
        if queue.send(Job { transition, reply }).await.is_err() {
            // The writer is gone and never saw this one.
            return Commit::Fatal(StoreError::Halted);
        }
        match answer.await {
            Ok(commit) => commit,
            // The writer has halted with this one in flight. Whatever were said now could be
            // untrue after the restart, so nothing is said; the process is about to end.
            Err(_) => std::future::pending().await,
        }
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.view.read(|raw| query::scan(raw, index, &range, &page))
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.view.read(|raw| query::events(raw, topic, after, limit))
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.visible.clone()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.view.read(|_| self.room.shortage().map_or(Ok(()), |free| Err(self.room.full(free))))
    }

    async fn close(&self) {
        self.end_queue();
        let mut ended = self.ended.clone();
        // Nothing is ever sent, so this returns when the writer's thread has let go of its end.
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for SledStore {
    /// Finishes what was handed over and waits until the folder is free, at most one group's time.
    fn drop(&mut self) {
        self.end_queue();
        if let Some(thread) = self.thread.take()
            // The fatal hook runs on that thread and may hold the last reference.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the store's fatal hook panicked");
        }
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("visible", &*self.visible.borrow()).finish_non_exhaustive()
    }
}
