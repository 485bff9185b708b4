//! A credential's public key, which comes as a COSE key (RFC 9052 section 7, RFC 9053 section 7), and what
//! it verifies.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use minicbor::Decoder;
use proto::device::DeviceKey;
use ring::{
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey as Peer, agree_ephemeral},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey},
};

use super::{
    Refused,
    cbor::{Malformed, is_at_end, map_length, put_once},
};
use crate::domain::device_key;

/// The COSE algorithm ES256: ECDSA with SHA-256, here over P-256 alone (section 5.8.5).
const ES256: i64 = -7;
/// The COSE algorithm EdDSA, here with Ed25519 alone (section 5.8.5).
const EDDSA: i64 = -8;

/// Stands in for the key of a credential that nobody knows: the public key of RFC 6979, appendix A.2.5. What it
/// verifies is refused all the same, so that it doesn't matter who has the private key.
const DECOY_ES256: [u8; 65] = [
    0x04, // Uncompressed: x and y follow.
    0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb, 0x74, 0xc6, 0x35, 0x6d, 0x68, //
    0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6, //
    0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8, 0xbc, 0x99, 0xa4, 0x1a, 0xe9, 0xe9, 0x56, 0x28, 0xbc, 0x64, //
    0xf2, 0xf1, 0xb2, 0x0c, 0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99,
];
/// The same for EdDSA: the public key of RFC 8032, section 7.1, test 1.
const DECOY_EDDSA: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, //
    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// A credential's public key: a point of its curve.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA over P-256 with SHA-256: the point, uncompressed (SEC 1).
    Es256(Box<[u8; 65]>),
    /// Ed25519 (RFC 8032).
    EdDsa([u8; 32]),
}

impl PublicKey {
    /// A COSE key as an authenticator writes it: with its algorithm, and with no optional parameter else
    /// (section 6.5.1.1).
    ///
    /// # Errors
    /// [`Refused::Algorithm`] and [`Refused::Key`].
    pub fn parse(cose: &[u8]) -> Result<Self, Refused> {
        let cose = Cose::read(cose).map_err(|_| Refused::Key)?;
        match cose.algorithm {
            Some(ES256) => cose.es256(),
            Some(EDDSA) => cose.eddsa(),
            Some(_) | None => Err(Refused::Algorithm),
        }
    }

    /// A key from its algorithm's COSE number and its bytes, as [`PublicKey::algorithm`] and
    /// [`PublicKey::as_bytes`] gave them.
    #[must_use]
    pub fn from_parts(algorithm: i32, bytes: &[u8]) -> Option<Self> {
        match i64::from(algorithm) {
            ES256 => bytes.try_into().ok().map(|point| Self::Es256(Box::new(point))),
            EDDSA => bytes.try_into().ok().map(Self::EdDsa),
            _ => None,
        }
    }

    /// The COSE number of its algorithm: -7 or -8.
    #[must_use]
    pub fn algorithm(&self) -> i32 {
        match self {
            Self::Es256(_) => -7,
            Self::EdDsa(_) => -8,
        }
    }

    /// Its bytes: 65 or 32.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Es256(point) => point.as_slice(),
            Self::EdDsa(key) => key,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.algorithm())
    }
}

/// Whether the signature is that of the key over the message. Whichever key it is, and also without one,
/// one signature of each algorithm is verified, so that the time tells neither whether there is a
/// credential nor of which algorithm.
pub(super) fn verify_alike(key: Option<&PublicKey>, message: &[u8], signature: &[u8]) -> bool {
    let (es256, eddsa) = match key {
        Some(PublicKey::Es256(point)) => (point.as_ref(), &DECOY_EDDSA),
        Some(PublicKey::EdDsa(key)) => (&DECOY_ES256, key),
        None => (&DECOY_ES256, &DECOY_EDDSA),
    };
    let es256 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, es256).verify(message, signature).is_ok();
    let eddsa = UnparsedPublicKey::new(&ED25519, eddsa).verify(message, signature).is_ok();
    match key {
        Some(PublicKey::Es256(_)) => es256,
        Some(PublicKey::EdDsa(_)) => eddsa,
        None => false,
    }
}

/// The parameters of a COSE key.
#[derive(Debug, Default)]
struct Cose<'a> {
    /// Label 1: 1 for an octet key pair, 2 for an elliptic curve's point of two coordinates.
    key_type: Option<i64>,
    /// Label 3.
    algorithm: Option<i64>,
    /// Label -1: 1 for P-256, 6 for Ed25519.
    curve: Option<i64>,
    /// Label -2.
    x: Option<&'a [u8]>,
    /// Label -3. One bit would do for it, which authenticators may not make use of.
    y: Option<&'a [u8]>,
}

impl<'a> Cose<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cbor = Decoder::new(bytes);
        let mut cose = Self::default();
        for _ in 0..map_length(&mut cbor)? {
            match cbor.i64()? {
                1 => put_once(&mut cose.key_type, cbor.i64()?)?,
                3 => put_once(&mut cose.algorithm, cbor.i64()?)?,
                -1 => put_once(&mut cose.curve, cbor.i64()?)?,
                -2 => put_once(&mut cose.x, cbor.bytes()?)?,
                -3 => put_once(&mut cose.y, cbor.bytes()?)?,
                _ => return Err(Malformed),
            }
        }
        if is_at_end(&cbor) { Ok(cose) } else { Err(Malformed) }
    }

    fn es256(&self) -> Result<PublicKey, Refused> {
        let (Some(2), Some(1), Some(x), Some(y)) = (self.key_type, self.curve, self.x, self.y) else {
            return Err(Refused::Key);
        };
        let mut point = [0; 65];
        let (form, coordinates) = point.split_at_mut(1);
        form.copy_from_slice(&[4]);
        let (to_x, to_y) = coordinates.split_at_mut(32);
        for (to, from) in [(to_x, x), (to_y, y)] {
            let from: &[u8; 32] = from.try_into().map_err(|_| Refused::Key)?;
            to.copy_from_slice(from);
        }
        if is_on_p256(&point) { Ok(PublicKey::Es256(Box::new(point))) } else { Err(Refused::Key) }
    }

    fn eddsa(&self) -> Result<PublicKey, Refused> {
        let (Some(1), Some(6), Some(x), None) = (self.key_type, self.curve, self.x, self.y) else {
            return Err(Refused::Key);
        };
        let key: [u8; 32] = x.try_into().map_err(|_| Refused::Key)?;
        // Of a device's key the first signature shows that it is a point; a registration has no signature.
        let is_sound = device_key::check(&DeviceKey::from_bytes(key)).is_ok();
        let is_point = CompressedEdwardsY(key).decompress().is_some();
        if is_sound && is_point { Ok(PublicKey::EdDsa(key)) } else { Err(Refused::Key) }
    }
}

/// Whether it is a point of the curve. `ring` makes sure of that when it agrees on a key with its owner
/// (SP 800-56A, section 5.6.2.3.4), and has no other door to that check; the key that is agreed on is
/// thrown away.
fn is_on_p256(point: &[u8; 65]) -> bool {
    EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())
        .and_then(|private| agree_ephemeral(private, &Peer::new(&ECDH_P256, point), |_| ()))
        .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    /// Decoys that are no points of their curves would cost less than real keys.
    #[test]
    fn the_decoys_are_keys() {
        assert!(is_on_p256(&DECOY_ES256));
        assert!(CompressedEdwardsY(DECOY_EDDSA).decompress().is_some());
        assert!(device_key::check(&DeviceKey::from_bytes(DECOY_EDDSA)).is_ok());
    }

    #[test]
    fn whoever_has_a_decoys_private_key_has_nothing() {
        // RFC 8032, section 7.1, test 1.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        assert_eq!(pair.public_key().as_ref(), DECOY_EDDSA);
        let signature = pair.sign(b"message");
        assert!(verify_alike(Some(&PublicKey::EdDsa(DECOY_EDDSA)), b"message", signature.as_ref()));
        assert!(!verify_alike(None, b"message", signature.as_ref()));
        let es256 = PublicKey::Es256(Box::new(DECOY_ES256));
        assert!(!verify_alike(Some(&es256), b"message", signature.as_ref()));
    }

    #[test]
    fn kept_parts_of_another_kind_are_no_key() {
        for (algorithm, bytes) in [(-7, &[4_u8; 64] as &[u8]), (-8, &[4; 65]), (-257, &[4; 32]), (0, &[])] {
            assert_eq!(PublicKey::from_parts(algorithm, bytes), None);
        }
    }
}
