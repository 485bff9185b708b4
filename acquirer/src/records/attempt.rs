//! The authorization request as it is kept: what it named, never the card, and its one result.

use std::time::SystemTime;

use bytes::Bytes;
use mesh::store::{IndexEntry, Kind};
use prost::Message as _;
use proto::{
    authorization::{Factor, Request, SIGNED_NOTE_BYTES_MAX},
    digest::Digest,
    ids::OrderId,
    money::Money,
    pb,
    signed::Signed,
    time::unix_millis,
};

use super::{ATTEMPTS_DECIDED, ATTEMPTS_DECIDING, from_millis, time_key};
use crate::{
    domain::attempt::{AttemptId, State},
    repository::{Damaged, Entity},
};

/// An authorization request, or one that was only asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What names it.
    pub id: AttemptId,
    /// The digest of the signed request's body.
    pub request_digest: Digest,
    /// The digest of the order's body.
    pub order_digest: Digest,
    /// The amount.
    pub amount: Money,
    /// When the issuer signed the request.
    pub signed_at: SystemTime,
    /// The order; none where the request itself was never received.
    pub order: Option<OrderId>,
    /// What the cardholder proved, as the issuer says.
    pub factors: Vec<Factor>,
    /// The digest of the cardholder's signed consent, where there is one.
    pub consent_digest: Option<Digest>,
    /// Where it stands.
    pub state: State,
}

impl Attempt {
    /// A received request.
    #[must_use]
    pub fn of_request(request: &Request, request_digest: Digest, state: State) -> Self {
        Self {
            id: AttemptId { issuer: request.issuer.clone(), authorization: request.id.clone() },
            request_digest,
            order_digest: request.order.digest,
            amount: request.amount,
            signed_at: request.signed_at,
            order: Some(request.order.order.id.clone()),
            factors: request.factors.clone(),
            consent_digest: request.consent_digest,
            state,
        }
    }

    /// The key of an authorization.
    #[must_use]
    pub fn key_of(id: &AttemptId) -> Vec<u8> {
        id.to_string().into_bytes()
    }
}

impl Entity for Attempt {
    const KIND: Kind = Kind::new("attempt");

    fn key(&self) -> Vec<u8> {
        Self::key_of(&self.id)
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        match &self.state {
            State::Deciding { deadline, .. } => vec![IndexEntry::new(ATTEMPTS_DECIDING, time_key(*deadline))],
            State::Decided(_) => vec![IndexEntry::new(ATTEMPTS_DECIDED, time_key(self.signed_at))],
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let state = match &self.state {
            State::Deciding { since, deadline } => {
                StateBody::Deciding(DecidingBody { since_ms: unix_millis(*since), deadline_ms: unix_millis(*deadline) })
            }
            State::Decided(result) => StateBody::Decided(result.to_pb()),
        };
        let body = Body {
            request_digest: self.request_digest.to_bytes(),
            order_digest: self.order_digest.to_bytes(),
            amount: Some(self.amount.to_pb()),
            signed_at_ms: unix_millis(self.signed_at),
            order: self.order.as_ref().map(ToString::to_string),
            factors: self.factors.iter().map(|factor| factor.to_pb().into()).collect(),
            consent_digest: self.consent_digest.map(|digest| digest.to_bytes()),
            state: Some(state),
        };
        body.encode_to_vec()
    }

    fn from_bytes(key: &[u8], bytes: Bytes) -> Result<Self, Damaged> {
        let body = Body::decode(bytes).map_err(|_| Damaged("an authorization"))?;
        let id = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
        let amount = body.amount.and_then(|amount| Money::parse(amount).ok());
        let order = body.order.map(|id| id.parse()).transpose();
        let state = match body.state.ok_or(Damaged("an authorization's state"))? {
            StateBody::Deciding(DecidingBody { since_ms, deadline_ms }) => {
                State::Deciding { since: from_millis(since_ms), deadline: from_millis(deadline_ms) }
            }
            StateBody::Decided(result) => State::Decided(
                Signed::parse(result, SIGNED_NOTE_BYTES_MAX).map_err(|_| Damaged("an authorization's result"))?,
            ),
        };
        Ok(Self {
            id: id.ok_or(Damaged("an authorization's key"))?,
            request_digest: digest(&body.request_digest)?,
            order_digest: digest(&body.order_digest)?,
            amount: amount.ok_or(Damaged("an authorization's amount"))?,
            signed_at: from_millis(body.signed_at_ms),
            order: order.map_err(|_| Damaged("an authorization's order"))?,
            factors: body.factors.iter().filter_map(|number| factor(*number)).collect(),
            consent_digest: body.consent_digest.as_deref().map(digest).transpose()?,
            state,
        })
    }
}

fn digest(bytes: &[u8]) -> Result<Digest, Damaged> {
    bytes.try_into().map(Digest::from_bytes).map_err(|_| Damaged("an authorization's digest"))
}

fn factor(number: i32) -> Option<Factor> {
    [Factor::Knowledge, Factor::Inherence, Factor::Possession, Factor::Passkey]
        .into_iter()
        .find(|factor| i32::from(factor.to_pb()) == number)
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(bytes = "bytes", tag = "1")]
    request_digest: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    order_digest: Bytes,
    #[prost(message, optional, tag = "3")]
    amount: Option<pb::Money>,
    #[prost(uint64, tag = "4")]
    signed_at_ms: u64,
    #[prost(string, optional, tag = "5")]
    order: Option<String>,
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "6")]
    factors: Vec<i32>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    consent_digest: Option<Bytes>,
    #[prost(oneof = "StateBody", tags = "8, 9")]
    state: Option<StateBody>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum StateBody {
    #[prost(message, tag = "8")]
    Deciding(DecidingBody),
    #[prost(message, tag = "9")]
    Decided(pb::Signed),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct DecidingBody {
    #[prost(uint64, tag = "1")]
    since_ms: u64,
    #[prost(uint64, tag = "2")]
    deadline_ms: u64,
}
