//! Two customers' proofs, or two devices', under one challenge or in one session: one after the other, and at
//! once.

use proto::{authorization::Factor, pb::verify_identity_request::Proof};
use tokio::task::JoinSet;
use tonic::Status;

use super::{counted, wire::Challenge, world::Bank};
use crate::attacks::{Attack, in_a_word};

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
/// How often a race is run.
const ROUNDS: usize = 8;

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = mixed(bank);
    attacks.extend(at_once(bank));
    attacks
}

/// One challenge is one customer's, and one device's.
fn mixed(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("mixes one customer's password with another's device", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.verify(&challenge.id, holder.knows()).await.unwrap();
            holder.wire.prove(&challenge.id, other.has(&challenge, None)).await
        }),
        bank.attack("mixes one customer's device with another's password", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.verify(&challenge.id, other.has(&challenge, None)).await.unwrap();
            holder.wire.prove(&challenge.id, holder.knows()).await
        }),
        bank.attack("mixes one customer's password with another's passkey", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.verify(&challenge.id, holder.knows()).await.unwrap();
            holder.wire.prove(&challenge.id, other.shows_passkey(&challenge)).await
        }),
        bank.attack("mixes one customer's device with another's features", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.verify(&challenge.id, holder.has(&challenge, None)).await.unwrap();
            holder.wire.prove(&challenge.id, other.is(&challenge, None)).await
        }),
        bank.attack("mixes the phone's proof with features from the tablet", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.verify(&challenge.id, holder.has(&challenge, None)).await.unwrap();
            let proof = holder.tablet.inherence(&challenge.bytes, &holder.measure(), None);
            holder.wire.prove(&challenge.id, Proof::Inherence(proof)).await
        }),
        bank.control("a wrong mix does not spoil the challenge", "a session of KNOWLEDGE, POSSESSION", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.knows()).await?;
            holder.wire.prove(&challenge.id, other.has(&challenge, None)).await.unwrap_err();
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
    ]
}

fn at_once(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    let one_of_two = |first: &str| format!("{ROUNDS} {REFUSED}, {ROUNDS} {first}");
    vec![
        bank.attack("proves two customers' devices under one challenge at once", one_of_two("missing"), async {
            let mut answers = Vec::new();
            for _ in 0..ROUNDS {
                let challenge = holder.wire.begin(None).await;
                let proofs = [holder.has(&challenge, None), other.has(&challenge, None)];
                answers.extend(prove_both(bank, [&challenge, &challenge], proofs).await);
            }
            Ok(counted(answers))
        }),
        bank.attack("proves two devices of one's own under one challenge at once", one_of_two("missing"), async {
            let mut answers = Vec::new();
            for _ in 0..ROUNDS {
                let challenge = holder.wire.begin(None).await;
                let tablet = Proof::Possession(holder.tablet.possession(&challenge.bytes, None));
                let proofs = [holder.has(&challenge, None), tablet];
                answers.extend(prove_both(bank, [&challenge, &challenge], proofs).await);
            }
            Ok(counted(answers))
        }),
        bank.attack("brings two devices into one session at once", one_of_two("a"), two_devices(bank)),
    ]
}

/// Two step-ups of one session, each by another device.
async fn two_devices(bank: &Bank) -> Result<String, Status> {
    let holder = &bank.holders[0];
    let mut answers = Vec::new();
    for _ in 0..ROUNDS {
        let session = holder.sign_in(None, &[Factor::Passkey]).await;
        let (first, second) = (session.step_up().await, session.step_up().await);
        let tablet = Proof::Possession(holder.tablet.possession(&second.bytes, None));
        answers.extend(prove_both(bank, [&first, &second], [holder.has(&first, None), tablet]).await);
    }
    Ok(counted(answers))
}

/// The first word of each answer.
async fn prove_both(bank: &Bank, challenges: [&Challenge; 2], proofs: [Proof; 2]) -> Vec<String> {
    let mut proving = JoinSet::new();
    for (challenge, proof) in challenges.into_iter().zip(proofs) {
        let (wire, id) = (bank.another_wire(), challenge.id.clone());
        proving.spawn(async move { in_a_word(wire.prove(&id, proof).await) });
    }
    let answers = proving.join_all().await;
    answers.iter().map(|answer| answer.split(' ').next().unwrap_or_default().to_owned()).collect()
}
