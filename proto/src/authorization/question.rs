//! The question what became of a request.

use std::time::SystemTime;

use super::Route;
use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{AcquirerId, AuthorizationId, IssuerId},
    money::Money,
    pb, require, time,
};

/// A question what became of a request. It repeats what the result must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The authorization in question.
    pub authorization: AuthorizationId,
    /// The issuer that asks.
    pub issuer: IssuerId,
    /// The acquirer that is asked.
    pub acquirer: AcquirerId,
    /// The request in question.
    pub request_digest: Digest,
    /// Its order.
    pub order_digest: Digest,
    /// Its amount.
    pub amount: Money,
    /// When the request in question was signed.
    pub request_signed_at: SystemTime,
    /// When this question was signed.
    pub signed_at: SystemTime,
}

impl Question {
    /// A decoded question.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::ResolveRequest) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let authorization = fields.text("authorization_id", &pb.authorization_id);
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let request_digest = fields.bytes("request_digest", &pb.request_digest).map(Digest::from_bytes);
        let order_digest = fields.bytes("order_digest", &pb.order_digest).map(Digest::from_bytes);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let request_signed_at = fields.message("request_signed_at", pb.request_signed_at, time::parse);
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        require!(fields; authorization, issuer, acquirer, request_digest, order_digest, amount, request_signed_at, signed_at);
        Ok(Self { authorization, issuer, acquirer, request_digest, order_digest, amount, request_signed_at, signed_at })
    }

    /// The question as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::ResolveRequest {
        pb::ResolveRequest {
            authorization_id: self.authorization.to_string(),
            issuer_id: self.issuer.to_string(),
            acquirer_id: self.acquirer.to_string(),
            request_digest: self.request_digest.to_bytes(),
            order_digest: self.order_digest.to_bytes(),
            amount: Some(self.amount.to_pb()),
            request_signed_at: Some(time::to_pb(self.request_signed_at)),
            signed_at: Some(time::to_pb(self.signed_at)),
        }
    }

    /// Whether a route says the same as this question.
    #[must_use]
    pub fn agrees_with(&self, route: &Route) -> bool {
        self.issuer == route.issuer
            && self.acquirer == route.acquirer
            && self.authorization == route.authorization
            && self.order_digest == route.order_digest
            && self.amount == route.amount
    }
}
