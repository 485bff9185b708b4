//! An engine that keeps everything in memory: for unit tests and simulations.
//!
//! It judges and reads with the same code as the embedded engine, over an ordered map instead of a
//! file. It starts no thread, reads no clock and uses no randomness: the same calls in the same order give
//! the same answers, sequences and versions. Nothing in it survives the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::judge::judge;
use super::raw::Overlay;
use super::{
    Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic, Transition,
    query,
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    visible: watch::Sender<Seq>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Mutex::new(State::default()), visible: watch::Sender::new(Seq::START) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Changes are applied without a point where they could panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<Vec<u8>, Bytes>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = self.state();
        if state.closed {
            return Err(StoreError::Closed);
        }
        read(&state.map)
    }

    fn change(&self, transition: &Transition) -> Result<Commit, StoreError> {
        let mut state = self.state();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let mut pending = Overlay::new();
        let mut last = state.last;
        let commit = judge(&state.map, &mut pending, &mut last, transition)?;
        for (key, change) in pending {
            match change {
                Some(value) => state.map.insert(key, value),
                None => state.map.remove(&key),
            };
        }
        if last > state.last {
            state.last = last;
            self.visible.send_replace(last);
        }
        Ok(commit)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.read(|map| query::record(map, id))
    }

    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(|map| query::answer(map, idempotency_key))
    }

    async fn commit(&self, transition: Transition) -> Commit {
        if let Err(limit) = transition.check() {
            return Commit::Refused(limit);
        }
        self.change(&transition).unwrap_or_else(Commit::Fatal)
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.read(|map| query::scan(map, index, &range, &page))
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|map| query::events(map, topic, after, limit))
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.visible.subscribe()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.read(|_| Ok(()))
    }

    async fn close(&self) {
        self.state().closed = true;
    }
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<Vec<u8>, Bytes>,
    last: Seq,
    closed: bool,
}
