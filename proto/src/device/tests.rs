#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;

fn pair(seed: u8) -> (Ed25519KeyPair, DeviceKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let key = DeviceKey::from_bytes(pair.public_key().as_ref().try_into().unwrap());
    (pair, key)
}

fn consent() -> Consent {
    Consent {
        order_digest: Digest::of(b"order"),
        amount: Money::new("TWD".parse().unwrap(), 128_000).unwrap(),
        payee: "Bookshop Lumen".into(),
        card: CardOptionId::from_random([1; 16]),
        charge: ChargeId::from_random([2; 16]),
        challenge: [3; 32],
        signed_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    }
}

fn sign<M: SignedBody>(pair: &Ed25519KeyPair, message: &M) -> DeviceSigned {
    let body = Bytes::from(message.encode_to_vec());
    let signature = pair.sign(&DeviceSigned::signed_bytes::<M>(&body)).as_ref().try_into().unwrap();
    DeviceSigned { body, device: DeviceId::from_random([9; 16]), signature }
}

#[test]
fn a_consent_travels_whole_and_is_verified_by_its_key_alone() {
    let ((pair, key), (_, other)) = (self::pair(1), self::pair(2));
    let signed = sign(&pair, &consent().to_pb());
    let arrived = DeviceSigned::parse(signed.to_pb(), SIGNED_CONSENT_BYTES_MAX).unwrap();
    assert_eq!(Consent::parse(&arrived).unwrap(), consent());
    assert!(arrived.is_by::<pb::Consent>(&key));
    assert!(!arrived.is_by::<pb::Consent>(&other));
    assert!(!arrived.is_by::<pb::SessionUse>(&key), "a signature made for one purpose is none for another");
}

#[test]
fn the_longest_consent_and_use_fit() {
    let (pair, _) = pair(1);
    let longest = Consent {
        payee: "x".repeat(60),
        amount: Money::new("TWD".parse().unwrap(), 999_999_999_999).unwrap(),
        ..consent()
    };
    assert!(sign(&pair, &longest.to_pb()).to_pb().encoded_len() <= SIGNED_CONSENT_BYTES_MAX);
    let session_use = SessionUse {
        session_digest: Digest::of(b"token"),
        rpc: "x".repeat(80),
        signed_at: UNIX_EPOCH + Duration::new(1, 999_999_999),
    };
    let signed = sign(&pair, &session_use.to_pb());
    assert!(signed.to_pb().encoded_len() <= SIGNED_SESSION_USE_BYTES_MAX);
    assert_eq!(SessionUse::parse(&signed).unwrap(), session_use);
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let (pair, _) = pair(1);
    let signed = sign(&pair, &pb::Consent { payee: String::new(), challenge: Bytes::new(), ..consent().to_pb() });
    let paths: Vec<String> = Consent::parse(&signed).unwrap_err().violations.into_iter().map(|v| v.path).collect();
    assert_eq!(paths, ["body.payee", "body.challenge"]);
    let no_device = pb::Signed { key_id: "0".repeat(32), ..signed.to_pb() };
    assert_eq!(DeviceSigned::parse(no_device, 512).unwrap_err().violations[0].path, "key_id");
}

#[test]
fn proofs_depend_on_everything_that_they_are_for() {
    let (order, other) = (Digest::of(b"order"), Digest::of(b"other"));
    let features = [0.5_f32, -0.25];
    let all = [
        possession_bytes(&[1; 32], None),
        possession_bytes(&[2; 32], None),
        possession_bytes(&[1; 32], Some(&order)),
        possession_bytes(&[1; 32], Some(&other)),
        inherence_bytes(&[1; 32], &features, None),
        inherence_bytes(&[1; 32], &features, Some(&order)),
        inherence_bytes(&[1; 32], &[0.5, 0.25], None),
        enroll_features_bytes(&[1; 32], &features),
        bind_device_bytes(&[1; 32]),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(all.iter().skip(i + 1).all(|another| one != another), "{i}");
    }
    assert_eq!(&all[0][..28], b"bankside.v1/PossessionProof\0");
    // 0.5 and -0.25 as big-endian IEEE 754 numbers.
    assert_eq!(features_digest(&features), Digest::of(&[0x3f, 0, 0, 0, 0xbe, 0x80, 0, 0]));
}
