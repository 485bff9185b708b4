//! Order events: what a shop must know about its order.

use std::time::SystemTime;

use crate::{
    authorization::{Carried, Decision, SIGNED_NOTE_BYTES_MAX},
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{AuthorizationId, IssuerId, MerchantId, MerchantReference, OrderId},
    money::Money,
    pb, require,
    signed::Signed,
    time,
};

/// The result of one authorization, as a shop may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The issuer's authorization id.
    pub authorization: AuthorizationId,
    /// The bank that asked.
    pub issuer: IssuerId,
    /// What was decided.
    pub decision: Decision,
}

impl Outcome {
    /// A received outcome.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::AuthorizationOutcome) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let authorization = fields.text("authorization_id", &pb.authorization_id);
        let issuer = fields.text("issuer_id", &pb.issuer_id);
        let decision = fields.nested("", Decision::parse(pb.decision, pb.decline_reason, &pb.approval_code));
        require!(fields; authorization, issuer, decision);
        Ok(Self { authorization, issuer, decision })
    }

    /// The outcome as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::AuthorizationOutcome {
        let (decision, decline_reason, approval_code) = self.decision.to_pb();
        pb::AuthorizationOutcome {
            authorization_id: self.authorization.to_string(),
            issuer_id: self.issuer.to_string(),
            decision: decision.into(),
            decline_reason: decline_reason.into(),
            approval_code,
        }
    }
}

/// The state of an order after an event, by its name in the contracts.
pub use crate::pb::OrderState;

/// An order event, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// 1 for the order's first event, then 2, and so on.
    pub position: u32,
    /// The order.
    pub order: OrderId,
    /// The shop that it is for.
    pub merchant: MerchantId,
    /// The shop's own name for the order.
    pub reference: MerchantReference,
    /// The signed order.
    pub order_digest: Digest,
    /// When it happened.
    pub occurred_at: SystemTime,
    /// The order's state after it; never unspecified.
    pub state: OrderState,
    /// The authorization's result, where the event is one.
    pub authorization: Option<Outcome>,
    /// The order's amount.
    pub amount: Money,
}

impl OrderEvent {
    /// Unique: the order's id, ".", and the position.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", self.order, self.position)
    }

    /// A decoded event.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::OrderEvent) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let order = fields.text("order_id", &pb.order_id);
        let merchant = fields.text("merchant_id", &pb.merchant_id);
        let reference = fields.text("merchant_reference", &pb.merchant_reference);
        let order_digest = fields.bytes("order_digest", &pb.order_digest).map(Digest::from_bytes);
        let occurred_at = fields.message("occurred_at", pb.occurred_at, time::parse);
        let state = OrderState::try_from(pb.state).ok().filter(|state| *state != OrderState::Unspecified);
        fields.check("state", state.is_some(), "must be a known state");
        let authorization = match pb.authorization {
            None => Some(None),
            Some(outcome) => fields.nested("authorization", Outcome::parse(outcome)).map(Some),
        };
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        fields.check("position", pb.position > 0, "must be 1 or more");
        fields.check(
            "event_id",
            pb.event_id == format!("{}.{}", pb.order_id, pb.position),
            "must be the order id, \".\" and the position",
        );
        let position = pb.position;
        require!(fields; order, merchant, reference, order_digest, occurred_at, state, authorization, amount);
        Ok(Self { position, order, merchant, reference, order_digest, occurred_at, state, authorization, amount })
    }

    /// The event as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::OrderEvent {
        pb::OrderEvent {
            event_id: self.id(),
            position: self.position,
            order_id: self.order.to_string(),
            merchant_id: self.merchant.to_string(),
            merchant_reference: self.reference.to_string(),
            order_digest: self.order_digest.to_bytes(),
            occurred_at: Some(time::to_pb(self.occurred_at)),
            state: self.state.into(),
            authorization: self.authorization.as_ref().map(Outcome::to_pb),
            amount: Some(self.amount.to_pb()),
        }
    }
}

impl Carried<OrderEvent> {
    /// A signed event as it arrived. Verify its signature at `occurred_at` before believing it.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_NOTE_BYTES_MAX)?;
        let says = OrderEvent::parse(signed.decode()?).map_err(|invalid| invalid.under("body"))?;
        Ok(Self { signed, says })
    }
}
