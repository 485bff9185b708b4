//! Who the customers are and how they sign in.

use mesh::store::{Index, IndexEntry, Kind};
use proto::{digest::Digest, pb};

use super::{Entity, Key};
use crate::{domain::ids::CustomerId, vault::sealed::key_version_entry};

/// Customers by the keyed hash of their national id.
pub const INDEX_CUSTOMER_BY_NATIONAL_ID: Index = Index::new("customer.national-id");
/// Sessions by the time at which they end at the latest.
pub const INDEX_SESSION_BY_END: Index = Index::new("session.end");

/// A customer of the bank.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Customer {
    /// The bank's own id.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// HMAC-SHA256 of the national id under the bank's look-up key, 32 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub national_id_hash: bytes::Bytes,
    /// The customer's name, to be shown to the customer alone.
    #[prost(string, tag = "3")]
    pub name: String,
}

impl Customer {
    /// Where this customer stands.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }
}

impl Entity for Customer {
    const KIND: Kind = Kind::new("customer");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_CUSTOMER_BY_NATIONAL_ID, self.national_id_hash.to_vec())]
    }
}

/// What a customer knows, hashed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Credential {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// The password's argon2id hash (a PHC string), encrypted by `vault::seal_password_hash`.
    #[prost(bytes = "bytes", tag = "2")]
    pub sealed_password_hash: bytes::Bytes,
    /// HMAC-SHA256 of the user code under the bank's look-up key, bound to the customer, 32 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub user_code_hash: bytes::Bytes,
}

impl Credential {
    /// Where this customer's credential stands.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }
}

impl Entity for Credential {
    const KIND: Kind = Kind::new("credential");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![key_version_entry(&self.sealed_password_hash)]
    }
}

/// The tries of a customer's password; `domain::lockout` says what they mean. Only passwords are locked.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lockout {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// Tries begun since the last success or lock.
    #[prost(uint32, tag = "2")]
    pub begun: u32,
    /// Tries are refused before this time; zero where there is no lock.
    #[prost(uint64, tag = "3")]
    pub locked_until_ms: u64,
    /// Tries refused under the lock.
    #[prost(uint32, tag = "4")]
    pub refused: u32,
}

impl Lockout {
    /// Where the lock-out stands that is kept under this name: a customer's id, or a name of `auth` for
    /// those whom nobody knows.
    #[must_use]
    pub fn named(name: &str) -> Key<Self> {
        Key::new(name)
    }
}

impl Entity for Lockout {
    const KIND: Kind = Kind::new("lockout");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }
}

/// The failed proofs of one place; `domain::source` says what they mean.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Source {
    /// The place: 16 bits of a keyed hash of the address.
    #[prost(uint32, tag = "1")]
    pub bucket: u32,
    /// When the window began.
    #[prost(uint64, tag = "2")]
    pub since_ms: u64,
    /// Failures in it.
    #[prost(uint32, tag = "3")]
    pub failures: u32,
}

impl Source {
    /// Where the failures of this place stand.
    #[must_use]
    pub fn at(bucket: u16) -> Key<Self> {
        Key::new(bucket.to_be_bytes())
    }
}

impl Entity for Source {
    const KIND: Kind = Kind::new("source");

    fn key(&self) -> Key<Self> {
        // The bucket is a u16; only the message has no such type.
        let [_, _, a, b] = self.bucket.to_be_bytes();
        Key::new([a, b])
    }
}

/// A signed-in customer. The token itself is nowhere: the record stands under its SHA-256.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Session {
    /// SHA-256 of the token, 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub token_digest: bytes::Bytes,
    /// The customer.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// SHA-256 of the body of the order that it can pay; empty where it cannot pay.
    #[prost(bytes = "bytes", tag = "3")]
    pub order_digest: bytes::Bytes,
    /// That order's amount; absent where it cannot pay.
    #[prost(message, optional, tag = "4")]
    pub order_amount: Option<pb::Money>,
    /// The factors that were proved.
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "5")]
    pub factors: Vec<i32>,
    /// The challenge that was answered, which a consent repeats.
    #[prost(bytes = "bytes", tag = "6")]
    pub challenge: bytes::Bytes,
    /// When it began.
    #[prost(uint64, tag = "7")]
    pub created_at_ms: u64,
    /// When it was used last.
    #[prost(uint64, tag = "8")]
    pub used_at_ms: u64,
    /// It ends by itself at this time at the latest.
    #[prost(uint64, tag = "9")]
    pub expires_at_ms: u64,
    /// The bound device that proved itself; empty where none did.
    #[prost(string, tag = "10")]
    pub device_id: String,
    /// The merchant category code of the order that it can pay; empty where it cannot pay.
    #[prost(string, tag = "11")]
    pub order_category: String,
}

impl Session {
    /// Where the session of the token with this digest stands.
    #[must_use]
    pub fn at(token: &Digest) -> Key<Self> {
        Key::new(token.as_bytes().as_slice())
    }
}

impl Entity for Session {
    const KIND: Kind = Kind::new("session");

    fn key(&self) -> Key<Self> {
        Key::new(self.token_digest.as_ref())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_SESSION_BY_END, self.expires_at_ms.to_be_bytes())]
    }
}
