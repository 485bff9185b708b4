//! What an operator sees of the outbox and does to it: the orders whose events were given up, and sending
//! them again.

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use mesh::store::{Commit, Cursor, Index, Item, KeyRange, PageRequest, Store, StoreError, Transition};
use prost::Message as _;
use proto::{
    ids::{MerchantId, OrderId},
    pb, time,
};

use super::{
    HEADS, PARKED, PARKED_ORDERS, PARKED_SINCE,
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

/// A page of the orders with parked events, the longest parked first, and where the next page begins. It may hold
/// fewer than `limit` and still have a next one, because an order stands at its first parked event alone. What
/// can't be read back is logged and left out.
///
/// # Errors
/// [`ParkedError::Store`].
pub async fn parked(
    store: &Arc<dyn Store>,
    page: PageRequest,
) -> Result<(Vec<ParkedOrder>, Option<Cursor>), ParkedError> {
    let page = store.scan(PARKED_SINCE, KeyRange::all(), page).await?;
    let mut orders = Vec::with_capacity(page.items.len());
    for item in page.items {
        let record = String::from_utf8_lossy(&item.id.key).into_owned();
        let damaged = |error: &dyn fmt::Display| tracing::error!(record, %error, "a parked event can't be shown");
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
    Ok((orders, page.next))
}

/// Has parked events sent again, and says of how many orders. Each order's events go out by position,
/// before those of the order that still wait. What the shop has acknowledged meanwhile, because it came
/// behind them, is not sent again: the shop sees by the position that it has heard of a later one.
///
/// What was changed before an error stays changed, so that calling it again goes on.
///
/// # Errors
/// [`ParkedError`].
pub async fn replay(store: &Arc<dyn Store>, what: &Replay, now: SystemTime) -> Result<usize, ParkedError> {
    let (index, range) = match what {
        Replay::Order(order) => (PARKED_ORDERS, of_order(order)),
        Replay::Merchant(merchant) => {
            let merchant = merchant.as_str().as_bytes();
            (PARKED, KeyRange::between(record::merchant_start(merchant), record::merchant_end(merchant)))
        }
    };
    let mut orders = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.scan(index, range.clone(), PageRequest { after, limit: PAGE }).await?;
        for item in page.items {
            orders.extend(replay_one(store, item, now).await?);
        }
        match page.next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(orders.len()),
        }
    }
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

/// Makes one delivery wait again, and says of which order; none where it is not parked any more. One that
/// can't be read stays where it is.
async fn replay_one(store: &Arc<dyn Store>, item: Item, now: SystemTime) -> Result<Option<OrderId>, ParkedError> {
    let (mut version, mut body) = (item.record.version, item.record.body);
    for _ in 0..COMMIT_TRIES_MAX {
        let Ok(delivery) = Delivery::decode(body) else {
            tracing::error!(record = %String::from_utf8_lossy(&item.id.key), "a parked event can't be read");
            return Ok(None);
        };
        if matches!(delivery.state, State::Waiting { due: _ }) {
            return Ok(Some(delivery.order));
        }
        let replayed = delivery.replayed(now);
        let transition = Transition::new().put(item.id.clone(), version, replayed.encode(), replayed.indexes());
        match store.commit(transition).await {
            Commit::Committed { versions: _, seq: _ } => return Ok(Some(replayed.order)),
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Unknown => {}
            Commit::Refused(limit) => return Err(StoreError::from(limit).into()),
            Commit::Fatal(error) => return Err(error.into()),
        }
        let Some(record) = store.get(&item.id).await? else { return Ok(None) };
        (version, body) = (record.version, record.body);
    }
    Err(ParkedError::Contended)
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
