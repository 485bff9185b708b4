//! Accounts, cards and charges.

use mesh::store::{Index, IndexEntry, Kind};
use proto::{
    digest::Digest,
    ids::{AuthorizationId, CardOptionId, ChargeId},
    pb,
};

use super::{Entity, Key};
use crate::{
    domain::ids::{AccountId, CustomerId},
    vault::sealed::key_version_entry,
};

mod charge;

pub use charge::{Abandoned, Approved, Charge, Declined, Held, Sent, State, Unknown, behind_due_keys, due_key};

/// Cards by their customer.
pub const INDEX_CARD_BY_CUSTOMER: Index = Index::new("card.customer");
/// Cards by the keyed hash of customer and number, so that the import finds a card again.
pub const INDEX_CARD_BY_NUMBER: Index = Index::new("card.number");
/// Charges that are held or sent, by the time of their making: what a restart has to look at.
pub const INDEX_CHARGE_OPEN: Index = Index::new("charge.open");
/// Charges whose result is not known, by acquirer and then by the time of the next question; [`due_key`].
pub const INDEX_CHARGE_DUE: Index = Index::new("charge.due");
/// Charges whose result is not known and that nobody asks about any more, for an operator.
pub const INDEX_CHARGE_PARKED: Index = Index::new("charge.parked");
/// Charges that have ended and have no consent, by the time of their end.
pub const INDEX_CHARGE_ENDED: Index = Index::new("charge.ended");
/// Charges that have ended and have a consent, by the time of their end.
pub const INDEX_CHARGE_CONSENTED: Index = Index::new("charge.consented");

/// An account that cards draw on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    /// The bank's own id.
    #[prost(string, tag = "1")]
    pub account_id: String,
    /// The customer whose account it is.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// Credit or debit.
    #[prost(enumeration = "pb::CardKind", tag = "3")]
    pub kind: i32,
    /// ISO 4217 code.
    #[prost(string, tag = "4")]
    pub currency: String,
    /// The credit line, or the balance, in minor units.
    #[prost(int64, tag = "5")]
    pub funds: i64,
    /// The sum of the live charges' holds, in minor units.
    #[prost(int64, tag = "6")]
    pub held: i64,
    /// What approved charges took of a credit line, in minor units; zero for a debit account.
    #[prost(int64, tag = "7")]
    pub spent: i64,
}

impl Account {
    /// Where this account stands.
    #[must_use]
    pub fn at(account: &AccountId) -> Key<Self> {
        Key::new(account.as_str())
    }
}

impl Entity for Account {
    const KIND: Kind = Kind::new("account");

    fn key(&self) -> Key<Self> {
        Key::new(self.account_id.as_bytes())
    }
}

/// A card.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Card {
    /// Names it towards its holder.
    #[prost(string, tag = "1")]
    pub card_option_id: String,
    /// Its holder.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// The account that it draws on.
    #[prost(string, tag = "3")]
    pub account_id: String,
    /// What the bank calls it.
    #[prost(string, tag = "4")]
    pub label: String,
    /// The card data, encrypted; the associated data is the customer id, a zero byte and the card option id.
    #[prost(bytes = "bytes", tag = "5")]
    pub sealed_data: bytes::Bytes,
    /// The card network's brand.
    #[prost(string, tag = "6")]
    pub brand: String,
    /// The last four digits.
    #[prost(string, tag = "7")]
    pub last_four: String,
    /// Month of expiry, 1 to 12.
    #[prost(uint32, tag = "8")]
    pub expiry_month: u32,
    /// Year of expiry, four digits.
    #[prost(uint32, tag = "9")]
    pub expiry_year: u32,
    /// Whether the bank or the customer has blocked it.
    #[prost(bool, tag = "10")]
    pub blocked: bool,
    /// HMAC-SHA256 of customer and number under the bank's look-up key, 32 bytes.
    #[prost(bytes = "bytes", tag = "11")]
    pub number_hash: bytes::Bytes,
}

impl Card {
    /// Where this card stands.
    #[must_use]
    pub fn at(card: &CardOptionId) -> Key<Self> {
        Key::new(card.as_str())
    }
}

impl Entity for Card {
    const KIND: Kind = Kind::new("card");

    fn key(&self) -> Key<Self> {
        Key::new(self.card_option_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![
            IndexEntry::new(INDEX_CARD_BY_CUSTOMER, self.customer_id.as_bytes()),
            IndexEntry::new(INDEX_CARD_BY_NUMBER, self.number_hash.to_vec()),
            key_version_entry(&self.sealed_data),
        ]
    }
}

/// The one live or approved charge of an order at this issuer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Claim {
    /// SHA-256 of the order's body, 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub order_digest: bytes::Bytes,
    /// Who pays.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// The charge.
    #[prost(string, tag = "3")]
    pub charge_id: String,
    /// Whether the charge was approved; the claim then stays.
    #[prost(bool, tag = "4")]
    pub paid: bool,
}

impl Claim {
    /// Where an order's claim stands.
    #[must_use]
    pub fn at(order: &Digest) -> Key<Self> {
        Key::new(order.as_bytes().as_slice())
    }

    /// Whether it is this charge's.
    #[must_use]
    pub fn is_of(&self, customer: &CustomerId, charge: &ChargeId) -> bool {
        self.customer_id == customer.as_str() && self.charge_id == charge.as_str()
    }
}

impl Entity for Claim {
    const KIND: Kind = Kind::new("claim");

    fn key(&self) -> Key<Self> {
        Key::new(self.order_digest.as_ref())
    }
}

/// An authorization request exactly as it is sent, kept from before its first byte leaves until its
/// result is known: the evidence of what was signed. `charges::send` says why nothing reads it to send it
/// after a restart.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// The authorization.
    #[prost(string, tag = "1")]
    pub authorization_id: String,
    /// The serialised `AuthorizeRequest`.
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: bytes::Bytes,
}

impl Request {
    /// Where this authorization's request stands.
    #[must_use]
    pub fn at(authorization: &AuthorizationId) -> Key<Self> {
        Key::new(authorization.as_str())
    }
}

impl Entity for Request {
    const KIND: Kind = Kind::new("request");

    fn key(&self) -> Key<Self> {
        Key::new(self.authorization_id.as_bytes())
    }
}

impl Charge {
    /// Where a customer's charge stands.
    #[must_use]
    pub fn at(customer: &CustomerId, charge: &ChargeId) -> Key<Self> {
        charge_key(customer.as_str(), charge.as_str())
    }
}

/// A charge id is the client's, so that it is unique within its customer alone.
fn charge_key(customer: &str, charge: &str) -> Key<Charge> {
    Key::new(format!("{customer}/{charge}"))
}
