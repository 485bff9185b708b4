//! The consent of a bound device to one charge: demanded, checked, and kept.

use std::time::Duration;

use anyhow::{Context as _, Result};
use data_encoding::HEXLOWER;
use proto::authorization::Factor::{Knowledge, Possession};
use proto::device::Consent;
use proto::digest::Digest;
use proto::ids::{CardOptionId, ChargeId};
use proto::money::Money;
use proto::pb;

use super::{Visitor, evidence, paid};
use crate::device::authenticators::{SoftDevice, consent_to};
use crate::scenario::stage::Stage;

/// What is paid, in minor units.
const AMOUNT: i64 = 600_000;

/// Further off the bank's clock than a consent may be.
const LATE: Duration = Duration::from_secs(10 * 60);

/// A consent to something else, by what it differs in.
type Other = (&'static str, fn(&Consent) -> Result<Consent>);

/// What the cardholder might have been shown instead.
const OTHERS: [Other; 7] = [
    ("another amount", |consent| {
        let amount = Money::new(consent.amount.currency(), consent.amount.minor_units() - 1)?;
        Ok(Consent { amount, ..consent.clone() })
    }),
    ("another payee", |consent| Ok(Consent { payee: "Somebody Else".to_owned(), ..consent.clone() })),
    ("another order", |consent| Ok(Consent { order_digest: Digest::of(b"another order"), ..consent.clone() })),
    ("another card", |consent| Ok(Consent { card: CardOptionId::from_random([5; 16]), ..consent.clone() })),
    ("another charge", |consent| Ok(Consent { charge: ChargeId::from_random([5; 16]), ..consent.clone() })),
    ("another session", |consent| Ok(Consent { challenge: [5; 32], ..consent.clone() })),
    ("this, ten minutes ago", |consent| Ok(Consent { signed_at: consent.signed_at - LATE, ..consent.clone() })),
];

pub(super) async fn play(stage: &mut Stage<'_>, visitor: &mut Visitor<'_>) -> Result<()> {
    let visit = visitor.visit(stage, 0, AMOUNT, &[Knowledge, Possession]).await?;
    let good = visitor.charge(&visit).await?;
    let device = visitor.wallet.device.clone().context("no device")?;
    let without = pb::SubmitChargeRequest { consent: None, ..good.clone() };
    stage.refusal("a charge without a consent", "CONSENT_REQUIRED", &paid(&visitor.app(), without).await);
    let consent = consent_to(&good, &visit.placed.signed, visit.reached.challenge)?;
    for (what, change) in OTHERS {
        let signed = Some(device.sign_consent(&change(&consent)?));
        let charge = pb::SubmitChargeRequest { consent: signed, ..good.clone() };
        stage.refusal(&format!("a consent to {what}"), "CONSENT_INVALID", &paid(&visitor.app(), charge).await);
    }
    let thief = SoftDevice::generate()?.bound_as(device.id().clone());
    let forged = pb::SubmitChargeRequest { consent: Some(thief.sign_consent(&consent)), ..good.clone() };
    stage.refusal("a consent under another key", "CONSENT_INVALID", &paid(&visitor.app(), forged).await);
    stage.check("the device's own consent", "APPROVED", &paid(&visitor.app(), good.clone()).await);
    let body = &good.consent.as_ref().context("a charge without a consent")?.body;
    let kept = evidence::told(visitor.bank.issuer, "consent_kept", &good.charge_id).await?;
    let digest = HEXLOWER.encode(Digest::of(body).as_bytes());
    let named = kept["evidence"].as_str().unwrap_or("none");
    stage.check("the bank keeps it: the digest in its audit trail", &digest, named);
    let by = kept["device"].as_str().unwrap_or("none");
    stage.check("and whose it is", device.id().as_str(), by);
    Ok(())
}
