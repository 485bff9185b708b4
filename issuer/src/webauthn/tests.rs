#![allow(clippy::unwrap_used)]

use super::{
    soft::{
        GOOD, SoftAssertion, SoftKey, WITH_CREDENTIAL, attestation_object, authenticator_data, client_data,
        new_credential,
    },
    *,
};

mod assertions;
mod registrations;
mod vectors;

const PARTY: &str = "bank.example";
const ORIGIN: &str = "https://bank.example";
const CHALLENGE: [u8; 32] = [9; 32];
const ID: [u8; 16] = [7; 16];

fn party() -> RelyingParty {
    RelyingParty::new(PARTY, vec![ORIGIN.into(), "android:apk-key-hash:AAAA".into()])
}
