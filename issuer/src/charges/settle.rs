//! Ending a charge by a result, once and for all.

use proto::{ids::ChargeId, signed::Signed};

use super::{Advanced, Charge, Untrusted, With, advance, result};
use crate::{
    context::Context,
    domain::{
        charge::{Event, Rejected, State},
        ids::CustomerId,
    },
    error::Error,
};

/// What became of a result.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The charge is final, by this result or by an equal one before it.
    Final(Box<Charge>),
    /// The result is not believed; the charge is as it was.
    Untrusted(Untrusted),
}

/// Takes a signed result for a charge: from the acquirer's answer, or from an operator who got it another
/// way. What doesn't verify is logged and counted, and changes nothing.
///
/// # Errors
/// [`Error::ChargeNotFound`], and what the store gives.
pub async fn bring_result(
    ctx: &Context,
    customer: &CustomerId,
    charge: &ChargeId,
    signed: &Signed,
) -> Result<Settled, Error> {
    let charge = super::load(ctx, customer, charge).await?;
    let Some(asked) = charge.asked(&ctx.issuer) else {
        return Err(Error::internal("settling a charge", "nothing was sent for it"));
    };
    let decision = match result::verify(&ctx.directory.current(), &asked, signed, ctx.clock.now()) {
        Ok(decision) => decision,
        Err(untrusted) => {
            ctx.numbers.untrusted.increment();
            tracing::warn!(
                charge_id = %charge.id, authorization_id = %charge.authorization, acquirer = %asked.acquirer,
                error = %untrusted, "a result was not believed"
            );
            return Ok(Settled::Untrusted(untrusted));
        }
    };
    match advance(ctx, customer, &charge.id, Event::Decide(decision), With::Result(signed)).await? {
        Advanced::To(charge) => {
            count(ctx, &charge);
            Ok(Settled::Final(Box::new(charge)))
        }
        Advanced::Rejected(Rejected::AlreadySo, charge) => Ok(Settled::Final(Box::new(charge))),
        Advanced::Rejected(Rejected::Contradiction, charge) => {
            ctx.numbers.contradictions.increment();
            tracing::error!(
                charge_id = %charge.id, authorization_id = %charge.authorization, acquirer = %asked.acquirer,
                "the acquirer has signed two results that contradict each other; the first one stays"
            );
            Ok(Settled::Final(Box::new(charge)))
        }
        Advanced::Rejected(Rejected::OutOfTurn, _) => {
            Err(Error::internal("settling a charge", "it takes no result where it stands"))
        }
    }
}

fn count(ctx: &Context, charge: &Charge) {
    match charge.state {
        State::Approved { .. } => ctx.numbers.approved.increment(),
        State::Declined { .. } => ctx.numbers.declined.increment(),
        State::Held | State::Sent(_) | State::Unknown { .. } | State::Abandoned => {}
    }
    let outcome = match charge.state {
        State::Approved { .. } => "approved",
        State::Declined { .. } => "declined",
        State::Held | State::Sent(_) | State::Unknown { .. } | State::Abandoned => "other",
    };
    tracing::info!(
        charge_id = %charge.id, authorization_id = %charge.authorization, order_id = %charge.order.order.id, outcome,
        "a charge has ended"
    );
}
