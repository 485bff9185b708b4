//! What is too late. The bank's clock is set forward; nobody waits.

use std::time::Duration;

use merchant_sim::device::authenticators::SoftDevice;
use proto::{authorization::Factor, pb};

use super::world::{Bank, CODES_UNUSED};
use crate::{
    attacks::{Attack, in_a_word},
    customers::Customer,
};

const EXPIRED: &str = "CHALLENGE_EXPIRED";
/// Longer than a challenge can be answered, by the configuration's default.
const AFTER_CHALLENGE: Duration = Duration::from_secs(121);
/// Longer than a session lasts without a call.
const AFTER_IDLE: Duration = Duration::from_secs(301);
/// Longer than an activation code lasts.
const AFTER_CODE: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// All of them. The longest leap comes last.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = challenges(bank);
    attacks.extend(sessions(bank));
    attacks.push(code(bank));
    attacks
}

fn challenges(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let proves = |factor: Factor| {
        bank.attack(format!("answers an expired challenge by {factor:?}"), EXPIRED, async move {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.proof(factor, &challenge, None);
            bank.clock.leap(AFTER_CHALLENGE);
            holder.wire.prove(&challenge.id, proof).await
        })
    };
    let mut attacks: Vec<_> =
        [Factor::Knowledge, Factor::Possession, Factor::Inherence, Factor::Passkey].into_iter().map(proves).collect();
    attacks.extend([
        bank.attack("adds a factor to a sign-in whose challenge has expired meanwhile", EXPIRED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await?;
            bank.clock.leap(AFTER_CHALLENGE);
            holder.wire.prove(&challenge.id, holder.knows()).await
        }),
        bank.attack("answers a challenge that expired long ago", "CHALLENGE_NOT_FOUND", async {
            let challenge = holder.wire.begin(None).await;
            bank.clock.leap(AFTER_CHALLENGE * 2);
            // Whoever begins a sign-in clears away what is long over.
            let _ = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("steps a session up under an expired challenge", EXPIRED, async {
            let session = holder.strong(None).await;
            let challenge = session.step_up().await;
            bank.clock.leap(AFTER_CHALLENGE);
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
        bank.attack("enrols features under an expired challenge", EXPIRED, async {
            let session = holder.strong(None).await;
            let challenge = session.step_up().await;
            bank.clock.leap(AFTER_CHALLENGE);
            let request = holder.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &holder.measure());
            holder.wire.enroll(request).await
        }),
        bank.attack("registers a passkey under an expired challenge", EXPIRED, async {
            let session = holder.strong(None).await;
            let challenge = session.step_up().await;
            bank.clock.leap(AFTER_CHALLENGE);
            let ceremony = holder.passkey.lock().unwrap().creation(&challenge.bytes);
            holder.wire.register(holder.registration(&session, &challenge, &ceremony)).await
        }),
    ]);
    attacks
}

fn sessions(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    vec![
        bank.attack("uses a session after five minutes without a call", "SESSION_INVALID", async {
            let session = holder.strong(None).await;
            bank.clock.leap(AFTER_IDLE);
            let request = pb::ListCardOptionsRequest { session_token: session.token.clone(), session_use: None };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
        bank.attack(
            "keeps a session open for more than fifteen minutes by using it",
            "3 times, then SESSION_INVALID",
            async {
                let session = holder.strong(None).await;
                let mut times = 0;
                loop {
                    bank.clock.leap(Duration::from_secs(4 * 60));
                    let request =
                        pb::ListCardOptionsRequest { session_token: session.token.clone(), session_use: None };
                    match holder.wire.options(request).await {
                        Ok(_) => times += 1,
                        Err(refused) => return Ok(format!("{times} times, then {}", in_a_word(Err(refused)))),
                    }
                }
            },
        ),
        bank.attack("keeps a session open for more than fifteen minutes by a step-up", "SESSION_INVALID", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            for _ in 0..3 {
                bank.clock.leap(Duration::from_secs(4 * 60));
                let challenge = session.step_up().await;
                holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await?;
            }
            bank.clock.leap(Duration::from_secs(4 * 60));
            let request = pb::ListCardOptionsRequest { session_token: session.token.clone(), session_use: None };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
    ]
}

fn code(bank: &Bank) -> Attack<'_> {
    let code = Customer { number: CODES_UNUSED, bin: bank.bin }.activation_code();
    bank.attack("binds a device with an activation code that is too old", "ACTIVATION_CODE_INVALID", async move {
        bank.clock.leap(AFTER_CODE);
        let request = SoftDevice::generate().unwrap().bind_with_code(&code, "A thief's");
        bank.holders[0].wire.bind(request).await.map(|_| "bound".into())
    })
}
