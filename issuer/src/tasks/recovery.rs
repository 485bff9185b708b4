//! What has to be put right where nobody works on a charge any more: before the first call is taken, what
//! the last process left; and all the time, what has come to a standstill in this one.
//!
//! A held charge has sent nothing: it is given up. A sent one may have: it becomes unknown, and the
//! questions about it begin at once. A parked one is asked about once more at every start, which is how an
//! operator lets the issuer ask again when an acquirer is back after days.
//!
//! A charge stands still where its task has failed or hangs, or where the store took the charge and the
//! answer got lost. Whoever is late there does no harm: a charge that was given up can't be sent any more,
//! and a result also ends a charge that has become unknown.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::store::{Index, KeyRange, PageRequest};
use tokio::task::JoinSet;

use crate::{
    charges::{Advanced, Charge, With, advance},
    context::Context,
    domain::charge::{Event, State},
    error::Error,
    records::{self, INDEX_CHARGE_OPEN, INDEX_CHARGE_PARKED, time_key, time_of},
};

/// Charges looked at with one scan, and put right side by side: the store syncs their commits as one group, so
/// that what a crash left behind keeps customers waiting for as few syncs as possible.
const PAGE: usize = 64;
/// How often somebody looks for charges that stand still.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long nothing may change a charge that is held or sent, beyond the wait for a result. Signing and
/// committing take milliseconds, so that after this long nobody is at it.
const STANDSTILL: Duration = Duration::from_secs(60);
/// How long a charge stands still at most before it is taken up again, beyond the wait for a result.
pub const STANDING_STILL_MAX: Duration = STANDSTILL.saturating_add(LOOK_EVERY);

/// What was put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Charges given up, because nothing had been sent for them.
    pub abandoned: usize,
    /// Charges whose result has to be asked for.
    pub unknown: usize,
    /// Charges that were parked and are asked about once more.
    pub unparked: usize,
    /// Charges that could not be put right; each is in the log and needs an operator.
    pub failed: usize,
}

/// Puts right what the last process left under way. It must have ended, which the store's lock sees to.
///
/// # Errors
/// The store's failure. A single charge that can't be changed is logged and left, so that it doesn't
/// keep all the others from their customers.
pub async fn recover(ctx: &Arc<Context>) -> Result<Recovered, Error> {
    let mut recovered = put_right(ctx, INDEX_CHARGE_OPEN, KeyRange::all(), |_| true).await?;
    let parked = put_right(ctx, INDEX_CHARGE_PARKED, KeyRange::all(), |_| true).await?;
    recovered.unparked = parked.unknown;
    recovered.failed += parked.failed;
    ctx.numbers.lost.add(recovered.unknown as u64);
    if recovered != Recovered::default() {
        tracing::info!(
            abandoned = recovered.abandoned,
            unknown = recovered.unknown,
            unparked = recovered.unparked,
            failed = recovered.failed,
            "charges of the last run were put right"
        );
    }
    Ok(recovered)
}

/// Puts right what comes to a standstill, until the context's `stop`.
pub async fn run(ctx: Arc<Context>) {
    loop {
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = ctx.clock.sleep(LOOK_EVERY) => {}
        }
        match unstick(&ctx).await {
            Ok(Recovered { abandoned: 0, unknown: 0, .. }) => {}
            Ok(found) => {
                ctx.numbers.lost.add(found.unknown as u64);
                ctx.bells.inquiry().notify_one();
                tracing::error!(
                    abandoned = found.abandoned,
                    unknown = found.unknown,
                    "charges had come to a standstill and were put right"
                );
            }
            Err(error) => tracing::error!(%error, "the charges that are held or sent could not be read"),
        }
    }
}

async fn unstick(ctx: &Arc<Context>) -> Result<Recovered, Error> {
    let patience = ctx.charge_limits.result_wait.get() + STANDSTILL;
    let Some(since) = ctx.clock.now().checked_sub(patience) else { return Ok(Recovered::default()) };
    let made_before = KeyRange::between(time_key(SystemTime::UNIX_EPOCH), time_key(since));
    put_right(ctx, INDEX_CHARGE_OPEN, made_before, |charge| time_of(charge.updated_at_ms) < since).await
}

async fn put_right(
    ctx: &Arc<Context>,
    index: Index,
    range: KeyRange,
    wanted: impl Fn(&records::Charge) -> bool,
) -> Result<Recovered, Error> {
    let mut recovered = Recovered::default();
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = ctx.repository.page::<records::Charge>(index, range.clone(), page).await?;
        let mut restarts = JoinSet::new();
        for stored in found.items.into_iter().filter(|stored| wanted(&stored.value)) {
            let ctx = Arc::clone(ctx);
            restarts.spawn(async move { restart(&ctx, &stored.value).await.map_err(|error| (stored.value, error)) });
        }
        while let Some(restarted) = restarts.join_next().await {
            match restarted.map_err(|error| Error::internal("putting a charge right", error))? {
                Ok(State::Abandoned) => {
                    recovered.abandoned += 1;
                    ctx.numbers.abandoned.increment();
                }
                Ok(State::Unknown { .. }) => recovered.unknown += 1,
                Ok(State::Held | State::Sent(_) | State::Approved { .. } | State::Declined { .. }) => {}
                Err((charge, error)) => {
                    recovered.failed += 1;
                    tracing::error!(charge_id = charge.charge_id, %error, "a charge could not be put right");
                }
            }
        }
        let Some(next) = found.next else { return Ok(recovered) };
        page = PageRequest::after(next, PAGE);
    }
}

async fn restart(ctx: &Context, record: &records::Charge) -> Result<State, Error> {
    let charge = Charge::from_record(record)?;
    match advance(ctx, &charge.customer, &charge.id, Event::Restart, With::Nothing).await? {
        Advanced::To(charge) | Advanced::Rejected(_, charge) => Ok(charge.state),
    }
}
