//! What the bank's policy demands of a charge, and what is counted because of it.

use std::time::SystemTime;

use mesh::store::Version;

use super::{
    Charge, Submission,
    consent::{self, Consented},
};
use crate::{
    context::Context,
    domain::{
        ids::CustomerId,
        low_value::Tally,
        policy::{Device, Payment},
    },
    error::Error,
    records,
    repository::{Changes, Repository},
};

/// Factors that prove so many kinds make a payment that ends the tally of small ones.
const STRONG_KINDS: usize = 2;

/// A submission that meets the policy.
#[derive(Debug)]
pub(super) struct Met {
    /// The cardholder's consent, where there is one.
    consent: Option<Consented>,
    /// The number of the tally that it counts in as a small payment.
    pub(super) low_value_epoch: Option<u64>,
    tally: Option<Change>,
}

/// What becomes of the customer's tally.
#[derive(Debug)]
struct Change {
    read_at: Version,
    record: records::LowValue,
}

impl Met {
    /// Adds what is to be committed together with the charge.
    pub(super) fn add_to(&self, changes: Changes) -> Changes {
        let changes = match &self.consent {
            // A device that is unbound before the commit has agreed to nothing.
            Some(Consented { evidence, device }) => changes.create(evidence).replace(device.version, &device.value),
            None => changes,
        };
        match &self.tally {
            Some(Change { read_at, record }) => changes.replace(*read_at, record),
            None => changes,
        }
    }
}

/// Judges a submission by the policy. To be called anew for each try of its commit, because another charge of the
/// customer may count in the same tally meanwhile.
///
/// # Errors
/// [`Error::FactorsInsufficient`], [`Error::ConsentRequired`], [`Error::ConsentInvalid`], and the store's failure.
pub(super) async fn meet(ctx: &Context, submission: &Submission, now: SystemTime) -> Result<Met, Error> {
    let session = &submission.session;
    let order = &submission.order.order;
    let counts = ctx.policy.counts_low_value();
    let (read_at, tally) = if counts { stored_tally(&ctx.repository, &session.customer).await? } else { nothing() };
    let payment = Payment {
        amount: order.amount,
        category: order.merchant.category,
        device: Device::of(session.device.as_ref()),
        tally: &tally,
    };
    let verdict = ctx.policy.payment(&payment);
    if !verdict.demand.factors.is_met(&session.factors) {
        return Err(Error::FactorsInsufficient(ctx.policy.missing(&payment, &session.factors)));
    }
    let consent = match &submission.consent {
        Some(signed) => Some(consent::verify(ctx, submission, signed, now).await?),
        None if verdict.demand.consent || session.device.is_some() => return Err(Error::ConsentRequired),
        None => None,
    };
    let is_strong = proto::authorization::kinds(&session.factors) >= STRONG_KINDS;
    let is_counted = verdict.is_low_value && !is_strong;
    let after = if is_counted {
        Some(tally.with(order.amount).map_err(|error| Error::internal("counting a small payment", error))?)
    } else if is_strong && !tally.is_empty() {
        Some(tally.ended())
    } else {
        None
    };
    let low_value_epoch = after.as_ref().filter(|_| is_counted).map(Tally::epoch);
    let record = after.map(|tally| records::LowValue::of(&session.customer, &tally));
    Ok(Met { consent, low_value_epoch, tally: record.map(|record| Change { read_at, record }) })
}

/// Takes a charge that ends without an approval out of the tally that it was counted in: no money moved.
///
/// # Errors
/// The store's failure.
pub(super) async fn give_back(ctx: &Context, changes: Changes, charge: &Charge) -> Result<Changes, Error> {
    let Some(epoch) = charge.low_value_epoch else { return Ok(changes) };
    let (read_at, tally) = stored_tally(&ctx.repository, &charge.customer).await?;
    let after = tally.clone().without(charge.amount(), epoch);
    if after == tally {
        return Ok(changes);
    }
    Ok(changes.replace(read_at, &records::LowValue::of(&charge.customer, &after)))
}

/// A customer's tally, and at which version it was read.
///
/// # Errors
/// The store's failure.
pub(crate) async fn stored_tally(repository: &Repository, customer: &CustomerId) -> Result<(Version, Tally), Error> {
    match repository.load(&records::LowValue::at(customer)).await? {
        Some(stored) => Ok((stored.version, stored.value.tally()?)),
        None => Ok(nothing()),
    }
}

fn nothing() -> (Version, Tally) {
    (Version::ABSENT, Tally::default())
}
