//! Features inside a device's signature.

use proptest::prelude::*;
use proto::device::{enroll_features_bytes, inherence_bytes};

use super::{
    devices::{Phone, pair},
    *,
};
use crate::{
    auth::inherence::{USED_MAX, lockout_name},
    records::Template,
};

const COUNT: usize = 128;

/// What a sensor measures of somebody: their own direction, and a little noise, never the same twice.
fn measured(who: u32, measurement: u32) -> Vec<f32> {
    let draw = |seed: u32, i: u32| {
        let mixed = Digest::of(&[seed.to_be_bytes(), i.to_be_bytes()].concat());
        f32::from(i16::from_be_bytes([mixed.as_bytes()[0], mixed.as_bytes()[1]])) / 32768.0
    };
    (0..COUNT as u32).map(|i| draw(who, i) + draw(1000 + measurement, i) / 8.0).collect()
}

const ME: u32 = 1;
const SOMEBODY_ELSE: u32 = 2;

fn inherence(phone: &Phone, begun: &Begun, features: Vec<f32>) -> Proof {
    let signature = phone.sign(&inherence_bytes(&begun.challenge, &features, None));
    let proof = pb::InherenceProof { device_id: phone.id.to_string(), features, signature };
    Proof::Inherence(Inherence::parse(proof).unwrap())
}

fn enrolment(phone: &Phone, begun: &Begun, features: Vec<f32>) -> Enrolment {
    let signature = phone.sign(&enroll_features_bytes(&begun.challenge, &features));
    Enrolment {
        challenge: begun.id.clone(),
        device: phone.id.clone(),
        features: Features::new(features).unwrap(),
        signature: signature.as_ref().try_into().unwrap(),
    }
}

/// Enrols the customer's features for a phone.
pub(super) async fn enroll(bank: &Bank, phone: &Phone, session: &SignedIn) {
    let begun = bank.begin_step_up(session);
    bank.desk().enroll_features(session, enrolment(phone, &begun, measured(ME, 0)), Some(HERE)).await.unwrap();
}

async fn enrolled() -> (Bank, Phone) {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let (_, session) = bank.strong(&phone).await;
    enroll(&bank, &phone, &session).await;
    (bank, phone)
}

/// Somebody else tries the customer's phone.
pub(super) async fn try_as_somebody_else(bank: &Bank, phone: &Phone) -> Result<NewSession, Error> {
    try_features(bank, phone, measured(SOMEBODY_ELSE, 700)).await
}

async fn try_features(bank: &Bank, phone: &Phone, features: Vec<f32>) -> Result<NewSession, Error> {
    let begun = bank.begin(None);
    bank.session_by(&begun, inherence(phone, &begun, features)).await
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::IdentityNotVerified))
}

#[tokio::test]
async fn a_measurement_of_the_customer_proves_inherence_and_one_of_somebody_else_nothing() {
    let (bank, phone) = enrolled().await;
    let session = try_features(&bank, &phone, measured(ME, 1)).await.unwrap();
    assert_eq!(
        (session.signed_in.factors, session.signed_in.device),
        (vec![Factor::Inherence], Some(phone.id.clone()))
    );
    assert!(refused(try_features(&bank, &phone, measured(SOMEBODY_ELSE, 1)).await));
    assert_eq!(bank.lockout(&lockout_name(&phone.id)).await.unwrap().begun, 1);
    try_features(&bank, &phone, measured(ME, 2)).await.unwrap();
    assert_eq!(bank.lockout(&lockout_name(&phone.id)).await.unwrap().begun, 0, "a success forgets the failures");
}

#[tokio::test]
async fn features_count_inside_the_device_s_signature_alone() {
    let (bank, phone) = enrolled().await;
    let begun = bank.begin(None);
    let features = || measured(ME, 1);
    let proof = |device: &DeviceId, features: Vec<f32>, signature: bytes::Bytes| {
        let proof = pb::InherenceProof { device_id: device.to_string(), features, signature };
        Proof::Inherence(Inherence::parse(proof).unwrap())
    };
    let right = inherence_bytes(&begun.challenge, &features(), None);
    let mut other_features = features();
    other_features[7] += 0.001;
    let other_order = inherence_bytes(&begun.challenge, &features(), Some(&Digest::of(b"order")));
    let other_challenge = inherence_bytes(&bank.begin(None).challenge, &features(), None);
    let attempts = [
        proof(&DeviceId::from_random([9; 16]), features(), phone.sign(&right)),
        proof(&phone.id, features(), bytes::Bytes::copy_from_slice(pair(2).sign(&right).as_ref())),
        proof(&phone.id, other_features, phone.sign(&right)),
        proof(&phone.id, features(), phone.sign(&other_order)),
        proof(&phone.id, features(), phone.sign(&other_challenge)),
    ];
    let mut answers = Vec::new();
    for attempt in attempts {
        let before = bank.store.watch().borrow().number();
        let answer = seen(bank.desk().prove(&begun.id, attempt, HERE).await.unwrap_err());
        answers.push((answer, bank.store.watch().borrow().number() - before));
    }
    let same = (seen(Error::IdentityNotVerified), answers[0].1);
    assert_eq!(answers, vec![same; 5], "the same answer and the same writes");
    // Nobody but the device itself uses its tries up.
    assert!(bank.lockout(&lockout_name(&phone.id)).await.is_none());
}

#[tokio::test]
async fn used_and_enrolled_features_are_a_copy() {
    let (bank, phone) = enrolled().await;
    try_features(&bank, &phone, measured(ME, 1)).await.unwrap();
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    for bank in [&bank, &restarted] {
        assert!(refused(try_features(bank, &phone, measured(ME, 1)).await), "used");
        assert!(refused(try_features(bank, &phone, measured(ME, 0)).await), "enrolled");
    }
    let mut signs = measured(ME, 5);
    signs[3] = 0.0;
    try_features(&bank, &phone, signs.clone()).await.unwrap();
    signs[3] = -0.0;
    assert!(refused(try_features(&bank, &phone, signs).await), "the other zero is no other measurement");
}

#[tokio::test]
async fn the_last_sixteen_are_remembered_also_when_features_are_enrolled_anew() {
    let (bank, phone) = enrolled().await;
    for measurement in 1..=USED_MAX as u32 + 1 {
        try_features(&bank, &phone, measured(ME, measurement)).await.unwrap();
    }
    let (_, session) = bank.strong(&phone).await;
    let begun = bank.begin_step_up(&session);
    bank.desk().enroll_features(&session, enrolment(&phone, &begun, measured(ME, 500)), None).await.unwrap();
    assert!(refused(try_features(&bank, &phone, measured(ME, 2)).await), "the sixteenth from the end");
    assert!(refused(try_features(&bank, &phone, measured(ME, 500)).await), "enrolled");
    // The one before it is forgotten: the memory is bounded.
    try_features(&bank, &phone, measured(ME, 1)).await.unwrap();
    let stored = bank.repository.load(&Template::at(&phone.id)).await.unwrap().unwrap();
    assert_eq!(stored.value.used_tags.len(), USED_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_features_under_many_challenges_at_once_prove_once() {
    let (bank, phone) = enrolled().await;
    let (bank, phone) = (Arc::new(bank), Arc::new(phone));
    for measurement in 1..=5 {
        let proving: Vec<_> = (0..4)
            .map(|_| {
                let (bank, phone) = (Arc::clone(&bank), Arc::clone(&phone));
                tokio::spawn(async move { try_features(&bank, &phone, measured(ME, measurement)).await })
            })
            .collect();
        let mut proved = 0;
        for one in proving {
            match one.await.unwrap() {
                Ok(_) => proved += 1,
                Err(error) => assert!(matches!(error, Error::IdentityNotVerified), "{error}"),
            }
        }
        assert_eq!(proved, 1);
    }
}

#[tokio::test]
async fn five_failures_lock_the_device_s_features_for_half_an_hour_and_nothing_else() {
    let (bank, phone) = enrolled().await;
    for measurement in 0..5 {
        assert!(refused(try_features(&bank, &phone, measured(SOMEBODY_ELSE, measurement)).await));
    }
    let lock = Duration::from_secs(30 * 60);
    let restarted = Bank::over(Arc::clone(&bank.store), bank.clock.now()).await;
    restarted.clock.advance(lock - Duration::from_millis(1));
    assert!(refused(try_features(&restarted, &phone, measured(ME, 1)).await));
    phone.sign_in(&restarted).await.unwrap();
    restarted.sign_in().await.unwrap();
    restarted.clock.advance(Duration::from_millis(1));
    // What was refused under the lock proved nothing, and is no copy.
    try_features(&restarted, &phone, measured(ME, 1)).await.unwrap();
}

#[tokio::test]
async fn the_threshold_is_the_least_that_is_taken_whatever_the_matcher() {
    #[derive(Debug)]
    struct Fixed(f64);

    #[async_trait::async_trait]
    impl BiometricMatcher for Fixed {
        async fn likeness(&self, _: &[f32], _: &[f32]) -> Result<f64, MatchingFailed> {
            if self.0 > 100.0 { Err(MatchingFailed("its server is away")) } else { Ok(self.0) }
        }
    }

    let (mut bank, phone) = enrolled().await;
    let below = f64::from_bits(0.8f64.to_bits() - 1);
    for (measurement, (likeness, right)) in
        (1..).zip([(0.8, true), (below, false), (f64::NAN, false), (f64::INFINITY, true), (-1.0, false)])
    {
        let likeness = if likeness == f64::INFINITY { 100.0 } else { likeness };
        bank.auth = bank.auth.with_devices(DeviceRules::default().matched_by(Arc::new(Fixed(likeness))));
        let answer = try_features(&bank, &phone, measured(ME, measurement)).await;
        assert_eq!(answer.is_ok(), right, "{likeness}");
    }
    bank.auth = bank.auth.with_devices(DeviceRules::default().matched_by(Arc::new(Fixed(101.0))));
    assert!(matches!(try_features(&bank, &phone, measured(ME, 9)).await, Err(Error::Internal { .. })));
}

#[tokio::test]
async fn a_vector_of_another_length_is_named_as_such() {
    let (bank, phone) = enrolled().await;
    for count in [COUNT - 1, COUNT + 1] {
        let Err(Error::Invalid(invalid)) = try_features(&bank, &phone, vec![0.5; count]).await else {
            panic!("{count} values are not {COUNT}")
        };
        assert_eq!(invalid.violations[0].path, "inherence.features");
    }
    assert!(bank.lockout(&lockout_name(&phone.id)).await.is_none());
}

#[tokio::test]
async fn to_enrol_takes_two_kinds_a_challenge_of_the_session_and_its_customer_s_device() {
    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let weak = bank.sign_in().await.unwrap().signed_in;
    let desk = bank.desk();
    let begun = bank.begin_step_up(&weak);
    let answer = desk.enroll_features(&weak, enrolment(&phone, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::FactorsInsufficient(_))));

    let ((_, session), (_, other)) = (bank.strong(&phone).await, bank.strong(&phone).await);
    for challenge in [bank.begin(None), bank.begin_step_up(&other)] {
        let answer = desk.enroll_features(&session, enrolment(&phone, &challenge, measured(ME, 0)), None).await;
        assert!(matches!(answer, Err(Error::ChallengeNotFound)));
    }
    let begun = bank.begin_step_up(&session);
    let short = desk.enroll_features(&session, enrolment(&phone, &begun, vec![0.5; COUNT - 1]), None).await;
    assert!(matches!(short, Err(Error::Invalid(_))));
    let unknown = Phone { pair: pair(1), id: DeviceId::from_random([9; 16]) };
    let answer = desk.enroll_features(&session, enrolment(&unknown, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::DeviceNotFound)));
    // That used the challenge up, as every enrolment does.
    let answer = desk.enroll_features(&session, enrolment(&phone, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::ChallengeNotFound)));

    bank.give_code(&super::devices::other_customer(), "9K3M-9PQR-10TV").await;
    let id = bank.bind_by_code(&pair(9), "9K3M-9PQR-10TV", HERE).await.unwrap();
    let theirs = Phone { pair: pair(9), id };
    let begun = bank.begin_step_up(&session);
    let answer = desk.enroll_features(&session, enrolment(&theirs, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::DeviceNotFound)));

    let begun = bank.begin_step_up(&session);
    let thief = Phone { pair: pair(2), id: phone.id.clone() };
    let answer = desk.enroll_features(&session, enrolment(&thief, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::SignatureInvalid)));
    let begun = bank.begin_step_up(&session);
    bank.clock.advance(Duration::from_secs(120));
    let answer = desk.enroll_features(&session, enrolment(&phone, &begun, measured(ME, 0)), None).await;
    assert!(matches!(answer, Err(Error::ChallengeExpired)));
    assert!(bank.repository.load(&Template::at(&phone.id)).await.unwrap().is_none());
    enroll(&bank, &phone, &session).await;
    assert_ne!(bank.device(&phone.id).await.unwrap().enrolled_at_ms, 0);
}

#[tokio::test]
async fn where_features_are_not_offered_none_are_enrolled_or_taken() {
    let (mut bank, phone) = enrolled().await;
    let (_, session) = bank.strong(&phone).await;
    let begun = bank.begin_step_up(&session);
    bank.policy = super::session_use::policy("profile = \"one_factor\"\noffered = [\"knowledge\", \"possession\"]");
    let answer = bank.desk().enroll_features(&session, enrolment(&phone, &begun, measured(ME, 1)), None).await;
    assert!(matches!(answer, Err(Error::CredentialNotOffered)));
    assert!(matches!(try_features(&bank, &phone, measured(ME, 1)).await, Err(Error::CredentialNotOffered)));
    bank.policy = super::session_use::policy("profile = \"one_factor\"\noffered = [\"knowledge\"]");
    assert!(matches!(bank.bind_by(&pair(2), &session).await, Err(Error::CredentialNotOffered)));
}

#[tokio::test]
async fn what_is_enrolled_replaces_what_was_and_is_unreadable_at_rest() {
    let (bank, phone) = enrolled().await;
    let (_, session) = bank.strong(&phone).await;
    let begun = bank.begin_step_up(&session);
    let theirs = measured(SOMEBODY_ELSE, 0);
    bank.desk().enroll_features(&session, enrolment(&phone, &begun, theirs.clone()), None).await.unwrap();
    assert!(refused(try_features(&bank, &phone, measured(ME, 1)).await));
    try_features(&bank, &phone, measured(SOMEBODY_ELSE, 1)).await.unwrap();

    let stored = bank.repository.load(&Template::at(&phone.id)).await.unwrap().unwrap();
    let sealed = &stored.value.sealed_features;
    for value in theirs {
        let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
        assert!(!sealed.windows(4).any(|window| window == big || window == little));
    }
}

#[tokio::test]
async fn features_and_a_password_are_two_kinds() {
    let (bank, phone) = enrolled().await;
    let session = try_features(&bank, &phone, measured(ME, 1)).await.unwrap().signed_in;
    let begun = bank.begin_step_up(&session);
    let knowledge = Proof::Knowledge(proof(NATIONAL_ID, USER_CODE, PASSWORD));
    let strong = bank.step_up(&session, &begun, knowledge).await.unwrap();
    assert_eq!(proto::authorization::kinds(&strong.factors), 2);
    bank.bind_by(&pair(2), &strong).await.unwrap();
}

#[test]
fn a_proof_prints_no_features() {
    let begun = Begun {
        id: ChallengeId::from_random([1; 16]),
        challenge: [1; 32],
        expires_at: UNIX_EPOCH,
        offered: Vec::new(),
    };
    let phone = Phone { pair: pair(1), id: DeviceId::from_random([1; 16]) };
    let text = format!("{:?}", inherence(&phone, &begun, vec![0.123_456; COUNT]));
    assert!(!text.contains("0.12"), "{text}");
}

proptest! {
    /// The default matcher tells two people apart by any of their measurements.
    #[test]
    fn people_are_told_apart(one in 10u32..500, other in 500u32..999, a in 0u32..1000, b in 1000u32..2000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let likeness = |x: Vec<f32>, y: Vec<f32>| runtime.block_on(CosineSimilarity.likeness(&x, &y)).unwrap();
        prop_assert!(likeness(measured(one, a), measured(one, b)) >= 0.8);
        prop_assert!(likeness(measured(one, a), measured(other, b)) < 0.8);
    }
}
