//! Sending a charge's request, in a task that outlives the caller.
//!
//! Between any two lines the process may die. Before the commit of `Sent` nothing has left, and the
//! restart gives the charge up; after it the request may have left, and the restart asks.
//!
//! **Sending again, and asking.** While the customer waits for the result, a lost connection or a server
//! that says "not now" leads to the very same bytes being sent again: the acquirer answers the recorded
//! result or joins the decision under way, so that nothing happens twice, and its restart costs nobody a
//! payment. A question would: what has not arrived by then it declines for ever. Once the wait is over it is the
//! other way round. Nobody looks at the phone any more, and an approval that comes minutes later surprises
//! a customer who has paid otherwise meanwhile. So from then on, and after a restart, the acquirer is only
//! asked; a request that never arrived ends there as NEVER_RECEIVED, and the customer may try anew. The
//! stored request is the evidence of what was signed, for as long as the result is not known.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use proto::{confirmation::DeviceConfirmation, signed::Signed};
use tonic::Code;

use super::{
    Advanced, Charge, Settled, advance,
    advance::With,
    bring_result,
    request::{Prepared, prepare},
};
use crate::{
    client::Unanswered,
    context::Context,
    domain::charge::{Event, State},
    error::Error,
};

/// The first and the longest wait before a change that the store could not take is tried again.
const PERSIST_FIRST: Duration = Duration::from_millis(50);
const PERSIST_MAX: Duration = Duration::from_secs(5);
/// The wait before a request is sent again the first time; it doubles. Six tries fit into ten seconds.
const RESEND_FIRST: Duration = Duration::from_millis(200);

/// Takes a held charge to the acquirer and stores what comes back.
pub(super) async fn send(ctx: &Context, charge: Charge, ticket: Bytes, confirmation: Option<DeviceConfirmation>) {
    let prepared = match prepare(ctx, &charge, ticket, confirmation).await {
        Ok(prepared) => prepared,
        Err(error) => return give_up(ctx, &charge, &error).await,
    };
    if !commit_sent(ctx, &charge, &prepared).await {
        return;
    }
    match transmit(ctx, &prepared).await {
        Ok(result) => take(ctx, &charge, &result).await,
        Err(unanswered) => {
            tracing::warn!(
                charge_id = %charge.id, authorization_id = %charge.authorization,
                acquirer = %charge.order.order.acquirer, error = %unanswered,
                "no result came back; the acquirer will be asked"
            );
            lose(ctx, &charge).await;
        }
    }
}

/// The request can't be made. Nothing was sent, so that the hold can simply be released.
async fn give_up(ctx: &Context, charge: &Charge, error: &Error) {
    tracing::error!(
        charge_id = %charge.id, authorization_id = %charge.authorization, %error,
        "the authorization request can't be made; the charge is given up"
    );
    let step = || advance(ctx, &charge.customer, &charge.id, Event::Abandon, With::Nothing);
    if let Some(Advanced::To(_)) = persist(ctx, charge, step).await {
        ctx.numbers.abandoned.increment();
    }
}

/// Whether the charge is durably sent, by this very request, so that its first byte may leave.
async fn commit_sent(ctx: &Context, charge: &Charge, prepared: &Prepared) -> bool {
    let event = Event::Send(prepared.sent);
    let step = || advance(ctx, &charge.customer, &charge.id, event, With::Request(&prepared.record));
    match persist(ctx, charge, step).await {
        Some(Advanced::To(_)) => true,
        // A commit whose outcome was lost has come through after all: it names our request.
        Some(Advanced::Rejected(_, now)) => now.state == State::Sent(prepared.sent),
        None => false,
    }
}

/// Sends the request, again where that may help, and waits by our own clock, whatever the connection does.
async fn transmit(ctx: &Context, prepared: &Prepared) -> Result<Signed, Unanswered> {
    let end = ctx.clock.elapsed() + ctx.charge_limits.result_wait.get();
    let left = || end.saturating_sub(ctx.clock.elapsed());
    let mut pause = RESEND_FIRST;
    loop {
        let wait = left();
        let answer = tokio::select! {
            answer = ctx.client.authorize(&prepared.call, wait) => answer,
            () = ctx.clock.sleep(wait) => return Err(Unanswered::TooLate),
        };
        let unanswered = match answer {
            Err(unanswered) if is_passing(&unanswered) && pause < left() => unanswered,
            answer => return answer,
        };
        tokio::select! {
            // The next start asks.
            () = ctx.stop.cancelled() => return Err(unanswered),
            () = ctx.clock.sleep(pause) => {}
        }
        ctx.numbers.resent.increment();
        pause *= 2;
    }
}

/// Whether the same request may fare better in a moment. It says nothing about what the acquirer did.
fn is_passing(unanswered: &Unanswered) -> bool {
    match unanswered {
        Unanswered::Connection(_) => true,
        Unanswered::Refused { code, .. } => matches!(code, Code::Unavailable | Code::ResourceExhausted),
        Unanswered::NoWay(_) | Unanswered::Malformed(_) | Unanswered::OtherAuthorization | Unanswered::TooLate => false,
    }
}

async fn take(ctx: &Context, charge: &Charge, result: &Signed) {
    let step = || bring_result(ctx, &charge.customer, &charge.id, result);
    match persist(ctx, charge, step).await {
        Some(Settled::Final(_)) | None => {}
        Some(Settled::Untrusted(_)) => lose(ctx, charge).await,
    }
}

async fn lose(ctx: &Context, charge: &Charge) {
    let step = || advance(ctx, &charge.customer, &charge.id, Event::Lose, With::Nothing);
    if let Some(Advanced::To(_)) = persist(ctx, charge, step).await {
        ctx.numbers.lost.increment();
    }
    ctx.bells.inquiry().notify_one();
}

/// Tries a step until the store takes it or the process is asked to stop; `None` where it stopped. What
/// is left undone then, the recovery at the next start does.
async fn persist<T, F>(ctx: &Context, charge: &Charge, mut step: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut wait = PERSIST_FIRST;
    loop {
        match step().await {
            Ok(done) => return Some(done),
            Err(error) => tracing::error!(
                charge_id = %charge.id, authorization_id = %charge.authorization, %error,
                "a charge could not be changed; trying again"
            ),
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return None,
            () = ctx.clock.sleep(wait) => {}
        }
        wait = (wait * 2).min(PERSIST_MAX);
    }
}
