//! A device's Ed25519 key (RFC 8032), before and after a bank has bound it.

use std::fmt;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::device::{
    Consent, DeviceSigned, SessionUse, bind_device_bytes, enroll_features_bytes, inherence_bytes, possession_bytes,
};
use proto::digest::Digest;
use proto::ids::DeviceId;
use proto::order::SignedOrder;
use proto::pb;
use proto::signed::SignedBody;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The length of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// A device that no bank has bound yet.
pub struct SoftDevice {
    key: Ed25519KeyPair,
    seed: [u8; 32],
}

impl SoftDevice {
    /// A device with a fresh key.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; 32];
        SystemEntropy::new().fill(&mut seed).context("no key for a device")?;
        Self::from_seed(seed)
    }

    /// The device with this private key.
    ///
    /// # Errors
    /// Never: every 32 bytes are a private key.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed);
        Ok(Self { key: key.map_err(|error| anyhow::anyhow!("not a device's key: {error}"))?, seed })
    }

    /// The private key, for whoever looks where it must not be.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> Bytes {
        Bytes::copy_from_slice(self.key.public_key().as_ref())
    }

    /// Signs any bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.key.sign(bytes).as_ref());
        signature
    }

    /// The request to be bound in a session.
    #[must_use]
    pub fn bind_in_session(&self, token: &Bytes, display_name: &str) -> pb::BindDeviceRequest {
        let authorization = pb::bind_device_request::Authorization::SessionToken(token.clone());
        self.bind(authorization, token, display_name)
    }

    /// The request to be bound with an activation code.
    #[must_use]
    pub fn bind_with_code(&self, code: &str, display_name: &str) -> pb::BindDeviceRequest {
        let authorization = pb::bind_device_request::Authorization::ActivationCode(code.to_owned());
        self.bind(authorization, code.as_bytes(), display_name)
    }

    /// The device under the id that a bank gave it. A wrong id makes a device that lies about who it is.
    #[must_use]
    pub fn bound_as(self, id: DeviceId) -> BoundDevice {
        BoundDevice { device: self, id }
    }

    fn bind(
        &self,
        authorization: pb::bind_device_request::Authorization,
        signed: &[u8],
        display_name: &str,
    ) -> pb::BindDeviceRequest {
        pb::BindDeviceRequest {
            authorization: Some(authorization),
            public_key: self.public_key(),
            display_name: display_name.to_owned(),
            signature: Bytes::copy_from_slice(&self.sign(&bind_device_bytes(signed))),
            session_use: None,
        }
    }
}

/// A device that a bank knows under an id (設備碼).
pub struct BoundDevice {
    device: SoftDevice,
    id: DeviceId,
}

impl BoundDevice {
    /// The bank's id of the device.
    #[must_use]
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &SoftDevice {
        &self.device
    }

    /// Proves that the device is there.
    #[must_use]
    pub fn possession(&self, challenge: &[u8; 32], order: Option<&Digest>) -> pb::PossessionProof {
        self.possession_signing(&possession_bytes(challenge, order))
    }

    /// The same over any bytes.
    #[must_use]
    pub fn possession_signing(&self, bytes: &[u8]) -> pb::PossessionProof {
        pb::PossessionProof { device_id: self.id.to_string(), signature: self.signature(bytes) }
    }

    /// Proves whom the device measured.
    #[must_use]
    pub fn inherence(&self, challenge: &[u8; 32], features: &[f32], order: Option<&Digest>) -> pb::InherenceProof {
        self.inherence_signing(features, &inherence_bytes(challenge, features, order))
    }

    /// The same with a signature over any bytes.
    #[must_use]
    pub fn inherence_signing(&self, features: &[f32], bytes: &[u8]) -> pb::InherenceProof {
        pb::InherenceProof {
            device_id: self.id.to_string(),
            features: features.to_vec(),
            signature: self.signature(bytes),
        }
    }

    /// The request to enrol features in a session, under a challenge of that session.
    #[must_use]
    pub fn enroll(
        &self,
        token: &Bytes,
        challenge_id: &str,
        challenge: &[u8; 32],
        features: &[f32],
    ) -> pb::EnrollFeaturesRequest {
        pb::EnrollFeaturesRequest {
            session_token: token.clone(),
            challenge_id: challenge_id.to_owned(),
            device_id: self.id.to_string(),
            features: features.to_vec(),
            signature: self.signature(&enroll_features_bytes(challenge, features)),
            session_use: None,
        }
    }

    /// The consent to a charge of a whole order, as the cardholder sees it now.
    ///
    /// # Errors
    /// The charge has no id or no card.
    pub fn consent(
        &self,
        charge: &pb::SubmitChargeRequest,
        order: &SignedOrder,
        challenge: [u8; 32],
    ) -> Result<pb::Signed> {
        Ok(self.sign_consent(&consent_to(charge, order, challenge)?))
    }

    /// Signs any consent.
    #[must_use]
    pub fn sign_consent(&self, consent: &Consent) -> pb::Signed {
        self.sign_body(&consent.to_pb())
    }

    /// Signs one use of a session: `rpc` as `bankside.v1.<Service>/<Rpc>`.
    #[must_use]
    pub fn session_use(&self, token: &[u8], rpc: &str, signed_at: SystemTime) -> pb::Signed {
        let session_use = SessionUse { session_digest: Digest::of(token), rpc: rpc.to_owned(), signed_at };
        self.sign_body(&session_use.to_pb())
    }

    /// Signs any message under the device's id.
    #[must_use]
    pub fn sign_body<M: SignedBody>(&self, message: &M) -> pb::Signed {
        let body = Bytes::from(message.encode_to_vec());
        let signature = self.device.sign(&DeviceSigned::signed_bytes::<M>(&body));
        DeviceSigned { body, device: self.id.clone(), signature }.to_pb()
    }

    fn signature(&self, bytes: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&self.device.sign(bytes))
    }
}

/// What a cardholder consents to who pays this charge, signed now.
///
/// # Errors
/// The charge has no id or no card.
pub fn consent_to(charge: &pb::SubmitChargeRequest, order: &SignedOrder, challenge: [u8; 32]) -> Result<Consent> {
    Ok(Consent {
        order_digest: order.digest,
        amount: order.order.amount,
        payee: order.order.merchant.display_name.clone(),
        card: charge.card_option_id.parse().context("the charge's card")?,
        charge: charge.charge_id.parse().context("the charge's id")?,
        challenge,
        signed_at: SystemTime::now(),
    })
}

impl fmt::Debug for SoftDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftDevice([redacted])")
    }
}

impl fmt::Debug for BoundDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundDevice").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proto::device::{DeviceKey, SIGNED_SESSION_USE_BYTES_MAX};

    use super::*;
    use crate::device::authenticators::Person;

    fn bound(seed: u8) -> BoundDevice {
        SoftDevice::from_seed([seed; 32]).unwrap().bound_as(DeviceId::from_random([seed; 16]))
    }

    fn key(device: &BoundDevice) -> DeviceKey {
        DeviceKey::from_bytes(device.key().public_key().as_ref().try_into().unwrap())
    }

    #[test]
    fn proofs_verify_under_the_devices_key_and_no_other() {
        let (device, other) = (bound(1), bound(2));
        let (challenge, order) = ([7; 32], Digest::of(b"an order"));
        let proof = device.possession(&challenge, Some(&order));
        let signed = possession_bytes(&challenge, Some(&order));
        assert!(key(&device).verifies(&signed, &proof.signature));
        assert!(!key(&other).verifies(&signed, &proof.signature));
        assert!(!key(&device).verifies(&possession_bytes(&challenge, None), &proof.signature));
        let features = Person::new(3, 8).measure(1);
        let proof = device.inherence(&challenge, &features, None);
        assert!(key(&device).verifies(&inherence_bytes(&challenge, &features, None), &proof.signature));
    }

    #[test]
    fn a_signed_use_is_one_of_the_contract() {
        let device = bound(1);
        let signed = device.session_use(&[9; 32], "bankside.v1.CardSelection/GetCharge", SystemTime::now());
        let parsed = DeviceSigned::parse(signed, SIGNED_SESSION_USE_BYTES_MAX).unwrap();
        assert!(parsed.is_by::<pb::SessionUse>(&key(&device)));
        assert!(!parsed.is_by::<pb::Consent>(&key(&device)));
        assert_eq!(SessionUse::parse(&parsed).unwrap().session_digest, Digest::of(&[9; 32]));
    }

    #[test]
    fn a_device_shows_nobody_its_key() {
        let shown = format!("{:?} {:?}", bound(1), SoftDevice::from_seed([1; 32]).unwrap());
        assert!(!shown.contains("1, 1") && shown.contains("[redacted]"), "{shown}");
    }
}
