//! Taking a charge request: the hold, the charge and the order's claim, in one transition.

use std::sync::Arc;

use bytes::Bytes;
use proto::{
    card::Expiry,
    confirmation::DeviceConfirmation,
    device::DeviceSigned,
    ids::{AuthorizationId, CardOptionId, ChargeId},
    order::SignedOrder,
};

use super::{Charge, advance::account, demand::meet, send::send};
use crate::{
    audit::{Act, Actor},
    auth::SignedIn,
    context::Context,
    domain::{
        account::HoldError,
        card::{Unusable, judge},
        charge::State,
    },
    error::Error,
    orders,
    records::{self, Damaged},
    repository::{Changes, Outcome},
};

/// How often a charge is decided anew because others changed the same records.
const RACES_MAX: usize = 64;

/// A charge request of a signed-in customer.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who pays, and what was proved.
    pub session: SignedIn,
    /// The client's id.
    pub charge: ChargeId,
    /// What is paid; not verified yet.
    pub order: SignedOrder,
    /// The card that shall pay.
    pub card: CardOptionId,
    /// The platform's ticket; empty in direct mode.
    pub ticket: Bytes,
    /// The cardholder's consent; not verified yet.
    pub consent: Option<DeviceSigned>,
    /// That the payment comes from the device that opened the payment page; the acquirer alone can verify it.
    pub device_confirmation: Option<DeviceConfirmation>,
    /// Who submits it, for the audit trail.
    pub actor: Actor,
}

/// Whether a charge was made by this call.
enum Held {
    /// It was, and nobody else will send it.
    New(Charge),
    /// The same charge was submitted before.
    Again(Charge),
}

/// Takes a charge request. Returns once the charge is durable; sending it goes on in a task of its own,
/// whatever becomes of the caller. The same content again returns the charge as it stands now.
///
/// What counts as content is the order and the card. A ticket may be renewed between two tries, and
/// doesn't change what is paid; the one that came with the first try is the one that travels, and so is the
/// confirmation of the device. Nor does the
/// session: a charge that was taken is found again whatever its customer has proved this time, and one that
/// was refused for too little proof is judged anew.
///
/// # Errors
/// [`Error::ChargeIdReused`], [`Error::TicketMissing`], [`Error::DeviceConfirmationRequired`], [`Error::OrderAlreadyCharged`], [`Error::ChargeInProgress`],
/// [`Error::FactorsInsufficient`], [`Error::ConsentRequired`], [`Error::ConsentInvalid`],
/// [`Error::CardOptionNotFound`], [`Error::CardNotUsable`], [`Error::InsufficientFunds`], those of
/// [`orders::verify`], [`Error::Contended`], and the store's failure.
pub async fn submit(ctx: &Arc<Context>, submission: Submission) -> Result<Charge, Error> {
    // The task begins before the first write: a caller who goes away in the middle of the commit leaves
    // a charge that is sent all the same, not one that waits for the next restart.
    let task = {
        let ctx = Arc::clone(ctx);
        async move {
            match hold(&ctx, &submission).await? {
                Held::New(charge) => {
                    ctx.numbers.held.increment();
                    ctx.bells.ring(&charge.customer, &charge.id);
                    let sender = {
                        let (ctx, charge) = (Arc::clone(&ctx), charge.clone());
                        async move { send(&ctx, charge, submission.ticket, submission.device_confirmation).await }
                    };
                    ctx.tasks.spawn(sender);
                    Ok(charge)
                }
                Held::Again(charge) => Ok(charge),
            }
        }
    };
    ctx.tasks.spawn(task).await.map_err(|error| Error::internal("taking a charge", error))?
}

async fn hold(ctx: &Context, submission: &Submission) -> Result<Held, Error> {
    // One id for all tries of this call, so that a charge which turns up in the store can be recognised as ours.
    let authorization = AuthorizationId::from_random(ctx.entropy.id()?);
    let mut verified = false;
    for _ in 0..RACES_MAX {
        let key = records::Charge::at(&submission.session.customer, &submission.charge);
        if let Some(stored) = ctx.repository.load(&key).await? {
            return again(Charge::from_record(&stored.value)?, submission, &authorization);
        }
        if !verified {
            orders::verify(ctx, &submission.order)?;
            // The relay would refuse it, and the customer would wait for nothing with the funds held.
            if submission.ticket.is_empty() && ctx.client.needs_ticket() {
                return Err(Error::TicketMissing);
            }
            // So would the acquirer, with a decline.
            if submission.order.order.device_check_url.is_some() && submission.device_confirmation.is_none() {
                return Err(Error::DeviceConfirmationRequired);
            }
            verified = true;
        }
        if let Some(claim) = ctx.repository.load(&records::Claim::at(&submission.order.digest)).await? {
            if claim.value.is_of(&submission.session.customer, &submission.charge) {
                // A commit of this call whose outcome was lost has come through since the first look.
                continue;
            }
            let own = claim.value.customer_id == submission.session.customer.as_str();
            let own = own.then(|| claim.value.charge_id.parse().ok()).flatten();
            return Err(if claim.value.paid { Error::OrderAlreadyCharged(own) } else { Error::ChargeInProgress(own) });
        }
        let (charge, changes) = held(ctx, submission, &authorization).await?;
        match ctx.repository.commit(changes).await? {
            Outcome::Committed => return Ok(Held::New(charge)),
            Outcome::Reload => {}
        }
    }
    Err(Error::Contended)
}

/// A charge of this id exists.
fn again(charge: Charge, submission: &Submission, ours: &AuthorizationId) -> Result<Held, Error> {
    if charge.authorization == *ours {
        // A commit of this call whose outcome was lost has come through: nobody else knows of it yet.
        return Ok(Held::New(charge));
    }
    let same = charge.order.digest == submission.order.digest && charge.card == submission.card;
    if same { Ok(Held::Again(charge)) } else { Err(Error::ChargeIdReused) }
}

/// The new charge, with everything that is committed together with it.
async fn held(
    ctx: &Context,
    submission: &Submission,
    authorization: &AuthorizationId,
) -> Result<(Charge, Changes), Error> {
    let now = ctx.clock.now();
    let met = meet(ctx, submission, now).await?;
    let (customer, amount) = (&submission.session.customer, submission.order.order.amount);
    let card = ctx.repository.load(&records::Card::at(&submission.card)).await?;
    let card = card.filter(|card| card.value.customer_id == customer.as_str());
    let card = card.ok_or(Error::CardOptionNotFound)?.value;
    let damaged = |field| Damaged { kind: "card", field };
    let expiry = Expiry::new(card.expiry_year, card.expiry_month).map_err(|_| damaged("expiry_month"))?;
    let account_id = card.account_id.parse().map_err(|_| damaged("account_id"))?;
    let stored = account(ctx, &account_id).await?;
    let before = stored.value.domain()?;
    match judge(card.blocked, expiry, &before, Some(amount), now) {
        None => {}
        Some(Unusable::Blocked | Unusable::Expired | Unusable::OtherCurrency) => return Err(Error::CardNotUsable),
        Some(Unusable::InsufficientFunds) => return Err(Error::InsufficientFunds),
    }
    let after = before.hold(amount).map_err(|error| match error {
        HoldError::OtherCurrency => Error::CardNotUsable,
        HoldError::InsufficientFunds => Error::InsufficientFunds,
    })?;
    let charge = Charge {
        customer: customer.clone(),
        id: submission.charge.clone(),
        order: submission.order.clone(),
        card: submission.card.clone(),
        account: account_id,
        authorization: authorization.clone(),
        factors: submission.session.factors.clone(),
        consent: submission.consent.as_ref().map(DeviceSigned::digest),
        low_value_epoch: met.low_value_epoch,
        created_at: now,
        updated_at: now,
        state: State::Held,
        result: None,
    };
    let claim = records::Claim {
        order_digest: submission.order.digest.to_bytes(),
        customer_id: customer.to_string(),
        charge_id: submission.charge.to_string(),
        paid: false,
    };
    let told = |act| charge.told(now, act).by(submission.actor).session(&submission.session.id);
    let changes = Changes::new()
        .create(&charge.to_record())
        .replace(stored.version, &stored.value.with(&after))
        .create(&claim)
        .audit(&told(Act::ChargeSubmitted));
    let changes = match &submission.consent {
        Some(signed) => changes.audit(&told(Act::ConsentKept).device(&signed.device).evidence(&signed.digest())),
        None => changes,
    };
    let changes = met.add_to(changes);
    Ok((charge, changes))
}
