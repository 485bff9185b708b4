//! What the acquirer keeps, and the bytes in which it keeps it.
//!
//! Each record is a type of the domain with a protobuf body of its own, written here as a plain struct
//! with fixed tags: a tag is never given to another field, so that tomorrow's code reads today's data.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh::store::Index;

mod attempt;
mod browser;
mod day;
mod lines;
mod order;
mod retention;
mod reversal;

pub use attempt::Attempt;
pub use browser::{DeviceKey, PageBrowser};
pub use day::MerchantDay;
pub use lines::Lines;
pub use order::KeptOrder;
pub use retention::{EventMark, RemovedOrder, RetentionMarks};
pub use reversal::Reversal;

/// Every order by merchant and time of creation; see [`KeptOrder::merchant_prefix`].
pub const ORDERS_BY_MERCHANT: Index = Index::new("order.merchant");
/// Open orders by the millisecond of their deadline.
pub const OPEN_ORDERS_BY_EXPIRY: Index = Index::new("order.expires");
/// Authorizations that are being decided, by the millisecond of the card network's deadline.
pub const ATTEMPTS_DECIDING: Index = Index::new("attempt.deciding");
/// Reversals that the card network has not acknowledged, by the millisecond of the next try.
pub const REVERSALS_DUE: Index = Index::new("reversal.due");
/// Authorizations with a result, by the millisecond in which their request was signed.
pub const ATTEMPTS_DECIDED: Index = Index::new("attempt.decided");
/// The traces of removed orders, by the millisecond of the removal.
pub const REMOVED_ORDERS_BY_TIME: Index = Index::new("order.removed");
/// The merchants that retention has met, by their ids.
pub const EVENT_MARKS: Index = Index::new("event.mark");

/// A time as the key of an index: eight big-endian bytes, so that keys sort as times do.
#[must_use]
pub fn time_key(time: SystemTime) -> Vec<u8> {
    proto::time::unix_millis(time).to_be_bytes().to_vec()
}

/// The time of a stored number of milliseconds.
pub(crate) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests;
