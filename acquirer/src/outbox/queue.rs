//! What the outbox reads from the store and writes there.

use std::{sync::Arc, time::SystemTime};

use mesh::store::{Commit, Cursor, IndexEntry, Item, KeyRange, PageRequest, Store, StoreError, Transition, Version};
use proto::{ids::OrderId, time};

use super::{
    DUE, HEADS, PARKED, PARKED_SINCE,
    record::{self, BACK_OFF_MAX, Damaged, Delivery, State},
};

/// Records read at once. Most passes find less, and a page of this size is at most a few hundred KiB.
const PAGE: usize = 64;
/// How often a write that met another one is tried again. An order's deliveries change one at a time, so
/// that only an event that is queued at the same moment can come between.
const COMMIT_TRIES_MAX: u32 = 8;

/// Why the store did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("the record kept changing")]
    Contended,
}

/// A delivery as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) delivery: Delivery,
    pub(super) version: Version,
}

#[derive(Clone)]
pub(super) struct Queue {
    store: Arc<dyn Store>,
}

impl Queue {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The first merchant at or behind this key that has something waiting, and its earliest due time.
    pub(super) async fn next_merchant(&self, from: Vec<u8>) -> Result<Option<(Vec<u8>, SystemTime)>, QueueError> {
        self.first_due(KeyRange::starting_at(from)).await
    }

    /// When the merchant's earliest delivery after this time is due.
    pub(super) async fn due_after(&self, merchant: &[u8], now: SystemTime) -> Result<Option<SystemTime>, QueueError> {
        let range = KeyRange::between(record::behind_due_key(merchant, now), record::merchant_end(merchant));
        Ok(self.first_due(range).await?.map(|(_, due)| due))
    }

    async fn first_due(&self, range: KeyRange) -> Result<Option<(Vec<u8>, SystemTime)>, QueueError> {
        let page = self.store.scan(DUE, range, PageRequest::first(1)).await?;
        let Some(item) = page.items.first() else { return Ok(None) };
        let (merchant, due) = record::split_due_key(&item.index_key).ok_or(StoreError::Corrupt("a due key"))?;
        Ok(Some((merchant.to_vec(), due)))
    }

    /// A page of one of a merchant's [`due_ranges`], the most overdue first, and how to ask for the next page.
    pub(super) async fn due(
        &self,
        range: KeyRange,
        after: Option<Cursor>,
    ) -> Result<(Vec<Item>, Option<Cursor>), QueueError> {
        let page = self.store.scan(DUE, range, PageRequest { after, limit: PAGE }).await?;
        Ok((page.items, page.next))
    }

    /// The delivery of the order that goes first.
    pub(super) async fn head(&self, order: &OrderId) -> Result<Option<Stored>, QueueError> {
        Ok(self.waiting(order, 1).await?.into_iter().next())
    }

    async fn waiting(&self, order: &OrderId, limit: usize) -> Result<Vec<Stored>, QueueError> {
        let range = KeyRange::prefix(order.as_str().as_bytes());
        let page = self.store.scan(HEADS, range, PageRequest::first(limit)).await?;
        page.items.into_iter().map(|item| Ok(Stored::of(item)?)).collect()
    }

    /// The merchant has acknowledged: the record goes, and the order's next event is due, in one commit.
    pub(super) async fn acknowledged(&self, delivery: &Delivery, now: SystemTime) -> Result<(), QueueError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let Some(record) = self.store.get(&delivery.id()).await? else { return Ok(()) };
            let transition = Transition::new().remove(delivery.id(), record.version);
            let transition = self.promote_next(transition, delivery, now, None).await?;
            if self.commit(transition).await? {
                return Ok(());
            }
        }
        Err(QueueError::Contended)
    }

    /// A try failed: the delivery waits again, or is parked and lets the order's next event pass.
    pub(super) async fn failed(&self, delivery: &Delivery, now: SystemTime) -> Result<(), QueueError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let Some(record) = self.store.get(&delivery.id()).await? else { return Ok(()) };
            let mut transition = put(Transition::new(), delivery, record.version);
            if matches!(delivery.state, State::Parked { at: _ }) {
                transition = self.promote_next(transition, delivery, now, Some(delivery)).await?;
            }
            if self.commit(transition).await? {
                return Ok(());
            }
        }
        Err(QueueError::Contended)
    }

    /// Moves a delivery that waits for another one out of the way until that one is due. A conflict
    /// means that it has changed already, which the next pass will see.
    pub(super) async fn defer(&self, waiting: Stored, until: SystemTime) -> Result<(), QueueError> {
        let delivery = Delivery { state: State::Waiting { due: until }, ..waiting.delivery };
        self.commit(put(Transition::new(), &delivery, waiting.version)).await?;
        Ok(())
    }

    /// Parks a record that cannot be read, unchanged, so that an operator finds it and the others pass.
    pub(super) async fn set_aside(&self, item: Item, merchant: &[u8], now: SystemTime) -> Result<(), QueueError> {
        let since = time::unix_millis(now).to_be_bytes();
        let parked = vec![IndexEntry::new(PARKED, record::key(merchant, now)), IndexEntry::new(PARKED_SINCE, since)];
        let transition = Transition::new().put(item.id, item.record.version, item.record.body, parked);
        self.commit(transition).await?;
        Ok(())
    }

    async fn promote_next(
        &self,
        transition: Transition,
        done: &Delivery,
        now: SystemTime,
        parked: Option<&Delivery>,
    ) -> Result<Transition, QueueError> {
        let waiting = self.waiting(&done.order, 2).await?;
        let Some(next) = waiting.into_iter().find(|stored| stored.delivery.position != done.position) else {
            return Ok(transition);
        };
        let promoted = next.delivery.clone().promoted(now, parked);
        if promoted == next.delivery { Ok(transition) } else { Ok(put(transition, &promoted, next.version)) }
    }

    /// Whether it was committed; if not, something may have changed and has to be loaded again.
    async fn commit(&self, transition: Transition) -> Result<bool, QueueError> {
        match self.store.commit(transition).await {
            Commit::Committed { versions: _, seq: _ } => Ok(true),
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => Ok(false),
            Commit::Refused(limit) => Err(StoreError::from(limit).into()),
            Commit::Fatal(error) => Err(error.into()),
        }
    }
}

impl Stored {
    pub(super) fn of(item: Item) -> Result<Self, Damaged> {
        Ok(Self { delivery: Delivery::decode(item.record.body)?, version: item.record.version })
    }
}

/// Where the deliveries of a merchant are that are due: those whose time has come, and those whose time lies
/// further ahead than the longest wait, which were written before the clock was set back.
pub(super) fn due_ranges(merchant: &[u8], now: SystemTime) -> [KeyRange; 2] {
    [
        KeyRange::between(record::merchant_start(merchant), record::behind_due_key(merchant, now)),
        KeyRange::between(record::behind_due_key(merchant, now + BACK_OFF_MAX), record::merchant_end(merchant)),
    ]
}

fn put(transition: Transition, delivery: &Delivery, expected: Version) -> Transition {
    transition.put(delivery.id(), expected, delivery.encode(), delivery.indexes())
}
