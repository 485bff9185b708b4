//! What a bound device signs under its own Ed25519 key: proofs, consents and uses of a session.
//!
//! Every signature is over `bankside.v1/<Name>`, one zero byte, and what the name stands for, so that a
//! signature made for one purpose is none for another.

use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use ring::signature::{ED25519, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{CardOptionId, ChargeId, DeviceId},
    money::Money,
    pb, require,
    signed::SignedBody,
    time,
};

/// The largest signed consent, serialised: ids, digests, a name of 60 bytes and an amount.
pub const SIGNED_CONSENT_BYTES_MAX: usize = 512;
/// The largest signed use of a session, serialised.
pub const SIGNED_SESSION_USE_BYTES_MAX: usize = 320;

/// A device's public key (Ed25519, RFC 8032).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// The key with these bytes. Whether they are a point of the curve shows when it verifies.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the key's signature over these bytes.
    #[must_use]
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(signed, signature).is_ok()
    }
}

/// What the device signs to prove that it is there ([`pb::PossessionProof`]).
#[must_use]
pub fn possession_bytes(challenge: &[u8; 32], order: Option<&Digest>) -> Vec<u8> {
    bytes_of("PossessionProof", &[challenge, order.map_or(&[], |digest| digest.as_bytes().as_slice())])
}

/// What the device signs to prove whom it measured ([`pb::InherenceProof`]).
#[must_use]
pub fn inherence_bytes(challenge: &[u8; 32], features: &[f32], order: Option<&Digest>) -> Vec<u8> {
    let digest = features_digest(features);
    bytes_of(
        "InherenceProof",
        &[challenge, digest.as_bytes(), order.map_or(&[], |digest| digest.as_bytes().as_slice())],
    )
}

/// What the device signs to enrol features ([`pb::EnrollFeaturesRequest`]).
#[must_use]
pub fn enroll_features_bytes(challenge: &[u8; 32], features: &[f32]) -> Vec<u8> {
    bytes_of("EnrollFeatures", &[challenge, features_digest(features).as_bytes()])
}

/// What the device signs to be bound ([`pb::BindDeviceRequest`]): `authorization` is the session token or
/// the activation code.
#[must_use]
pub fn bind_device_bytes(authorization: &[u8]) -> Vec<u8> {
    bytes_of("BindDevice", &[authorization])
}

/// The digest of a feature vector: SHA-256 over its values as big-endian 32-bit floats.
#[must_use]
pub fn features_digest(features: &[f32]) -> Digest {
    let bytes = Zeroizing::new(features.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>());
    Digest::of(&bytes)
}

fn bytes_of(name: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [b"bankside.v1/", name.as_bytes(), &[0]].concat();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// Bytes that a bound device signed: a [`pb::Signed`] whose key id is the device's id. Well-formed, not
/// verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSigned {
    /// The body, exactly as it was signed.
    pub body: Bytes,
    /// The device that says it signed.
    pub device: DeviceId,
    /// The signature.
    pub signature: [u8; 64],
}

impl DeviceSigned {
    /// Signed bytes as they arrived, at most `bytes_max` long when serialised.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed, bytes_max: usize) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let length = pb.encoded_len();
        fields.check("", length <= bytes_max, &format!("must be at most {bytes_max} bytes when serialised"));
        fields.check("body", !pb.body.is_empty(), "must be set");
        let device = fields.text::<DeviceId>("key_id", &pb.key_id);
        let signature = fields.bytes::<64>("signature", &pb.signature);
        require!(fields; device, signature);
        Ok(Self { body: pb.body, device, signature })
    }

    /// The same as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::Signed {
        pb::Signed {
            body: self.body.clone(),
            key_id: self.device.to_string(),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    /// The SHA-256 digest of the body.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// Whether this key made the signature, over a body that is an `M`.
    #[must_use]
    pub fn is_by<M: SignedBody>(&self, key: &DeviceKey) -> bool {
        key.verifies(&Self::signed_bytes::<M>(&self.body), &self.signature)
    }

    /// What is under the signature of a body that is an `M`.
    #[must_use]
    pub fn signed_bytes<M: SignedBody>(body: &[u8]) -> Vec<u8> {
        bytes_of(M::NAME, &[body])
    }

    fn decode<M: SignedBody>(&self) -> Result<M, Invalid> {
        M::decode(self.body.clone()).map_err(|_| Invalid::field("body", format!("must be a serialised {}", M::NAME)))
    }
}

/// The cardholder's consent to one payment, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The order.
    pub order_digest: Digest,
    /// The amount that was shown.
    pub amount: Money,
    /// The payee's name that was shown.
    pub payee: String,
    /// The card that was picked.
    pub card: CardOptionId,
    /// The charge that this consents to.
    pub charge: ChargeId,
    /// The challenge of the session.
    pub challenge: [u8; 32],
    /// When the device signed.
    pub signed_at: SystemTime,
}

impl Consent {
    /// The consent in a device's signed bytes; believe it once the signature is verified.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(signed: &DeviceSigned) -> Result<Self, Invalid> {
        let pb: pb::Consent = signed.decode()?;
        Self::from_pb(pb).map_err(|invalid| invalid.under("body"))
    }

    fn from_pb(pb: pb::Consent) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let order_digest = fields.bytes("order_digest", &pb.order_digest).map(Digest::from_bytes);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let payee = fields.plain_text("payee", &pb.payee, 1, 60);
        let card = fields.text("card_option_id", &pb.card_option_id);
        let charge = fields.text("charge_id", &pb.charge_id);
        let challenge = fields.bytes("challenge", &pb.challenge);
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        require!(fields; order_digest, amount, payee, card, charge, challenge, signed_at);
        Ok(Self { order_digest, amount, payee, card, charge, challenge, signed_at })
    }

    /// The consent as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::Consent {
        pb::Consent {
            order_digest: self.order_digest.to_bytes(),
            amount: Some(self.amount.to_pb()),
            payee: self.payee.clone(),
            card_option_id: self.card.to_string(),
            charge_id: self.charge.to_string(),
            challenge: Bytes::copy_from_slice(&self.challenge),
            signed_at: Some(time::to_pb(self.signed_at)),
        }
    }
}

/// One use of a session that is bound to a device, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUse {
    /// The digest of the session's token.
    pub session_digest: Digest,
    /// The call, as `bankside.v1.<Service>/<Rpc>`.
    pub rpc: String,
    /// When the device signed.
    pub signed_at: SystemTime,
}

impl SessionUse {
    /// The use in a device's signed bytes; believe it once the signature is verified.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(signed: &DeviceSigned) -> Result<Self, Invalid> {
        let pb: pb::SessionUse = signed.decode()?;
        let mut fields = Fields::new();
        let session_digest = fields.bytes("session_digest", &pb.session_digest).map(Digest::from_bytes);
        let rpc = fields.plain_text("rpc", &pb.rpc, 1, 80);
        let signed_at = fields.message("signed_at", pb.signed_at, time::parse);
        let parts = || -> Result<Self, Invalid> {
            require!(fields; session_digest, rpc, signed_at);
            Ok(Self { session_digest, rpc, signed_at })
        };
        parts().map_err(|invalid| invalid.under("body"))
    }

    /// The use as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::SessionUse {
        pb::SessionUse {
            session_digest: self.session_digest.to_bytes(),
            rpc: self.rpc.clone(),
            signed_at: Some(time::to_pb(self.signed_at)),
        }
    }
}

#[cfg(test)]
mod tests;
