//! What was used up before a restart is used up after it.

use bytes::Bytes;
use merchant_sim::device::authenticators::Ceremony;
use proto::{
    authorization::Factor,
    pb::{self, verify_identity_request::Proof},
};

use super::{wire::Challenge, world::Bank};
use crate::attacks::Attack;

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";

/// What a thief has kept of the second customer's from before the restart.
pub(crate) struct Before {
    /// Nobody has answered it yet.
    challenge: Challenge,
    /// Features that signed in.
    features: Vec<f32>,
    /// The counter of a passkey's assertion that signed in.
    counter: u32,
    /// The token of a session that was ended.
    ended: Bytes,
}

/// Uses them.
pub(crate) async fn before(bank: &Bank) -> Before {
    let holder = &bank.holders[1];
    let challenge = holder.wire.begin(None).await;
    let features = holder.measure();
    let proof = Proof::Inherence(holder.phone.inherence(&challenge.bytes, &features, None));
    holder.wire.verify(&challenge.id, proof).await.unwrap();
    let challenge = holder.wire.begin(None).await;
    let ceremony = holder.passkey.lock().unwrap().request(&challenge.bytes);
    let assertion = holder.passkey.lock().unwrap().assert(&ceremony).unwrap();
    holder.wire.verify(&challenge.id, Proof::Passkey(assertion.to_pb())).await.unwrap();
    let session = holder.sign_in(None, &[Factor::Possession]).await;
    holder.wire.end(session.token.clone()).await;
    let challenge = holder.wire.begin(None).await;
    Before { challenge, features, counter: ceremony.counter, ended: session.token }
}

/// Uses them again.
pub(crate) fn after(bank: &Bank, before: Before) -> Vec<Attack<'_>> {
    let holder = &bank.holders[1];
    let Before { challenge, features, counter, ended } = before;
    vec![
        bank.attack("answers a challenge of before the restart", "CHALLENGE_NOT_FOUND", async move {
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("plays features of before the restart again, under a fresh signature", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.phone.inherence(&challenge.bytes, &features, None);
            holder.wire.prove(&challenge.id, Proof::Inherence(proof)).await
        }),
        bank.attack("sets a passkey's counter back to before the restart", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let right = holder.passkey.lock().unwrap().request(&challenge.bytes);
            let assertion = holder.passkey.lock().unwrap().assert(&Ceremony { counter, ..right }).unwrap();
            holder.wire.prove(&challenge.id, Proof::Passkey(assertion.to_pb())).await
        }),
        bank.attack("uses a session that was ended before the restart", "SESSION_INVALID", async move {
            let request = pb::ListCardOptionsRequest { session_token: ended, session_use: None };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
        bank.control("the customer signs in by features", "a session of INHERENCE", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.is(&challenge, None)).await
        }),
        bank.control("the customer signs in by the passkey", "a session of PASSKEY", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
    ]
}
