//! The order: its signed bytes, where it stands, and the wrapped private half of its sealing key.

use std::time::SystemTime;

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::{
    event::Outcome,
    ids::{MerchantId, MerchantReference, OrderId},
    order::SignedOrder,
    pb,
};

use super::{OPEN_ORDERS_BY_EXPIRY, ORDERS_BY_MERCHANT, time_key};
use crate::{
    domain::{
        attempt::AttemptId,
        merchant::Day,
        order::{Course, State, Underway},
    },
    repository::{Damaged, Entity},
};

/// An order as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOrder {
    /// The order as it was signed.
    pub signed: SignedOrder,
    /// The shop's own name for it.
    pub reference: MerchantReference,
    /// The private half of its sealing key, encrypted; none once the order is final.
    pub sealing_key: Option<Bytes>,
    /// Where it stands.
    pub state: State,
}

impl KeptOrder {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &OrderId {
        &self.signed.order.id
    }

    /// Its shop.
    #[must_use]
    pub const fn merchant(&self) -> &MerchantId {
        &self.signed.order.merchant.id
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> SystemTime {
        self.signed.order.created_at
    }

    /// What the keys of a merchant's orders in [`ORDERS_BY_MERCHANT`] begin with. The zero byte, which
    /// no id contains, keeps one merchant's prefix from being another's beginning.
    #[must_use]
    pub fn merchant_prefix(merchant: &MerchantId) -> Vec<u8> {
        [merchant.as_str().as_bytes(), &[0]].concat()
    }
}

impl Entity for KeptOrder {
    const KIND: Kind = Kind::new("order");

    fn key(&self) -> Vec<u8> {
        self.id().as_str().into()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        let by_merchant = [Self::merchant_prefix(self.merchant()), time_key(self.created_at())].concat();
        let mut entries = vec![IndexEntry::new(ORDERS_BY_MERCHANT, by_merchant)];
        if let State::Open(course) = &self.state {
            entries.push(IndexEntry::new(OPEN_ORDERS_BY_EXPIRY, time_key(course.expires_at)));
        }
        entries
    }

    fn to_bytes(&self) -> Vec<u8> {
        let course = self.state.course();
        let underway = match &self.state {
            State::Authorizing(_, underway) => Some(UnderwayBody {
                attempt: underway.attempt.to_string(),
                cancel_requested: underway.cancel_requested,
                taken_from: underway.taken_from.map(|day| day.0),
            }),
            State::Open(_) | State::Approved(_) | State::Expired(_) | State::Failed(_) | State::Cancelled(_) => None,
        };
        let body = Body {
            signed: Some(self.signed.signed.to_pb()),
            reference: self.reference.to_string(),
            sealing_key: self.sealing_key.clone(),
            state: self.state.name().into(),
            underway,
            declines: course.declines,
            position: course.position,
            last: course.last.as_ref().map(Outcome::to_pb),
        };
        body.encode_to_vec()
    }

    fn from_bytes(_key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("an order"))?;
        let signed = SignedOrder::parse(body.signed.ok_or(Damaged("an order's signed bytes"))?)
            .map_err(|_| Damaged("an order's signed bytes"))?;
        let last = body.last.map(Outcome::parse).transpose().map_err(|_| Damaged("an order's last result"))?;
        let course =
            Course { expires_at: signed.order.expires_at, declines: body.declines, position: body.position, last };
        let name = pb::OrderState::try_from(body.state).map_err(|_| Damaged("an order's state"))?;
        let state = match (name, body.underway) {
            (pb::OrderState::Open, None) => State::Open(course),
            (pb::OrderState::Authorizing, Some(underway)) => State::Authorizing(course, underway.parse()?),
            (pb::OrderState::Approved, None) => State::Approved(course),
            (pb::OrderState::Expired, None) => State::Expired(course),
            (pb::OrderState::Failed, None) => State::Failed(course),
            (pb::OrderState::Cancelled, None) => State::Cancelled(course),
            (pb::OrderState::Unspecified | pb::OrderState::Authorizing, None)
            | (
                pb::OrderState::Unspecified
                | pb::OrderState::Open
                | pb::OrderState::Approved
                | pb::OrderState::Expired
                | pb::OrderState::Failed
                | pb::OrderState::Cancelled,
                Some(_),
            ) => return Err(Damaged("an order's state")),
        };
        let reference = body.reference.parse().map_err(|_| Damaged("an order's reference"))?;
        Ok(Self { signed, reference, sealing_key: body.sealing_key, state })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(message, optional, tag = "1")]
    signed: Option<pb::Signed>,
    #[prost(string, tag = "2")]
    reference: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    sealing_key: Option<Bytes>,
    #[prost(enumeration = "pb::OrderState", tag = "4")]
    state: i32,
    #[prost(message, optional, tag = "5")]
    underway: Option<UnderwayBody>,
    #[prost(uint32, tag = "6")]
    declines: u32,
    #[prost(uint32, tag = "7")]
    position: u32,
    #[prost(message, optional, tag = "8")]
    last: Option<pb::AuthorizationOutcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UnderwayBody {
    #[prost(string, tag = "1")]
    attempt: String,
    #[prost(bool, tag = "2")]
    cancel_requested: bool,
    #[prost(uint32, optional, tag = "3")]
    taken_from: Option<u32>,
}

impl UnderwayBody {
    fn parse(self) -> Result<Underway, Damaged> {
        let attempt: AttemptId = self.attempt.parse().map_err(|_| Damaged("an order's authorization"))?;
        Ok(Underway { attempt, cancel_requested: self.cancel_requested, taken_from: self.taken_from.map(Day) })
    }
}
