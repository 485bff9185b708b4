//! What is found in everybody's books when everything has stopped. Plain values: the auditor judges them, and
//! its tests spoil them.

use std::collections::BTreeMap;

use proto::pb;

use super::tale::OrderTale;

pub(super) mod acquirer;
pub(super) mod issuer;
pub(super) mod ledger;
pub(super) mod secrets;
pub(super) mod shops;
pub(super) mod trail;

/// An authorization by issuer and id.
pub(super) type AttemptKey = (String, String);

/// Everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    /// What the outside was told.
    pub(super) tales: Vec<OrderTale>,
    /// The acquirer's books.
    pub(super) acquirer: AcquirerBooks,
    /// Each issuer's books.
    pub(super) issuers: Vec<IssuerBooks>,
    /// Each shop's log of notifications, in the order in which they arrived.
    pub(super) heard: BTreeMap<String, Vec<Note>>,
    /// What each shop got by following `WatchOrders` with its cursor.
    pub(super) watched: BTreeMap<String, Vec<Vec<u8>>>,
    /// The card network's word on each authorization.
    pub(super) ledger: BTreeMap<AttemptKey, Entry>,
    /// Where a secret was found, and other things that are wrong by themselves.
    pub(super) offences: Vec<String>,
}

/// A decision on a charge or an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With the approval code.
    Approved(String),
    /// With the reason, by its name in the contracts.
    Declined(String),
}

/// The acquirer's books.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AcquirerBooks {
    /// Every order.
    pub(super) orders: BTreeMap<String, Order>,
    /// Every authorization that anybody has named.
    pub(super) attempts: BTreeMap<AttemptKey, Attempt>,
    /// Each shop's events as they were committed.
    pub(super) events: BTreeMap<String, Vec<Note>>,
    /// What each shop has taken, by the daily totals, in minor units.
    pub(super) taken: BTreeMap<String, i64>,
    /// What is still to be done: a due reversal, an undecided authorization, an undelivered event.
    pub(super) unfinished: Vec<String>,
}

/// An order in the acquirer's books.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    /// The shop.
    pub(super) merchant: String,
    /// In minor units.
    pub(super) amount: i64,
    /// The signed body's digest.
    pub(super) digest: [u8; 32],
    /// Where it stands.
    pub(super) state: pb::OrderState,
    /// The last result that counted.
    pub(super) last: Option<(AttemptKey, Verdict)>,
    /// The position of its last event.
    pub(super) position: u32,
    /// Whether its private sealing key is still there.
    pub(super) has_key: bool,
}

/// An authorization in the acquirer's books.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    /// The order; none for a request that never arrived, or was for no order of the acquirer's.
    pub(super) order: Option<String>,
    /// The order's digest.
    pub(super) digest: [u8; 32],
    /// In minor units.
    pub(super) amount: i64,
    /// Whether the signed result names this very request, order and amount.
    pub(super) is_its_own: bool,
    /// The signed result and what it says; none while it is undecided.
    pub(super) result: Option<(Vec<u8>, Verdict)>,
}

/// An event for a shop.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Note {
    /// The order.
    pub(super) order: String,
    /// Its place among the order's events.
    pub(super) position: u32,
    /// The order's state after it.
    pub(super) state: pb::OrderState,
    /// The authorization's result, where it is one.
    pub(super) result: Option<(AttemptKey, Verdict)>,
    /// As it was signed, serialised.
    pub(super) bytes: Vec<u8>,
}

/// One issuer's books.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct IssuerBooks {
    /// Who.
    pub(super) id: String,
    /// Every charge of which somebody knows, by customer and charge id.
    pub(super) charges: BTreeMap<(String, String), Charge>,
    /// Every account.
    pub(super) accounts: BTreeMap<String, Account>,
    /// Charges that are held, sent, due or parked, by the indexes.
    pub(super) unfinished: Vec<String>,
    /// The audit trail.
    pub(super) trail: Trail,
}

/// A charge in an issuer's books.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Charge {
    /// The order that the cardholder approved.
    pub(super) order: String,
    /// Its digest.
    pub(super) digest: [u8; 32],
    /// In minor units.
    pub(super) amount: i64,
    /// The account that pays.
    pub(super) account: String,
    /// The authorization.
    pub(super) authorization: String,
    /// Where it stands.
    pub(super) state: ChargeState,
    /// The acquirer's signed result.
    pub(super) result: Option<Vec<u8>>,
    /// Whether the order's claim is this charge's, and says that it is paid.
    pub(super) claim: Option<bool>,
    /// Whether the stored request is still there.
    pub(super) has_request: bool,
}

/// Where a charge stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChargeState {
    /// It has not ended; with the state's name.
    Open(&'static str),
    /// The acquirer has decided.
    Decided(Verdict),
    /// Given up before anything was sent.
    Abandoned,
}

/// An account in an issuer's books, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The credit line or the balance before the run.
    pub(super) before: i64,
    /// The credit line or the balance now.
    pub(super) funds: i64,
    /// What is held.
    pub(super) held: i64,
    /// What of a credit line is spent.
    pub(super) spent: i64,
    /// Whether it is a credit line.
    pub(super) is_credit: bool,
}

/// What an audit trail says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trail {
    /// Why its chain is not accepted.
    pub(super) broken: Option<String>,
    /// How often each charge was taken.
    pub(super) submitted: BTreeMap<String, u32>,
    /// How each charge ended, as often as that is said.
    pub(super) ended: BTreeMap<String, Vec<String>>,
}

/// The card network's word on an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The card is charged.
    Approved(Standing),
    /// The card is not charged and never will be: it was declined, or reversed.
    NotApproved,
    /// The network knows nothing of it, or says nothing.
    Unknown,
}

/// An approval that stands at the card network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The approval code.
    pub(super) code: String,
    /// The shop that is paid.
    pub(super) merchant: String,
    /// In minor units.
    pub(super) amount: i64,
}

impl Account {
    /// What was spent since before the run.
    pub(super) const fn moved(&self) -> i64 {
        if self.is_credit { self.spent } else { self.before - self.funds }
    }
}

impl Entry {
    /// What a card is charged with.
    pub(super) const fn amount(&self) -> i64 {
        match self {
            Self::Approved(standing) => standing.amount,
            Self::NotApproved | Self::Unknown => 0,
        }
    }
}

impl Verdict {
    /// Whether it is an approval.
    pub(super) const fn is_approved(&self) -> bool {
        match self {
            Self::Approved(_) => true,
            Self::Declined(_) => false,
        }
    }

    /// The verdict of a decision.
    pub(super) fn of(decision: proto::authorization::Decision) -> Self {
        let (decision, reason, code) = decision.to_pb();
        match decision {
            pb::Decision::Approved => Self::Approved(code),
            pb::Decision::Declined | pb::Decision::Unspecified => Self::Declined(reason.as_str_name().to_owned()),
        }
    }
}
