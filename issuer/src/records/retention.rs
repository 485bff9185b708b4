//! What retention goes by.

use mesh::store::Kind;

use super::{Entity, Key};

/// The time that removal trusts, in one record; see [`mesh::clock::Trusted`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct RetentionMark {
    /// In milliseconds since 1970; only grows.
    #[prost(uint64, tag = "1")]
    pub trusted_ms: u64,
}

impl RetentionMark {
    /// Where the one record stands.
    #[must_use]
    pub fn at() -> Key<Self> {
        Key::new(b"mark".as_slice())
    }
}

impl Entity for RetentionMark {
    const KIND: Kind = Kind::new("retention");

    fn key(&self) -> Key<Self> {
        Self::at()
    }
}
