//! How far the trail's files have come, as the store remembers it.

use mesh::{audit::Head, store::Kind};
use proto::digest::Digest;

use crate::records::{Damaged, Entity, Key};

/// The last entry that is known to be durable in the trail's files. There is one such record.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuditHead {
    /// The line's number.
    #[prost(uint64, tag = "1")]
    n: u64,
    /// The entry's place in the order of the store's events.
    #[prost(uint64, tag = "2")]
    seq: u64,
    /// The line's hash, 32 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    hash: bytes::Bytes,
}

impl AuditHead {
    /// Where the record stands.
    pub(super) fn at() -> Key<Self> {
        Key::new("head")
    }

    pub(super) fn of(head: &Head) -> Self {
        Self { n: head.n, seq: head.seq, hash: head.hash.to_bytes() }
    }

    pub(super) fn head(&self) -> Result<Head, Damaged> {
        let hash = self.hash.as_ref().try_into().map_err(|_| Damaged { kind: "audit head", field: "hash" })?;
        Ok(Head { n: self.n, seq: self.seq, hash: Digest::from_bytes(hash) })
    }
}

impl Entity for AuditHead {
    const KIND: Kind = Kind::new("audit.head");

    fn key(&self) -> Key<Self> {
        Self::at()
    }
}
