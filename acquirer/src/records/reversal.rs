//! A reversal that the card network has not acknowledged yet. Written together with the decline whose
//! authorization may still be approved at the network, removed once it is acknowledged.

use std::time::SystemTime;

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::time::unix_millis;

use super::{REVERSALS_DUE, from_millis, time_key};
use crate::{
    domain::attempt::AttemptId,
    repository::{Damaged, Entity},
};

/// One reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The authorization that must not stand.
    pub attempt: AttemptId,
    /// When it was committed.
    pub since: SystemTime,
    /// When to try next.
    pub due: SystemTime,
    /// How many tries have failed.
    pub tries: u32,
}

impl Entity for Reversal {
    const KIND: Kind = Kind::new("reversal");

    fn key(&self) -> Vec<u8> {
        self.attempt.to_string().into_bytes()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(REVERSALS_DUE, time_key(self.due))]
    }

    fn to_bytes(&self) -> Vec<u8> {
        let body = Body { since_ms: unix_millis(self.since), due_ms: unix_millis(self.due), tries: self.tries };
        body.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("a reversal"))?;
        let attempt = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
        Ok(Self {
            attempt: attempt.ok_or(Damaged("a reversal's key"))?,
            since: from_millis(body.since_ms),
            due: from_millis(body.due_ms),
            tries: body.tries,
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Body {
    #[prost(uint64, tag = "1")]
    since_ms: u64,
    #[prost(uint64, tag = "2")]
    due_ms: u64,
    #[prost(uint32, tag = "3")]
    tries: u32,
}
