//! Payments with fewer factors than their rule demands.

use proto::{
    authorization::Factor::{self, Inherence, Knowledge, Passkey, Possession},
    order::SignedOrder,
    pb,
};
use tonic::Status;

use super::world::Bank;
use crate::attacks::Attack;

const FEW: &str = "FACTORS_INSUFFICIENT";
/// One amount for each rule of the bank's: the rule of the first lets one kind pay.
pub(crate) const SMALL: i64 = 10_000;
/// By the shop's category: the password and a device.
pub(crate) const MIDDLE: i64 = 100_000;
/// Without a device a passkey, and with a device its features as well.
pub(crate) const LARGE: i64 = 1_000_000;
/// Two kinds and a consent, also where no device proved itself.
pub(crate) const AGREED: i64 = 2_000_000;
/// Above all of them: three kinds and a consent.
const HUGE: i64 = AGREED + 1;

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let fewer: [(i64, &str, &[Factor]); 10] = [
        (MIDDLE, "a password alone", &[Knowledge]),
        (MIDDLE, "a device alone", &[Possession]),
        (MIDDLE, "a device and its features", &[Possession, Inherence]),
        (MIDDLE, "a passkey", &[Passkey]),
        (MIDDLE, "a passkey and a password", &[Passkey, Knowledge]),
        (LARGE, "a password alone", &[Knowledge]),
        (LARGE, "a device and a password", &[Possession, Knowledge]),
        (HUGE, "a device and a password", &[Possession, Knowledge]),
        (HUGE, "a device and its features", &[Possession, Inherence]),
        (HUGE, "a passkey and a password", &[Passkey, Knowledge]),
    ];
    let enough: [(i64, &str, &[Factor]); 5] = [
        (SMALL, "a password alone", &[Knowledge]),
        (MIDDLE, "a password and a device", &[Knowledge, Possession]),
        (LARGE, "a passkey", &[Passkey]),
        (LARGE, "a device and its features", &[Possession, Inherence]),
        (HUGE, "a device, its features and a password", &[Possession, Inherence, Knowledge]),
    ];
    let mut attacks: Vec<_> = fewer
        .into_iter()
        .map(|(amount, how, factors)| {
            bank.attack(format!("pays {amount} cents by {how}"), FEW, async move { few(bank, amount, factors).await })
        })
        .collect();
    attacks.extend(enough.into_iter().map(|(amount, how, factors)| {
        bank.control(format!("pays {amount} cents by {how}"), "APPROVED", async move {
            let order = bank.site.shop.place(amount).await;
            let session = bank.holders[0].sign_in(Some(&order), factors).await;
            bank.pays(&session, session.charge().await).await
        })
    }));
    attacks.extend(consents(bank));
    attacks.extend(tricks(bank));
    attacks
}

async fn few(bank: &Bank, amount: i64, factors: &[Factor]) -> Result<String, Status> {
    let order = bank.site.shop.place(amount).await;
    let session = bank.holders[0].sign_in(Some(&order), factors).await;
    let paid = session.holder.wire.submit(session.charge().await).await;
    bank.is_untouched(&order).await;
    paid
}

fn consents(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("pays by three kinds without the consent that the device owes", "CONSENT_REQUIRED", async {
            let order = bank.site.shop.place(HUGE).await;
            let session = holder.sign_in(Some(&order), &[Possession, Inherence, Knowledge]).await;
            let request = pb::SubmitChargeRequest { consent: None, ..session.charge().await };
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("pays by a passkey without the consent that the rule demands", "CONSENT_REQUIRED", async {
            few(bank, AGREED, &[Passkey]).await
        }),
        bank.attack("pays by a passkey with a consent by another customer's phone", "CONSENT_INVALID", async {
            let order = bank.site.shop.place(AGREED).await;
            let session = holder.sign_in(Some(&order), &[Passkey]).await;
            let mut request = session.charge().await;
            request.consent = Some(other.phone.sign_consent(&session.consents(&request)));
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.control("pays by a passkey with a consent by the customer's phone", "APPROVED", async {
            let order = bank.site.shop.place(AGREED).await;
            let session = holder.sign_in(Some(&order), &[Passkey]).await;
            let mut request = session.charge().await;
            request.consent = Some(holder.phone.sign_consent(&session.consents(&request)));
            bank.pays(&session, request).await
        }),
    ]
}

fn tricks(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("pays again after a step-up that failed", FEW, async {
            let order = bank.site.shop.place(HUGE).await;
            let session = holder.sign_in(Some(&order), &[Possession, Inherence]).await;
            let challenge = session.step_up().await;
            holder.wire.prove(&challenge.id, other.knows()).await.unwrap_err();
            after(bank, &order, &session).await
        }),
        bank.attack("pays again after the same factor was proved once more", FEW, async {
            let order = bank.site.shop.place(HUGE).await;
            let session = holder.sign_in(Some(&order), &[Possession, Inherence]).await;
            let challenge = session.step_up().await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, Some(&order))).await.unwrap();
            after(bank, &order, &session).await
        }),
        bank.attack("pays in one session with the factors of two", FEW, async {
            let order = bank.site.shop.place(HUGE).await;
            let first = holder.sign_in(Some(&order), &[Possession, Inherence]).await;
            let second = holder.sign_in(Some(&order), &[Knowledge]).await;
            drop(second);
            after(bank, &order, &first).await
        }),
        bank.attack("binds a device in a session of one factor", FEW, async {
            let session = holder.sign_in(None, &[Knowledge]).await;
            let device = merchant_sim::device::authenticators::SoftDevice::generate().unwrap();
            holder.wire.bind(device.bind_in_session(&session.token, "A thief's")).await
        }),
        bank.attack("binds a device in a session that only a device proved", FEW, async {
            let session = holder.sign_in(None, &[Possession]).await;
            let device = merchant_sim::device::authenticators::SoftDevice::generate().unwrap();
            holder.wire.bind(device.bind_in_session(&session.token, "A thief's")).await
        }),
        bank.attack("enrols features in a session of one factor", FEW, async {
            let session = holder.sign_in(None, &[Possession]).await;
            let challenge = session.step_up().await;
            let request = holder.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &other.measure());
            holder.wire.enroll(request).await
        }),
        bank.attack("registers a passkey in a session of one factor", FEW, async {
            let session = holder.sign_in(None, &[Knowledge]).await;
            let challenge = session.step_up().await;
            let ceremony = other.passkey.lock().unwrap().creation(&challenge.bytes);
            let mut request = other.registration(&session, &challenge, &ceremony);
            request.session_token = session.token.clone();
            holder.wire.register(request).await
        }),
    ]
}

async fn after(bank: &Bank, order: &SignedOrder, session: &super::holder::Session<'_>) -> Result<String, Status> {
    let paid = session.holder.wire.submit(session.charge().await).await;
    bank.is_untouched(order).await;
    paid
}
