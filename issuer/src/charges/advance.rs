//! One event of a charge, with everything that changes with it, in one transition.

use proto::{authorization::DeclineReason, ids::ChargeId, signed::Signed};

use super::{Charge, demand::give_back};
use crate::{
    audit::{self, Act, Entry},
    context::Context,
    domain::{
        charge::{Effect, Event, Rejected, Schedule, State},
        ids::{AccountId, CustomerId},
    },
    error::Error,
    records::{self, Damaged, Entity, Key},
    repository::{Changes, Outcome, Stored},
};

/// How often a change is decided anew because others changed the same records. A customer's cards share an
/// account and a busy one may have a handful of charges in flight; each lost race is somebody's progress.
const RACES_MAX: usize = 64;

/// What is committed along with a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum With<'a> {
    /// Nothing more.
    Nothing,
    /// The request that is about to be sent.
    Request(&'a records::Request),
    /// The signed result that ends the charge.
    Result(&'a Signed),
}

/// What became of an event.
#[derive(Clone, Debug)]
pub(crate) enum Advanced {
    /// It happened; this is the charge now.
    To(Charge),
    /// It didn't fit; this is where the charge stands.
    Rejected(Rejected, Charge),
}

/// Applies an event to a charge, and commits it with its effects before it returns.
///
/// # Errors
/// [`Error::ChargeNotFound`]; [`Error::Contended`] after too many lost races; the store's failure. Only
/// after the last one nobody knows whether the change was written.
pub(crate) async fn advance(
    ctx: &Context,
    customer: &CustomerId,
    charge: &ChargeId,
    event: Event,
    with: With<'_>,
) -> Result<Advanced, Error> {
    let schedule = schedule(ctx);
    for _ in 0..RACES_MAX {
        let key = records::Charge::at(customer, charge);
        let stored = ctx.repository.load(&key).await?.ok_or(Error::ChargeNotFound)?;
        let mut next = Charge::from_record(&stored.value)?;
        let now = ctx.clock.now();
        let (state, effects) = match next.state.apply(event, &schedule, now) {
            Ok(changed) => changed,
            Err(rejected) => return Ok(Advanced::Rejected(rejected, next)),
        };
        next.state = state;
        next.updated_at = now;
        if let With::Result(result) = with {
            next.result = Some(result.clone());
        }
        let mut changes = Changes::new().replace(stored.version, &next.to_record());
        for entry in told(&next, with) {
            changes = changes.audit(&entry);
        }
        let added = add_all(ctx, &mut changes, effects, &next, with).await;
        if let Err(error) = added {
            // Another step of the same charge may have come in between, and then what this one looked for is
            // rightly gone.
            if ctx.repository.load(&key).await?.is_some_and(|now| now.version != stored.version) {
                continue;
            }
            return Err(error);
        }
        let outcome = ctx.repository.commit(changes).await?;
        // Also where nobody knows whether it was written: looking once in vain costs a watcher nothing.
        ctx.bells.ring(customer, charge);
        match outcome {
            Outcome::Committed => return Ok(Advanced::To(next)),
            Outcome::Reload => {}
        }
    }
    Err(Error::Contended)
}

/// When questions are asked, by the configuration.
pub(crate) fn schedule(ctx: &Context) -> Schedule {
    Schedule {
        first: ctx.charge_limits.inquiry_first.get(),
        max: ctx.charge_limits.inquiry_max.get(),
        park_after: ctx.charge_limits.park_after.get(),
    }
}

/// The account with this id.
///
/// # Errors
/// [`Damaged`] where there is none: a card or a charge names it.
pub(crate) async fn account(ctx: &Context, id: &AccountId) -> Result<Stored<records::Account>, Error> {
    must(ctx, &records::Account::at(id), Damaged { kind: "account", field: "record" }).await
}

/// What the audit trail says of a step. Card data leaves the vault with the request that is about to be sent.
fn told(charge: &Charge, with: With<'_>) -> impl Iterator<Item = Entry> {
    let opened = match with {
        With::Request(_) => Some(charge.told(charge.updated_at, Act::CardOpened)),
        With::Nothing | With::Result(_) => None,
    };
    let outcome = match charge.state {
        State::Approved { .. } => Some(audit::Outcome::Approved),
        State::Declined { reason, .. } => Some(audit::Outcome::Declined(reason_word(reason))),
        State::Abandoned => Some(audit::Outcome::Abandoned),
        State::Held | State::Sent(_) | State::Unknown { .. } => None,
    };
    let ended = outcome.map(|outcome| charge.told(charge.updated_at, Act::ChargeEnded).outcome(outcome));
    opened.into_iter().chain(ended)
}

/// The reason by its name in the contracts.
fn reason_word(reason: DeclineReason) -> &'static str {
    let name = reason.to_pb().as_str_name();
    name.strip_prefix("DECLINE_REASON_").unwrap_or(name)
}

async fn add_all(
    ctx: &Context,
    changes: &mut Changes,
    effects: Vec<Effect>,
    charge: &Charge,
    with: With<'_>,
) -> Result<(), Error> {
    for effect in effects {
        *changes = add(ctx, std::mem::take(changes), effect, charge, with).await?;
    }
    Ok(())
}

async fn add(
    ctx: &Context,
    changes: Changes,
    effect: Effect,
    charge: &Charge,
    with: With<'_>,
) -> Result<Changes, Error> {
    let fault = |error: crate::domain::account::AccountFault| Error::internal("ending a hold", error);
    match effect {
        Effect::ConfirmHold => {
            let stored = account(ctx, &charge.account).await?;
            let confirmed = stored.value.domain()?.confirm(charge.amount()).map_err(fault)?;
            Ok(changes.replace(stored.version, &stored.value.with(&confirmed)))
        }
        Effect::ReleaseHold => {
            let stored = account(ctx, &charge.account).await?;
            let released = stored.value.domain()?.release(charge.amount()).map_err(fault)?;
            let changes = changes.replace(stored.version, &stored.value.with(&released));
            give_back(ctx, changes, charge).await
        }
        Effect::KeepClaim => {
            let stored = claim(ctx, charge).await?;
            Ok(changes.replace(stored.version, &records::Claim { paid: true, ..stored.value.clone() }))
        }
        Effect::FreeClaim => Ok(changes.remove(&claim(ctx, charge).await?)),
        Effect::StoreRequest => match with {
            With::Request(request) => Ok(changes.create(request)),
            With::Nothing | With::Result(_) => Err(Error::internal("sending a charge", "its request is missing")),
        },
        Effect::RemoveRequest => {
            let key = records::Request::at(&charge.authorization);
            let stored = must(ctx, &key, Damaged { kind: "request", field: "record" }).await?;
            Ok(changes.remove(&stored))
        }
    }
}

/// The order's claim, which must be this charge's.
async fn claim(ctx: &Context, charge: &Charge) -> Result<Stored<records::Claim>, Error> {
    let stored =
        must(ctx, &records::Claim::at(&charge.order.digest), Damaged { kind: "claim", field: "record" }).await?;
    if stored.value.is_of(&charge.customer, &charge.id) {
        Ok(stored)
    } else {
        Err(Damaged { kind: "claim", field: "charge_id" }.into())
    }
}

/// A record that must be there as long as the charge is as it was read.
async fn must<T: Entity>(ctx: &Context, key: &Key<T>, missing: Damaged) -> Result<Stored<T>, Error> {
    Ok(ctx.repository.load(key).await?.ok_or(missing)?)
}
