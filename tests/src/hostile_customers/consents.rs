//! Consents that are not to this charge, not of this moment, or not of this device.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use merchant_sim::device::authenticators::{BoundDevice, SoftDevice};
use proto::{
    authorization::Factor,
    device::Consent,
    digest::Digest,
    ids::{ChargeId, DeviceId},
    pb,
};
use tonic::Status;

use super::{holder::Session, world::Bank};
use crate::{attacks::Attack, customers::Card, network::twd};

const INVALID: &str = "CONSENT_INVALID";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = contents(bank);
    attacks.extend(times(bank));
    attacks.extend(signers(bank));
    attacks.extend(forms(bank));
    attacks
}

/// Pays an order of its own in a session that the phone proved, with another consent; nothing comes of it.
fn with<'a>(
    bank: &'a Bank,
    what: &'static str,
    expected: &'static str,
    consent: impl FnOnce(&Session<'_>, Consent) -> Option<pb::Signed> + Send + 'a,
) -> Attack<'a> {
    bank.attack(what, expected, async move {
        let order = bank.order().await;
        let session = bank.holders[0].strong(Some(&order)).await;
        let mut request = session.charge().await;
        request.consent = consent(&session, session.consents(&request));
        let paid = session.holder.wire.submit(request).await;
        bank.is_untouched(&order).await;
        paid
    })
}

/// The same, signed by the phone.
fn changed<'a>(
    bank: &'a Bank,
    what: &'static str,
    change: impl FnOnce(&Session<'_>, &mut Consent) + Send + 'a,
) -> Attack<'a> {
    with(bank, what, INVALID, move |session, mut consent| {
        change(session, &mut consent);
        Some(bank.holders[0].phone.sign_consent(&consent))
    })
}

fn contents(bank: &Bank) -> Vec<Attack<'_>> {
    vec![
        changed(bank, "consents to another order", |_, consent| consent.order_digest = Digest::of(b"another")),
        changed(bank, "consents to a higher amount", |session, consent| {
            consent.amount = twd(session.order.as_ref().unwrap().order.amount.minor_units() + 1);
        }),
        changed(bank, "consents to a lower amount", |_, consent| consent.amount = twd(1)),
        changed(bank, "consents to another currency", |session, consent| {
            let minor_units = session.order.as_ref().unwrap().order.amount.minor_units();
            consent.amount = proto::money::Money::new("USD".parse().unwrap(), minor_units).unwrap();
        }),
        changed(bank, "consents to another payee", |_, consent| consent.payee = "Another Shop".into()),
        changed(bank, "consents to another charge", |_, consent| consent.charge = ChargeId::from_random([7; 16])),
        changed(bank, "consents under another challenge", |_, consent| consent.challenge = [7; 32]),
        bank.attack("consents to another card", INVALID, async {
            let order = bank.order().await;
            let session = bank.holders[0].strong(Some(&order)).await;
            let mut request = session.charge().await;
            // The consent is to the good card.
            request.card_option_id = session.option(Card::Poor).await;
            let paid = session.holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("consents under the challenge of another session of the customer's", INVALID, async {
            let order = bank.order().await;
            let holder = &bank.holders[0];
            let (first, second) = (holder.strong(Some(&order)).await, holder.strong(Some(&order)).await);
            let mut request = second.charge().await;
            let consent = Consent { challenge: first.challenge, ..second.consents(&request) };
            request.consent = Some(holder.phone.sign_consent(&consent));
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("plays a consent to a paid charge again for the next one", INVALID, async {
            let holder = &bank.holders[0];
            let (paid, next) = (bank.order().await, bank.order().await);
            let session = holder.strong(Some(&paid)).await;
            let request = session.charge().await;
            let old = request.consent.clone();
            assert_eq!(bank.pays(&session, request).await.unwrap(), "APPROVED");
            let session = holder.strong(Some(&next)).await;
            let refused = holder.wire.submit(pb::SubmitChargeRequest { consent: old, ..session.charge().await }).await;
            bank.is_untouched(&next).await;
            refused
        }),
    ]
}

fn times(bank: &Bank) -> Vec<Attack<'_>> {
    vec![
        changed(bank, "consents an hour ago", |_, consent| {
            consent.signed_at = SystemTime::now() - Duration::from_secs(3600);
        }),
        changed(bank, "consents an hour ahead", |_, consent| {
            consent.signed_at = SystemTime::now() + Duration::from_secs(3600);
        }),
        changed(bank, "consented in 1970", |_, consent| consent.signed_at = SystemTime::UNIX_EPOCH),
    ]
}

fn signers(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    let by = |what, device: Box<dyn FnOnce() -> BoundDevice + Send>| {
        with(bank, what, INVALID, move |_, consent| Some(device().sign_consent(&consent)))
    };
    vec![
        with(bank, "does not consent where a device proved itself", "CONSENT_REQUIRED", |_, _| None),
        by(
            "consents by a device that nobody has bound",
            Box::new(move || stranger().bound_as(DeviceId::from_random([7; 16]))),
        ),
        by(
            "consents by a strange key under the phone's id",
            Box::new(move || stranger().bound_as(holder.phone.id().clone())),
        ),
        with(bank, "consents by the customer's other device", INVALID, |_, consent| {
            Some(holder.tablet.sign_consent(&consent))
        }),
        by(
            "consents by the customer's other device under the phone's id",
            Box::new(move || {
                SoftDevice::from_seed(holder.tablet.key().seed()).unwrap().bound_as(holder.phone.id().clone())
            }),
        ),
        with(bank, "consents by another customer's device", INVALID, |_, consent| {
            Some(other.phone.sign_consent(&consent))
        }),
        bank.attack("consents by another customer's device where no device proved itself", INVALID, async {
            without_device(bank, |consent| Some(other.phone.sign_consent(&consent))).await
        }),
        bank.attack("consents by an unbound device where no device proved itself", INVALID, async {
            let device = stranger().bound_as(DeviceId::from_random([9; 16]));
            without_device(bank, move |consent| Some(device.sign_consent(&consent))).await
        }),
    ]
}

/// Pays in a session of the first customer's that a passkey alone proved.
async fn without_device(
    bank: &Bank,
    consent: impl FnOnce(Consent) -> Option<pb::Signed> + Send,
) -> Result<String, Status> {
    let order = bank.order().await;
    let session = bank.holders[0].sign_in(Some(&order), &[Factor::Passkey]).await;
    let mut request = session.charge().await;
    request.consent = consent(session.consents(&request));
    let paid = session.holder.wire.submit(request).await;
    bank.is_untouched(&order).await;
    paid
}

fn forms(bank: &Bank) -> Vec<Attack<'_>> {
    let phone = &bank.holders[0].phone;
    let malformed = |what, change: fn(&mut pb::Signed)| {
        with(bank, what, INVALID, move |_, consent| {
            let mut signed = phone.sign_consent(&consent);
            change(&mut signed);
            Some(signed)
        })
    };
    vec![
        malformed("alters a consent's signature", |signed| {
            let mut signature = signed.signature.to_vec();
            signature[0] ^= 1;
            signed.signature = signature.into();
        }),
        malformed("adds to a consent after it was signed", |signed| {
            signed.body = [signed.body.as_ref(), &[0x7a, 0]].concat().into();
        }),
        with(bank, "shows a use of the session in the place of a consent", INVALID, move |session, _| {
            Some(phone.session_use(&session.token, "bankside.v1.CardSelection/SubmitCharge", SystemTime::now()))
        }),
        with(bank, "shows an empty consent", "INVALID_FIELD", move |_, _| {
            Some(phone.sign_body(&pb::Consent::default()))
        }),
        with(bank, "cuts a consent's signature short", "INVALID_FIELD", move |_, consent| {
            let signed = phone.sign_consent(&consent);
            Some(pb::Signed { signature: signed.signature.slice(..63), ..signed })
        }),
        with(bank, "shows a consent of thirty kilobytes", "INVALID_FIELD", move |_, consent| {
            let signed = phone.sign_consent(&consent);
            Some(pb::Signed { body: Bytes::from(vec![0; 30_000]), ..signed })
        }),
    ]
}

fn stranger() -> SoftDevice {
    SoftDevice::generate().unwrap()
}
