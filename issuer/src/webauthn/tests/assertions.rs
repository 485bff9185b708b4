use proptest::prelude::*;

use super::*;

fn credential(key: &SoftKey) -> Credential {
    Credential { key: key.public(), sign_count: 4, backup_eligible: false }
}

fn good(key: &SoftKey) -> SoftAssertion {
    signed(key, GOOD, 5, &[])
}

fn signed(key: &SoftKey, flags: u8, counter: u32, rest: &[u8]) -> SoftAssertion {
    key.assert(authenticator_data(PARTY, flags, counter, rest), client_data("webauthn.get", &CHALLENGE, ORIGIN))
}

fn judge(credential: Option<&Credential>, assertion: &SoftAssertion) -> Result<u32, Refused> {
    verify(&party(), &CHALLENGE, credential, assertion.as_assertion())
}

#[test]
fn both_algorithms_are_verified() {
    for key in [SoftKey::es256(), SoftKey::eddsa()] {
        assert_eq!(judge(Some(&credential(&key)), &good(&key)), Ok(5));
        // Reserved flags and extensions are let by.
        assert_eq!(judge(Some(&credential(&key)), &signed(&key, GOOD | 0x22, 5, &[])), Ok(5));
        assert_eq!(judge(Some(&credential(&key)), &signed(&key, GOOD | 0x80, 5, &[0xa1, 0x61, b'e', 0xf5])), Ok(5));
        let app = client_data("webauthn.get", &CHALLENGE, "android:apk-key-hash:AAAA");
        let app = key.assert(authenticator_data(PARTY, GOOD, 5, &[]), app);
        assert_eq!(judge(Some(&credential(&key)), &app), Ok(5));
    }
}

#[test]
fn each_check_fails_by_itself() {
    for key in [SoftKey::es256(), SoftKey::eddsa()] {
        let credential = credential(&key);
        let data = |party: &str| authenticator_data(party, GOOD, 5, &[]);
        let client = |ceremony: &str, challenge: &[u8; 32], origin: &str| {
            key.assert(data(PARTY), client_data(ceremony, challenge, origin))
        };
        let new = new_credential(&ID, &key.cose());
        let table = [
            (client("webauthn.create", &CHALLENGE, ORIGIN), Refused::Type),
            (client("webauthn.get", &[8; 32], ORIGIN), Refused::Challenge),
            (client("webauthn.get", &CHALLENGE, "https://evil.example"), Refused::Origin),
            (
                key.assert(data("evil.example"), client_data("webauthn.get", &CHALLENGE, ORIGIN)),
                Refused::RelyingPartyId,
            ),
            (signed(&key, 0x04, 5, &[]), Refused::UserNotPresent),
            (signed(&key, 0x01, 5, &[]), Refused::UserNotVerified),
            (signed(&key, GOOD | 0x10, 5, &[]), Refused::Backup),
            (signed(&key, GOOD | 0x08, 5, &[]), Refused::Backup),
            (signed(&key, GOOD | 0x18, 5, &[]), Refused::Backup),
            (signed(&key, GOOD | WITH_CREDENTIAL, 5, &new), Refused::AuthenticatorData),
            (signed(&key, GOOD, 5, &[0]), Refused::AuthenticatorData),
            (signed(&key, GOOD | 0x80, 5, &[]), Refused::AuthenticatorData),
            (signed(&key, GOOD | 0x80, 5, &[0xa0, 0xa0]), Refused::AuthenticatorData),
            (signed(&key, GOOD, 4, &[]), Refused::Counter),
            (signed(&key, GOOD, 3, &[]), Refused::Counter),
            (signed(&key, GOOD, 0, &[]), Refused::Counter),
        ];
        for (assertion, refused) in table {
            assert_eq!(judge(Some(&credential), &assertion), Err(refused));
        }
        for length in 0..37 {
            let short = authenticator_data(PARTY, GOOD, 5, &[])[..length].to_vec();
            let short = key.assert(short, client_data("webauthn.get", &CHALLENGE, ORIGIN));
            assert_eq!(judge(Some(&credential), &short), Err(Refused::AuthenticatorData));
        }
    }
}

#[test]
fn a_copyable_credential_stays_one() {
    let key = SoftKey::es256();
    let copyable = Credential { backup_eligible: true, ..credential(&key) };
    assert_eq!(judge(Some(&copyable), &signed(&key, GOOD | 0x08, 5, &[])), Ok(5));
    assert_eq!(judge(Some(&copyable), &signed(&key, GOOD | 0x18, 5, &[])), Ok(5));
    assert_eq!(judge(Some(&copyable), &good(&key)), Err(Refused::Backup));
}

#[test]
fn authenticators_without_a_counter_stay_at_zero() {
    assert!(may_follow(0, 0) && may_follow(0, 1) && may_follow(7, 8) && may_follow(7, u32::MAX));
    assert!(!may_follow(1, 0) && !may_follow(1, 1) && !may_follow(u32::MAX, 0) && !may_follow(9, 8));
}

#[test]
fn a_signature_is_of_its_own_key() {
    let (mine, other, eddsa) = (SoftKey::es256(), SoftKey::es256(), SoftKey::eddsa());
    for (signer, owner) in [(&other, &mine), (&eddsa, &mine), (&mine, &eddsa)] {
        assert_eq!(judge(Some(&credential(owner)), &good(signer)), Err(Refused::Signature));
    }
    for key in [&mine, &eddsa] {
        for signature in [Vec::new(), vec![0; 64], vec![0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00]] {
            let assertion = SoftAssertion { signature, ..good(key) };
            assert_eq!(judge(Some(&credential(key)), &assertion), Err(Refused::Signature));
        }
        // The same numbers in another form than DER's are refused, too.
        let mut longer = good(key);
        longer.signature.push(0);
        assert_eq!(judge(Some(&credential(key)), &longer), Err(Refused::Signature));
    }
}

#[test]
fn without_a_credential_even_the_decoys_own_signature_is_of_nobody() {
    for key in [SoftKey::es256(), SoftKey::eddsa()] {
        assert_eq!(judge(None, &good(&key)), Err(Refused::Unknown));
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_is_refused(part in 0..3_usize, place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for key in [SoftKey::es256(), SoftKey::eddsa()] {
            let mut assertion = signed(&key, GOOD | 0x80, 5, &[0xa1, 0x61, b'e', 0xf5]);
            prop_assert_eq!(judge(Some(&credential(&key)), &assertion), Ok(5));
            let bytes = match part {
                0 => &mut assertion.authenticator_data,
                1 => &mut assertion.client_data_json,
                _ => &mut assertion.signature,
            };
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(judge(Some(&credential(&key)), &assertion).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(
        data in prop::collection::vec(any::<u8>(), 0..300),
        client in prop::collection::vec(any::<u8>(), 0..300),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let key = SoftKey::eddsa();
        let assertion = SoftAssertion { authenticator_data: data, client_data_json: client, signature };
        prop_assert!(judge(Some(&credential(&key)), &assertion).is_err());
        // Past the client data, which arbitrary bytes never are.
        let assertion = SoftAssertion { client_data_json: good(&key).client_data_json, ..assertion };
        prop_assert!(judge(Some(&credential(&key)), &assertion).is_err());
    }

    #[test]
    fn arbitrary_data_after_a_right_beginning_is_refused_without_a_panic(
        flags in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        // All that these bytes may lead to is a refusal, or a signature that is right over extensions.
        let key = SoftKey::eddsa();
        let outcome = judge(Some(&credential(&key)), &signed(&key, flags, 5, &rest));
        prop_assert!(outcome.is_err() || flags & 0xc0 == 0x80);
    }

    #[test]
    fn arbitrary_json_is_refused_without_a_panic(text in r#"[\[\]{}",:a-z0-9\\ ]{0,200}"#) {
        let party = party();
        let judged = ClientData::parse(text.as_bytes()).and_then(|data| data.check(Ceremony::Get, &CHALLENGE, &party));
        prop_assert!(judged.is_err());
    }
}
