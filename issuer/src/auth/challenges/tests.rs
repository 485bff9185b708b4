#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use super::*;
use crate::auth::credential::After;

const LIFE: Duration = Duration::from_secs(120);

fn id(number: u64) -> ChallengeId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ChallengeId::from_random(bytes)
}

fn open(challenges: &Challenges, number: u64, origin: &str, now: SystemTime) -> Result<(), Full> {
    challenges.open(id(number), SignIn::new([7; 32], None), origin.parse().unwrap(), now + LIFE, now)
}

#[test]
fn a_challenge_succeeds_once() {
    let challenges = Challenges::default();
    open(&challenges, 1, "192.0.2.1", UNIX_EPOCH).unwrap();
    challenges.count_try(&id(1), UNIX_EPOCH).unwrap();
    assert_eq!(challenges.take(&id(1), UNIX_EPOCH).unwrap().challenge, [7; 32]);
    assert!(matches!(challenges.take(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
    assert!(matches!(challenges.look(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
}

#[test]
fn its_tries_and_its_time_are_bounded() {
    let challenges = Challenges::default();
    open(&challenges, 1, "192.0.2.1", UNIX_EPOCH).unwrap();
    open(&challenges, 2, "192.0.2.1", UNIX_EPOCH).unwrap();
    for _ in 0..CHALLENGE_TRIES_MAX {
        challenges.count_try(&id(1), UNIX_EPOCH).unwrap();
    }
    assert!(matches!(challenges.count_try(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
    assert!(challenges.take(&id(1), UNIX_EPOCH).is_ok(), "the fifth try may still be under way, and succeed");

    challenges.look(&id(2), UNIX_EPOCH + LIFE - Duration::from_millis(1)).unwrap();
    assert!(matches!(challenges.look(&id(2), UNIX_EPOCH + LIFE), Err(Error::ChallengeExpired)));
    assert!(matches!(challenges.take(&id(2), UNIX_EPOCH + LIFE), Err(Error::ChallengeExpired)));
}

#[test]
fn one_origin_has_its_share_and_no_more() {
    let challenges = Challenges::default();
    for number in 0..CHALLENGES_OF_ORIGIN_MAX as u64 {
        // All of these are one network.
        open(&challenges, number, &format!("2001:db8:1:{number:x}::1"), UNIX_EPOCH).unwrap();
    }
    let full = open(&challenges, 5000, "2001:db8:1:ffff::1", UNIX_EPOCH).unwrap_err();
    assert_eq!(full.retry_after, LIFE + REMEMBERED);
    open(&challenges, 5001, "2001:db8:2::1", UNIX_EPOCH).unwrap();
    open(&challenges, 5002, "::ffff:192.0.2.1", UNIX_EPOCH).unwrap();

    // A sign-in that succeeds makes room at once.
    challenges.take(&id(3), UNIX_EPOCH).unwrap();
    open(&challenges, 5003, "2001:db8:1:2::1", UNIX_EPOCH).unwrap();
}

#[test]
fn sessions_have_places_of_their_own_and_each_its_share() {
    let challenges = Challenges::default();
    let of_session =
        |session: u16| SignIn { session: Some(Digest::of(&session.to_be_bytes())), ..SignIn::new([7; 32], None) };
    let step_up = |number: u64, session: u16| {
        challenges.open(id(number), of_session(session), "192.0.2.1".parse().unwrap(), UNIX_EPOCH + LIFE, UNIX_EPOCH)
    };
    for number in 0..CHALLENGES_OF_ORIGIN_MAX as u64 {
        open(&challenges, number, "192.0.2.1", UNIX_EPOCH).unwrap();
    }
    for number in 0..CHALLENGES_OF_SESSION_MAX as u64 {
        step_up(5000 + number, 0).unwrap();
    }
    assert!(step_up(6000, 0).is_err());
    step_up(6001, 1).unwrap();
    assert!(open(&challenges, 6002, "192.0.2.1", UNIX_EPOCH).is_err(), "they free none of the origin's");

    challenges.take(&id(5000), UNIX_EPOCH).unwrap();
    step_up(6003, 0).unwrap();
    // All that sessions may take, and not one more; strangers are not in the way of each other for that.
    let taken = challenges.table().of_sessions;
    for number in taken..CHALLENGES_MAX {
        step_up(10_000 + number as u64, 2 + u16::try_from(number / CHALLENGES_OF_SESSION_MAX).unwrap()).unwrap();
    }
    assert!(step_up(99_999, 9999).is_err());
    open(&challenges, 99_998, "192.0.2.2", UNIX_EPOCH).unwrap();
    challenges.table().forget_old(UNIX_EPOCH + LIFE + REMEMBERED);
    let table = challenges.table();
    assert_eq!((table.open.len(), table.of_sessions, table.of_holder.len()), (0, 0, 0));
}

#[test]
fn a_flood_is_bounded_and_passes() {
    let challenges = Challenges::default();
    let origin = |number: u64| format!("198.18.{}.{}", number / 256 % 256, number % 256);
    for number in 0..CHALLENGES_MAX as u64 {
        open(&challenges, number, &origin(number), UNIX_EPOCH).unwrap();
    }
    assert!(open(&challenges, 99_999, "192.0.2.1", UNIX_EPOCH).is_err());
    assert_eq!(challenges.len(), CHALLENGES_MAX);
    challenges.look(&id(0), UNIX_EPOCH).unwrap();

    open(&challenges, 99_999, "192.0.2.1", UNIX_EPOCH + LIFE + REMEMBERED).unwrap();
    assert_eq!(challenges.len(), 1);
    let table = challenges.table();
    assert_eq!((table.by_end.len(), table.of_holder.len()), (1, 1));
}

/// What a device of this customer's proves.
fn proved(customer: &str, device: u8) -> Proved {
    let device = DeviceId::from_random([device; 16]);
    let after = After::DeviceUsed(device.clone());
    Proved { customer: customer.parse().unwrap(), device: Some(device), after }
}

#[test]
fn all_proofs_are_of_one_customer_and_one_device() {
    let first = SignIn::new([7; 32], None).with(Factor::Possession, &proved("one", 1)).unwrap();
    assert_eq!(first.clone().with(Factor::Inherence, &proved("other", 1)), None);
    assert_eq!(first.clone().with(Factor::Inherence, &proved("one", 2)), None);
    let second = first.with(Factor::Inherence, &proved("one", 1)).unwrap();
    assert_eq!(second.factors.len(), 2);
}

#[test]
fn a_right_proof_gives_its_own_try_back_and_no_other() {
    let challenges = Challenges::default();
    open(&challenges, 1, "192.0.2.1", UNIX_EPOCH).unwrap();
    let tries = |count| (0..count).all(|_| challenges.count_try(&id(1), UNIX_EPOCH).is_ok());
    assert!(tries(CHALLENGE_TRIES_MAX - 1));
    challenges.add(&id(1), Factor::Possession, &proved("one", 1), UNIX_EPOCH).unwrap();
    assert!(tries(2));
    assert!(!tries(1), "those that failed stay counted");
}
