//! Sealed bytes: readable by one party only, on the way (HPKE) and at rest ([`at_rest`]).
//!
//! On the way it is HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! AES-256-GCM, one message for each encapsulated key. Base mode authenticates nobody: who sealed is
//! told by the signature around the sealed bytes.

use std::fmt;

use hpke::aead::{Aead, AesGcm256};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

pub mod at_rest;

/// The length of a public or private key, in bytes.
pub const SEALING_KEY_BYTES: usize = 32;

/// How much longer the sealed bytes are than the plaintext: the encapsulated key and the tag.
pub const SEALING_OVERHEAD_BYTES: usize = ENCAPSULATED_KEY_BYTES + 16;

/// The length of the encapsulated key that stands in front of the ciphertext.
const ENCAPSULATED_KEY_BYTES: usize = 32;

/// The longest `info`, in bytes. HPKE's own limit lies just under 64 KiB and the library panics beyond
/// it, so a smaller one is kept here; a fixed label is all that is ever needed.
const INFO_BYTES_MAX: usize = 1024;

/// A private key that opens what was sealed for it. Wiped when dropped.
///
/// It isn't `Clone`: destroying the key destroys the way to the card, so there is to be one of it.
pub struct SealingKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: SealingPublicKey,
}

impl SealingKey {
    /// A fresh key from the system's random source.
    pub fn generate() -> Self {
        let (private, _) = X25519HkdfSha256::gen_keypair();
        Self::of(private)
    }

    /// The key with these bytes, as [`SealingKey::to_bytes`] gave them.
    ///
    /// # Errors
    /// [`SealingError::Key`] where there aren't exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealingError> {
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(bytes).map(Self::of).map_err(|_| SealingError::Key)
    }

    /// The private key's bytes, for encrypted storage.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SEALING_KEY_BYTES]> {
        let mut bytes = Zeroizing::new([0; SEALING_KEY_BYTES]);
        self.private.write_exact(bytes.as_mut_slice());
        bytes
    }

    /// The public key, to be handed out.
    pub fn public(&self) -> SealingPublicKey {
        self.public
    }

    /// Opens sealed bytes. `info` and `aad` must be those that were sealed with.
    ///
    /// # Errors
    /// [`SealingError::Open`] for any reason that lies in the bytes, without saying which; and
    /// [`SealingError::Info`].
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        open::<AesGcm256>(&self.private, info, aad, sealed)
    }

    fn of(private: <X25519HkdfSha256 as Kem>::PrivateKey) -> Self {
        let mut public = [0; SEALING_KEY_BYTES];
        X25519HkdfSha256::sk_to_pk(&private).write_exact(&mut public);
        Self { private, public: SealingPublicKey(public) }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A public key to seal for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealingPublicKey([u8; SEALING_KEY_BYTES]);

impl SealingPublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`SealingError::Key`] where there aren't exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealingError> {
        bytes.try_into().map(Self).map_err(|_| SealingError::Key)
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; SEALING_KEY_BYTES] {
        &self.0
    }

    /// Seals for the holder of the private key: encapsulated key ‖ ciphertext ‖ tag, which is
    /// [`SEALING_OVERHEAD_BYTES`] longer than the plaintext.
    ///
    /// `info` says what is sealed; `aad` binds it to its context. Both are needed to open.
    ///
    /// # Errors
    /// [`SealingError::Key`] where the public key is a point that no key pair has;
    /// [`SealingError::Info`].
    pub fn seal(&self, info: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealingError> {
        check_info(info)?;
        let recipient = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.0).map_err(|_| SealingError::Key)?;
        let (encapsulated, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &recipient,
            info,
            plaintext,
            aad,
        )
        .map_err(|_| SealingError::Key)?;
        let mut sealed = encapsulated.to_bytes().to_vec();
        sealed.extend(ciphertext);
        Ok(sealed)
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Why bytes could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The key is not 32 bytes, or is a point of low order.
    #[error("the sealing key is not a usable X25519 key of {SEALING_KEY_BYTES} bytes")]
    Key,
    /// The context label is too long.
    #[error("the info is longer than {INFO_BYTES_MAX} bytes")]
    Info,
    /// Wrong key, wrong context, or altered bytes: on purpose nobody is told which.
    #[error("the sealed bytes cannot be opened")]
    Open,
}

/// Opens with any AEAD, so that the RFC's own vectors can pass through the same code.
fn open<A: Aead>(
    private: &<X25519HkdfSha256 as Kem>::PrivateKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealingError> {
    check_info(info)?;
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED_KEY_BYTES).ok_or(SealingError::Open)?;
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealingError::Open)?;
    hpke::single_shot_open::<A, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        private,
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| SealingError::Open)
}

fn check_info(info: &[u8]) -> Result<(), SealingError> {
    if info.len() > INFO_BYTES_MAX { Err(SealingError::Info) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use hpke::aead::AesGcm128;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER.decode(text.as_bytes()).expect("hexadecimal")
    }

    /// RFC 9180, appendix A.1.1, sequence number 0. The appendix has this KEM and KDF with AES-128-GCM.
    #[test]
    fn opens_the_vector_of_the_rfc() {
        let key = SealingKey::from_bytes(&hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"))
            .expect("32 bytes");
        assert_eq!(
            key.public().as_bytes().as_slice(),
            hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d")
        );
        let mut sealed = hex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        sealed
            .extend(hex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"));
        let opened = open::<AesGcm128>(&key.private, b"Ode on a Grecian Urn", b"Count-0", &sealed).expect("the vector");
        assert_eq!(opened.as_slice(), b"Beauty is truth, truth beauty");
        // Another AEAD is another suite with other keys.
        assert_eq!(key.open(b"Ode on a Grecian Urn", b"Count-0", &sealed), Err(SealingError::Open));
    }

    #[test]
    fn what_is_sealed_opens_and_never_looks_alike() {
        let key = SealingKey::generate();
        let sealed = key.public().seal(b"card", b"order", b"4111").expect("sealed");
        assert_eq!(sealed.len(), 4 + SEALING_OVERHEAD_BYTES);
        assert_eq!(key.open(b"card", b"order", &sealed).expect("opens").as_slice(), b"4111");
        assert_ne!(sealed, key.public().seal(b"card", b"order", b"4111").expect("sealed"));
    }

    #[test]
    fn nothing_else_opens() {
        let key = SealingKey::generate();
        let sealed = key.public().seal(b"card", b"order", b"4111").expect("sealed");
        assert_eq!(SealingKey::generate().open(b"card", b"order", &sealed), Err(SealingError::Open));
        assert_eq!(key.open(b"crad", b"order", &sealed), Err(SealingError::Open));
        assert_eq!(key.open(b"card", b"other", &sealed), Err(SealingError::Open));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open(b"card", b"order", &altered), Err(SealingError::Open), "byte {at}");
            assert_eq!(key.open(b"card", b"order", &sealed[..at]), Err(SealingError::Open), "cut at {at}");
        }
    }

    #[test]
    fn keys_survive_storage_and_bad_ones_are_refused() {
        let key = SealingKey::generate();
        let sealed = key.public().seal(b"", b"", b"x").expect("sealed");
        let again = SealingKey::from_bytes(key.to_bytes().as_slice()).expect("the same key");
        assert_eq!(again.public(), key.public());
        assert!(again.open(b"", b"", &sealed).is_ok());
        assert!(matches!(SealingKey::from_bytes(&[1; 31]), Err(SealingError::Key)));
        assert_eq!(SealingPublicKey::from_bytes(&[1; 33]), Err(SealingError::Key));
        // The all-zero point would make every shared secret known.
        let zero = SealingPublicKey::from_bytes(&[0; 32]).expect("32 bytes");
        assert_eq!(zero.seal(b"", b"", b"x"), Err(SealingError::Key));
        assert_eq!(zero.seal(&[0; INFO_BYTES_MAX + 1], b"", b"x"), Err(SealingError::Info));
    }

    #[test]
    fn debug_shows_no_private_key() {
        let key = SealingKey::generate();
        let private = HEXLOWER.encode(key.to_bytes().as_slice());
        assert!(!format!("{key:?}").contains(&private));
    }
}
