//! A card network inside the acquirer's process, for sandboxes and tests.

use std::{fmt, future, sync::Arc};

use async_trait::async_trait;
use mesh::{
    clock::Clock,
    store::{Commit, Store, StoreError, Transition, Version},
};

use super::{
    AuthorizationNetwork, Inquiry, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Sale,
    record::{Entry, State, record_id},
    rules,
};

/// How often a write that met another one is tried again. An authorization's record changes twice
/// in its life at most, so more conflicts than that mean that something else is wrong.
const COMMIT_TRIES_MAX: u32 = 4;

/// The simulated network. Each decision is in the store before anybody hears of it, so that after a crash
/// an inquiry tells the truth and the same request gets the same answer.
///
/// [`Behaviour::of`](super::Behaviour::of) and [`test_cards`](super::test_cards) say what it decides.
/// A request that asks again gets the answer no earlier than the first one; once an authorization
/// is reversed that was approved or never seen, every answer about it is a decline with DO_NOT_HONOR. A silent card's request never
/// ends, so put a deadline on it.
pub struct SimulatedNetwork {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl SimulatedNetwork {
    /// A network that keeps its decisions in this store, in records of the kind `network`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    async fn load(&self, id: &NetworkId) -> Result<Option<(Entry, Version)>, NetworkError> {
        let record = self.store.get(&record_id(id)).await.map_err(unreachable)?;
        record.map(|record| Ok((Entry::decode(record.body).map_err(unreachable)?, record.version))).transpose()
    }

    /// Writes an entry; `false` where somebody else may have written meanwhile, so that it has to be loaded.
    async fn save(&self, id: &NetworkId, entry: &Entry, expected: Version) -> Result<bool, NetworkError> {
        let transition = Transition::new().put(record_id(id), expected, entry.encode(), Vec::new());
        match self.store.commit(transition).await {
            Commit::Committed { versions: _, seq: _ } => Ok(true),
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => Ok(false),
            Commit::Refused(limit) => Err(unreachable(limit)),
            Commit::Fatal(error) => Err(unreachable(error)),
        }
    }

    /// The entry that decides this request: the one that is there, or else a new one.
    async fn decide(&self, request: &NetworkRequest) -> Result<Entry, NetworkError> {
        for _ in 0..COMMIT_TRIES_MAX {
            if let Some((entry, _)) = self.load(&request.id).await? {
                return if entry.is_about(&request.sale()) { Ok(entry) } else { Err(NetworkError::OtherContent) };
            }
            let now = self.clock.now();
            let ruling = rules::rule(&request.id, &request.card, now);
            let state = State::Decided { decision: ruling.decision, tell_at: ruling.after.map(|after| now + after) };
            let entry = Entry { asked: Some(request.sale()), state };
            if self.save(&request.id, &entry, Version::ABSENT).await? {
                return Ok(entry);
            }
        }
        Err(contended())
    }
}

#[async_trait]
impl AuthorizationNetwork for SimulatedNetwork {
    async fn authorize(&self, request: NetworkRequest) -> Result<NetworkDecision, NetworkError> {
        let mut entry = self.decide(&request).await?;
        let id = request.id.clone();
        // The card is not needed any more, and the wait for an answer can be long.
        drop(request);
        loop {
            match entry.state.told_at(self.clock.now()) {
                Inquiry::Approved(code) => return Ok(NetworkDecision::Approved(code)),
                Inquiry::Declined(reason) => return Ok(NetworkDecision::Declined(reason)),
                Inquiry::Unknown => {}
            }
            match entry.state {
                State::Decided { decision: _, tell_at: Some(at) } => self.clock.sleep_until(at).await,
                State::Decided { decision: _, tell_at: None } | State::Reversed => future::pending().await,
            }
            // It may have been reversed meanwhile. Entries are never removed.
            let reloaded = self.load(&id).await?;
            entry = reloaded.map(|(entry, _)| entry).ok_or_else(|| unreachable(StoreError::Corrupt("network")))?;
        }
    }

    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError> {
        match self.load(id).await? {
            Some((entry, _)) if !entry.is_about(sale) => Err(NetworkError::OtherContent),
            Some((entry, _)) => Ok(entry.state.told_at(self.clock.now())),
            None => Ok(Inquiry::Unknown),
        }
    }

    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (asked, version) = match self.load(id).await? {
                Some((entry, _)) if !entry.is_about(sale) => return Err(NetworkError::OtherContent),
                Some((entry, _)) if entry.state.is_no_approval() => return Ok(()),
                Some((entry, version)) => (entry.asked, version),
                None => (None, Version::ABSENT),
            };
            if self.save(id, &Entry { asked, state: State::Reversed }, version).await? {
                return Ok(());
            }
        }
        Err(contended())
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNetwork").finish_non_exhaustive()
    }
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> NetworkError {
    NetworkError::Unreachable(error.into())
}

fn contended() -> NetworkError {
    NetworkError::Unreachable("the record kept changing".into())
}

#[cfg(test)]
mod tests;
