//! Which public keys a device may have.

use proto::device::DeviceKey;

/// A key that no device may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an Ed25519 public key in its one encoding, and not of small order")]
pub struct UnsoundKey;

/// Checks that a key is not one under which signatures can be made without a private key.
///
/// The group of Ed25519 has eight points of small order. With one of those as the public key, anybody makes
/// signatures for one message of eight or for all of them, and `ring`, which checks RFC 8032's equation
/// without the cofactor, takes them: it refuses bytes that are no point, and nothing else. So these points are
/// refused here, whatever their sign. Points beyond that, with a part of small order, are harmless: whoever signs
/// under them has had to know the rest.
///
/// An encoding whose y is not below p = 2^255 − 19 is a second name of a point, and is refused, so that a
/// point is one key. Whether the bytes are a point at all shows when a first signature is verified.
///
/// Sources: RFC 8032, sections 5.1.3 and 5.1.7; Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs"
/// (2020), section 3.
///
/// # Errors
/// [`UnsoundKey`].
pub fn check(key: &DeviceKey) -> Result<(), UnsoundKey> {
    let mut y = *key.as_bytes();
    // The highest bit is x's sign. A point and its negative are of the same order.
    y[31] &= 0x7f;
    if !is_below_p(&y) || SMALL_ORDER.contains(&y) { Err(UnsoundKey) } else { Ok(()) }
}

/// The y of every point of small order, little-endian: of the orders 1, 2, 4 (both points have y = 0) and 8
/// (two points each).
const SMALL_ORDER: [[u8; 32]; 5] = [
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [0; 32],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

fn is_below_p(y: &[u8; 32]) -> bool {
    let high = y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff);
    !(high && y[0] >= 0xed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identity as R and zero as S: right wherever the key's part of the equation vanishes.
    fn forged() -> [u8; 64] {
        let mut signature = [0; 64];
        signature[0] = 1;
        signature
    }

    /// Shows that the check is needed, and that the list is right: without any private key, a signature under
    /// a key of order n is taken for about one of n messages.
    #[test]
    fn the_points_of_small_order_verify_what_nobody_signed_and_are_refused() {
        for (y, order) in SMALL_ORDER.into_iter().zip([1, 2, 4, 8, 8]) {
            for sign in [0, 0x80] {
                let mut bytes = y;
                bytes[31] |= sign;
                let key = DeviceKey::from_bytes(bytes);
                assert_eq!(check(&key), Err(UnsoundKey), "{bytes:02x?}");
                let taken = (0..240u8).filter(|message| key.verifies(&[*message], &forged())).count();
                let expected = 240 / order;
                assert!(taken.abs_diff(expected) <= expected / 2, "{bytes:02x?}: {taken} of 240, not {expected}");
            }
        }
    }

    #[test]
    fn a_second_encoding_is_refused() {
        for first in 0xed..=0xff {
            let mut bytes = [0xff; 32];
            bytes[0] = first;
            for last in [0x7f, 0xff] {
                bytes[31] = last;
                assert_eq!(check(&DeviceKey::from_bytes(bytes)), Err(UnsoundKey), "{first:x}");
            }
        }
        let mut highest = [0xff; 32];
        (highest[0], highest[31]) = (0xeb, 0x7f);
        assert_eq!(check(&DeviceKey::from_bytes(highest)), Ok(()));
    }

    #[test]
    fn a_device_s_key_is_taken() {
        use ring::signature::{Ed25519KeyPair, KeyPair};
        for seed in 0..32 {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("any 32 bytes are a seed");
            let public = pair.public_key().as_ref().try_into().expect("32 bytes");
            assert_eq!(check(&DeviceKey::from_bytes(public)), Ok(()));
        }
    }
}
