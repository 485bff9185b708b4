//! Proofs that were right once, and challenges that are not the thief's.

use merchant_sim::device::authenticators::Ceremony;
use proto::{
    device::{bind_device_bytes, enroll_features_bytes, possession_bytes},
    pb::{self, verify_identity_request::Proof},
};

use tokio::task::JoinSet;

use super::{counted, holder::Holder, world::Bank};
use crate::attacks::{Attack, in_a_word};

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
const GONE: &str = "CHALLENGE_NOT_FOUND";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = controls(bank);
    attacks.extend(possession(bank));
    attacks.extend(features(bank));
    attacks.extend(passkey(bank));
    attacks.extend(challenges(bank));
    attacks
}

fn controls(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    vec![
        bank.control("a password and the phone sign in", "a session of KNOWLEDGE, POSSESSION", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.knows()).await?;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.control("the phone and features sign in", "a session of INHERENCE, POSSESSION", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await?;
            holder.wire.prove(&challenge.id, holder.is(&challenge, None)).await
        }),
        bank.control("a passkey signs in", "a session of PASSKEY", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
    ]
}

/// Signs in by password and phone, and returns the phone's proof with the challenge that it answered.
async fn used_possession(holder: &Holder) -> (super::wire::Challenge, Proof) {
    let challenge = holder.wire.begin(None).await;
    let proof = holder.has(&challenge, None);
    holder.wire.verify(&challenge.id, proof.clone()).await.unwrap();
    holder.wire.verify(&challenge.id, holder.knows()).await.unwrap();
    (challenge, proof)
}

fn possession(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let signs = |what, signed: fn(&[u8; 32]) -> Vec<u8>| {
        bank.attack(what, REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.phone.possession_signing(&signed(&challenge.bytes));
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        })
    };
    vec![
        bank.attack("plays a device's signature again, under its challenge", GONE, async {
            let (challenge, proof) = used_possession(holder).await;
            holder.wire.prove(&challenge.id, proof).await
        }),
        bank.attack("plays a device's signature again, under another challenge", REFUSED, async {
            let (_, proof) = used_possession(holder).await;
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, proof).await
        }),
        bank.attack("plays a device's signature of the same moment, under another challenge", REFUSED, async {
            let (challenge, other) = (holder.wire.begin(None).await, holder.wire.begin(None).await);
            holder.wire.prove(&other.id, holder.has(&challenge, None)).await
        }),
        bank.attack("shows a device's signature without the order that the challenge is for", REFUSED, async {
            let order = bank.order().await;
            let challenge = holder.wire.begin(Some(&order)).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("shows a device's signature for another order", REFUSED, async {
            let (order, other) = (bank.order().await, bank.order().await);
            let challenge = holder.wire.begin(Some(&order)).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, Some(&other))).await
        }),
        bank.attack("shows a device's signature with an order that the challenge is not for", REFUSED, async {
            let order = bank.order().await;
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, Some(&order))).await
        }),
        bank.attack("alters a device's signature", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            let mut proof = holder.phone.possession(&challenge.bytes, None);
            proof.signature = flipped(&proof.signature);
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        }),
        signs("shows a signature that was made to bind a device", |challenge| bind_device_bytes(challenge)),
        signs("shows a signature that was made to enrol features", |challenge| enroll_features_bytes(challenge, &[])),
        signs("shows a signature over the challenge alone", |challenge| challenge.to_vec()),
    ]
}

/// Signs in by phone and features, and returns the features' proof.
async fn used_features(holder: &Holder) -> (super::wire::Challenge, pb::InherenceProof) {
    let challenge = holder.wire.begin(None).await;
    let proof = holder.phone.inherence(&challenge.bytes, &holder.measure(), None);
    holder.wire.verify(&challenge.id, Proof::Inherence(proof.clone())).await.unwrap();
    (challenge, proof)
}

fn features(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let prove = move |challenge: super::wire::Challenge, proof| async move {
        holder.wire.prove(&challenge.id, Proof::Inherence(proof)).await
    };
    vec![
        bank.attack("plays features again with their signature, under their challenge", REFUSED, async move {
            let (challenge, proof) = used_features(holder).await;
            prove(challenge, proof).await
        }),
        bank.attack("plays features again with their signature, under another challenge", REFUSED, async move {
            let (_, proof) = used_features(holder).await;
            prove(holder.wire.begin(None).await, proof).await
        }),
        bank.attack("plays features again under a fresh signature", REFUSED, async move {
            let (_, proof) = used_features(holder).await;
            let challenge = holder.wire.begin(None).await;
            let again = holder.phone.inherence(&challenge.bytes, &proof.features, None);
            prove(challenge, again).await
        }),
        bank.attack(
            "shows one measurement eight times at once, under fresh signatures",
            "7 IDENTITY_NOT_VERIFIED, 1 missing",
            async { at_once(&bank.holders[2]).await },
        ),
        bank.attack("puts other features under a signature", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let mut proof = holder.phone.inherence(&challenge.bytes, &holder.measure(), None);
            proof.features = holder.measure();
            prove(challenge, proof).await
        }),
        bank.attack("shows features under a signature of possession", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.phone.inherence_signing(&holder.measure(), &possession_bytes(&challenge.bytes, None));
            prove(challenge, proof).await
        }),
        bank.attack("shows features under a signature of their enrolment", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let features = holder.measure();
            let signed = enroll_features_bytes(&challenge.bytes, &features);
            prove(challenge, holder.phone.inherence_signing(&features, &signed)).await
        }),
        bank.attack("shows another person's features from the customer's device", REFUSED, async move {
            used_features(holder).await;
            let challenge = holder.wire.begin(None).await;
            let features = bank.holders[1].measure();
            let proof = holder.phone.inherence(&challenge.bytes, &features, None);
            prove(challenge, proof).await
        }),
        bank.attack("shows the customer's features from another customer's device", REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let proof = bank.holders[1].phone.inherence(&challenge.bytes, &holder.measure(), None);
            prove(challenge, proof).await
        }),
    ]
}

/// Shows the same features under many challenges at once. Copies count as tries, so that it may lock the features of
/// the phone.
async fn at_once(holder: &Holder) -> Result<String, tonic::Status> {
    let features = holder.measure();
    let mut proofs = JoinSet::new();
    for _ in 0..8 {
        let challenge = holder.wire.begin(None).await;
        let proof = Proof::Inherence(holder.phone.inherence(&challenge.bytes, &features, None));
        let wire = holder.wire.clone();
        proofs.spawn(async move { in_a_word(wire.prove(&challenge.id, proof).await) });
    }
    let answers = proofs.join_all().await;
    let short = |answer: &String| answer.split_once(' ').map_or(answer.as_str(), |(first, _)| first).to_owned();
    Ok(counted(answers.iter().map(short)))
}

fn passkey(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let counter = |what, back: u32| {
        bank.attack(what, REFUSED, async move {
            let challenge = holder.wire.begin(None).await;
            let right = holder.passkey.lock().unwrap().request(&challenge.bytes);
            // The counter of the one before, or an older one.
            let ceremony = Ceremony { counter: right.counter - back, ..right };
            let assertion = holder.passkey.lock().unwrap().assert(&ceremony).unwrap();
            holder.wire.prove(&challenge.id, Proof::Passkey(assertion.to_pb())).await
        })
    };
    vec![
        bank.attack("plays a passkey's assertion again, under its challenge", GONE, async {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.shows_passkey(&challenge);
            holder.wire.verify(&challenge.id, proof.clone()).await.unwrap();
            holder.wire.prove(&challenge.id, proof).await
        }),
        bank.attack("plays a passkey's assertion again, under another challenge", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            let proof = holder.shows_passkey(&challenge);
            holder.wire.verify(&challenge.id, proof.clone()).await.unwrap();
            let another = holder.wire.begin(None).await;
            holder.wire.prove(&another.id, proof).await
        }),
        bank.control("the passkey goes on", "a session of PASSKEY", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
        counter("shows a passkey whose counter stands still", 1),
        counter("shows a passkey whose counter is set back", 3),
    ]
}

fn challenges(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("answers a challenge that was used up", GONE, async {
            let (challenge, _) = used_possession(holder).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("answers a challenge that there never was", GONE, async {
            let id = proto::ids::ChallengeId::from_random([7; 16]).to_string();
            holder.wire.prove(&id, holder.knows()).await
        }),
        bank.attack("answers the challenge of another customer's session", REFUSED, async {
            let session = other.strong(None).await;
            let challenge = session.step_up().await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
        bank.attack("fails forty times at once under one challenge", format!("35 {GONE}, 5 {REFUSED}"), async {
            let challenge = other.wire.begin(None).await;
            let mut proofs = JoinSet::new();
            for number in 0..40 {
                let proof = Proof::Possession(other.phone.possession_signing(&[number]));
                let (wire, id) = (bank.another_wire(), challenge.id.clone());
                proofs.spawn(async move { in_a_word(wire.prove(&id, proof).await) });
            }
            Ok(counted(proofs.join_all().await))
        }),
        bank.attack("fails five times under one challenge and is right the sixth time", GONE, async {
            let challenge = other.wire.begin(None).await;
            for _ in 0..5 {
                // A device's proofs, so that no password is locked by it.
                let proof = Proof::Possession(other.phone.possession_signing(b"something else"));
                let refused = other.wire.prove(&challenge.id, proof).await;
                assert_eq!(in_a_word(refused), REFUSED);
            }
            other.wire.prove(&challenge.id, other.knows()).await
        }),
    ]
}

fn flipped(bytes: &[u8]) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[0] ^= 1;
    bytes.into()
}
