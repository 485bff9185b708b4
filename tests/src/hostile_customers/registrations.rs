//! Passkeys: every part of a registration that a browser and an authenticator fill in.

use bytes::Bytes;
use merchant_sim::device::authenticators::{Algorithm, Ceremony, SoftPasskey};
use proto::pb;
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    counted,
    holder::{Holder, ORIGIN, RELYING_PARTY, Session},
    passkeys::{Change, wrong},
    wire::Challenge,
    world::Bank,
};
use crate::attacks::{Attack, in_a_word};

const INVALID: &str = "INVALID_FIELD";
const GONE: &str = "CHALLENGE_NOT_FOUND";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = ceremonies(bank);
    attacks.extend(challenges(bank));
    attacks.extend(ids(bank));
    attacks.extend(bytes_of_registrations(bank));
    attacks
}

/// Registers a fresh passkey in a session of the customer's, with a registration that was changed.
async fn register_with(
    holder: &Holder,
    ceremony: impl FnOnce(&mut Ceremony),
    change: impl FnOnce(&mut pb::RegisterPasskeyRequest),
) -> Result<String, Status> {
    let session = holder.strong(None).await;
    let challenge = session.step_up().await;
    let mut request = registration(&challenge, ceremony);
    request.session_token = session.token.clone();
    request.session_use = session.uses("IssuerAuth/RegisterPasskey");
    change(&mut request);
    holder.wire.register(request).await
}

fn registration(challenge: &Challenge, change: impl FnOnce(&mut Ceremony)) -> pb::RegisterPasskeyRequest {
    let mut passkey = SoftPasskey::generate(Algorithm::EdDsa, RELYING_PARTY, ORIGIN).unwrap();
    let mut right = passkey.creation(&challenge.bytes);
    change(&mut right);
    let made = passkey.register(&right);
    pb::RegisterPasskeyRequest {
        challenge_id: challenge.id.clone(),
        display_name: "A key".into(),
        client_data_json: made.client_data_json,
        attestation_object: made.attestation_object,
        ..Default::default()
    }
}

fn ceremonies(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let attack = |(what, change)| bank.attack(what, INVALID, register_with(holder, change, |_| {}));
    wrong("registers a passkey").into_iter().map(attack).collect()
}

fn challenges(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("plays a registration again, under its challenge", GONE, async {
            holder.wire.register(registered_and_removed(holder).await).await
        }),
        bank.attack("plays a registration again, under another challenge", INVALID, async {
            let old = registered_and_removed(holder).await;
            let replay = |request: &mut pb::RegisterPasskeyRequest| {
                request.client_data_json = old.client_data_json;
                request.attestation_object = old.attestation_object;
            };
            register_with(holder, |_| {}, replay).await
        }),
        bank.attack("registers a passkey under a challenge of a sign-in", GONE, async {
            register_under(thief, &thief.wire.begin(None).await).await
        }),
        bank.attack("registers a passkey under a challenge of another customer's session", GONE, async {
            register_under(thief, &holder.strong(None).await.step_up().await).await
        }),
        bank.attack("registers a passkey under a challenge of another session of the customer's", GONE, async {
            register_under(holder, &holder.strong(None).await.step_up().await).await
        }),
    ]
}

/// Registers a fresh passkey in a session of the customer's, under this challenge.
async fn register_under(holder: &Holder, challenge: &Challenge) -> Result<String, Status> {
    let session = holder.strong(None).await;
    let mut request = registration(challenge, |_| {});
    request.session_token = session.token.clone();
    request.session_use = session.uses("IssuerAuth/RegisterPasskey");
    holder.wire.register(request).await
}

fn ids(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("registers another customer's credential id for oneself", INVALID, async {
            let theirs = holder.passkey.lock().unwrap().credential_id().clone();
            let session = thief.strong(None).await;
            let challenge = session.step_up().await;
            let strange = SoftPasskey::generate(Algorithm::Es256, RELYING_PARTY, ORIGIN).unwrap();
            thief.wire.register(whole(&session, &challenge, &mut strange.pretending(theirs))).await
        }),
        bank.attack("registers twenty passkeys at once where ten may be", "11 CREDENTIALS_MAX, 9 registered", async {
            twenty_at_once(bank, thief).await
        }),
    ]
}

/// Registers twenty passkeys at once, and forgets them again.
async fn twenty_at_once(bank: &Bank, holder: &Holder) -> Result<String, Status> {
    let session = holder.strong(None).await;
    let mut registering = JoinSet::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let challenge = session.step_up().await;
        let mut passkey = SoftPasskey::generate(Algorithm::EdDsa, RELYING_PARTY, ORIGIN).unwrap();
        let (wire, request) = (bank.another_wire(), whole(&session, &challenge, &mut passkey));
        ids.push(passkey.credential_id().clone());
        registering.spawn(async move { in_a_word(wire.register(request).await) });
    }
    let answers = registering.join_all().await;
    let mut removed = 0;
    for id in ids {
        removed += usize::from(remove(&session, id).await.is_ok());
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "registered").count(), removed);
    Ok(counted(answers))
}

async fn remove(session: &Session<'_>, credential_id: Bytes) -> Result<String, Status> {
    let (session_token, session_use) = (session.token.clone(), session.uses("IssuerAuth/RemovePasskey"));
    session.holder.wire.remove(pb::RemovePasskeyRequest { session_token, credential_id, session_use }).await
}

/// The right registration of a passkey in a session.
fn whole(session: &Session<'_>, challenge: &Challenge, passkey: &mut SoftPasskey) -> pb::RegisterPasskeyRequest {
    let right = passkey.creation(&challenge.bytes);
    let made = passkey.register(&right);
    pb::RegisterPasskeyRequest {
        session_token: session.token.clone(),
        challenge_id: challenge.id.clone(),
        display_name: "A key".into(),
        client_data_json: made.client_data_json,
        attestation_object: made.attestation_object,
        session_use: session.uses("IssuerAuth/RegisterPasskey"),
    }
}

/// Registers a passkey, forgets it again, and returns the request, whose session still is.
async fn registered_and_removed(holder: &Holder) -> pb::RegisterPasskeyRequest {
    let session = holder.strong(None).await;
    let challenge = session.step_up().await;
    let mut passkey = SoftPasskey::generate(Algorithm::EdDsa, RELYING_PARTY, ORIGIN).unwrap();
    let request = whole(&session, &challenge, &mut passkey);
    holder.wire.register(request.clone()).await.unwrap();
    remove(&session, passkey.credential_id().clone()).await.unwrap();
    request
}

fn bytes_of_registrations(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let changes: [(&str, Change<pb::RegisterPasskeyRequest>); 10] = [
        ("registers half of an attestation object", |request| {
            let half = request.attestation_object.len() / 2;
            request.attestation_object = request.attestation_object.slice(..half);
        }),
        ("registers an attestation object with a byte behind it", |request| {
            request.attestation_object = [request.attestation_object.as_ref(), &[0]].concat().into();
        }),
        ("registers an attestation object that is no CBOR", |request| {
            request.attestation_object = Bytes::from_static(&[0xff; 128]);
        }),
        ("registers an attestation object that says it is four gigabytes long", |request| {
            // A map of one pair, whose key is a text of 2^32 - 1 bytes.
            request.attestation_object = Bytes::from_static(&[0xa1, 0x7a, 0xff, 0xff, 0xff, 0xff, 0x66]);
        }),
        ("registers an attestation object of a thousand nested lists", |request| {
            request.attestation_object = Bytes::from(vec![0x81; 1000]);
        }),
        ("registers an attestation object with a length of no end", |request| {
            request.attestation_object = Bytes::from(vec![0xbf; 1000]);
        }),
        ("registers an empty attestation object", |request| request.attestation_object = Bytes::new()),
        ("registers client data that are no JSON", |request| {
            request.client_data_json = Bytes::from_static(b"{\"type\":\"webauthn.create\"");
        }),
        ("registers client data with two challenges", |request| {
            let text = String::from_utf8(request.client_data_json.to_vec()).unwrap();
            request.client_data_json = text.replacen('{', "{\"challenge\":\"AAAA\",", 1).into();
        }),
        ("registers a passkey without a name", |request| request.display_name.clear()),
    ];
    let attack = |(what, change)| bank.attack(what, INVALID, register_with(holder, |_| {}, change));
    changes.into_iter().map(attack).collect()
}
