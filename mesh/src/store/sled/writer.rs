//! The one thread that writes.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sled::transaction::TransactionError;
use tokio::sync::{mpsc, oneshot, watch};

use super::disk::{Blobs, Room, advice_on};
use super::folder::Folder;
use super::view::View;
use super::{FatalHook, SyncStep};
use crate::store::judge::judge;
use crate::store::raw::{Overlay, Raw};
use crate::store::{Commit, Seq, StoreError, Transition};

/// Transitions made durable by one sync. More of them gain little, because by then the work for
/// each outweighs the sync, and the first of the group waits for the last.
pub(super) const GROUP_MAX: usize = 512;

/// A transition within its limits, and where its outcome goes.
pub(super) struct Job {
    pub(super) transition: Transition,
    pub(super) reply: oneshot::Sender<Commit>,
}

/// The writer's state. Nothing else starts a sled transaction or a flush.
pub(super) struct Writer {
    pub(super) view: Arc<View>,
    pub(super) db: sled::Db,
    /// Our own descriptor of sled's data file.
    pub(super) file: File,
    /// Where sled would put files that it never syncs.
    pub(super) blobs: Blobs,
    pub(super) room: Room,
    /// Whether writes are refused for want of room, to say so once.
    pub(super) refusing: bool,
    pub(super) folder: Folder,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// The last sequence given out.
    pub(super) last: Seq,
    pub(super) visible: watch::Sender<Seq>,
    pub(super) sync: SyncStep,
    pub(super) on_fatal: FatalHook,
}

impl Writer {
    /// Works until the queue ends or a write fails.
    pub(super) fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work())).unwrap_or(Err(StoreError::Panicked));
        match outcome {
            Ok(()) => {
                self.view.close();
                tracing::info!(last_seq = self.last.number(), "store closed");
            }
            Err(error) => {
                self.view.halt();
                let (folder, advice) = (self.folder.path().to_owned(), advice_on(&error));
                let error = StoreError::Failed { folder, advice, source: Box::new(error) };
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a write failed; the store has halted and nobody in flight is answered"
                );
                (self.on_fatal)(&error);
            }
        }
        let Self { db, file, folder, .. } = self;
        drop(db);
        folder.release(file);
    }

    fn work(&mut self) -> Result<(), StoreError> {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(job) = self.jobs.try_recv()
            {
                group.push(job);
            }
            self.commit(group)?;
        }
        Ok(())
    }

    /// Judges the group in order, makes it durable, and then answers. After an error nobody is
    /// answered: the replies are dropped unsent.
    fn commit(&mut self, group: Vec<Job>) -> Result<(), StoreError> {
        if let Some(free_bytes) = self.room.shortage() {
            return self.refuse(group, free_bytes);
        }
        if std::mem::take(&mut self.refusing) {
            tracing::info!(folder = %self.folder.path().display(), "there is room again; writes go on");
        }
        let mut pending = Overlay::new();
        let mut last = self.last;
        let mut outcomes = Vec::with_capacity(group.len());
        for Job { transition, reply } in group {
            let commit = judge(&*self.db, &mut pending, &mut last, &transition)?;
            outcomes.push((reply, commit));
        }
        if !pending.is_empty() {
            self.make_durable(&pending)?;
            self.last = last;
            self.view.uncover();
            self.visible.send_replace(last);
        }
        for (reply, commit) in outcomes {
            // A caller who went away no longer wants to know.
            drop(reply.send(commit));
        }
        Ok(())
    }

    /// Answers what needs no write, and refuses the rest.
    fn refuse(&mut self, group: Vec<Job>, free_bytes: u64) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.refusing, true) {
            let full = self.room.full(free_bytes);
            tracing::error!(error = &full as &dyn std::error::Error, "writes are refused until there is room");
        }
        for Job { transition, reply } in group {
            // Each for itself: nothing before it in the group was written.
            let mut last = self.last;
            let commit = match judge(&*self.db, &mut Overlay::new(), &mut last, &transition)? {
                Commit::Committed { .. } => Commit::Fatal(self.room.full(free_bytes)),
                answer @ (Commit::Conflict(_)
                | Commit::Duplicate(_)
                | Commit::Refused(_)
                | Commit::Unknown
                | Commit::Fatal(_)) => answer,
            };
            drop(reply.send(commit));
        }
        Ok(())
    }

    fn make_durable(&mut self, pending: &Overlay) -> Result<(), StoreError> {
        let tree: &sled::Tree = &self.db;
        let value = |key: &Vec<u8>| Ok((key.clone(), Raw::get(tree, key)?));
        let before: Result<Overlay, StoreError> = pending.keys().map(value).collect();
        self.view.cover(before?);

        let applied: sled::transaction::TransactionResult<(), ()> = tree.transaction(|open| {
            for (key, change) in pending {
                match change {
                    Some(value) => open.insert(key.as_slice(), value.as_ref())?,
                    None => open.remove(key.as_slice())?,
                };
            }
            Ok(())
        });
        applied.map_err(|error| match error {
            TransactionError::Storage(error) => StoreError::engine("applied a group", error),
            TransactionError::Abort(()) => StoreError::engine("applied a group", "sled gave up"),
        })?;
        self.db.flush().map_err(|error| StoreError::engine("flushed a group", error))?;
        let blobs = self.blobs.any();
        if blobs.map_err(|error| StoreError::engine("looked for blob files", error))? {
            return Err(StoreError::engine("looked for blob files", "sled made one, and it would never be synced"));
        }
        (self.sync)(&self.file).map_err(|error| StoreError::engine("synced a group", error))
    }
}
