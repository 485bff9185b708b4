//! A proof as a form brings it.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use proto::pb::{self, verify_identity_request::Proof};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

/// The longest feature vector, as the contracts have it: 512 values of four bytes.
const FEATURES_BYTES_MAX: usize = 2048;

/// The fields of every sign-in form. A password form has the first three, a script fills the others in.
#[derive(Deserialize)]
pub(super) struct Sent {
    proof: String,
    #[serde(default)]
    national_id: String,
    #[serde(default)]
    user_code: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    challenge_id: String,
    #[serde(default)]
    device_id: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    features: String,
    #[serde(default)]
    credential_id: String,
    #[serde(default)]
    authenticator_data: String,
    #[serde(default)]
    client_data: String,
}

impl Sent {
    /// The challenge that was signed.
    pub(super) fn challenge_id(&self) -> Option<&str> {
        (!self.challenge_id.is_empty()).then_some(self.challenge_id.as_str())
    }

    /// The device that signed; empty where none did.
    pub(super) fn device(&self) -> &str {
        &self.device_id
    }

    /// The proof; none where a form of ours could not have sent it.
    pub(super) fn into_proof(mut self) -> Option<Proof> {
        let knowledge = |sent: &mut Self| pb::KnowledgeProof {
            // What people type around it is no part of it.
            national_id: sent.national_id.trim().to_ascii_uppercase(),
            user_code: sent.user_code.trim().to_owned(),
            password: std::mem::take(&mut sent.password),
        };
        match self.proof.as_str() {
            "knowledge" => Some(Proof::Knowledge(knowledge(&mut self))),
            "possession" => Some(Proof::Possession(pb::PossessionProof {
                signature: bytes(&self.signature)?,
                device_id: std::mem::take(&mut self.device_id),
            })),
            "inherence" => Some(Proof::Inherence(pb::InherenceProof {
                features: floats(&self.features)?,
                signature: bytes(&self.signature)?,
                device_id: std::mem::take(&mut self.device_id),
            })),
            "passkey" => Some(Proof::Passkey(pb::PasskeyProof {
                credential_id: bytes(&self.credential_id)?,
                authenticator_data: bytes(&self.authenticator_data)?,
                client_data_json: bytes(&self.client_data)?,
                signature: bytes(&self.signature)?,
            })),
            _ => None,
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.national_id.zeroize();
        self.user_code.zeroize();
        self.password.zeroize();
        self.features.zeroize();
    }
}

/// Bytes in base64url without padding, as scripts write them.
pub(super) fn bytes(text: &str) -> Option<Bytes> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok().map(Bytes::from)
}

/// A feature vector: big-endian 32-bit floats.
pub(super) fn floats(text: &str) -> Option<Vec<f32>> {
    let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?);
    let fits = bytes.len() % 4 == 0 && (1..=FEATURES_BYTES_MAX).contains(&bytes.len());
    let value = |four: &[u8]| f32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    fits.then(|| bytes.chunks_exact(4).map(value).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn sent(fields: serde_json::Value) -> Sent {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn what_is_typed_around_an_id_is_no_part_of_it_and_a_password_stays_as_it_is() {
        let typed = sent(serde_json::json!({
            "proof": "knowledge", "national_id": " a123456789 ", "user_code": " mei-lin ", "password": " 12 ab "
        }));
        let Some(Proof::Knowledge(proof)) = typed.into_proof() else { panic!("a proof") };
        assert_eq!((proof.national_id.as_str(), proof.user_code.as_str()), ("A123456789", "mei-lin"));
        assert_eq!(proof.password, " 12 ab ");
    }

    #[test]
    fn a_script_writes_bytes_and_floats() {
        let signature = BASE64URL_NOPAD.encode(&[7; 64]);
        let features = BASE64URL_NOPAD.encode(&[1.5f32, -2.0].map(f32::to_be_bytes).concat());
        let measured = sent(serde_json::json!({
            "proof": "inherence", "challenge_id": "cha_x", "device_id": "dev_x", "signature": signature,
            "features": features
        }));
        assert_eq!((measured.challenge_id(), measured.device()), (Some("cha_x"), "dev_x"));
        let Some(Proof::Inherence(proof)) = measured.into_proof() else { panic!("a proof") };
        assert_eq!((proof.features, proof.device_id.as_str()), (vec![1.5, -2.0], "dev_x"));
    }

    #[test]
    fn what_no_form_of_ours_sends_is_no_proof() {
        for fields in [
            serde_json::json!({"proof": "pin"}),
            serde_json::json!({"proof": "possession", "signature": "!"}),
            serde_json::json!({"proof": "inherence", "features": "AAA"}),
            serde_json::json!({"proof": "inherence", "features": ""}),
            serde_json::json!({"proof": "passkey", "credential_id": "AA="}),
        ] {
            assert!(sent(fields.clone()).into_proof().is_none(), "{fields}");
        }
    }
}
