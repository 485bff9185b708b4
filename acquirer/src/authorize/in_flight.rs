//! Which authorizations have a worker in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::domain::attempt::AttemptId;

/// How many authorizations are worked on at once. Work outlives its call, so that a caller that is quick
/// to give up could pile it up; this is far more than what a port has calls in hand, and bounds what they cost.
pub(super) const DECISIONS_MAX: usize = 16_384;

/// The authorizations that are worked on, at most [`DECISIONS_MAX`].
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<AttemptId, watch::Receiver<()>>>);

/// Whether the caller is the worker.
pub(super) enum Entry {
    /// It is, until the slot is dropped.
    Claimed(Slot),
    /// Somebody else is.
    Taken(Worker),
    /// Nobody is, and there is no room for one more.
    Full,
}

/// The right to work on one authorization.
pub(super) struct Slot {
    registry: Arc<InFlight>,
    id: AttemptId,
    /// Dropped after the entry is removed, so that whoever wakes up finds the place free.
    _working: watch::Sender<()>,
}

/// Somebody else's work.
pub(super) struct Worker(watch::Receiver<()>);

impl InFlight {
    /// Claims an authorization, or finds who works on it.
    pub(super) fn enter(registry: &Arc<Self>, id: &AttemptId) -> Entry {
        let mut entries = registry.entries();
        if let Some(taken) = entries.get(id) {
            return Entry::Taken(Worker(taken.clone()));
        }
        if entries.len() >= DECISIONS_MAX {
            return Entry::Full;
        }
        let (working, done) = watch::channel(());
        entries.insert(id.clone(), done);
        Entry::Claimed(Slot { registry: Arc::clone(registry), id: id.clone(), _working: working })
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, watch::Receiver<()>>> {
        // The map is whole between any two calls, and nothing panics in one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.entries().remove(&self.id);
    }
}

impl Worker {
    /// Waits until the work has ended, whatever came of it.
    pub(super) async fn done(mut self) {
        // Nothing is ever sent: the channel closes when the slot is dropped.
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proto::ids::AuthorizationId;

    use super::*;

    #[tokio::test]
    async fn one_works_and_the_others_wait_for_it() {
        let registry = Arc::new(InFlight::default());
        let id = AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) };
        let Entry::Claimed(slot) = InFlight::enter(&registry, &id) else { panic!("the first must work") };
        let Entry::Taken(worker) = InFlight::enter(&registry, &id) else { panic!("the second must wait") };
        let waiting = tokio::spawn(worker.done());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
        assert!(matches!(InFlight::enter(&registry, &id), Entry::Claimed(_)));
    }

    #[test]
    fn the_work_at_once_has_an_end() {
        let registry = Arc::new(InFlight::default());
        let id = |number: usize| {
            let mut random = [0; 16];
            random[..8].copy_from_slice(&number.to_be_bytes());
            AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random(random) }
        };
        let mut slots: Vec<Entry> = (0..DECISIONS_MAX).map(|number| InFlight::enter(&registry, &id(number))).collect();
        assert!(slots.iter().all(|entry| matches!(entry, Entry::Claimed(_))));
        assert!(matches!(InFlight::enter(&registry, &id(DECISIONS_MAX)), Entry::Full));
        assert!(matches!(InFlight::enter(&registry, &id(0)), Entry::Taken(_)), "what is there is still joined");
        slots.pop();
        assert!(matches!(InFlight::enter(&registry, &id(DECISIONS_MAX)), Entry::Claimed(_)));
    }

    #[tokio::test]
    async fn a_worker_that_panics_frees_its_place() {
        let registry = Arc::new(InFlight::default());
        let id = AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) };
        let Entry::Claimed(slot) = InFlight::enter(&registry, &id) else { panic!("the first must work") };
        let work = tokio::spawn(async move {
            let _slot = slot;
            panic!("on purpose");
        });
        assert!(work.await.is_err());
        assert!(matches!(InFlight::enter(&registry, &id), Entry::Claimed(_)));
    }
}
