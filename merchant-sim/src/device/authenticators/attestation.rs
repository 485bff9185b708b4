//! The binary forms of W3C Web Authentication Level 2: authenticator data, COSE keys, attestation objects.

use minicbor::Encoder;
use ring::digest::{SHA256, digest};

/// The user was there.
pub(super) const USER_PRESENT: u8 = 0x01;
/// The authenticator knows who it was: by a PIN, a fingerprint, a face.
pub(super) const USER_VERIFIED: u8 = 0x04;
/// The data hold a new credential.
const ATTESTED: u8 = 0x40;

/// A credential's public key.
#[derive(Clone, Copy, Debug)]
pub(super) enum PublicKey<'k> {
    /// A point of P-256, uncompressed: one byte 4, then x and y.
    P256(&'k [u8; 65]),
    /// A key of Ed25519.
    Ed25519(&'k [u8; 32]),
}

/// Authenticator data (section 6.1), with a new credential where there is one.
pub(super) fn authenticator_data(
    relying_party_id: &str,
    flags: u8,
    counter: u32,
    credential: Option<(&[u8], PublicKey<'_>)>,
) -> Vec<u8> {
    let mut data = digest(&SHA256, relying_party_id.as_bytes()).as_ref().to_vec();
    data.push(if credential.is_some() { flags | ATTESTED } else { flags });
    data.extend(counter.to_be_bytes());
    if let Some((id, key)) = credential {
        // An AAGUID of zeros: attestation says nothing about the authenticator's make here.
        data.extend([0; 16]);
        data.extend(u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(id);
        data.extend(cose_key(key));
    }
    data
}

/// An attestation object with the statement format "none" (section 8.7).
pub(super) fn attestation_object(authenticator_data: &[u8]) -> Vec<u8> {
    encoded(|cbor| {
        cbor.map(3)?.str("fmt")?.str("none")?;
        cbor.str("attStmt")?.map(0)?;
        cbor.str("authData")?.bytes(authenticator_data)?;
        Ok(())
    })
}

/// A COSE key (RFC 9053, sections 7.1 and 7.2), with the algorithm that section 5.8.5 prescribes.
fn cose_key(key: PublicKey<'_>) -> Vec<u8> {
    encoded(|cbor| {
        match key {
            PublicKey::P256(point) => {
                // Key type EC2, algorithm ES256, curve P-256.
                cbor.map(5)?.i8(1)?.i8(2)?.i8(3)?.i8(-7)?.i8(-1)?.i8(1)?;
                cbor.i8(-2)?.bytes(&point[1..33])?.i8(-3)?.bytes(&point[33..])?;
            }
            PublicKey::Ed25519(key) => {
                // Key type OKP, algorithm EdDSA, curve Ed25519.
                cbor.map(4)?.i8(1)?.i8(1)?.i8(3)?.i8(-8)?.i8(-1)?.i8(6)?;
                cbor.i8(-2)?.bytes(key)?;
            }
        }
        Ok(())
    })
}

type Failure = minicbor::encode::Error<std::convert::Infallible>;

fn encoded(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Failure>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).expect("invariant: a vector takes every byte");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attestation_object_is_the_canonical_one() {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let object = attestation_object(&[0xaa, 0xbb]);
        assert_eq!(hex(&object), "a363666d74646e6f6e656761747453746d74a068617574684461746142aabb");
        let key = cose_key(PublicKey::Ed25519(&[7; 32]));
        assert_eq!(hex(&key), format!("a4010103272006215820{}", "07".repeat(32)));
        let mut point = [4; 65];
        point[33..].fill(5);
        let key = cose_key(PublicKey::P256(&point));
        let (x, y) = ("04".repeat(32), "05".repeat(32));
        assert_eq!(hex(&key), format!("a5010203262001215820{x}225820{y}"));
    }

    #[test]
    fn authenticator_data_hold_what_stands_at_each_place() {
        let data = authenticator_data("bank.example", USER_PRESENT, 258, None);
        assert_eq!(data.len(), 37);
        assert_eq!(data[32..], [USER_PRESENT, 0, 0, 1, 2]);
        let with = authenticator_data("bank.example", USER_PRESENT, 0, Some((b"id", PublicKey::Ed25519(&[7; 32]))));
        assert_eq!(with[32], USER_PRESENT | ATTESTED);
        assert_eq!(with[53..57], [0, 2, b'i', b'd']);
    }
}
