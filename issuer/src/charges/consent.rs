//! The cardholder's consent to a charge, verified and made evidence.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::{
    device::{Consent, DeviceKey, DeviceSigned},
    pb,
    time::CLOCK_SKEW_MAX,
};

use super::Submission;
use crate::{
    context::Context,
    error::Error,
    records::{self, Damaged, millis_of},
    repository::Stored,
};

/// A verified consent.
#[derive(Debug)]
pub(super) struct Consented {
    /// What is kept of it.
    pub(super) evidence: records::Consent,
    /// The device that signed it, as it is bound now.
    pub(super) device: Stored<records::Device>,
}

/// Verifies a consent for a submission.
///
/// # Errors
/// [`Error::ConsentInvalid`], which names the part that is not right; the store's failure.
pub(super) async fn verify(
    ctx: &Context,
    submission: &Submission,
    signed: &DeviceSigned,
    now: SystemTime,
) -> Result<Consented, Error> {
    let session = &submission.session;
    if session.device.as_ref().is_some_and(|device| *device != signed.device) {
        return Err(Error::ConsentInvalid("its key_id is another device than the one that proved itself"));
    }
    let device = ctx.repository.load(&records::Device::at(&signed.device)).await?;
    let device = device.filter(|device| device.value.customer_id == session.customer.as_str());
    let device = device.ok_or(Error::ConsentInvalid("its key_id is no bound device of the customer"))?;
    let public_key = device.value.public_key.clone();
    let key = public_key.as_ref().try_into().map_err(|_| Damaged { kind: "device", field: "public_key" })?;
    if !signed.is_by::<pb::Consent>(&DeviceKey::from_bytes(key)) {
        return Err(Error::ConsentInvalid("its signature is not the device's"));
    }
    let says = Consent::parse(signed).map_err(|_| Error::ConsentInvalid("its body is not a whole Consent"))?;
    // The challenge ties the consent to the session. That it is not older keeps a phone with a wrong clock from
    // leaving evidence with a wrong time.
    let begun_at = session.expires_at.checked_sub(ctx.auth_limits.session_total.get()).unwrap_or(UNIX_EPOCH);
    judge(&says, submission, begun_at, now).map_err(Error::ConsentInvalid)?;
    let evidence = records::Consent {
        customer_id: session.customer.to_string(),
        charge_id: submission.charge.to_string(),
        signed: Some(signed.to_pb()),
        device_public_key: public_key,
        factors: session.factors.iter().map(|factor| factor.to_pb().into()).collect(),
        received_at_ms: millis_of(now),
    };
    Ok(Consented { evidence, device })
}

/// Whether what a device signed is what is to be charged, in the session that began at `begun_at`.
fn judge(says: &Consent, submission: &Submission, begun_at: SystemTime, now: SystemTime) -> Result<(), &'static str> {
    let order = &submission.order;
    let checks = [
        (says.order_digest == order.digest, "its order_digest is another order's"),
        (says.amount == order.order.amount, "its amount is another"),
        (says.payee == order.order.merchant.display_name, "its payee is another"),
        (says.card == submission.card, "its card_option_id is another"),
        (says.charge == submission.charge, "its charge_id is another"),
        (says.challenge == submission.session.challenge, "its challenge is another session's"),
        (says.signed_at + CLOCK_SKEW_MAX >= begun_at, "its signed_at is before the session"),
        (says.signed_at <= now + CLOCK_SKEW_MAX, "its signed_at is ahead of the bank's clock"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, problem)) => Err(problem),
    }
}
