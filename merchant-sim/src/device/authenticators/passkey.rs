//! An authenticator for passkeys: W3C Web Authentication Level 2, with P-256 (ES256) or Ed25519 (EdDSA).

use std::fmt;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::pb;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

use super::attestation::{self, PublicKey, USER_PRESENT, USER_VERIFIED, attestation_object};

/// Where ring writes the private scalar into the PKCS #8 document of a P-256 key that it makes.
const SCALAR_OF_P256: std::ops::Range<usize> = 36..68;

/// What a passkey signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its name in the COSE registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// One credential on an authenticator.
pub struct SoftPasskey {
    key: Key,
    private_key: Vec<u8>,
    credential_id: Bytes,
    relying_party_id: String,
    origin: String,
    counter: u32,
}

/// What a browser and an authenticator put into one answer. The default is right in everything; change a
/// part with the update syntax to make an answer that must be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremony {
    /// "webauthn.create" or "webauthn.get".
    pub kind: &'static str,
    /// The challenge that is signed.
    pub challenge: Vec<u8>,
    /// The origin that the browser saw, such as `https://bank.example`.
    pub origin: String,
    /// The relying party whose id is hashed into the answer.
    pub relying_party_id: String,
    /// Whether the user was there.
    pub user_present: bool,
    /// Whether the authenticator verified the user.
    pub user_verified: bool,
    /// The signature counter.
    pub counter: u32,
    /// Whether the call came from a frame of another origin.
    pub cross_origin: bool,
}

/// What `navigator.credentials.create` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The client data, JSON.
    pub client_data_json: Bytes,
    /// The attestation object, CBOR.
    pub attestation_object: Bytes,
}

/// What `navigator.credentials.get` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The credential.
    pub credential_id: Bytes,
    /// The authenticator data.
    pub authenticator_data: Bytes,
    /// The client data, JSON.
    pub client_data_json: Bytes,
    /// The signature over both.
    pub signature: Bytes,
}

impl SoftPasskey {
    /// A fresh credential for a relying party, used on pages of this origin.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate(algorithm: Algorithm, relying_party_id: &str, origin: &str) -> Result<Self> {
        let (key, private_key) = Key::generate(algorithm)?;
        let credential_id: [u8; 16] = SystemEntropy::new().id().context("no credential id")?;
        Ok(Self {
            key,
            private_key,
            credential_id: Bytes::copy_from_slice(&credential_id),
            relying_party_id: relying_party_id.to_owned(),
            origin: origin.to_owned(),
            counter: 0,
        })
    }

    /// The credential's id.
    #[must_use]
    pub fn credential_id(&self) -> &Bytes {
        &self.credential_id
    }

    /// The same key under another credential's id: an authenticator that lies about which one it has.
    #[must_use]
    pub fn pretending(self, credential_id: Bytes) -> Self {
        Self { credential_id, ..self }
    }

    /// The private key, for whoever looks where it must not be.
    #[must_use]
    pub fn private_key(&self) -> &[u8] {
        &self.private_key
    }

    /// The right answer to `navigator.credentials.create`.
    pub fn creation(&mut self, challenge: &[u8]) -> Ceremony {
        self.ceremony("webauthn.create", challenge)
    }

    /// The right answer to `navigator.credentials.get`. Each counts.
    pub fn request(&mut self, challenge: &[u8]) -> Ceremony {
        self.ceremony("webauthn.get", challenge)
    }

    /// Registers the credential.
    #[must_use]
    pub fn register(&self, ceremony: &Ceremony) -> Registration {
        let credential = Some((self.credential_id.as_ref(), self.key.public()));
        Registration {
            client_data_json: ceremony.client_data(),
            attestation_object: attestation_object(&ceremony.authenticator_data(credential)).into(),
        }
    }

    /// Signs in with the credential.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn assert(&self, ceremony: &Ceremony) -> Result<Assertion> {
        let authenticator_data = ceremony.authenticator_data(None);
        let client_data_json = ceremony.client_data();
        let signed = [&authenticator_data, digest(&SHA256, &client_data_json).as_ref()].concat();
        Ok(Assertion {
            credential_id: self.credential_id.clone(),
            signature: self.key.sign(&signed)?,
            authenticator_data: authenticator_data.into(),
            client_data_json,
        })
    }

    /// The right proof for a challenge.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn proof(&mut self, challenge: &[u8]) -> Result<pb::PasskeyProof> {
        let ceremony = self.request(challenge);
        Ok(self.assert(&ceremony)?.to_pb())
    }

    fn ceremony(&mut self, kind: &'static str, challenge: &[u8]) -> Ceremony {
        self.counter += 1;
        Ceremony {
            kind,
            challenge: challenge.to_vec(),
            origin: self.origin.clone(),
            relying_party_id: self.relying_party_id.clone(),
            user_present: true,
            user_verified: true,
            counter: self.counter,
            cross_origin: false,
        }
    }
}

impl Assertion {
    /// The assertion as a proof.
    #[must_use]
    pub fn to_pb(&self) -> pb::PasskeyProof {
        pb::PasskeyProof {
            credential_id: self.credential_id.clone(),
            authenticator_data: self.authenticator_data.clone(),
            client_data_json: self.client_data_json.clone(),
            signature: self.signature.clone(),
        }
    }
}

impl Ceremony {
    /// The client data as browsers write them (section 5.8.1.1).
    fn client_data(&self) -> Bytes {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let json = format!(
            "{{\"type\":{},\"challenge\":{},\"origin\":{},\"crossOrigin\":{}}}",
            text(self.kind),
            text(&BASE64URL_NOPAD.encode(&self.challenge)),
            text(&self.origin),
            self.cross_origin
        );
        json.into()
    }

    fn authenticator_data(&self, credential: Option<(&[u8], PublicKey<'_>)>) -> Vec<u8> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.user_present, USER_PRESENT) | flag(self.user_verified, USER_VERIFIED);
        attestation::authenticator_data(&self.relying_party_id, flags, self.counter, credential)
    }
}

enum Key {
    P256 { pair: EcdsaKeyPair, public: [u8; 65], random: SystemRandom },
    Ed25519 { pair: Ed25519KeyPair, public: [u8; 32] },
}

impl Key {
    /// A fresh key, and its private part.
    fn generate(algorithm: Algorithm) -> Result<(Self, Vec<u8>)> {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Es256 => {
                let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
                let document = document.map_err(|_| anyhow!("no P-256 key could be made"))?;
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random);
                let pair = pair.map_err(|error| anyhow!("not a P-256 key: {error}"))?;
                let public = pair.public_key().as_ref().try_into().context("not a point of P-256")?;
                let scalar = document.as_ref().get(SCALAR_OF_P256).context("not a document of a P-256 key")?.to_vec();
                Ok((Self::P256 { pair, public, random }, scalar))
            }
            Algorithm::EdDsa => {
                let mut seed = [0; 32];
                SystemEntropy::new().fill(&mut seed).context("no Ed25519 key could be made")?;
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
                let pair = pair.map_err(|error| anyhow!("not an Ed25519 key: {error}"))?;
                let public = pair.public_key().as_ref().try_into().context("not a key of Ed25519")?;
                Ok((Self::Ed25519 { pair, public }, seed.to_vec()))
            }
        }
    }

    fn public(&self) -> PublicKey<'_> {
        match self {
            Self::P256 { public, .. } => PublicKey::P256(public),
            Self::Ed25519 { public, .. } => PublicKey::Ed25519(public),
        }
    }

    fn sign(&self, bytes: &[u8]) -> Result<Bytes> {
        match self {
            Self::P256 { pair, random, .. } => {
                let signature = pair.sign(random, bytes).map_err(|_| anyhow!("the passkey could not sign"))?;
                Ok(Bytes::copy_from_slice(signature.as_ref()))
            }
            Self::Ed25519 { pair, .. } => Ok(Bytes::copy_from_slice(pair.sign(bytes).as_ref())),
        }
    }
}

impl fmt::Debug for SoftPasskey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftPasskey").field("relying_party_id", &self.relying_party_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

    use super::*;

    fn passkey(algorithm: Algorithm) -> SoftPasskey {
        SoftPasskey::generate(algorithm, "bank.example", "https://bank.example").unwrap()
    }

    #[test]
    fn an_assertion_is_signed_over_both_of_its_parts() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let mut passkey = passkey(algorithm);
            let ceremony = passkey.request(&[5; 32]);
            let assertion = passkey.assert(&ceremony).unwrap();
            let signed =
                [&assertion.authenticator_data, digest(&SHA256, &assertion.client_data_json).as_ref()].concat();
            let verified = match passkey.key.public() {
                PublicKey::P256(key) => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(&signed, &assertion.signature)
                }
                PublicKey::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(&signed, &assertion.signature),
            };
            assert!(verified.is_ok(), "{algorithm:?}");
            let client: serde_json::Value = serde_json::from_slice(&assertion.client_data_json).unwrap();
            assert_eq!(client["challenge"], BASE64URL_NOPAD.encode(&[5; 32]));
            assert_eq!((&client["type"], &client["origin"]), (&"webauthn.get".into(), &"https://bank.example".into()));
        }
    }

    #[test]
    fn the_counter_goes_up_and_can_be_set_back() {
        let mut passkey = passkey(Algorithm::EdDsa);
        let (first, second) = (passkey.creation(&[1]), passkey.request(&[1]));
        assert!(second.counter > first.counter);
        let back = Ceremony { counter: first.counter, user_verified: false, ..second };
        let assertion = passkey.assert(&back).unwrap();
        assert_eq!(assertion.authenticator_data[32..], [USER_PRESENT, 0, 0, 0, 1]);
    }

    #[test]
    fn the_private_key_is_the_one_that_signs() {
        let passkey = passkey(Algorithm::Es256);
        let Key::P256 { public, random, .. } = &passkey.key else { panic!("another kind of key") };
        let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let again = EcdsaKeyPair::from_private_key_and_public_key(signing, passkey.private_key(), public, random);
        assert!(again.is_ok(), "the scalar does not belong to the public key");
    }
}
