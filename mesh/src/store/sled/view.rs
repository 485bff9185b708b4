//! What readers see of the tree: durable state only.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::store::StoreError;
use crate::store::raw::{Layered, Overlay, Pairs, Raw};

/// The tree under a cover that hides the group in flight.
///
/// The writer changes the tree only between [`View::cover`] and [`View::uncover`], and only keys
/// that the cover names. A reader holds the lock throughout, so for it the cover doesn't change: either there
/// is none and the tree is durable, or each key that may be changing is answered by the cover.
pub(super) struct View {
    state: RwLock<State>,
}

enum State {
    Open { db: sled::Db, cover: Overlay },
    Closed,
    Halted,
}

impl View {
    pub(super) fn new(db: sled::Db) -> Self {
        let cover = Overlay::new();
        Self { state: RwLock::new(State::Open { db, cover }) }
    }

    /// Reads durable state. Nothing is committed visibly while this runs.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Layered<'_, sled::Tree>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.shared() {
            State::Open { db, cover } => read(&Layered { base: db, overlay: cover }),
            State::Closed => Err(StoreError::Closed),
            State::Halted => Err(StoreError::Halted),
        }
    }

    /// Hides the keys that are about to change behind the values they have.
    pub(super) fn cover(&self, values: Overlay) {
        if let State::Open { cover, .. } = &mut *self.exclusive() {
            *cover = values;
        }
    }

    /// Shows the tree as it is, which is durable now.
    pub(super) fn uncover(&self) {
        self.cover(Overlay::new());
    }

    /// Refuses all further reads and lets go of the tree.
    pub(super) fn close(&self) {
        let mut state = self.exclusive();
        if matches!(*state, State::Open { .. }) {
            *state = State::Closed;
        }
    }

    /// Refuses all further reads. The writer's handle keeps the tree alive, so that dropping it
    /// here doesn't begin sled's shutdown.
    pub(super) fn halt(&self) {
        *self.exclusive() = State::Halted;
    }

    // A poisoned lock means that the writer panicked while it changed the state, and then it halts;
    // each change is one assignment, so there is no half of it to see.
    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Raw for sled::Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = sled::Tree::get(self, key).map_err(read_failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, start: &[u8], end: &[u8]) -> Pairs<'_> {
        if start >= end {
            return Box::new(std::iter::empty());
        }
        let pairs = sled::Tree::range::<&[u8], _>(self, start..end);
        Box::new(pairs.map(|pair| {
            let (key, value) = pair.map_err(read_failed)?;
            Ok((key.to_vec(), Bytes::copy_from_slice(&value)))
        }))
    }
}

fn read_failed(error: sled::Error) -> StoreError {
    StoreError::engine("read", error)
}
