//! A charge as it is stored.

use mesh::store::{IndexEntry, Kind};
use proto::pb;

use super::{
    INDEX_CHARGE_CONSENTED, INDEX_CHARGE_DUE, INDEX_CHARGE_ENDED, INDEX_CHARGE_OPEN, INDEX_CHARGE_PARKED, charge_key,
};
use crate::records::{Entity, Key};

/// A charge.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Charge {
    /// Who pays.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// The client's id.
    #[prost(string, tag = "2")]
    pub charge_id: String,
    /// The order as its acquirer signed it: what the cardholder approved.
    #[prost(message, optional, tag = "3")]
    pub order: Option<pb::Signed>,
    /// The card that pays.
    #[prost(string, tag = "4")]
    pub card_option_id: String,
    /// The account that the hold is on.
    #[prost(string, tag = "5")]
    pub account_id: String,
    /// The authorization that is asked for.
    #[prost(string, tag = "6")]
    pub authorization_id: String,
    /// The factors that the session had proved.
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "7")]
    pub factors: Vec<i32>,
    /// When it was submitted.
    #[prost(uint64, tag = "8")]
    pub created_at_ms: u64,
    /// When it last changed.
    #[prost(uint64, tag = "9")]
    pub updated_at_ms: u64,
    /// The acquirer's signed result, once it is known: the evidence for how the charge ended.
    #[prost(message, optional, tag = "10")]
    pub result: Option<pb::Signed>,
    /// The acquirer that the order names, for the index of what is due.
    #[prost(string, tag = "11")]
    pub acquirer_id: String,
    /// SHA-256 of the body of the cardholder's signed consent, 32 bytes; empty where there is none.
    #[prost(bytes = "bytes", tag = "12")]
    pub consent_digest: bytes::Bytes,
    /// The number of the tally that it was counted in as a small payment; zero where it was not.
    #[prost(uint64, tag = "13")]
    pub low_value_epoch: u64,
    /// Where it stands.
    #[prost(oneof = "State", tags = "20, 21, 22, 23, 24, 25")]
    pub state: Option<State>,
}

/// Where a charge stands; `domain::charge::State` says what each state means.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum State {
    /// The funds are held.
    #[prost(message, tag = "20")]
    Held(Held),
    /// The request is sent, or about to be.
    #[prost(message, tag = "21")]
    Sent(Sent),
    /// The result is not known.
    #[prost(message, tag = "22")]
    Unknown(Unknown),
    /// Paid.
    #[prost(message, tag = "23")]
    Approved(Approved),
    /// Declined.
    #[prost(message, tag = "24")]
    Declined(Declined),
    /// Given up before anything was sent.
    #[prost(message, tag = "25")]
    Abandoned(Abandoned),
}

/// The funds are held.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Held {}

/// The request is sent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sent {
    /// SHA-256 of the request's body, 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub request_digest: bytes::Bytes,
    /// The request's own time.
    #[prost(uint64, tag = "2")]
    pub signed_at_ms: u64,
}

/// The result is not known.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unknown {
    /// What was sent.
    #[prost(message, optional, tag = "1")]
    pub sent: Option<Sent>,
    /// How often the acquirer was asked without learning the result.
    #[prost(uint32, tag = "2")]
    pub questions: u32,
    /// When it is asked next; zero where the charge is parked.
    #[prost(uint64, tag = "3")]
    pub next_at_ms: u64,
}

/// Paid.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Approved {
    /// What was sent.
    #[prost(message, optional, tag = "1")]
    pub sent: Option<Sent>,
    /// The card network's approval code.
    #[prost(string, tag = "2")]
    pub approval_code: String,
}

/// Declined.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Declined {
    /// What was sent.
    #[prost(message, optional, tag = "1")]
    pub sent: Option<Sent>,
    /// The acquirer's reason.
    #[prost(enumeration = "pb::DeclineReason", tag = "2")]
    pub reason: i32,
}

/// Given up before anything was sent.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Abandoned {}

/// A key of [`INDEX_CHARGE_DUE`]: the acquirer, a zero byte, and the time in milliseconds since 1970.
#[must_use]
pub fn due_key(acquirer: &str, millis: u64) -> Vec<u8> {
    [acquirer.as_bytes(), &[0], &millis.to_be_bytes()].concat()
}

/// Behind every key that [`due_key`] makes for this acquirer, and before those of every other one.
#[must_use]
pub fn behind_due_keys(acquirer: &str) -> Vec<u8> {
    [acquirer.as_bytes(), &[1]].concat()
}

impl Entity for Charge {
    const KIND: Kind = Kind::new("charge");

    fn key(&self) -> Key<Self> {
        charge_key(&self.customer_id, &self.charge_id)
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        let since = || self.created_at_ms.to_be_bytes().to_vec();
        match &self.state {
            Some(State::Held(_) | State::Sent(_)) => vec![IndexEntry::new(INDEX_CHARGE_OPEN, since())],
            Some(State::Unknown(unknown)) if unknown.next_at_ms == 0 => {
                vec![IndexEntry::new(INDEX_CHARGE_PARKED, since())]
            }
            Some(State::Unknown(unknown)) => {
                vec![IndexEntry::new(INDEX_CHARGE_DUE, due_key(&self.acquirer_id, unknown.next_at_ms))]
            }
            Some(State::Approved(_) | State::Declined(_) | State::Abandoned(_)) => {
                let index = if self.consent_digest.is_empty() { INDEX_CHARGE_ENDED } else { INDEX_CHARGE_CONSENTED };
                vec![IndexEntry::new(index, self.updated_at_ms.to_be_bytes())]
            }
            None => Vec::new(),
        }
    }
}
