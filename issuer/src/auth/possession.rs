//! What the customer has: a bound device, which signs the challenge.

use async_trait::async_trait;
use proto::{
    authorization::Factor,
    device::{DeviceKey, possession_bytes},
    fields::{Fields, Invalid},
    ids::DeviceId,
    pb, require,
};

use super::{
    Desk,
    credential::{After, Attempt, Credential, Proved},
};
use crate::{
    error::Error,
    records::{Damaged, Device, millis_of},
    repository::{Changes, Stored},
};

/// A key that is no device's, for the work of a signature under an unknown device. It is that of the first
/// test in RFC 8032, section 7.1. Its private key is known to everybody, and doesn't help: what it verifies is
/// not asked for.
const DECOY_KEY: DeviceKey = DeviceKey::from_bytes([
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
]);

/// A device's signature, well-formed.
#[derive(Debug)]
pub struct Possession {
    device: DeviceId,
    signature: [u8; 64],
}

impl Possession {
    /// A received proof.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::PossessionProof) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let device = fields.text("device_id", &pb.device_id);
        let signature = fields.bytes("signature", &pb.signature);
        require!(fields; device, signature);
        Ok(Self { device, signature })
    }
}

#[async_trait]
impl Credential for Possession {
    const FACTOR: Factor = Factor::Possession;

    async fn verify(self, desk: &Desk<'_>, attempt: Attempt<'_>) -> Result<Proved, Error> {
        let sign_in = attempt.sign_in;
        let signed = possession_bytes(&sign_in.challenge, sign_in.order.as_ref().map(|order| &order.digest));
        let device = desk.device_that_signed(&self.device, &signed, &self.signature).await?;
        let device = device.ok_or(Error::IdentityNotVerified)?.value;
        let customer = device.customer_id.parse().map_err(|_| damaged("customer_id"))?;
        Ok(Proved { customer, device: Some(self.device.clone()), after: After::DeviceUsed(self.device) })
    }
}

impl Desk<'_> {
    /// The device of this id, where the signature over these bytes is its own. An unknown device and a wrong
    /// signature take the same work: one look-up and one verification.
    pub(super) async fn device_that_signed(
        &self,
        id: &DeviceId,
        signed: &[u8],
        signature: &[u8; 64],
    ) -> Result<Option<Stored<Device>>, Error> {
        let stored = self.repository.load(&Device::at(id)).await?;
        let key = stored.as_ref().map_or(Ok(DECOY_KEY), |stored| key_of(&stored.value))?;
        let right = key.verifies(signed, signature);
        Ok(stored.filter(|_| right))
    }

    /// Notes that a device was there. It has to be there still: one that was unbound meanwhile has proved nothing.
    pub(super) async fn settle_device(&self, changes: Changes, device: &DeviceId) -> Result<Changes, Error> {
        let stored = self.repository.load(&Device::at(device)).await?.ok_or(Error::IdentityNotVerified)?;
        let used = Device { used_at_ms: millis_of(self.clock.now()), ..stored.value };
        Ok(changes.replace(stored.version, &used))
    }
}

/// A stored device's key.
pub(super) fn key_of(device: &Device) -> Result<DeviceKey, Damaged> {
    device.public_key.as_ref().try_into().map(DeviceKey::from_bytes).map_err(|_| damaged("public_key"))
}

fn damaged(field: &'static str) -> Damaged {
    Damaged { kind: "device", field }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    /// A decoy that is no point of the curve would cost less than a real key.
    #[test]
    fn the_decoy_is_a_key() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        assert_eq!(pair.public_key().as_ref(), DECOY_KEY.as_bytes());
        assert!(DECOY_KEY.verifies(b"", pair.sign(b"").as_ref()));
    }

    #[test]
    fn a_proof_has_a_device_and_a_signature() {
        let error = Possession::parse(pb::PossessionProof {
            device_id: "phone".into(),
            signature: bytes::Bytes::from_static(&[0; 63]),
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains("device_id") && text.contains("signature"), "{text}");
    }
}
