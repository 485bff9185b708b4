//! What a merchant has taken in one day.

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::{ids::MerchantId, money::Money, pb};

use crate::{
    domain::merchant::{Day, Totals},
    repository::{Damaged, Entity},
};

/// A merchant's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantDay {
    /// The merchant.
    pub merchant: MerchantId,
    /// The day, in UTC.
    pub day: Day,
    /// What it has taken.
    pub totals: Totals,
}

impl MerchantDay {
    /// The key of a merchant's day.
    #[must_use]
    pub fn key_of(merchant: &MerchantId, day: Day) -> Vec<u8> {
        [merchant.as_str().as_bytes(), b"/", &day.0.to_be_bytes()].concat()
    }
}

impl Entity for MerchantDay {
    const KIND: Kind = Kind::new("merchant-day");

    fn key(&self) -> Vec<u8> {
        Self::key_of(&self.merchant, self.day)
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    fn to_bytes(&self) -> Vec<u8> {
        Body { sums: self.totals.sums().map(Money::to_pb).collect() }.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("a merchant's day"))?;
        let (head, day) = key.split_last_chunk().ok_or(Damaged("a merchant's day"))?;
        let merchant = head.strip_suffix(b"/").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        let sums: Result<Totals, _> = body.sums.into_iter().map(Money::parse).collect();
        Ok(Self {
            merchant: merchant.ok_or(Damaged("a merchant's day"))?,
            day: Day(u32::from_be_bytes(*day)),
            totals: sums.map_err(|_| Damaged("a merchant's total"))?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(message, repeated, tag = "1")]
    sums: Vec<pb::Money>,
}
