//! Every authorization that the card network holds, durable before anybody hears of it.
//!
//! An entry is written by the first message about its authorization, whether that is a request or a reversal.
//! A reversal wins whenever it comes: before the request, so that the request is declined; before the decision,
//! so that a late approval is never made; after it, so that the card gets its money back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh::clock::Clock;
use mesh::store::{
    Commit, Cursor, Index, IndexEntry, KeyRange, Kind, PageRequest, RecordId, Store, StoreError, Transition, Version,
};
use proto::authorization::{Decision, DeclineReason};
use proto::ids::{AcquirerId, AuthorizationId, IssuerId};

mod entry;

pub use entry::{Asked, Entry, State};

const KIND: Kind = Kind::new("authorization");
const BY_ID: Index = Index::new("authorization.id");
/// How often a write that met another one is tried again. Only messages about one authorization meet.
const COMMIT_TRIES_MAX: u32 = 64;
/// The reason of a reversed authorization. A network gives no better one.
const REVERSED: DeclineReason = DeclineReason::DoNotHonor;

/// What names an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// The acquirer that asks.
    pub acquirer: AcquirerId,
    /// The issuer that asked it.
    pub issuer: IssuerId,
    /// The issuer's authorization.
    pub authorization: AuthorizationId,
}

impl Id {
    fn key(&self) -> Vec<u8> {
        format!("{}/{}/{}", self.acquirer, self.issuer, self.authorization).into_bytes()
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.split('/');
        let (acquirer, issuer, authorization) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            acquirer: acquirer.parse().ok()?,
            issuer: issuer.parse().ok()?,
            authorization: authorization.parse().ok()?,
        })
    }
}

/// How a new authorization is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// How much later it is made.
    pub after: Duration,
    /// Whether anybody is ever told.
    pub is_told: bool,
}

/// Why the ledger did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record can't be read back.
    #[error("an entry of the ledger is damaged")]
    Damaged,
    /// The id stands for another amount or merchant.
    #[error("the authorization id stands for another amount or merchant")]
    OtherContent,
    /// A record changed under every try.
    #[error("an entry of the ledger kept changing")]
    Contended,
}

/// The ledger. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Ledger {
    /// The ledger in this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Takes an authorization request in. A repeat changes nothing but the count.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn request(&self, id: &Id, asked: &Asked, verdict: Verdict) -> Result<(), LedgerError> {
        self.change(id, |entry, now| {
            let mut entry = entry.unwrap_or_else(|| Entry::new(State::new(verdict, now), now));
            entry.must_be_about(asked)?;
            entry.asked.get_or_insert_with(|| asked.clone());
            entry.requests += 1;
            Ok(entry)
        })
        .await
    }

    /// Waits until the network tells what it decided; for ever where it never does.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn told(&self, id: &Id) -> Result<Decision, LedgerError> {
        loop {
            let (entry, _) = self.load(id).await?.ok_or(LedgerError::Damaged)?;
            match entry.state.told_at(self.clock.now()) {
                Some(decision) => return Ok(decision),
                // Looked at again soon, because a reversal ends the waiting.
                None => self.clock.sleep(LOOK_PERIOD).await,
            }
        }
    }

    /// What the network says of an authorization now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn inquire(&self, id: &Id, asked: &Asked) -> Result<Option<Decision>, LedgerError> {
        let now = self.clock.now();
        let Some((entry, _)) = self.load(id).await? else { return Ok(None) };
        entry.must_be_about(asked)?;
        Ok(entry.state.told_at(now))
    }

    /// Reverses an authorization, known or not, but for one of another payment.
    ///
    /// # Errors
    /// [`LedgerError`]; it is not acknowledged then.
    pub async fn reverse(&self, id: &Id, asked: &Asked) -> Result<(), LedgerError> {
        self.change(id, |entry, now| {
            let mut entry = entry.unwrap_or_else(|| Entry::new(State::Reversed { approval: None }, now));
            entry.must_be_about(asked)?;
            entry.state = entry.state.reversed();
            entry.reversals += 1;
            Ok(entry)
        })
        .await
    }

    /// A page of an acquirer's authorizations, in the order of their ids.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn list(
        &self,
        acquirer: &AcquirerId,
        page: PageRequest,
    ) -> Result<(Vec<(Id, Entry)>, Option<Cursor>), LedgerError> {
        let range = KeyRange::prefix(format!("{acquirer}/"));
        let page = self.store.scan(BY_ID, range, page).await?;
        let read = |item: mesh::store::Item| {
            let id = Id::parse(&item.id.key).ok_or(LedgerError::Damaged)?;
            Ok((id, Entry::decode(item.record.body).ok_or(LedgerError::Damaged)?))
        };
        let entries: Result<_, LedgerError> = page.items.into_iter().map(read).collect();
        Ok((entries?, page.next))
    }

    /// The time by which entries are judged.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Lets go of the store.
    pub async fn close(&self) {
        self.store.close().await;
    }

    async fn load(&self, id: &Id) -> Result<Option<(Entry, Version)>, LedgerError> {
        let Some(record) = self.store.get(&RecordId::new(KIND, id.key())).await? else { return Ok(None) };
        Ok(Some((Entry::decode(record.body).ok_or(LedgerError::Damaged)?, record.version)))
    }

    async fn change(
        &self,
        id: &Id,
        decide: impl Fn(Option<Entry>, SystemTime) -> Result<Entry, LedgerError>,
    ) -> Result<(), LedgerError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (entry, version) = self.load(id).await?.map_or((None, Version::ABSENT), |(e, v)| (Some(e), v));
            let changed = decide(entry, self.clock.now())?;
            let indexes = vec![IndexEntry::new(BY_ID, id.key())];
            let transition = Transition::new().put(RecordId::new(KIND, id.key()), version, changed.encode(), indexes);
            match self.store.commit(transition).await {
                Commit::Committed { versions: _, seq: _ } => return Ok(()),
                Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => {}
                Commit::Refused(limit) => return Err(StoreError::from(limit).into()),
                Commit::Fatal(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Contended)
    }
}

/// How often an untold decision is looked at again.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
