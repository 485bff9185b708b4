//! What somebody who guesses can do to others: from the same address, or from a phone of one's own.

use super::{
    devices::{Phone, other_customer, pair, possession},
    session_use::policy,
    *,
};

const OTHERS_CODE: &str = "9K3M-9PQR-10TV";

/// A bank that takes two kinds to sign in, another customer's phone, and a challenge under which it proved itself.
async fn after_anothers_phone() -> (Bank, Phone, Begun) {
    let mut bank = Bank::open().await;
    bank.policy = policy("profile = \"two_of_three\"\nsign_in = { kinds = 2 }");
    bank.give_code(&other_customer(), OTHERS_CODE).await;
    let pair = pair(9);
    let id = bank.bind_by_code(&pair, OTHERS_CODE, HERE).await.unwrap();
    let phone = Phone { pair, id };
    let begun = bank.begin(None);
    let proven = bank.desk().prove(&begun.id, phone.possession(&begun, None), HERE).await.unwrap();
    assert!(matches!(proven, Proven::Missing(_)), "{proven:?}");
    (bank, phone, begun)
}

fn knows(password: &str) -> Proof {
    Proof::Knowledge(proof(NATIONAL_ID, USER_CODE, password))
}

/// A bank where three failures from one place are enough, after these, and the customer's phone.
async fn at_a_place_that_has_to_wait() -> (Bank, Phone) {
    let mut bank = Bank::open().await;
    bank.limits.source_failures_max = 3;
    let phone = Phone::bound(&bank, 1).await;
    for _ in 0..3 {
        bank.try_once(OTHER_NATIONAL_ID, USER_CODE, PASSWORD).await.unwrap_err();
    }
    assert!(matches!(bank.sign_in().await, Err(Error::RateLimited(_))));
    (bank, phone)
}

#[tokio::test]
async fn guesses_from_ones_own_phone_count_against_whom_they_are_about() {
    let (bank, phone, begun) = after_anothers_phone().await;
    for password in ["wrong password", PASSWORD] {
        let refused = bank.desk().prove(&begun.id, knows(password), HERE).await;
        assert!(matches!(refused, Err(Error::IdentityNotVerified)), "{refused:?}");
    }
    assert_eq!(bank.lockout(bank.customer.as_str()).await.unwrap().begun, 2);
    assert_eq!(bank.lockout(&format!("{}/{}", bank.customer, phone.id)).await, None);
}

#[tokio::test]
async fn a_right_proof_of_somebody_else_takes_nothing_from_a_sign_in() {
    let (bank, theirs, _) = after_anothers_phone().await;
    let before = bank.device(&theirs.id).await;
    bank.clock.advance(Duration::from_secs(1));
    let mine = Phone::bound(&bank, 1).await;
    let begun = bank.begin(None);
    bank.desk().prove(&begun.id, knows(PASSWORD), HERE).await.unwrap();
    let refused = bank.desk().prove(&begun.id, theirs.possession(&begun, None), HERE).await;
    assert!(matches!(refused, Err(Error::IdentityNotVerified)), "{refused:?}");
    assert_eq!(bank.device(&theirs.id).await, before, "it proved nothing");
    let session = bank.session_by(&begun, mine.possession(&begun, None)).await.unwrap().signed_in;
    assert_eq!((session.customer, session.device), (bank.customer.clone(), Some(mine.id)));
}

#[tokio::test]
async fn failures_at_ones_address_keep_no_bound_phone_out() {
    let (bank, phone) = at_a_place_that_has_to_wait().await;
    let session = phone.sign_in(&bank).await.unwrap();
    // Nor do they keep out the password beside it.
    let begun = bank.begin_step_up(&session.signed_in);
    bank.step_up(&session.signed_in, &begun, knows(PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_signature_from_a_place_that_has_to_wait_is_told_to_wait_and_writes_nothing() {
    let (bank, phone) = at_a_place_that_has_to_wait().await;
    let (begun, other) = (bank.begin(None), bank.begin(None));
    let before = bank.store.watch().borrow().number();
    for wrong in [phone.possession(&other, None), possession(&DeviceId::from_random([9; 16]), vec![0; 64].into())] {
        let refused = bank.desk().prove(&begun.id, wrong, HERE).await;
        assert!(matches!(refused, Err(Error::RateLimited(wait)) if wait == Duration::from_secs(600)), "{refused:?}");
    }
    assert_eq!(bank.store.watch().borrow().number(), before);
}

/// Whoever has a phone has as many failures with it as an address has, wherever it is.
#[tokio::test]
async fn a_phone_that_proved_itself_is_a_place_of_its_own() {
    let (mut bank, phone) = at_a_place_that_has_to_wait().await;
    bank.limits.password_tries_max = 1000;
    let session = phone.sign_in(&bank).await.unwrap();
    let mut answers = Vec::new();
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        let begun = bank.begin_step_up(&session.signed_in);
        answers.push(bank.desk().prove(&begun.id, knows("wrong password"), address.parse().unwrap()).await);
    }
    assert!(matches!(answers.pop(), Some(Err(Error::RateLimited(_)))));
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::IdentityNotVerified))), "{answers:?}");
    assert!(matches!(bank.try_once(NATIONAL_ID, USER_CODE, PASSWORD).await, Err(Error::RateLimited(_))));
    let elsewhere = bank.begin(None);
    let signed_in = bank.desk().prove(&elsewhere.id, knows(PASSWORD), "192.0.2.2".parse().unwrap()).await;
    assert!(signed_in.is_ok(), "and those of its guesses count against no address");
}

#[tokio::test]
async fn a_flood_from_ones_address_keeps_nobody_from_stepping_up() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    for _ in 0..CHALLENGES_OF_ORIGIN_MAX {
        bank.begin(None);
    }
    assert!(bank.desk().begin(|challenge| SignIn::new(challenge, None), HERE).is_err());
    bank.begin_step_up(&session.signed_in);
}

/// A right proof that comes to nothing is told, because whoever brought it has learned that it is right.
#[tokio::test]
async fn a_right_proof_that_is_too_late_is_in_the_trail() {
    let bank = Bank::open().await;
    let session = bank.sign_in().await.unwrap();
    let begun = bank.begin_step_up(&session.signed_in);
    let phone = Phone::bound(&bank, 1).await;
    bank.desk().end(session.token.expose(), Actor::Issuer).await.unwrap();
    let late = bank.desk().prove(&begun.id, phone.possession(&begun, None), HERE).await;
    assert!(matches!(late, Err(Error::SessionInvalid)), "{late:?}");
    let events = bank.store.events(crate::audit::topic(), mesh::store::Seq::default(), 100).await.unwrap();
    let last = String::from_utf8_lossy(&events.last().unwrap().body).into_owned();
    for word in ["identity_proved", "too_late", bank.customer.as_str(), phone.id.as_str()] {
        assert!(last.contains(word), "{word}: {last}");
    }
}
