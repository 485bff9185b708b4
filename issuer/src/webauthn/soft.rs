//! An authenticator and a browser in software, for tests: everything that they say can be changed.

#![allow(clippy::unwrap_used)]

use data_encoding::BASE64URL_NOPAD;
use minicbor::Encoder;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};

use super::{Assertion, PublicKey, sha256};

/// The flags of a good assertion: the user was present and verified.
pub(crate) const GOOD: u8 = 0x05;
/// Beside them, the flag that announces a credential.
pub(crate) const WITH_CREDENTIAL: u8 = 0x40;

/// A passkey's private key.
pub(crate) enum SoftKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SoftKey {
    pub(crate) fn es256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap())
    }

    pub(crate) fn eddsa() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Es256(key) => PublicKey::from_parts(-7, key.public_key().as_ref()).unwrap(),
            Self::EdDsa(key) => PublicKey::from_parts(-8, key.public_key().as_ref()).unwrap(),
        }
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        match self.public() {
            PublicKey::Es256(point) => cose_es256(&point[1..33], &point[33..]),
            PublicKey::EdDsa(key) => cose_eddsa(&key),
        }
    }

    /// The signature over what an assertion is signed over.
    pub(crate) fn sign(&self, authenticator_data: &[u8], client_data_json: &[u8]) -> Vec<u8> {
        let signed = [authenticator_data, &sha256(client_data_json)].concat();
        match self {
            Self::Es256(key) => key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(&signed).as_ref().to_vec(),
        }
    }

    /// A signed assertion.
    pub(crate) fn assert(&self, authenticator_data: Vec<u8>, client_data_json: Vec<u8>) -> SoftAssertion {
        let signature = self.sign(&authenticator_data, &client_data_json);
        SoftAssertion { authenticator_data, client_data_json, signature }
    }
}

/// An assertion with its bytes.
#[derive(Clone)]
pub(crate) struct SoftAssertion {
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) client_data_json: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl SoftAssertion {
    pub(crate) fn as_assertion(&self) -> Assertion<'_> {
        Assertion {
            authenticator_data: &self.authenticator_data,
            client_data_json: &self.client_data_json,
            signature: &self.signature,
        }
    }
}

/// What a browser says.
pub(crate) fn client_data(ceremony: &str, challenge: &[u8; 32], origin: &str) -> Vec<u8> {
    let challenge = BASE64URL_NOPAD.encode(challenge);
    format!(r#"{{"type":"{ceremony}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#).into_bytes()
}

/// What an authenticator says, with whatever comes after the counter.
pub(crate) fn authenticator_data(party: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    [&sha256(party.as_bytes()), [flags].as_slice(), &counter.to_be_bytes(), rest].concat()
}

/// A new credential in authenticator data.
pub(crate) fn new_credential(id: &[u8], cose_key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(id.len()).unwrap().to_be_bytes();
    [[0; 16].as_slice(), &length, id, cose_key].concat()
}

/// An attestation object that attests nothing.
pub(crate) fn attestation_object(authenticator_data: &[u8]) -> Vec<u8> {
    encoded(|cbor| {
        cbor.map(3)?.str("fmt")?.str("none")?.str("attStmt")?.map(0)?.str("authData")?.bytes(authenticator_data)?.ok()
    })
}

pub(crate) fn cose_es256(x: &[u8], y: &[u8]) -> Vec<u8> {
    encoded(|cbor| cbor.map(5)?.i8(1)?.i8(2)?.i8(3)?.i8(-7)?.i8(-1)?.i8(1)?.i8(-2)?.bytes(x)?.i8(-3)?.bytes(y)?.ok())
}

pub(crate) fn cose_eddsa(x: &[u8]) -> Vec<u8> {
    encoded(|cbor| cbor.map(4)?.i8(1)?.i8(1)?.i8(3)?.i8(-8)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(x)?.ok())
}

type Failure = minicbor::encode::Error<std::convert::Infallible>;

pub(crate) fn encoded(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Failure>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}
