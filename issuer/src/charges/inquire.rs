//! One question about a charge whose result is not known.

use std::time::Duration;

use super::{Advanced, Charge, Settled, With, advance, bring_result, request::question};
use crate::{
    client::{Answer, Unanswered},
    context::Context,
    domain::charge::{Event, Inquiry, State},
    error::Error,
};

/// Asks the acquirer once what became of a charge, and stores what it says: the result, or when to
/// ask again. The signed question is a fresh one each time; what it asks about never changes.
///
/// # Errors
/// What the store gives; the charge is then due as before.
pub async fn inquire(ctx: &Context, charge: &Charge) -> Result<(), Error> {
    let State::Unknown { next: Inquiry::At(_), .. } = charge.state else { return Ok(()) };
    let Some(asked) = charge.asked(&ctx.issuer) else { return Ok(()) };
    let call = question(ctx, &asked)?;
    ctx.numbers.inquiries.increment();
    let wait = ctx.charge_limits.result_wait.get();
    let under_way = ctx.bells.question(&charge.customer, &charge.id, ctx.clock.now());
    let answer = tokio::select! {
        answer = ctx.client.resolve(&call, wait) => answer,
        () = ctx.clock.sleep(wait) => Err(Unanswered::TooLate),
    };
    drop(under_way);
    let wait_at_least = match answer {
        Ok(Answer::Result(result)) => match bring_result(ctx, &charge.customer, &charge.id, &result).await? {
            Settled::Final(_) => return Ok(()),
            Settled::Untrusted(_) => Duration::ZERO,
        },
        Ok(Answer::Pending { retry_after }) => retry_after,
        Err(unanswered) => {
            tracing::info!(
                charge_id = %charge.id, authorization_id = %charge.authorization, acquirer = %asked.acquirer,
                error = %unanswered, "the acquirer did not say what became of a charge"
            );
            Duration::ZERO
        }
    };
    ask_again_later(ctx, charge, wait_at_least).await
}

async fn ask_again_later(ctx: &Context, charge: &Charge, wait_at_least: Duration) -> Result<(), Error> {
    let mut jitter = [0; 2];
    ctx.entropy.fill(&mut jitter)?;
    let event = Event::AskedInVain { wait_at_least, jitter: u16::from_be_bytes(jitter) };
    match advance(ctx, &charge.customer, &charge.id, event, With::Nothing).await? {
        Advanced::To(Charge { state: State::Unknown { next: Inquiry::Parked, questions, .. }, .. }) => {
            ctx.numbers.parked.increment();
            tracing::error!(
                charge_id = %charge.id, authorization_id = %charge.authorization,
                acquirer = %charge.order.order.acquirer, questions,
                "a charge's result could not be learned; start again to ask once more when the acquirer is back"
            );
            Ok(())
        }
        // A result that came by another way has ended it meanwhile.
        Advanced::To(_) | Advanced::Rejected(..) => Ok(()),
    }
}
