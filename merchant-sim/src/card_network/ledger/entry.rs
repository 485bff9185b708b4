//! One entry of the ledger. No card data is among it: the decision stands for the card.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message as _;
use proto::authorization::{ApprovalCode, Decision};
use proto::ids::MerchantId;
use proto::money::Money;
use proto::{pb, time};

use super::{LedgerError, REVERSED, Verdict};

/// What an authorization is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The amount.
    pub amount: Money,
    /// The shop to be paid.
    pub merchant: MerchantId,
}

/// Where an authorization stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is decided at this time: pending before, approved or declined from then on. Leads to `Reversed`.
    Decided {
        /// The decision.
        decision: Decision,
        /// When it is made.
        at: SystemTime,
        /// Whether anybody is ever told.
        is_told: bool,
    },
    /// It was cancelled. Final.
    Reversed {
        /// The code of the approval that was taken back, where there was one.
        approval: Option<ApprovalCode>,
    },
}

impl State {
    pub(super) fn new(verdict: Verdict, now: SystemTime) -> Self {
        Self::Decided { decision: verdict.decision, at: now + verdict.after, is_told: verdict.is_told }
    }

    /// What the network says of it at this time.
    pub(super) fn told_at(self, now: SystemTime) -> Option<Decision> {
        match self {
            Self::Decided { decision, at, is_told } => (is_told && at <= now).then_some(decision),
            Self::Reversed { approval: _ } => Some(Decision::Declined(REVERSED)),
        }
    }

    /// It as it is after a reversal. A decline has nothing to be taken back, and keeps its reason.
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::Decided { decision: Decision::Approved(code), at: _, is_told: _ } => {
                Self::Reversed { approval: Some(code) }
            }
            state @ (Self::Decided { decision: Decision::Declined(_), at: _, is_told: _ }
            | Self::Reversed { approval: _ }) => state,
        }
    }

    /// Where it stands at this time, and the approval's code, as the contract has it.
    #[must_use]
    pub fn at(self, now: SystemTime) -> (pb::CardNetworkState, String) {
        match self {
            Self::Decided { decision: _, at, is_told: _ } if at > now => (pb::CardNetworkState::Pending, String::new()),
            Self::Decided { decision: Decision::Approved(code), at: _, is_told: _ } => {
                (pb::CardNetworkState::Approved, code.to_string())
            }
            Self::Decided { decision: Decision::Declined(_), at: _, is_told: _ } => {
                (pb::CardNetworkState::Declined, String::new())
            }
            Self::Reversed { approval } => {
                (pb::CardNetworkState::Reversed, approval.map(|code| code.to_string()).unwrap_or_default())
            }
        }
    }
}

/// An authorization as the network holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is for; none where nothing but a reversal has arrived.
    pub asked: Option<Asked>,
    /// Where it stands.
    pub state: State,
    /// When the first message about it arrived.
    pub first_heard_at: SystemTime,
    /// How many requests were worked on.
    pub requests: u32,
    /// How many reversals were worked on.
    pub reversals: u32,
}

impl Entry {
    pub(super) const fn new(state: State, now: SystemTime) -> Self {
        Self { asked: None, state, first_heard_at: now, requests: 0, reversals: 0 }
    }

    /// Refuses a message about another payment. An entry that nothing but a reversal made is about any.
    pub(super) fn must_be_about(&self, asked: &Asked) -> Result<(), LedgerError> {
        if self.asked.as_ref().is_none_or(|first| first == asked) { Ok(()) } else { Err(LedgerError::OtherContent) }
    }

    pub(super) fn encode(&self) -> Bytes {
        let state = match self.state {
            State::Decided { decision, at, is_told } => {
                let (decision, decline_reason, approval_code) = decision.to_pb();
                let (decision, decline_reason) = (decision.into(), decline_reason.into());
                let at_ms = time::unix_millis(at);
                stored::State::Decided(stored::Decided { decision, decline_reason, approval_code, at_ms, is_told })
            }
            State::Reversed { approval } => {
                let approval_code = approval.map(|code| code.to_string()).unwrap_or_default();
                stored::State::Reversed(stored::Reversed { approval_code })
            }
        };
        let stored = stored::Entry {
            amount: self.asked.as_ref().map(|asked| asked.amount.to_pb()),
            merchant_id: self.asked.as_ref().map(|asked| asked.merchant.to_string()).unwrap_or_default(),
            first_heard_ms: time::unix_millis(self.first_heard_at),
            requests: self.requests,
            reversals: self.reversals,
            state: Some(state),
        };
        stored.encode_to_vec().into()
    }

    /// None for bytes that are no entry.
    pub(super) fn decode(body: Bytes) -> Option<Self> {
        let stored = stored::Entry::decode(body).ok()?;
        let from_ms = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let asked = match stored.amount {
            Some(amount) => {
                Some(Asked { amount: Money::parse(amount).ok()?, merchant: stored.merchant_id.parse().ok()? })
            }
            None => None,
        };
        let state = match stored.state? {
            stored::State::Decided(decided) => State::Decided {
                decision: Decision::parse(decided.decision, decided.decline_reason, &decided.approval_code).ok()?,
                at: from_ms(decided.at_ms),
                is_told: decided.is_told,
            },
            stored::State::Reversed(stored::Reversed { approval_code }) if approval_code.is_empty() => {
                State::Reversed { approval: None }
            }
            stored::State::Reversed(stored::Reversed { approval_code }) => {
                State::Reversed { approval: Some(approval_code.parse().ok()?) }
            }
        };
        let (requests, reversals) = (stored.requests, stored.reversals);
        Some(Self { asked, state, first_heard_at: from_ms(stored.first_heard_ms), requests, reversals })
    }
}

/// The bytes of the store. A tag is never used for anything else.
mod stored {
    use proto::pb;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(super) amount: Option<pb::Money>,
        #[prost(string, tag = "2")]
        pub(super) merchant_id: String,
        #[prost(uint64, tag = "3")]
        pub(super) first_heard_ms: u64,
        #[prost(uint32, tag = "4")]
        pub(super) requests: u32,
        #[prost(uint32, tag = "5")]
        pub(super) reversals: u32,
        #[prost(oneof = "State", tags = "6, 7")]
        pub(super) state: Option<State>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum State {
        #[prost(message, tag = "6")]
        Decided(Decided),
        #[prost(message, tag = "7")]
        Reversed(Reversed),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Decided {
        #[prost(int32, tag = "1")]
        pub(super) decision: i32,
        #[prost(int32, tag = "2")]
        pub(super) decline_reason: i32,
        #[prost(string, tag = "3")]
        pub(super) approval_code: String,
        #[prost(uint64, tag = "4")]
        pub(super) at_ms: u64,
        #[prost(bool, tag = "5")]
        pub(super) is_told: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Reversed {
        #[prost(string, tag = "1")]
        pub(super) approval_code: String,
    }
}
