//! What an operator sees of the outbox and does to it: the orders whose events were given up, and sending
//! them again.

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use mesh::store::{Commit, Cursor, Index, Item, KeyRange, PageRequest, RecordId, Store, StoreError, Transition};
use prost::Message as _;
use proto::{
    ids::{MerchantId, OrderId},
    pb, time,
};

use super::{
    DUE, HEADS, PARKED, PARKED_ORDERS, PARKED_SINCE,
    record::{self, Damaged, Delivery, State},
};

/// Records read at once.
const PAGE: usize = 64;
/// How often a write that met another one is tried again: the worker may promote a delivery at the same moment.
const COMMIT_TRIES_MAX: u32 = 8;
/// The most deliveries of one order that are counted for its shop.
const COUNTED_MAX: usize = 100;

/// An order whose shop did not acknowledge an event for as long as it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedOrder {
    /// The order.
    pub order: OrderId,
    /// Its shop.
    pub merchant: MerchantId,
    /// The position of the first event that was given up.
    pub position: u32,
    /// When that event happened.
    pub occurred_at: SystemTime,
    /// When it was given up.
    pub parked_at: SystemTime,
    /// The order's state after that event.
    pub state: pb::OrderState,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed, where that was kept.
    pub last_failure: Option<String>,
}

impl ParkedOrder {
    /// The event's unique id: the order's, ".", and the position.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}.{}", self.order, self.position)
    }
}

/// What is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// One order's events.
    Order(OrderId),
    /// The events of all orders of a shop.
    Merchant(MerchantId),
}

/// What a replay has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Orders whose events go on.
    pub orders: usize,
    /// Events that wait again.
    pub events: usize,
    /// Whether it ended at its bound, so that events may be left.
    pub has_more: bool,
}

/// A page of what was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPage {
    /// Orders with parked events.
    pub orders: Vec<ParkedOrder>,
    /// The ids of parked events whose record can't be read back.
    pub unreadable: Vec<String>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}

/// What of an order's events its shop has not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unacknowledged {
    /// Events that are still tried, counted up to 100.
    pub waiting: usize,
    /// When the first of them is tried next; a time that has passed means now.
    pub next_try: Option<SystemTime>,
    /// Events that were given up, counted up to 100.
    pub parked: usize,
}

/// Why the outbox can't be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record can't be read back.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A record changed under every try.
    #[error("the outbox record kept changing")]
    Contended,
}

/// A page of the orders with parked events, the longest parked first. It may hold fewer than `limit` and still have
/// a next one, because an order stands at its first parked event alone. What can't be read back is logged, and its
/// id is all that is shown of it.
///
/// # Errors
/// [`ParkedError::Store`].
pub async fn parked(store: &Arc<dyn Store>, page: PageRequest) -> Result<ParkedPage, ParkedError> {
    let page = store.scan(PARKED_SINCE, KeyRange::all(), page).await?;
    let (mut orders, mut unreadable) = (Vec::with_capacity(page.items.len()), Vec::new());
    for item in page.items {
        let record = String::from_utf8_lossy(&item.id.key).into_owned();
        let mut damaged = |error: &dyn fmt::Display| {
            tracing::error!(record, %error, "a parked event can't be read");
            unreadable.push(record.clone());
        };
        let delivery = match Delivery::decode(item.record.body) {
            Ok(delivery) => delivery,
            Err(error) => {
                damaged(&error);
                continue;
            }
        };
        let State::Parked { at } = delivery.state else { continue };
        let first = store.scan(PARKED_ORDERS, of_order(&delivery.order), PageRequest::first(1)).await?;
        if first.items.first().is_some_and(|first| first.id != delivery.id()) {
            continue;
        }
        match event(&delivery) {
            Ok((occurred_at, state)) => orders.push(ParkedOrder {
                order: delivery.order,
                merchant: delivery.merchant,
                position: delivery.position,
                occurred_at,
                parked_at: at,
                state,
                tries: delivery.tries,
                last_failure: delivery.last_failure,
            }),
            Err(error) => damaged(&error),
        }
    }
    Ok(ParkedPage { orders, unreadable, next: page.next })
}

/// Has parked events sent again, order by order. Each order's events go out by position, whenever each was parked,
/// before those of the order that still wait. It ends behind the order with which it has reached `events_max`, so
/// that one call comes to its end in time; call it again where there is more. What the shop has acknowledged meanwhile, because it came
/// behind them, is not sent again: the shop sees by the position that it has heard of a later one.
///
/// What was changed before an error stays changed, so that calling it again goes on.
///
/// # Errors
/// [`ParkedError`].
pub async fn replay(
    store: &Arc<dyn Store>,
    what: &Replay,
    events_max: usize,
    now: SystemTime,
) -> Result<Replayed, ParkedError> {
    let merchant = match what {
        Replay::Order(order) => {
            let events = replay_order(store, order, now).await?;
            return Ok(Replayed { orders: usize::from(events > 0), events, has_more: false });
        }
        Replay::Merchant(merchant) => of_merchant(merchant),
    };
    let (mut orders, mut events) = (BTreeSet::new(), 0);
    let mut after = None;
    loop {
        let page = store.scan(PARKED, merchant.clone(), PageRequest { after, limit: PAGE }).await?;
        for item in page.items {
            let Ok(Delivery { order, .. }) = Delivery::decode(item.record.body) else {
                unreadable(&item.id);
                continue;
            };
            if orders.contains(&order) {
                continue;
            }
            if events >= events_max {
                return Ok(Replayed { orders: orders.len(), events, has_more: true });
            }
            events += replay_order(store, &order, now).await?;
            orders.insert(order);
        }
        match page.next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(Replayed { orders: orders.len(), events, has_more: false }),
        }
    }
}

/// Whether events of it still wait to be sent, as those do that a replay has brought back.
///
/// # Errors
/// [`ParkedError::Store`].
pub async fn waits(store: &Arc<dyn Store>, what: &Replay) -> Result<bool, ParkedError> {
    let (index, range) = match what {
        Replay::Order(order) => (HEADS, of_order(order)),
        Replay::Merchant(merchant) => (DUE, of_merchant(merchant)),
    };
    Ok(!store.scan(index, range, PageRequest::first(1)).await?.items.is_empty())
}

/// What of an order's events its shop has not acknowledged.
///
/// # Errors
/// [`ParkedError`].
pub async fn unacknowledged(store: &Arc<dyn Store>, order: &OrderId) -> Result<Unacknowledged, ParkedError> {
    let of = async |index: Index| store.scan(index, of_order(order), PageRequest::first(COUNTED_MAX)).await;
    let (waiting, parked) = (of(HEADS).await?.items, of(PARKED_ORDERS).await?.items);
    let head = waiting.first().map(|head| Delivery::decode(head.record.body.clone())).transpose()?;
    let next_try = head.and_then(|head| match head.state {
        State::Waiting { due } => Some(due),
        State::Parked { at: _ } => None,
    });
    Ok(Unacknowledged { waiting: waiting.len(), next_try, parked: parked.len() })
}

/// Makes an order's parked events wait again, by position, and says how many.
async fn replay_order(store: &Arc<dyn Store>, order: &OrderId, now: SystemTime) -> Result<usize, ParkedError> {
    let (mut events, mut after) = (0, None);
    loop {
        let page = store.scan(PARKED_ORDERS, of_order(order), PageRequest { after, limit: PAGE }).await?;
        for item in page.items {
            events += usize::from(replay_one(store, item, now).await?);
        }
        match page.next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(events),
        }
    }
}

/// Makes one delivery wait again, and says whether it waits now; not where it is gone. One that can't be read
/// stays where it is.
async fn replay_one(store: &Arc<dyn Store>, item: Item, now: SystemTime) -> Result<bool, ParkedError> {
    let (mut version, mut body) = (item.record.version, item.record.body);
    for _ in 0..COMMIT_TRIES_MAX {
        let Ok(delivery) = Delivery::decode(body) else {
            unreadable(&item.id);
            return Ok(false);
        };
        if matches!(delivery.state, State::Waiting { due: _ }) {
            return Ok(true);
        }
        let replayed = delivery.replayed(now);
        let transition = Transition::new().put(item.id.clone(), version, replayed.encode(), replayed.indexes());
        match store.commit(transition).await {
            Commit::Committed { versions: _, seq: _ } => return Ok(true),
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => {}
            Commit::Refused(limit) => return Err(StoreError::from(limit).into()),
            Commit::Fatal(error) => return Err(error.into()),
        }
        let Some(record) = store.get(&item.id).await? else { return Ok(false) };
        (version, body) = (record.version, record.body);
    }
    Err(ParkedError::Contended)
}

fn unreadable(id: &RecordId) {
    tracing::error!(record = %String::from_utf8_lossy(&id.key), "a parked event can't be read");
}

fn of_merchant(merchant: &MerchantId) -> KeyRange {
    let merchant = merchant.as_str().as_bytes();
    KeyRange::between(record::merchant_start(merchant), record::merchant_end(merchant))
}

fn of_order(order: &OrderId) -> KeyRange {
    KeyRange::prefix(order.as_str().as_bytes())
}

/// When a delivery's event happened, and the order's state after it.
fn event(delivery: &Delivery) -> Result<(SystemTime, pb::OrderState), Damaged> {
    let event = pb::OrderEvent::decode(delivery.event.body.clone()).map_err(|_| Damaged::EVENT)?;
    let occurred_at = event.occurred_at.and_then(|at| time::parse(at).ok()).ok_or(Damaged::EVENT)?;
    Ok((occurred_at, event.state()))
}
