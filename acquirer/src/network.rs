//! The card network behind the acquirer: who really says yes or no.
//!
//! [`AuthorizationNetwork`] is the seam to a network's own interface. Two stand there: [`Remote`] speaks the
//! contract `CardNetwork`, whose file says which message of ISO 8583 each call stands for;
//! [`SimulatedNetwork`] decides inside this process by documented rules over documented test cards
//! ([`test_cards`]), keeps its decisions, and fails in the ways in which a network fails.

mod cards;
mod record;
mod remote;
mod rules;
mod simulated;

pub use cards::{TEST_BINS, TestCard, test_cards};
pub use remote::{LineTimes, NotAPlainLine, Remote, is_plain_line, plain_line};
pub use rules::{Behaviour, LATE_AFTER, Ruling, SLOW_AFTER, right_cvv, rule};
pub use simulated::SimulatedNetwork;

use std::fmt;

use async_trait::async_trait;
use mesh::store::RecordId;
use proto::{
    authorization::{ApprovalCode, DeclineReason},
    card::CardData,
    ids::{AuthorizationId, IssuerId, MerchantId},
    money::Money,
};

/// What names an authorization at the card network: authorization ids are unique per issuer. On a line that others
/// share, [`Remote`] puts the acquirer's own id in front, and the line's certificate says whose that is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId {
    /// The issuer that asked.
    pub issuer: IssuerId,
    /// Its authorization.
    pub authorization: AuthorizationId,
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.issuer, self.authorization)
    }
}

/// What an authorization is for. Whoever speaks of an authorization names this beside its id, so that the word about
/// another payment under the same id is never taken for the word about this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// The amount.
    pub amount: Money,
    /// The shop to be paid.
    pub merchant: MerchantId,
}

/// What the card network is asked. Printing it shows nothing of the card, and the card's memory is
/// overwritten when the request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    /// The authorization.
    pub id: NetworkId,
    /// The card.
    pub card: CardData,
    /// The amount.
    pub amount: Money,
    /// The shop to be paid.
    pub merchant: MerchantId,
}

impl NetworkRequest {
    /// What it is for.
    #[must_use]
    pub fn sale(&self) -> Sale {
        Sale { amount: self.amount, merchant: self.merchant.clone() }
    }
}

/// The card network's word about an authorization. It does not change, except that a reversal turns
/// an approval into a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkDecision {
    /// The card is charged.
    Approved(ApprovalCode),
    /// The card is not charged.
    Declined(DeclineReason),
}

/// What the card network says when it is asked about an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// It approved.
    Approved(ApprovalCode),
    /// It declined, or reversed what it had approved.
    Declined(DeclineReason),
    /// It has decided nothing, or says nothing of it yet. An approval may still come, unless the
    /// authorization is reversed.
    Unknown,
}

/// Why the card network gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It could not be reached, or broke off. The outcome is then not known: inquire, and where that stays without an
    /// answer, reverse.
    #[error("the card network cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It knows this id with another amount or merchant, so its decision is not about this request: this one was
    /// not charged, and there is nothing to inquire about or to reverse.
    #[error("the card network knows this authorization with another amount or merchant")]
    OtherContent,
}

/// A card network. Every operation is idempotent by [`NetworkId`]: the same call gives the same
/// answer and moves nothing twice, whatever happened to the first one's answer.
///
/// Nothing here has a deadline of its own: a network may stay silent for ever, and the caller decides how
/// long it waits. Dropping a future withdraws nothing.
#[async_trait]
pub trait AuthorizationNetwork: fmt::Debug + Send + Sync {
    /// Asks for an authorization. An id that was reversed before is declined.
    ///
    /// # Errors
    /// [`NetworkError`].
    async fn authorize(&self, request: NetworkRequest) -> Result<NetworkDecision, NetworkError>;

    /// Asks what became of an authorization of this sale.
    ///
    /// # Errors
    /// [`NetworkError`].
    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError>;

    /// Cancels an authorization of this sale: if it was approved, the card gets its money back; if it was never
    /// seen, it will be declined. `Ok` is the acknowledgement, after which it can't be approved.
    ///
    /// # Errors
    /// [`NetworkError::OtherContent`], where there is nothing of ours to cancel; [`NetworkError::Unreachable`]:
    /// repeat the reversal then until it is acknowledged.
    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError>;
}

/// Where a simulated network in the acquirer's own store keeps an authorization, for whoever removes what is
/// no longer needed.
pub(crate) fn record_of(id: &NetworkId) -> RecordId {
    record::record_id(id)
}
