//! Signed bytes as they travel: a body, who signed it, and the signature.
//!
//! This module parses and carries them. Whether a signature is right is judged with keys, which
//! live elsewhere; a value of this type says nothing about that yet.

use bytes::Bytes;
use prost::Message;

use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::KeyId,
    pb, require,
};

/// A message that travels signed.
pub trait SignedBody: Message + Default {
    /// Its short name, which is part of what is signed.
    const NAME: &'static str;
}

macro_rules! signed_bodies {
    ($($message:ident),+ $(,)?) => {
        $(impl SignedBody for pb::$message {
            const NAME: &'static str = stringify!($message);
        })+
    };
}

signed_bodies!(
    AuthorizationRequest,
    AuthorizationResult,
    Consent,
    DirectoryEntry,
    DirectoryHead,
    Order,
    OrderEvent,
    ResolveRequest,
    SessionUse
);

/// Signed bytes, well-formed but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The body, exactly as it was signed.
    pub body: Bytes,
    /// Which certificate verifies it.
    pub key_id: KeyId,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

impl Signed {
    /// Signed bytes as they arrived, at most `bytes_max` long when serialised.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed, bytes_max: usize) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let length = pb.encoded_len();
        fields.check("", length <= bytes_max, &format!("must be at most {bytes_max} bytes when serialised"));
        fields.check("body", !pb.body.is_empty(), "must be set");
        let key_id = fields.text::<KeyId>("key_id", &pb.key_id);
        let signature = fields.bytes::<64>("signature", &pb.signature);
        require!(fields; key_id, signature);
        Ok(Self { body: pb.body, key_id, signature })
    }

    /// The same as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::Signed {
        pb::Signed {
            body: self.body.clone(),
            key_id: self.key_id.to_string(),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    /// The SHA-256 digest of the body: what stands for it elsewhere.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// The body, decoded. Verify the signature before believing it.
    ///
    /// # Errors
    /// A body that is no such message.
    pub fn decode<M: SignedBody>(&self) -> Result<M, Invalid> {
        M::decode(self.body.clone()).map_err(|_| Invalid::field("body", format!("must be a serialised {}", M::NAME)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pb() -> pb::Signed {
        pb::Signed { body: Bytes::from_static(b"body"), key_id: "0".repeat(32), signature: Bytes::from(vec![1; 64]) }
    }

    #[test]
    fn is_carried_unchanged() {
        assert_eq!(Signed::parse(pb(), 200).unwrap().to_pb(), pb());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (wrong, path) in [
            (pb::Signed { body: Bytes::new(), ..pb() }, "body"),
            (pb::Signed { key_id: "x".into(), ..pb() }, "key_id"),
            (pb::Signed { signature: Bytes::from(vec![1; 63]), ..pb() }, "signature"),
            (pb::Signed { body: Bytes::from(vec![1; 200]), ..pb() }, ""),
        ] {
            assert_eq!(Signed::parse(wrong, 200).unwrap_err().violations[0].path, path);
        }
        assert!(Signed::parse(pb(), 200).unwrap().decode::<pb::Order>().is_err());
    }
}
