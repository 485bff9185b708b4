//! Passkeys: every part of an assertion that a browser and an authenticator fill in.

use bytes::Bytes;
use merchant_sim::device::authenticators::{Algorithm, Ceremony, SoftPasskey};
use proto::pb::{self, verify_identity_request::Proof};
use tonic::Status;

use super::{
    holder::{Holder, ORIGIN, RELYING_PARTY},
    world::Bank,
};
use crate::attacks::Attack;

/// A change to something that was right.
pub(crate) type Change<T> = fn(&mut T);

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
const INVALID: &str = "INVALID_FIELD";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = assertions(bank);
    attacks.extend(bytes_of_assertions(bank));
    attacks
}

/// What is wrong with a ceremony, and how.
pub(crate) fn wrong(of: &'static str) -> Vec<(String, Change<Ceremony>)> {
    let name = |what: &str| format!("{of} {what}");
    vec![
        (name("for another relying party"), |ceremony| ceremony.relying_party_id = "thief.example".into()),
        (name("from another origin"), |ceremony| ceremony.origin = "https://thief.example".into()),
        (name("from the origin's subdomain"), |ceremony| ceremony.origin = format!("https://x.{RELYING_PARTY}")),
        (name("from the origin without TLS"), |ceremony| ceremony.origin = format!("http://{RELYING_PARTY}")),
        (name("from the origin on another port"), |ceremony| ceremony.origin = format!("{ORIGIN}:8443")),
        (name("from a frame of another origin"), |ceremony| ceremony.cross_origin = true),
        (name("without user verification"), |ceremony| ceremony.user_verified = false),
        (name("without the user's presence"), |ceremony| ceremony.user_present = false),
        (name("over another challenge"), |ceremony| ceremony.challenge = vec![7; 32]),
        (name("over an empty challenge"), |ceremony| ceremony.challenge.clear()),
        (name("of the other ceremony's type"), |ceremony| {
            ceremony.kind = if ceremony.kind == "webauthn.get" { "webauthn.create" } else { "webauthn.get" };
        }),
        (name("of no type"), |ceremony| ceremony.kind = ""),
    ]
}

/// Signs in with the customer's passkey and an assertion that was changed.
async fn assert_with(
    holder: &Holder,
    ceremony: impl FnOnce(&mut Ceremony),
    change: impl FnOnce(&mut pb::PasskeyProof),
) -> Result<String, Status> {
    let challenge = holder.wire.begin(None).await;
    let mut proof = {
        let mut passkey = holder.passkey.lock().unwrap();
        let mut right = passkey.request(&challenge.bytes);
        ceremony(&mut right);
        passkey.assert(&right).unwrap().to_pb()
    };
    change(&mut proof);
    holder.wire.prove(&challenge.id, Proof::Passkey(proof)).await
}

fn assertions(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    let mut attacks: Vec<_> = wrong("signs in with an assertion")
        .into_iter()
        .map(|(what, change)| bank.attack(what, REFUSED, assert_with(holder, change, |_| {})))
        .collect();
    attacks.extend([
        bank.attack("signs in with another customer's credential id", REFUSED, {
            let theirs = other.passkey.lock().unwrap().credential_id().clone();
            assert_with(holder, |_| {}, |proof| proof.credential_id = theirs)
        }),
        bank.attack("signs in with a credential id that nobody has", REFUSED, {
            assert_with(holder, |_| {}, |proof| proof.credential_id = Bytes::from(vec![7; 16]))
        }),
        bank.attack("signs in with a strange key under the customer's credential id", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            let theirs = holder.passkey.lock().unwrap().credential_id().clone();
            let strange = SoftPasskey::generate(Algorithm::Es256, RELYING_PARTY, ORIGIN).unwrap();
            let mut strange = strange.pretending(theirs);
            let right = strange.request(&challenge.bytes);
            // The counter is no reason to refuse it.
            let assertion = strange.assert(&Ceremony { counter: 1_000_000, ..right }).unwrap();
            holder.wire.prove(&challenge.id, Proof::Passkey(assertion.to_pb())).await
        }),
    ]);
    attacks
}

fn bytes_of_assertions(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let changes: [(&str, &str, Change<pb::PasskeyProof>); 11] = [
        ("alters an assertion's signature", REFUSED, |proof| proof.signature = flipped(&proof.signature, 12)),
        ("alters an assertion's counter", REFUSED, |proof| {
            proof.authenticator_data = flipped(&proof.authenticator_data, 33);
        }),
        ("adds a byte to an assertion's authenticator data", REFUSED, |proof| {
            proof.authenticator_data = [proof.authenticator_data.as_ref(), &[0]].concat().into();
        }),
        ("adds a space to an assertion's client data", REFUSED, |proof| {
            proof.client_data_json = [proof.client_data_json.as_ref(), b" "].concat().into();
        }),
        ("signs in with client data that are no JSON", REFUSED, |proof| {
            proof.client_data_json = Bytes::from_static(b"{\"type\":\"webauthn.get\"");
        }),
        ("signs in with client data that are not UTF-8", REFUSED, |proof| {
            proof.client_data_json = Bytes::from_static(&[0xff; 64]);
        }),
        ("signs in with client data of a hundred nested lists", REFUSED, |proof| {
            proof.client_data_json = ["[".repeat(100), "]".repeat(100)].concat().into();
        }),
        ("signs in with half of the authenticator data", REFUSED, |proof| {
            proof.authenticator_data = proof.authenticator_data.slice(..18);
        }),
        ("signs in with an assertion without a signature", INVALID, |proof| proof.signature = Bytes::new()),
        ("signs in with an assertion without a credential id", INVALID, |proof| proof.credential_id = Bytes::new()),
        ("signs in with client data of thirty kilobytes", INVALID, |proof| {
            proof.client_data_json = Bytes::from(vec![b' '; 30_000]);
        }),
    ];
    let attack = |(what, expected, change)| bank.attack(what, expected, assert_with(holder, |_| {}, change));
    changes.into_iter().map(attack).collect()
}

fn flipped(bytes: &[u8], place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes.into()
}
