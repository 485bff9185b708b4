//! Passwords and activation codes that are guessed: one after the other, hundreds at once, and over a restart.

use std::time::Duration;

use merchant_sim::device::authenticators::SoftDevice;
use proto::pb::{self, verify_identity_request::Proof};
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    counted,
    holder::Holder,
    wire::Wire,
    world::{Bank, CODES_UNUSED},
};
use crate::{
    attacks::{Attack, in_a_word},
    customers::Customer,
    wait::once_there_is_room,
};

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
/// Connections at once.
const CONNECTIONS: usize = 40;
/// Guesses on each.
const GUESSES: usize = 8;
/// Failures from one place that the bank of the activation codes bears.
pub(crate) const SOURCE_FAILURES: usize = 10;

/// One guess, under a challenge of its own. A guesser who is told that the server is busy comes back, so that
/// what stops guessing here is the count of tries and not the load.
async fn guess(wire: &Wire, proof: Proof) -> String {
    let challenge = match once_there_is_room(|| wire.start(pb::StartAuthenticationRequest::default())).await {
        Ok(challenge) => challenge,
        Err(status) => return in_a_word(Err(status)),
    };
    in_a_word(once_there_is_room(|| wire.prove(&challenge.id, proof.clone())).await)
}

/// Many guesses at once over many connections.
async fn guess_at_once(bank: &Bank, holder: &Holder, password: impl Fn(usize) -> String) -> Vec<String> {
    let mut guesses = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let wire = bank.another_wire();
        for number in 0..GUESSES {
            let (wire, proof) = (wire.clone(), holder.guesses(&password(connection * GUESSES + number)));
            guesses.spawn(async move { guess(&wire, proof).await });
        }
    }
    guesses.join_all().await
}

fn wrong(number: usize) -> String {
    format!("a wrong password {number}")
}

/// Passwords, at a bank where one is enough to sign in. The customers: 0 is guessed at by many at once, 1 is
/// locked out while paying, 2 gets one guess fewer than lock, 3 has a stolen phone, 4 is
/// asked for in every wrong way, 5 is guessed at from another customer's phone.
pub(crate) fn passwords(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let all = CONNECTIONS * GUESSES;
    let mut attacks = vec![
        bank.control("the right password signs in", "a session of KNOWLEDGE", async {
            Ok(guess(&holder.wire, holder.knows()).await)
        }),
        bank.attack(
            "asks for an unknown customer, a wrong code, a wrong password: the answers are the same",
            REFUSED,
            same_answers(bank),
        ),
        bank.attack(
            format!("guesses {all} passwords at once over {CONNECTIONS} connections, and then the right one"),
            format!("{all} {REFUSED}, then {REFUSED}"),
            async {
                let answers = counted(guess_at_once(bank, holder, wrong).await);
                Ok(format!("{answers}, then {}", guess(&holder.wire, holder.knows()).await))
            },
        ),
        bank.attack(
            format!("tries the right password {all} times at once under the lock"),
            format!("{all} {REFUSED}"),
            async { Ok(counted(guess_at_once(bank, holder, |_| holder.customer.password()).await)) },
        ),
        bank.attack("guesses four passwords before a restart", format!("4 {REFUSED}"), async {
            four_guesses(&bank.holders[2]).await
        }),
    ];
    attacks.extend(races(bank));
    attacks.extend(bystanders(bank));
    attacks.extend(stolen(bank));
    attacks
}

/// What may happen once happens once, however many ask for it at once.
fn races(bank: &Bank) -> Vec<Attack<'_>> {
    vec![
        bank.attack(
            "answers one challenge sixteen times at once",
            "15 CHALLENGE_NOT_FOUND, 1 a session of KNOWLEDGE",
            {
                async {
                    let holder = &bank.holders[3];
                    let challenge = holder.wire.begin(None).await;
                    let mut proofs = JoinSet::new();
                    for _ in 0..16 {
                        let (wire, proof, id) = (bank.another_wire(), holder.knows(), challenge.id.clone());
                        proofs.spawn(async move { in_a_word(wire.prove(&id, proof).await) });
                    }
                    Ok(counted(proofs.join_all().await))
                }
            },
        ),
        bank.attack("binds sixteen devices at once with one code", "15 ACTIVATION_CODE_INVALID, 1 bound", async {
            let code = Customer { number: CODES_UNUSED, bin: bank.bin }.activation_code();
            let mut binding = JoinSet::new();
            for _ in 0..16 {
                let (wire, code) = (bank.another_wire(), code.clone());
                binding.spawn(async move { guess_code(&wire, &code).await });
            }
            Ok(counted(binding.join_all().await))
        }),
    ]
}

async fn four_guesses(holder: &Holder) -> Result<String, Status> {
    let mut answers = Vec::new();
    for number in 0..4 {
        answers.push(guess(&holder.wire, holder.guesses(&wrong(number))).await);
    }
    Ok(counted(answers))
}

/// The status of each way to be wrong is the same in code, message and details.
async fn same_answers(bank: &Bank) -> Result<String, Status> {
    let holder = &bank.holders[4];
    let nobody = Customer { number: 999, bin: bank.bin };
    let knowledge = |national_id: String, user_code: String, password: &str| {
        Proof::Knowledge(pb::KnowledgeProof { national_id, user_code, password: password.into() })
    };
    let customer = &holder.customer;
    let mut proofs = vec![
        knowledge(nobody.national_id(), nobody.user_code(), &nobody.password()),
        knowledge(nobody.national_id(), customer.user_code(), &customer.password()),
        knowledge(customer.national_id(), nobody.user_code(), &customer.password()),
    ];
    // As many as lock, and one under the lock.
    proofs.extend((0..6).map(|number| holder.guesses(&wrong(number))));
    proofs.push(holder.knows());
    let mut answers = Vec::new();
    for proof in proofs {
        let challenge = holder.wire.begin(None).await;
        let refused = holder.wire.prove(&challenge.id, proof).await.unwrap_err();
        answers.push((
            refused.code(),
            refused.message().to_owned(),
            refused.details().to_vec(),
            in_a_word(Err(refused)),
        ));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    Ok(answers.remove(0).3)
}

/// A stranger's guesses lock a password, and nothing else of the customer's.
fn bystanders(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[1];
    vec![
        bank.attack("locks a customer's password in the middle of a payment", "APPROVED", async {
            let order = bank.order().await;
            let session = holder.strong(Some(&order)).await;
            for number in 0..6 {
                assert_eq!(guess(&holder.wire, holder.guesses(&wrong(number))).await, REFUSED);
            }
            bank.pays(&session, session.charge().await).await
        }),
        bank.attack("keeps a locked customer's phone from signing in", "a session of POSSESSION", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("keeps a locked customer's passkey from signing in", "a session of PASSKEY", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
        bank.attack(
            "keeps a locked customer's password from counting on the bound phone",
            "a session of KNOWLEDGE, POSSESSION",
            async {
                // The phone's session is stepped up by the password.
                let session = holder.sign_in(None, &[proto::authorization::Factor::Possession]).await;
                let challenge = session.step_up().await;
                holder.wire.prove(&challenge.id, holder.knows()).await
            },
        ),
        bank.attack("tries a locked customer's right password from elsewhere", REFUSED, async {
            Ok(guess(&holder.wire, holder.knows()).await)
        }),
    ]
}

/// Guesses by somebody who has the phone, and guesses at others by somebody who has one of his own.
fn stolen(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[3], &bank.holders[5]];
    vec![
        bank.attack("guesses on the stolen phone, and then right", format!("5 {REFUSED}, then {REFUSED}"), async {
            let mut answers = Vec::new();
            for number in 0..5 {
                answers.push(on_phone(holder, holder.guesses(&wrong(number))).await);
            }
            Ok(format!("{}, then {}", counted(answers), on_phone(holder, holder.knows()).await))
        }),
        bank.control("the customer elsewhere is not locked by that", "a session of KNOWLEDGE", async {
            Ok(guess(&holder.wire, holder.knows()).await)
        }),
        bank.attack("guesses another customer's password on one's own phone, and is right", REFUSED, async {
            Ok(on_phone(holder, other.knows()).await)
        }),
        bank.control("that customer signs in", "a session of KNOWLEDGE", async {
            Ok(guess(&other.wire, other.knows()).await)
        }),
    ]
}

/// A password in a session of the phone's.
async fn on_phone(holder: &Holder, proof: Proof) -> String {
    let session = holder.sign_in(None, &[proto::authorization::Factor::Possession]).await;
    let challenge = session.step_up().await;
    in_a_word(holder.wire.prove(&challenge.id, proof).await)
}

/// After a restart, at which the bank had refused so many tries of the first customer's without a look at them.
pub(crate) fn passwords_after_restart(bank: &Bank, refused: u32) -> Vec<Attack<'_>> {
    let [locked, almost] = [&bank.holders[0], &bank.holders[2]];
    // Those at once, the right one after them, and the right ones at once.
    let guesses = u32::try_from(2 * CONNECTIONS * GUESSES + 1).unwrap();
    vec![
        bank.attack("gets more guesses looked at by many at once", format!("5 of {guesses}"), async move {
            Ok(format!("{} of {guesses}", guesses - refused))
        }),
        bank.attack("tries the right password of a locked customer after a restart", REFUSED, async {
            Ok(guess(&locked.wire, locked.knows()).await)
        }),
        bank.attack(
            "guesses the fifth password after a restart, and then right",
            format!("{REFUSED}, then {REFUSED}"),
            {
                async {
                    let fifth = guess(&almost.wire, almost.guesses(&wrong(5))).await;
                    Ok(format!("{fifth}, then {}", guess(&almost.wire, almost.knows()).await))
                }
            },
        ),
        bank.control("when the lock is over the right password signs in", "a session of KNOWLEDGE", async {
            bank.clock.leap(Duration::from_secs(30 * 60));
            Ok(guess(&locked.wire, locked.knows()).await)
        }),
    ]
}

/// A guess at an activation code.
async fn guess_code(wire: &Wire, code: &str) -> String {
    let request = SoftDevice::generate().unwrap().bind_with_code(code, "A thief's");
    in_a_word(wire.bind(request).await.map(|_| "bound".into()))
}

/// Activation codes, at a bank that bears few failures from one place.
pub(crate) fn codes(bank: &Bank) -> Vec<Attack<'_>> {
    let right = Customer { number: CODES_UNUSED, bin: bank.bin }.activation_code();
    let holder = &bank.holders[0];
    vec![
        bank.attack(
            format!("guesses {} activation codes at once", CONNECTIONS * GUESSES),
            format!("{SOURCE_FAILURES} ACTIVATION_CODE_INVALID, then RATE_LIMIT"),
            async {
                let mut answers = guess_codes_at_once(bank).await;
                // Tries under way may have kept others back: the rest is tried one by one.
                let last = loop {
                    match guess_code(&holder.wire, "ZZZZ-ZZZZ-ZZZ9").await {
                        answer if answer == "ACTIVATION_CODE_INVALID" => answers.push(answer),
                        other => break other,
                    }
                };
                answers.retain(|answer| answer != "RATE_LIMIT");
                Ok(format!("{}, then {last}", counted(answers)))
            },
        ),
        bank.attack("tries the right activation code after so many wrong ones", "RATE_LIMIT", {
            let right = right.clone();
            async move { Ok(guess_code(&holder.wire, &right).await) }
        }),
        bank.attack("tries a password after so many wrong activation codes", "RATE_LIMIT", async {
            Ok(guess(&holder.wire, holder.guesses(&wrong(1))).await)
        }),
    ]
}

async fn guess_codes_at_once(bank: &Bank) -> Vec<String> {
    let mut guesses = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let wire = bank.another_wire();
        for number in 0..GUESSES {
            let wire = wire.clone();
            let code = format!("ZZZZ-ZZ{connection:02}-ZZ{number:02}");
            guesses.spawn(async move { guess_code(&wire, &code).await });
        }
    }
    guesses.join_all().await
}

/// After a restart.
pub(crate) fn codes_after_restart(bank: &Bank) -> Vec<Attack<'_>> {
    let right = Customer { number: CODES_UNUSED, bin: bank.bin }.activation_code();
    let holder = &bank.holders[0];
    let again = right.clone();
    vec![
        Attack::new("tries the right activation code after a restart", "RATE_LIMIT", async move {
            guess_code(&holder.wire, &again).await
        }),
        Attack::control("when the time is over the right code binds a device", "bound", async move {
            bank.clock.leap(Duration::from_secs(10 * 60));
            guess_code(&holder.wire, &right).await
        }),
    ]
}
