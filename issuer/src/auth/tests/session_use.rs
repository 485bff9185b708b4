//! Sessions that count only beside their device's signature.

use prost::Message as _;
use proto::{
    device::{DeviceSigned, SessionUse},
    pb,
};

use super::{
    devices::{Phone, pair},
    *,
};
const RPC: &str = "CardSelection/SubmitCharge";

async fn binding() -> Bank {
    let mut bank = Bank::open().await;
    bank.policy = policy("profile = \"one_factor\"\nbind_sessions = true");
    bank
}

fn session_use(bank: &Bank, session: &NewSession) -> SessionUse {
    SessionUse { session_digest: session.signed_in.id, rpc: format!("bankside.v1.{RPC}"), signed_at: bank.clock.now() }
}

fn signed(phone: &Phone, says: &SessionUse) -> pb::Signed {
    let body = bytes::Bytes::from(says.to_pb().encode_to_vec());
    let signature = phone.sign(&DeviceSigned::signed_bytes::<pb::SessionUse>(&body));
    pb::Signed { body, key_id: phone.id.to_string(), signature }
}

async fn call(bank: &Bank, session: &NewSession, signed: Option<pb::Signed>) -> Result<(), Error> {
    let call = SessionCall::new(session.token.expose(), signed, RPC).by(HERE);
    bank.desk().check_use(&session.signed_in, &call).await
}

/// How many entries wait for the audit trail.
async fn entries(bank: &Bank) -> usize {
    bank.store.events(crate::audit::topic(), mesh::store::Seq::default(), 1000).await.unwrap().len()
}

#[tokio::test]
async fn a_session_of_a_device_counts_only_beside_its_signature_over_this_call() {
    let bank = binding().await;
    let phone = Phone::bound(&bank, 1).await;
    let (session, other_session) = (phone.sign_in(&bank).await.unwrap(), phone.sign_in(&bank).await.unwrap());
    let right = session_use(&bank, &session);
    call(&bank, &session, Some(signed(&phone, &right))).await.unwrap();

    let thief = Phone { pair: pair(2), id: phone.id.clone() };
    let stranger = Phone { pair: pair(2), id: DeviceId::from_random([2; 16]) };
    let says = |change: fn(SessionUse) -> SessionUse| signed(&phone, &change(right.clone()));
    let mut cut = signed(&phone, &right);
    cut.body = cut.body.slice(..cut.body.len() - 1);
    let wrong = [
        None,
        Some(pb::Signed::default()),
        Some(cut),
        Some(signed(&thief, &right)),
        Some(signed(&stranger, &right)),
        Some(pb::Signed { key_id: stranger.id.to_string(), ..signed(&phone, &right) }),
        Some(signed(&phone, &session_use(&bank, &other_session))),
        Some(says(|right| SessionUse { rpc: "bankside.v1.CardSelection/GetCharge".into(), ..right })),
        Some(says(|right| SessionUse { rpc: RPC.into(), ..right })),
        Some(says(|right| SessionUse { signed_at: right.signed_at + Duration::from_secs(61), ..right })),
        Some(says(|right| SessionUse { signed_at: right.signed_at - Duration::from_secs(61), ..right })),
    ];
    for (at, wrong) in wrong.into_iter().enumerate() {
        let before = entries(&bank).await;
        let refused = call(&bank, &session, wrong).await;
        assert!(matches!(refused, Err(Error::SessionInvalid)), "{at}: {refused:?}");
        assert_eq!(entries(&bank).await, before + 1, "{at}: each refusal is in the trail");
    }
    // A refused use ends nothing: whoever has the token alone can't take it from its owner.
    call(&bank, &session, Some(signed(&phone, &right))).await.unwrap();
}

#[tokio::test]
async fn a_use_counts_for_a_minute() {
    let bank = binding().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = phone.sign_in(&bank).await.unwrap();
    let once = signed(&phone, &session_use(&bank, &session));
    bank.clock.advance(Duration::from_secs(60));
    call(&bank, &session, Some(once.clone())).await.unwrap();
    bank.clock.advance(Duration::from_millis(1));
    assert!(matches!(call(&bank, &session, Some(once)).await, Err(Error::SessionInvalid)));
}

#[tokio::test]
async fn a_session_without_a_device_needs_no_signature_and_neither_does_any_where_sessions_are_not_bound() {
    let bank = binding().await;
    let by_password = bank.sign_in().await.unwrap();
    call(&bank, &by_password, None).await.unwrap();

    let bank = Bank::open().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = phone.sign_in(&bank).await.unwrap();
    call(&bank, &session, None).await.unwrap();
    call(&bank, &session, Some(pb::Signed::default())).await.unwrap();
}

#[tokio::test]
async fn a_device_that_is_unbound_signs_for_nothing() {
    let bank = binding().await;
    let phone = Phone::bound(&bank, 1).await;
    let session = phone.sign_in(&bank).await.unwrap();
    bank.desk().unbind_device(&session.signed_in, &phone.id, None).await.unwrap();
    let right = signed(&phone, &session_use(&bank, &session));
    assert!(matches!(call(&bank, &session, Some(right)).await, Err(Error::SessionInvalid)));
}

/// A policy as a configuration says it, without passkeys.
pub(super) fn policy(text: &str) -> Policy {
    toml::from_str::<crate::config::PolicyConfig>(text).unwrap().policy(false).unwrap()
}
