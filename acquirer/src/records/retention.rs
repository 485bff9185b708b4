//! What retention keeps in the place of what it has removed.

use std::time::SystemTime;

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind, Seq};
use prost::Message as _;
use proto::{
    ids::{MerchantId, MerchantReference, OrderId},
    time::unix_millis,
};

use super::{EVENT_MARKS, REMOVED_ORDERS_BY_TIME, from_millis, time_key};
use crate::{
    domain::retention::Marks,
    repository::{Damaged, Entity},
};

/// The marks, in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionMarks(pub Marks);

impl RetentionMarks {
    /// The key of the one record.
    pub const KEY: &'static [u8] = b"marks";
}

impl Entity for RetentionMarks {
    const KIND: Kind = Kind::new("retention");

    fn key(&self) -> Vec<u8> {
        Self::KEY.into()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Marks { trusted, horizon } = self.0;
        MarksBody { trusted_ms: unix_millis(trusted), horizon_ms: unix_millis(horizon) }.encode_to_vec()
    }

    fn from_bytes(_key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = MarksBody::decode(bytes).map_err(|_| Damaged("the marks of retention"))?;
        Ok(Self(Marks { trusted: from_millis(body.trusted_ms), horizon: from_millis(body.horizon_ms) }))
    }
}

/// An order that was removed. As long as this is kept no other order gets its reference, and no result of
/// it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedOrder {
    /// The order.
    pub order: OrderId,
    /// Its shop.
    pub merchant: MerchantId,
    /// The shop's own name for it.
    pub reference: MerchantReference,
    /// When it was removed, by the trusted time.
    pub removed_at: SystemTime,
}

impl RemovedOrder {
    /// The key of an order's trace.
    #[must_use]
    pub fn key_of(order: &OrderId) -> Vec<u8> {
        order.as_str().into()
    }
}

impl Entity for RemovedOrder {
    const KIND: Kind = Kind::new("removed-order");

    fn key(&self) -> Vec<u8> {
        Self::key_of(&self.order)
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(REMOVED_ORDERS_BY_TIME, time_key(self.removed_at))]
    }

    fn to_bytes(&self) -> Vec<u8> {
        let body = RemovedBody {
            merchant: self.merchant.to_string(),
            reference: self.reference.to_string(),
            removed_at_ms: unix_millis(self.removed_at),
        };
        body.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let damaged = || Damaged("a removed order");
        let body = RemovedBody::decode(bytes).map_err(|_| damaged())?;
        Ok(Self {
            order: std::str::from_utf8(key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?,
            merchant: body.merchant.parse().map_err(|_| damaged())?,
            reference: body.reference.parse().map_err(|_| damaged())?,
            removed_at: from_millis(body.removed_at_ms),
        })
    }
}

/// How far a merchant's events were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// The merchant.
    pub merchant: MerchantId,
    /// The last event that was removed; the start where none was.
    pub removed_to: Seq,
}

impl EventMark {
    /// The key of a merchant's mark.
    #[must_use]
    pub fn key_of(merchant: &MerchantId) -> Vec<u8> {
        merchant.as_str().into()
    }
}

impl Entity for EventMark {
    const KIND: Kind = Kind::new("event-mark");

    fn key(&self) -> Vec<u8> {
        Self::key_of(&self.merchant)
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(EVENT_MARKS, self.key())]
    }

    fn to_bytes(&self) -> Vec<u8> {
        EventMarkBody { removed_to: self.removed_to.number() }.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let damaged = || Damaged("a mark of a merchant's events");
        let body = EventMarkBody::decode(bytes).map_err(|_| damaged())?;
        let merchant = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
        Ok(Self { merchant: merchant.ok_or_else(damaged)?, removed_to: Seq::new(body.removed_to) })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct MarksBody {
    #[prost(uint64, tag = "1")]
    trusted_ms: u64,
    #[prost(uint64, tag = "2")]
    horizon_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RemovedBody {
    #[prost(string, tag = "1")]
    merchant: String,
    #[prost(string, tag = "2")]
    reference: String,
    #[prost(uint64, tag = "3")]
    removed_at_ms: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EventMarkBody {
    #[prost(uint64, tag = "1")]
    removed_to: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_record_survives_the_store() {
        let time = from_millis(1_790_000_000_123);
        let marks = RetentionMarks(Marks { trusted: time, horizon: from_millis(7) });
        assert_eq!(RetentionMarks::from_bytes(&marks.key(), marks.to_bytes().into()), Ok(marks));
        let removed = RemovedOrder {
            order: OrderId::from_random([1; 16]),
            merchant: "shop-books".parse().unwrap(),
            reference: "R-1".parse().unwrap(),
            removed_at: time,
        };
        assert_eq!(RemovedOrder::from_bytes(&removed.key(), removed.to_bytes().into()), Ok(removed));
        let mark = EventMark { merchant: "shop-books".parse().unwrap(), removed_to: Seq::new(77) };
        assert_eq!(EventMark::from_bytes(&mark.key(), mark.to_bytes().into()), Ok(mark));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let (key, body) = (bytes.clone(), Bytes::from(bytes));
            let _ = RetentionMarks::from_bytes(&key, body.clone());
            let _ = RemovedOrder::from_bytes(&key, body.clone());
            let _ = EventMark::from_bytes(&key, body);
        }
    }
}
