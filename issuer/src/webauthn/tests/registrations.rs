use data_encoding::HEXLOWER;
use minicbor::Decoder;
use proptest::prelude::*;

use super::*;
use crate::webauthn::soft::{cose_eddsa, cose_es256, encoded};

const FLAGS: u8 = GOOD | WITH_CREDENTIAL;

fn judge(object: &[u8]) -> Result<(Bytes, Credential), Refused> {
    register(&party(), &CHALLENGE, &client_data("webauthn.create", &CHALLENGE, ORIGIN), object)
}

/// A registration of this key in COSE.
fn of_key(cose: &[u8]) -> Result<(Bytes, Credential), Refused> {
    of_data(FLAGS, &new_credential(&ID, cose))
}

fn of_data(flags: u8, rest: &[u8]) -> Result<(Bytes, Credential), Refused> {
    judge(&attestation_object(&authenticator_data(PARTY, flags, 3, rest)))
}

#[test]
fn both_algorithms_are_registered() {
    for key in [SoftKey::es256(), SoftKey::eddsa()] {
        let expected = Credential { key: key.public(), sign_count: 3, backup_eligible: false };
        assert_eq!(of_key(&key.cose()), Ok((Bytes::copy_from_slice(&ID), expected.clone())));
        let copied = of_data(FLAGS | 0x18, &new_credential(&ID, &key.cose())).unwrap().1;
        assert_eq!(copied, Credential { backup_eligible: true, ..expected.clone() });
        let extended = [new_credential(&ID, &key.cose()), vec![0xa1, 0x61, b'e', 0xf5]].concat();
        assert_eq!(of_data(FLAGS | 0x80, &extended).unwrap().1, expected);
        let kept = PublicKey::from_parts(expected.key.algorithm(), expected.key.as_bytes());
        assert_eq!(kept.as_ref(), Some(&expected.key));
    }
}

#[test]
fn each_check_fails_by_itself() {
    let cose = SoftKey::es256().cose();
    let new = new_credential(&ID, &cose);
    let client = |ceremony: &str, challenge: &[u8; 32], origin: &str| {
        let object = attestation_object(&authenticator_data(PARTY, FLAGS, 3, &new));
        register(&party(), &CHALLENGE, &client_data(ceremony, challenge, origin), &object).unwrap_err()
    };
    assert_eq!(client("webauthn.get", &CHALLENGE, ORIGIN), Refused::Type);
    assert_eq!(client("webauthn.create", &[8; 32], ORIGIN), Refused::Challenge);
    assert_eq!(client("webauthn.create", &CHALLENGE, "https://evil.example"), Refused::Origin);

    let evil = attestation_object(&authenticator_data("evil.example", FLAGS, 3, &new));
    assert_eq!(judge(&evil), Err(Refused::RelyingPartyId));
    for (flags, rest, refused) in [
        (FLAGS & !0x01, new.clone(), Refused::UserNotPresent),
        (FLAGS & !0x04, new.clone(), Refused::UserNotVerified),
        (FLAGS | 0x10, new.clone(), Refused::Backup),
        (GOOD, Vec::new(), Refused::AuthenticatorData),
        (GOOD, new.clone(), Refused::AuthenticatorData),
        (FLAGS | 0x80, new.clone(), Refused::AuthenticatorData),
        (FLAGS, [new.as_slice(), &[0xa0]].concat(), Refused::AuthenticatorData),
        (FLAGS, new[..new.len() - 1].to_vec(), Refused::Key),
        (FLAGS, new[..17].to_vec(), Refused::AuthenticatorData),
        (FLAGS, new[..20].to_vec(), Refused::AuthenticatorData),
        (FLAGS, new_credential(&[], &cose), Refused::CredentialId),
        (FLAGS, new_credential(&[7; 15], &cose), Refused::CredentialId),
        (FLAGS, new_credential(&[7; 1024], &cose), Refused::CredentialId),
    ] {
        assert_eq!(of_data(flags, &rest), Err(refused), "{flags:02x} {}", rest.len());
    }
    assert!(of_data(FLAGS, &new_credential(&[7; 1023], &cose)).is_ok());
}

#[test]
fn an_attestation_object_is_read_whole_and_strictly() {
    let data = authenticator_data(PARTY, FLAGS, 3, &new_credential(&ID, &SoftKey::eddsa().cose()));
    // In another order, and with a statement that nobody judges.
    let attested = encoded(|cbor| {
        cbor.map(3)?.str("authData")?.bytes(&data)?.str("attStmt")?.map(1)?.str("x5c")?.array(1)?.bytes(b"?")?;
        cbor.str("fmt")?.str("packed")?.ok()
    });
    assert!(judge(&attested).is_ok());

    let good = attestation_object(&data);
    let trailing = [good.as_slice(), &[0]].concat();
    let doubled = encoded(|cbor| {
        cbor.map(4)?.str("fmt")?.str("none")?.str("fmt")?.str("none")?.str("attStmt")?.map(0)?;
        cbor.str("authData")?.bytes(&data)?.ok()
    });
    let unknown = encoded(|cbor| {
        cbor.map(4)?.str("fmt")?.str("none")?.str("attStmt")?.map(0)?.str("authData")?.bytes(&data)?;
        cbor.str("more")?.null()?.ok()
    });
    let without = |left_out: &str| {
        encoded(|cbor| {
            cbor.map(2)?;
            if left_out != "fmt" {
                cbor.str("fmt")?.str("none")?;
            }
            if left_out != "attStmt" {
                cbor.str("attStmt")?.map(0)?;
            }
            if left_out != "authData" {
                cbor.str("authData")?.bytes(&data)?;
            }
            Ok(())
        })
    };
    let indefinite = [&[0xbf_u8], &good[1..], &[0xff]].concat();
    let long = [good.as_slice(), &[0; ATTESTATION_OBJECT_BYTES_MAX]].concat();
    for bad in [
        trailing,
        doubled,
        unknown,
        indefinite,
        long,
        without("fmt"),
        without("attStmt"),
        without("authData"),
        Vec::new(),
        vec![0xa0],
        data.clone(),
    ] {
        assert_eq!(judge(&bad), Err(Refused::AttestationObject));
    }
    for length in 0..good.len() {
        assert_eq!(judge(&good[..length]), Err(Refused::AttestationObject));
    }
}

#[test]
fn keys_of_other_kinds_and_off_their_curve_are_refused() {
    let public = SoftKey::es256().public();
    let (x, y) = public.as_bytes()[1..].split_at(32);
    let mut off = y.to_vec();
    off[31] ^= 1;
    let zero = [0; 32];
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    // 2 is the y of no point; the others are points of small order, among them the neutral one and one whose
    // form is not the canonical one.
    let no_point = hex(&format!("02{}", "00".repeat(31)));
    let small = [
        hex(&format!("01{}", "00".repeat(31))),
        hex(&"00".repeat(32)),
        hex(&format!("ec{}7f", "ff".repeat(30))),
        hex(&format!("ee{}7f", "ff".repeat(30))),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    ];
    let mut refused = vec![
        (cose_es256(x, &off), Refused::Key),
        (cose_es256(y, x), Refused::Key),
        (cose_es256(&zero, &zero), Refused::Key),
        (cose_es256(&[0xff; 32], y), Refused::Key),
        (cose_es256(&x[1..], y), Refused::Key),
        (cose_es256(x, &[y, &[0]].concat()), Refused::Key),
        (cose_eddsa(&no_point), Refused::Key),
        (cose_eddsa(&x[..31]), Refused::Key),
    ];
    refused.extend(small.iter().map(|key| (cose_eddsa(key), Refused::Key)));
    for (cose, refused) in refused {
        assert_eq!(of_key(&cose), Err(refused), "{}", HEXLOWER.encode(&cose));
    }
}

#[test]
fn a_cose_key_says_what_it_must_and_nothing_else() {
    let key = SoftKey::es256().cose();
    let public = SoftKey::eddsa().public();
    let x = public.as_bytes();
    let eddsa = |kty: i8, alg: i16, crv: i8| {
        encoded(|cbor| cbor.map(4)?.i8(1)?.i8(kty)?.i8(3)?.i16(alg)?.i8(-1)?.i8(crv)?.i8(-2)?.bytes(x)?.ok())
    };
    assert!(of_key(&eddsa(1, -8, 6)).is_ok());
    let more = encoded(|cbor| {
        cbor.map(5)?.i8(1)?.i8(1)?.i8(3)?.i8(-8)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(x)?.i8(4)?.array(1)?.i8(2)?.ok()
    });
    let doubled = encoded(|cbor| {
        cbor.map(5)?.i8(1)?.i8(1)?.i8(3)?.i8(-8)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(x)?.i8(-2)?.bytes(x)?.ok()
    });
    let compressed = encoded(|cbor| {
        cbor.map(5)?.i8(1)?.i8(2)?.i8(3)?.i8(-7)?.i8(-1)?.i8(1)?.i8(-2)?.bytes(&key[10..42])?.i8(-3)?.bool(true)?.ok()
    });
    let without_algorithm = encoded(|cbor| cbor.map(3)?.i8(1)?.i8(1)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(x)?.ok());
    for (cose, refused) in [
        (eddsa(2, -8, 6), Refused::Key),
        (eddsa(1, -8, 7), Refused::Key),
        (eddsa(1, -8, 1), Refused::Key),
        (eddsa(1, -7, 1), Refused::Key),
        (eddsa(1, -19, 6), Refused::Algorithm),
        (eddsa(1, -257, 6), Refused::Algorithm),
        (without_algorithm, Refused::Algorithm),
        (more, Refused::Key),
        (doubled, Refused::Key),
        (compressed, Refused::Key),
        (vec![0x80], Refused::Key),
        (Vec::new(), Refused::Key),
    ] {
        assert_eq!(of_key(&cose), Err(refused), "{}", HEXLOWER.encode(&cose));
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_of_a_p256_key_is_refused(bit in 0..8_u8, place in 0..64_usize) {
        let mut point = SoftKey::es256().public().as_bytes()[1..].to_vec();
        point[place] ^= 1 << bit;
        let (x, y) = point.split_at(32);
        prop_assert_eq!(of_key(&cose_es256(x, y)), Err(Refused::Key));
    }

    #[test]
    fn arbitrary_objects_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(judge(&bytes).is_err());
    }

    #[test]
    fn arbitrary_data_in_a_right_object_are_refused_without_a_panic(
        flags in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 0..300),
        key in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assert!(of_data(flags, &rest).is_err());
        prop_assert!(of_key(&key).is_err());
        prop_assert!(PublicKey::parse(&key).is_err());
    }

    /// Any change of one byte of a registration is refused, or leads to a credential all the same, of which
    /// nothing but what stands there is taken; never to a panic.
    #[test]
    fn a_changed_byte_never_panics(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let key = SoftKey::eddsa();
        let mut object = attestation_object(&authenticator_data(PARTY, FLAGS, 3, &new_credential(&ID, &key.cose())));
        let place = place.index(object.len());
        object[place] = byte;
        if let Ok((id, _)) = judge(&object) {
            prop_assert_eq!(id.len(), ID.len());
        }
    }

    /// What is read past is read past to its end, whatever stands there.
    #[test]
    fn a_map_is_cut_off_where_it_ends(
        entries in prop::collection::btree_map(any::<i64>(), prop::collection::vec(any::<u8>(), 0..40), 0..20),
        after in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let map = encoded(|cbor| {
            cbor.map(entries.len() as u64)?;
            for (label, value) in &entries {
                cbor.i64(*label)?.bytes(value)?;
            }
            Ok(())
        });
        let both = [map.as_slice(), &after].concat();
        prop_assert_eq!(cbor::raw_map(&mut Decoder::new(&both)), Ok(map.as_slice()));
    }
}
