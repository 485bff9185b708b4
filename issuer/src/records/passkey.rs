//! Passkeys that customers registered.

use mesh::store::Kind;
use proto::digest::Digest;

use super::{Entity, Key};
use crate::domain::ids::CustomerId;

/// A passkey. It stands under the SHA-256 of its id, which may be longer than a key, so that a credential has
/// one record and one customer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Passkey {
    /// The credential's id, 16 to 1,023 bytes, as the authenticator made it.
    #[prost(bytes = "bytes", tag = "1")]
    pub credential_id: bytes::Bytes,
    /// Whose it is.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// What the customer calls it.
    #[prost(string, tag = "3")]
    pub display_name: String,
    /// The COSE number of the key's algorithm: -7 for ES256, -8 for EdDSA.
    #[prost(sint32, tag = "4")]
    pub algorithm: i32,
    /// The public key: of ES256 an uncompressed point of P-256, 65 bytes; of EdDSA an Ed25519 key, 32 bytes.
    #[prost(bytes = "bytes", tag = "5")]
    pub public_key: bytes::Bytes,
    /// The counter of its last assertion; zero where the authenticator has none.
    #[prost(uint32, tag = "6")]
    pub sign_count: u32,
    /// Whether it can be copied to other devices of the customer.
    #[prost(bool, tag = "7")]
    pub backup_eligible: bool,
    /// When it was registered.
    #[prost(uint64, tag = "8")]
    pub registered_at_ms: u64,
    /// When it last proved itself; zero where it never did.
    #[prost(uint64, tag = "9")]
    pub used_at_ms: u64,
}

impl Passkey {
    /// Where the passkey with this credential id stands.
    #[must_use]
    pub fn at(credential_id: &[u8]) -> Key<Self> {
        Self::under(&Digest::of(credential_id))
    }

    /// Where the passkey stands whose credential id has this digest.
    #[must_use]
    pub fn under(digest: &Digest) -> Key<Self> {
        Key::new(digest.as_bytes().as_slice())
    }
}

impl Entity for Passkey {
    const KIND: Kind = Kind::new("passkey");

    fn key(&self) -> Key<Self> {
        Self::at(&self.credential_id)
    }
}

/// The passkeys of a customer, in the order in which they were registered. Each commit that adds or removes
/// one writes it, so that two at once can't go beyond the most that are kept.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PasskeysOfCustomer {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// SHA-256 of each credential's id, 32 bytes.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub digests: Vec<bytes::Bytes>,
}

impl PasskeysOfCustomer {
    /// Where the list of this customer stands.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }
}

impl Entity for PasskeysOfCustomer {
    const KIND: Kind = Kind::new("passkeys");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }
}
