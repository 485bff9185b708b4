//! The secrets of a run that are no part of the sample: what devices and passkeys sign with, what they
//! measure, and the session tokens that banks give out. They are noted here as they come up, for the
//! canary scan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use proto::pb;

/// The noted secrets; clones note into the same list.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<Vec<Secret>>>);

/// A secret that somebody has.
#[derive(Clone, PartialEq)]
pub struct Secret {
    /// What it is, without the secret itself, for example "session token 12".
    pub name: String,
    /// The secret.
    pub value: Value,
}

/// What a secret is made of.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A private key.
    Key(Vec<u8>),
    /// A session token.
    Token(Vec<u8>),
    /// A feature vector.
    Features(Vec<f32>),
}

impl Secrets {
    /// Notes the private key of a device or a passkey.
    pub fn note_key(&self, whose: &str, key: &[u8]) {
        self.note(&format!("private key of a {whose}"), Value::Key(key.to_vec()));
    }

    /// Notes a session token.
    pub fn note_token(&self, token: &[u8]) {
        self.note("session token", Value::Token(token.to_vec()));
    }

    /// Notes features that were sent.
    pub fn note_features(&self, features: &[f32]) {
        self.note("feature vector", Value::Features(features.to_vec()));
    }

    /// Everything that was noted.
    #[must_use]
    pub fn all(&self) -> Vec<Secret> {
        self.list().clone()
    }

    /// How many there are of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for secret in self.list().iter() {
            *counts.entry(secret.value.kind()).or_default() += 1;
        }
        counts
    }

    fn note(&self, what: &str, value: Value) {
        let mut list = self.list();
        let alike = list.iter().filter(|secret| secret.name.starts_with(what));
        let name = format!("{what} {}", alike.count() + 1);
        if list.iter().all(|secret| secret.value != value) {
            list.push(Secret { name, value });
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Secret>> {
        // A list that somebody panicked over has every secret that was pushed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    /// The kind's name, in the plural.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "private keys",
            Self::Token(_) => "session tokens",
            Self::Features(_) => "feature vectors",
        }
    }

    /// The secret inside something that really holds it: the message that carries it, or a key file's
    /// content. A search that doesn't find it there is blind.
    #[must_use]
    pub fn holder(&self) -> Vec<u8> {
        match self {
            // PKCS #8 of Ed25519 (RFC 8410), which is as good a wrapping as that of any other curve.
            Self::Key(key) => [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", &key[..]].concat(),
            Self::Token(token) => {
                let session_token = token.clone().into();
                pb::ListCardOptionsRequest { session_token, session_use: None }.encode_to_vec()
            }
            Self::Features(features) => {
                let proof = pb::InherenceProof { features: features.clone(), ..pb::InherenceProof::default() };
                proof.encode_to_vec()
            }
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_noted_once_and_shown_never() {
        let secrets = Secrets::default();
        let same = secrets.clone();
        secrets.note_token(&[7; 32]);
        same.note_token(&[7; 32]);
        same.note_token(&[8; 32]);
        same.note_features(&[0.25, 0.5]);
        assert_eq!(secrets.counts(), BTreeMap::from([("session tokens", 2), ("feature vectors", 1)]));
        let shown = format!("{secrets:?}");
        assert!(shown.contains("session token 2") && !shown.contains("7, 7") && !shown.contains("0.25"), "{shown}");
    }
}
