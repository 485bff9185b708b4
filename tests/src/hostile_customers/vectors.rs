//! Features that are none, and enrolments of somebody else's.

use merchant_sim::device::authenticators::{FEATURE_COUNT, Person};
use proto::{
    device::inherence_bytes,
    pb::{self, verify_identity_request::Proof},
};
use tonic::Status;

use super::{holder::Holder, world::Bank};
use crate::attacks::{Attack, in_a_word};

const INVALID: &str = "INVALID_FIELD";
const REFUSED: &str = "IDENTITY_NOT_VERIFIED";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = Vec::new();
    for (what, vector) in malformed() {
        attacks.push(bank.attack(format!("signs in with {what}"), INVALID, prove(bank, vector)));
        attacks.push(bank.attack(format!("enrols {what}"), INVALID, enrol(bank, vector)));
    }
    attacks.extend(strange(bank));
    attacks.extend(enrolments(bank));
    attacks
}

type Vector = fn(Vec<f32>) -> Vec<f32>;

fn malformed() -> [(&'static str, Vector); 10] {
    [
        ("no features", |_| Vec::new()),
        ("one feature too few", |features| features[1..].to_vec()),
        ("one feature too many", |features| [features.as_slice(), &[0.5]].concat()),
        ("ten thousand features", |_| vec![0.5; 10_000]),
        ("a feature that is not a number", |features| with(features, f32::NAN)),
        ("a feature that is infinite", |features| with(features, f32::INFINITY)),
        ("a feature that is infinite and negative", |features| with(features, f32::NEG_INFINITY)),
        ("features of which none is a number", |_| vec![f32::NAN; FEATURE_COUNT]),
        ("features that are all zero", |_| vec![0.0; FEATURE_COUNT]),
        ("features that are all zero and negative", |_| vec![-0.0; FEATURE_COUNT]),
    ]
}

fn with(mut features: Vec<f32>, value: f32) -> Vec<f32> {
    features[0] = value;
    features
}

async fn prove(bank: &Bank, vector: Vector) -> Result<String, Status> {
    let holder = &bank.holders[0];
    let challenge = holder.wire.begin(None).await;
    let proof = holder.phone.inherence(&challenge.bytes, &vector(holder.measure()), None);
    holder.wire.prove(&challenge.id, Proof::Inherence(proof)).await
}

async fn enrol(bank: &Bank, vector: Vector) -> Result<String, Status> {
    let holder = &bank.holders[0];
    let session = holder.strong(None).await;
    let challenge = session.step_up().await;
    let features = vector(holder.measure());
    let mut request = holder.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &features);
    request.session_use = session.uses("IssuerAuth/EnrollFeatures");
    holder.wire.enroll(request).await
}

/// Well-formed, and like nobody: extremes that a sum of squares can't hold must be no match either.
fn strange(bank: &Bank) -> Vec<Attack<'_>> {
    let vectors: [(&str, Vector); 5] = [
        ("features of the largest size", |_| vec![f32::MAX; FEATURE_COUNT]),
        ("the person's features with one of the largest size", |features| with(features, f32::MAX)),
        ("features of the smallest size", |_| vec![f32::MIN_POSITIVE / 4.0; FEATURE_COUNT]),
        ("the person's features turned about", |features| features.into_iter().map(|value| -value).collect()),
        ("features that are all alike", |_| vec![0.1; FEATURE_COUNT]),
    ];
    let attack = |(what, vector)| {
        bank.attack(format!("signs in with {what}"), REFUSED, async move {
            assert!(prove(bank, |features| features).await.is_ok(), "the phone's features are not locked");
            prove(bank, vector).await
        })
    };
    vectors.into_iter().map(attack).collect()
}

/// An enrolment that was changed, in a session of this customer's.
async fn enrol_by(
    holder: &Holder,
    change: impl FnOnce(&super::wire::Challenge, &mut pb::EnrollFeaturesRequest),
) -> Result<String, Status> {
    let session = holder.strong(None).await;
    let challenge = session.step_up().await;
    let mut request = holder.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &holder.measure());
    request.session_use = session.uses("IssuerAuth/EnrollFeatures");
    change(&challenge, &mut request);
    holder.wire.enroll(request).await
}

fn enrolments(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("enrols one's own features for another customer's device", "DEVICE_NOT_FOUND", async {
            enrol_by(thief, |_, request| request.device_id = holder.phone.id().to_string()).await
        }),
        bank.attack("enrols features for another customer's device, which signs", "DEVICE_NOT_FOUND", async {
            enrol_by(thief, |challenge, request| {
                let signed =
                    holder.phone.enroll(&request.session_token, &challenge.id, &challenge.bytes, &request.features);
                *request = pb::EnrollFeaturesRequest { session_use: request.session_use.take(), ..signed };
            })
            .await
        }),
        bank.attack("enrols features for one's other device without its signature", "SIGNATURE_INVALID", async {
            enrol_by(thief, |_, request| request.device_id = thief.tablet.id().to_string()).await
        }),
        bank.attack("enrols other features than the device signed", "SIGNATURE_INVALID", async {
            enrol_by(thief, |_, request| request.features = holder.measure()).await
        }),
        bank.attack("enrols features under a signature of a sign-in", "SIGNATURE_INVALID", async {
            enrol_by(thief, |challenge, request| {
                let bytes = inherence_bytes(&challenge.bytes, &request.features, None);
                request.signature = thief.phone.inherence_signing(&request.features, &bytes).signature;
            })
            .await
        }),
        bank.attack("enrols features under a challenge of a sign-in", "CHALLENGE_NOT_FOUND", async {
            let challenge = thief.wire.begin(None).await;
            enrol_under(thief, &challenge).await
        }),
        bank.attack("enrols features under a challenge of another customer's session", "CHALLENGE_NOT_FOUND", async {
            let challenge = holder.strong(None).await.step_up().await;
            enrol_under(thief, &challenge).await
        }),
        bank.attack("enrols features under a challenge that was used up", "CHALLENGE_NOT_FOUND", async {
            let session = thief.strong(None).await;
            let challenge = session.step_up().await;
            let mut request = thief.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &thief.measure());
            request.session_use = session.uses("IssuerAuth/EnrollFeatures");
            thief.wire.enroll(request.clone()).await.unwrap();
            thief.wire.enroll(request).await
        }),
        bank.attack("measures somebody else five times on one's own tablet, and then oneself", REFUSED, async {
            let own = Person::new(7, FEATURE_COUNT);
            for number in 0..5 {
                let challenge = thief.wire.begin(None).await;
                let proof = thief.tablet.inherence(&challenge.bytes, &own.measure(number), None);
                assert_eq!(in_a_word(thief.wire.prove(&challenge.id, Proof::Inherence(proof)).await), REFUSED);
            }
            let challenge = thief.wire.begin(None).await;
            let proof = thief.tablet.inherence(&challenge.bytes, &thief.measure(), None);
            thief.wire.prove(&challenge.id, Proof::Inherence(proof)).await
        }),
        bank.control("the customer still has the enrolled face", "missing KNOWLEDGE, POSSESSION, PASSKEY", async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.is(&challenge, None)).await
        }),
    ]
}

async fn enrol_under(holder: &Holder, challenge: &super::wire::Challenge) -> Result<String, Status> {
    let session = holder.strong(None).await;
    let mut request = holder.phone.enroll(&session.token, &challenge.id, &challenge.bytes, &holder.measure());
    request.session_use = session.uses("IssuerAuth/EnrollFeatures");
    holder.wire.enroll(request).await
}
