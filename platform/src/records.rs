//! What the platform keeps, as it stands in the store: one protobuf message for each kind of record.
//!
//! Tags are never used for something else, so that tomorrow's code reads today's data. Times are whole
//! milliseconds since 1970. A code is kept as its digest, so that a stolen store redeems nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesh::store::{Index, IndexEntry, Kind};
use proto::pb;

/// Entries by the directory's version that they came with: one place for each member.
pub const INDEX_ENTRY_BY_VERSION: Index = Index::new("entry.version");
/// The operator's certificates by their key ids.
pub const INDEX_OPERATOR: Index = Index::new("operator.key");
/// Checkouts by the time of their end.
pub const INDEX_CHECKOUT_BY_END: Index = Index::new("checkout.end");
/// Codes by the time of their end.
pub const INDEX_CODE_BY_END: Index = Index::new("code.end");

/// A kind of record.
pub trait Entity: prost::Message + Default + Send + Sync + 'static {
    /// Its name in the store.
    const NAME: &'static str;
    /// Its kind in the store.
    const KIND: Kind = Kind::new(Self::NAME);

    /// Its key, unique within its kind.
    fn key(&self) -> Vec<u8>;

    /// Under which index keys it is found.
    fn indexes(&self) -> Vec<IndexEntry>;
}

/// A stored record that this code can't read: damage, or data of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {kind} has no readable {field}")]
pub struct Damaged {
    /// The kind of record.
    pub kind: &'static str,
    /// The field.
    pub field: &'static str,
}

/// A member's entry in force, by member id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntryRecord {
    /// The member.
    #[prost(string, tag = "1")]
    pub member: String,
    /// What the operator signed.
    #[prost(message, optional, tag = "2")]
    pub entry: Option<pb::Signed>,
    /// The directory's version with this entry.
    #[prost(uint64, tag = "3")]
    pub directory_version: u64,
}

/// One of the operator's certificates that has signed an entry, by its key id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorRecord {
    /// The key id, as entries name it.
    #[prost(string, tag = "1")]
    pub key_id: String,
    /// The certificate in DER form.
    #[prost(bytes = "bytes", tag = "2")]
    pub certificate: Bytes,
}

/// The one record about the directory as a whole. Every change writes it, so that changes happen one
/// after another whoever makes them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DirectoryRecord {
    /// Counts the changes.
    #[prost(uint64, tag = "1")]
    pub version: u64,
}

/// A published order, by checkout id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckoutRecord {
    /// The checkout.
    #[prost(string, tag = "1")]
    pub checkout: String,
    /// The acquirer's signed order.
    #[prost(message, optional, tag = "2")]
    pub order: Option<pb::Signed>,
    /// The order's expiry.
    #[prost(uint64, tag = "3")]
    pub order_expires_at_ms: u64,
    /// The digests of its codes, the oldest first.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub codes: Vec<Bytes>,
    /// The digests of what the browsers hold in their cookies that may open its picker, the first one first.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub browsers: Vec<Bytes>,
    /// The acquirer's payment page; empty where it isn't known.
    #[prost(string, tag = "6")]
    pub payment_url: String,
    /// Whether the next browser that opens the picker may, because the acquirer has just led one there.
    #[prost(bool, tag = "7")]
    pub admits_next: bool,
}

/// A code that was handed out, by its digest.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CodeRecord {
    /// SHA-256 of the code's text.
    #[prost(bytes = "bytes", tag = "1")]
    pub digest: Bytes,
    /// The checkout.
    #[prost(string, tag = "2")]
    pub checkout: String,
    /// The bank that was picked.
    #[prost(string, tag = "3")]
    pub bank: String,
    /// After this it can't be redeemed.
    #[prost(uint64, tag = "4")]
    pub expires_at_ms: u64,
    /// SHA-256 of the nonce of the device that redeemed it; empty until then.
    #[prost(bytes = "bytes", tag = "5")]
    pub device: Bytes,
}

impl Entity for EntryRecord {
    const NAME: &'static str = "entry";

    fn key(&self) -> Vec<u8> {
        self.member.as_bytes().to_vec()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_ENTRY_BY_VERSION, self.directory_version.to_be_bytes())]
    }
}

impl Entity for OperatorRecord {
    const NAME: &'static str = "operator";

    fn key(&self) -> Vec<u8> {
        self.key_id.as_bytes().to_vec()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_OPERATOR, self.key())]
    }
}

impl DirectoryRecord {
    /// The key of the one record.
    pub const KEY: &'static [u8] = b"directory";
}

impl Entity for DirectoryRecord {
    const NAME: &'static str = "directory";

    fn key(&self) -> Vec<u8> {
        Self::KEY.to_vec()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }
}

impl Entity for CheckoutRecord {
    const NAME: &'static str = "checkout";

    fn key(&self) -> Vec<u8> {
        self.checkout.as_bytes().to_vec()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_CHECKOUT_BY_END, self.order_expires_at_ms.to_be_bytes())]
    }
}

impl Entity for CodeRecord {
    const NAME: &'static str = "code";

    fn key(&self) -> Vec<u8> {
        self.digest.to_vec()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_CODE_BY_END, self.expires_at_ms.to_be_bytes())]
    }
}

/// The time of so many milliseconds since 1970.
#[must_use]
pub fn time_of(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}
