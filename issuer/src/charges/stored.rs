//! Charges and accounts between their stored form and the domain's.

use std::time::SystemTime;

use proto::{
    authorization::{ApprovalCode, DeclineReason, Factor, SIGNED_NOTE_BYTES_MAX},
    digest::Digest,
    ids::{AuthorizationId, CardOptionId, ChargeId, IssuerId},
    money::Money,
    order::SignedOrder,
    pb,
    signed::Signed,
};

use crate::{
    audit::{Act, Entry},
    domain::{
        account::{Account, Funds},
        charge::{Inquiry, Sent, State},
        ids::{AccountId, CustomerId},
        result::Asked,
    },
    records::{self, Damaged, millis_of, time_of},
};

/// A charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Who pays.
    pub customer: CustomerId,
    /// The client's id.
    pub id: ChargeId,
    /// What is paid.
    pub order: SignedOrder,
    /// The card that pays.
    pub card: CardOptionId,
    /// The account that the hold is on.
    pub account: AccountId,
    /// The authorization that is asked for.
    pub authorization: AuthorizationId,
    /// The factors that the session had proved.
    pub factors: Vec<Factor>,
    /// The digest of the cardholder's signed consent, where there is one.
    pub consent: Option<Digest>,
    /// The number of the tally that it was counted in as a small payment, where it was.
    pub low_value_epoch: Option<u64>,
    /// When it was submitted.
    pub created_at: SystemTime,
    /// When it last changed.
    pub updated_at: SystemTime,
    /// Where it stands.
    pub state: State,
    /// The acquirer's signed result, once it is known.
    pub result: Option<Signed>,
}

impl Charge {
    /// A charge as it was stored.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn from_record(record: &records::Charge) -> Result<Self, Damaged> {
        let order = record.order.clone().ok_or_else(|| damaged("order"))?;
        let result = record.result.clone().map(|result| Signed::parse(result, SIGNED_NOTE_BYTES_MAX));
        let factors = record.factors.iter().map(|number| Factor::parse(*number)).collect::<Option<_>>();
        let consent = match record.consent_digest.as_ref() {
            [] => None,
            digest => Some(Digest::from_bytes(digest.try_into().map_err(|_| damaged("consent_digest"))?)),
        };
        Ok(Self {
            customer: record.customer_id.parse().map_err(|_| damaged("customer_id"))?,
            id: record.charge_id.parse().map_err(|_| damaged("charge_id"))?,
            order: SignedOrder::parse(order).map_err(|_| damaged("order"))?,
            card: record.card_option_id.parse().map_err(|_| damaged("card_option_id"))?,
            account: record.account_id.parse().map_err(|_| damaged("account_id"))?,
            authorization: record.authorization_id.parse().map_err(|_| damaged("authorization_id"))?,
            factors: factors.ok_or_else(|| damaged("factors"))?,
            consent,
            low_value_epoch: (record.low_value_epoch != 0).then_some(record.low_value_epoch),
            created_at: time_of(record.created_at_ms),
            updated_at: time_of(record.updated_at_ms),
            state: state(record.state.as_ref().ok_or_else(|| damaged("state"))?)?,
            result: result.transpose().map_err(|_| damaged("result"))?,
        })
    }

    /// The charge as it is stored.
    #[must_use]
    pub fn to_record(&self) -> records::Charge {
        records::Charge {
            customer_id: self.customer.to_string(),
            charge_id: self.id.to_string(),
            order: Some(self.order.signed.to_pb()),
            card_option_id: self.card.to_string(),
            account_id: self.account.to_string(),
            authorization_id: self.authorization.to_string(),
            factors: self.factors.iter().map(|factor| factor.to_pb().into()).collect(),
            created_at_ms: millis_of(self.created_at),
            updated_at_ms: millis_of(self.updated_at),
            result: self.result.as_ref().map(Signed::to_pb),
            acquirer_id: self.order.order.acquirer.to_string(),
            consent_digest: self.consent.map(|digest| digest.to_bytes()).unwrap_or_default(),
            low_value_epoch: self.low_value_epoch.unwrap_or_default(),
            state: Some(state_record(self.state)),
        }
    }

    /// What the audit trail says of an act on this charge.
    pub(super) fn told(&self, now: SystemTime, act: Act) -> Entry {
        Entry::new(now, act).customer(&self.customer).card(&self.card).order(&self.order.digest).charge(&self.id)
    }

    /// Whether nobody asks about it by itself any more.
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        matches!(self.state, State::Unknown { next: Inquiry::Parked, .. })
    }

    /// The amount.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.order.order.amount
    }

    /// What a result must repeat; `None` where nothing was sent.
    #[must_use]
    pub fn asked(&self, issuer: &IssuerId) -> Option<Asked> {
        let sent = self.state.sent()?;
        Some(Asked {
            authorization: self.authorization.clone(),
            issuer: issuer.clone(),
            acquirer: self.order.order.acquirer.clone(),
            request_digest: sent.request_digest,
            order_digest: self.order.digest,
            amount: self.amount(),
            signed_at: sent.signed_at,
        })
    }
}

impl records::Account {
    /// The account that this record says.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn domain(&self) -> Result<Account, Damaged> {
        let damaged = |field| Damaged { kind: "account", field };
        let currency = self.currency.parse().map_err(|_| damaged("currency"))?;
        let money = |field, units| Money::new(currency, units).map_err(|_| damaged(field));
        let funds = match pb::CardKind::try_from(self.kind) {
            Ok(pb::CardKind::Credit) => {
                Funds::Credit { limit: money("funds", self.funds)?, spent: money("spent", self.spent)? }
            }
            Ok(pb::CardKind::Debit) => Funds::Debit { balance: money("funds", self.funds)? },
            Ok(pb::CardKind::Unspecified) | Err(_) => return Err(damaged("kind")),
        };
        Account::new(funds, money("held", self.held)?).map_err(|_| damaged("currency"))
    }

    /// The same record with these numbers.
    #[must_use]
    pub fn with(&self, account: &Account) -> Self {
        let (kind, funds, spent) = match account.funds() {
            Funds::Credit { limit, spent } => (pb::CardKind::Credit, limit.minor_units(), spent.minor_units()),
            Funds::Debit { balance } => (pb::CardKind::Debit, balance.minor_units(), 0),
        };
        Self { kind: kind.into(), funds, spent, held: account.held().minor_units(), ..self.clone() }
    }
}

fn damaged(field: &'static str) -> Damaged {
    Damaged { kind: "charge", field }
}

fn state(record: &records::State) -> Result<State, Damaged> {
    Ok(match record {
        records::State::Held(_) => State::Held,
        records::State::Sent(it) => State::Sent(sent(Some(it))?),
        records::State::Unknown(it) => State::Unknown {
            sent: sent(it.sent.as_ref())?,
            questions: it.questions,
            next: match it.next_at_ms {
                0 => Inquiry::Parked,
                millis => Inquiry::At(time_of(millis)),
            },
        },
        records::State::Approved(it) => State::Approved {
            sent: sent(it.sent.as_ref())?,
            code: it.approval_code.parse::<ApprovalCode>().map_err(|_| damaged("approval_code"))?,
        },
        records::State::Declined(it) => State::Declined {
            sent: sent(it.sent.as_ref())?,
            reason: DeclineReason::parse(it.reason).ok().flatten().ok_or_else(|| damaged("reason"))?,
        },
        records::State::Abandoned(_) => State::Abandoned,
    })
}

fn sent(record: Option<&records::Sent>) -> Result<Sent, Damaged> {
    let record = record.ok_or_else(|| damaged("sent"))?;
    let digest = record.request_digest.as_ref().try_into().map_err(|_| damaged("request_digest"))?;
    Ok(Sent { request_digest: Digest::from_bytes(digest), signed_at: time_of(record.signed_at_ms) })
}

fn state_record(state: State) -> records::State {
    let sent = |sent: Sent| records::Sent {
        request_digest: sent.request_digest.to_bytes(),
        signed_at_ms: millis_of(sent.signed_at),
    };
    match state {
        State::Held => records::State::Held(records::Held {}),
        State::Sent(it) => records::State::Sent(sent(it)),
        State::Unknown { sent: it, questions, next } => records::State::Unknown(records::Unknown {
            sent: Some(sent(it)),
            questions,
            next_at_ms: match next {
                // Zero means parked, and no clock of ours reads 1970.
                Inquiry::At(time) => millis_of(time).max(1),
                Inquiry::Parked => 0,
            },
        }),
        State::Approved { sent: it, code } => {
            records::State::Approved(records::Approved { sent: Some(sent(it)), approval_code: code.to_string() })
        }
        State::Declined { sent: it, reason } => {
            records::State::Declined(records::Declined { sent: Some(sent(it)), reason: reason.to_pb().into() })
        }
        State::Abandoned => records::State::Abandoned(records::Abandoned {}),
    }
}
