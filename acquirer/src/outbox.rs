//! Tells merchants what happened to their orders, and does not stop before they have heard it.
//!
//! An event is queued by [`enqueue`] in the very transition that makes it, and its record is removed
//! once the merchant has acknowledged it. Everything in between is in the store, so a crash at any
//! point costs a repeat at most: a merchant may hear of an event twice, and misses none.
//!
//! - One order's events go out strictly by position: the next one waits until this one is
//!   acknowledged or parked.
//! - Merchants do not wait for each other: each has its own range of the due index and its own slots.
//! - A merchant without an endpoint hears by `WatchOrders` alone; nothing is queued for it.
//! - What was tried for 72 hours in vain is parked. An operator lists it ([`parked`]) and has it sent again
//!   ([`replay`]).

mod courier;
mod flights;
mod parked;
mod queue;
mod record;
mod worker;

pub use courier::{Courier, CourierError, DELIVERY_TIME_MAX, DeliveryError, MeshCourier};
pub use parked::{
    ParkedError, ParkedOrder, ParkedPage, Replay, Replayed, Unacknowledged, parked, replay, unacknowledged, waits,
};
pub use record::{BACK_OFF_MAX, BACK_OFF_MIN, Damaged, Delivery, State, TRY_FOR};
pub use worker::Worker;

use mesh::store::{Index, Kind, Transition, Version};
use proto::{event::OrderEvent, signed::Signed};

/// The kind of the records: one per event that is not acknowledged, under the event's id.
pub const KIND: Kind = Kind::new("outbox");
/// The deliveries that wait, by merchant and due time.
pub const DUE: Index = Index::new("outbox.due");
/// The deliveries that wait, by order and position; an order's first entry is the one to deliver next.
pub const HEADS: Index = Index::new("outbox.order");
/// The deliveries that were given up, by merchant and time.
pub const PARKED: Index = Index::new("outbox.parked");
/// The same by order and position.
pub const PARKED_ORDERS: Index = Index::new("outbox.parked.order");
/// The same by time.
pub const PARKED_SINCE: Index = Index::new("outbox.parked.since");

/// Adds the delivery of a new event to the transition that makes the event: one write. Call it only for
/// a merchant that has a notification endpoint.
#[must_use]
pub fn enqueue(transition: Transition, event: &OrderEvent, signed: &Signed) -> Transition {
    let delivery = Delivery::of(event, signed);
    transition.put(delivery.id(), Version::ABSENT, delivery.encode(), delivery.indexes())
}
