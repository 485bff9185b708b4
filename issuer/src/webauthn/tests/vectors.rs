//! The standard's own test vectors.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use ring::hkdf;

use super::*;

/// The values of every vector, by the vector's name and the value's.
fn vectors() -> HashMap<(&'static str, &'static str), Vec<u8>> {
    let lines = include_str!("vectors.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let [vector, value, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three words: {line}") };
            ((vector, value), HEXLOWER.decode(hex.as_bytes()).unwrap())
        })
        .collect()
}

struct Vector {
    name: &'static str,
    values: HashMap<(&'static str, &'static str), Vec<u8>>,
}

impl Vector {
    fn named(name: &'static str) -> Self {
        Self { name, values: vectors() }
    }

    fn value(&self, value: &'static str) -> &[u8] {
        self.values.get(&(self.name, value)).unwrap_or_else(|| panic!("{} {value} is in the file", self.name))
    }

    fn challenge(&self, value: &'static str) -> [u8; 32] {
        self.value(value).try_into().unwrap()
    }

    fn register(&self, verification: UserVerification) -> Result<(Bytes, Credential), Refused> {
        // Where the statement is a chain of certificates, the authenticator data come without one.
        let object = match self.values.get(&(self.name, "registration.attestationObject")) {
            Some(object) => object.clone(),
            None => attestation_object(self.value("registration.authenticatorData")),
        };
        let challenge = self.challenge("registration.challenge");
        register_with(&example(), &challenge, self.value("registration.clientDataJSON"), &object, verification)
    }

    fn verify(&self, credential: &Credential, verification: UserVerification) -> Result<u32, Refused> {
        let assertion = Assertion {
            authenticator_data: self.value("authentication.authenticatorData"),
            client_data_json: self.value("authentication.clientDataJSON"),
            signature: self.value("authentication.signature"),
        };
        let challenge = self.challenge("authentication.challenge");
        verify_with(&example(), &challenge, Some(credential), assertion, verification)
    }
}

fn example() -> RelyingParty {
    RelyingParty::new("example.org", vec!["https://example.org".into()])
}

const NAMES: [&str; 5] =
    ["none.ES256", "packed-self.ES256", "packed.ES256", "packed.EdDSA", "none.ES256.long-credential-id"];

#[test]
fn every_vector_registers_and_signs_in() {
    for name in NAMES {
        let vector = Vector::named(name);
        let (id, credential) = vector.register(UserVerification::NotDemanded).unwrap();
        assert_eq!(id, vector.value("credential_id"), "{name}");
        assert_eq!(credential.key.algorithm(), if name.ends_with("EdDSA") { -8 } else { -7 }, "{name}");
        assert_eq!(vector.verify(&credential, UserVerification::NotDemanded), Ok(0), "{name}");
    }
}

#[test]
fn the_vectors_without_user_verification_lack_that_alone() {
    let outcomes = NAMES.map(|name| {
        let vector = Vector::named(name);
        let (_, credential) = vector.register(UserVerification::NotDemanded).unwrap();
        let registered = vector.register(UserVerification::Demanded).map(|(_, credential)| credential.backup_eligible);
        (registered, vector.verify(&credential, UserVerification::Demanded))
    });
    let without = Err(Refused::UserNotVerified);
    assert_eq!(
        outcomes,
        [
            (Err(Refused::UserNotVerified), without),
            (Ok(true), without),
            (Ok(true), Ok(0)),
            (Err(Refused::UserNotVerified), without),
            (Err(Refused::UserNotVerified), Ok(0)),
        ]
    );
}

#[test]
fn a_vectors_signature_is_of_its_own_challenge_and_key_alone() {
    for name in NAMES {
        let vector = Vector::named(name);
        let (_, credential) = vector.register(UserVerification::NotDemanded).unwrap();
        for other in NAMES.iter().filter(|other| **other != name) {
            let other = Vector::named(other);
            let (_, of_other) = other.register(UserVerification::NotDemanded).unwrap();
            assert!(vector.verify(&of_other, UserVerification::NotDemanded).is_err(), "{name} {}", other.name);
            let mixed = Assertion {
                authenticator_data: vector.value("authentication.authenticatorData"),
                client_data_json: other.value("authentication.clientDataJSON"),
                signature: vector.value("authentication.signature"),
            };
            let challenge = other.challenge("authentication.challenge");
            let refused = verify_with(&example(), &challenge, Some(&credential), mixed, UserVerification::NotDemanded);
            assert_eq!(refused, Err(Refused::Signature), "{name} {}", other.name);
        }
    }
}

/// The section says how each random value is derived, so that nobody has to believe the file.
#[test]
fn the_file_holds_the_published_values() {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let derived = |vector: &str, salt: u8, length: usize| {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[salt]).extract(b"WebAuthn test vectors");
        let mut bytes = vec![0; length];
        key.expand(&[vector.as_bytes()], Length(length)).unwrap().fill(&mut bytes).unwrap();
        bytes
    };
    for (name, id_salt, challenge_salt) in [
        ("none.ES256", 5, 7),
        ("packed-self.ES256", 5, 7),
        ("packed.ES256", 5, 9),
        ("packed.EdDSA", 5, 9),
        ("none.ES256.long-credential-id", 4, 6),
    ] {
        let vector = Vector::named(name);
        let id = vector.value("credential_id");
        assert_eq!(vector.value("registration.challenge"), derived(name, 0, 32), "{name}");
        assert_eq!(id, derived(name, id_salt, id.len()), "{name}");
        assert_eq!(vector.value("authentication.challenge"), derived(name, challenge_salt, 32), "{name}");
    }
}
