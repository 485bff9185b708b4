//! The keys that wrap keys, and the one cipher under everything.

use std::fmt;

use aes_gcm::aead::{AeadInOut, Nonce};
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{DataKey, KEY_BYTES, NONCE_BYTES, TAG_BYTES, VaultError};
use crate::secret::constant_time_eq;

/// Nonce, encrypted data key, tag.
pub(super) const WRAPPED_KEY_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// Which key encryption key: counted up by whoever replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyVersion(u32);

impl KeyVersion {
    /// The highest version that a key text may name. The number above it stands for no key where records are
    /// found by the key that they need.
    pub const MAX: Self = Self(u32::MAX - 1);

    /// The key with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that wraps data keys. Wiped when dropped.
pub struct KeyEncryptionKey {
    version: KeyVersion,
    // On the heap, so that moving the key leaves no copy of it behind.
    key: Box<Zeroizing<[u8; KEY_BYTES]>>,
}

impl KeyEncryptionKey {
    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// [`VaultError::Key`] where there aren't exactly 32.
    pub fn new(version: KeyVersion, bytes: &[u8]) -> Result<Self, VaultError> {
        if bytes.len() != KEY_BYTES {
            return Err(VaultError::Key);
        }
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        key.copy_from_slice(bytes);
        Ok(Self { version, key })
    }

    /// A fresh random key and its bytes, for tests and for making a key file.
    ///
    /// # Errors
    /// [`VaultError::Random`] where the system gives no random bytes.
    pub fn generate(version: KeyVersion) -> Result<(Self, Zeroizing<[u8; KEY_BYTES]>), VaultError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill_random(bytes.as_mut_slice())?;
        Ok((Self::new(version, bytes.as_slice())?, bytes))
    }

    /// Its version.
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// Whether it is the same key of the same version.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.version == other.version && constant_time_eq(self.key.as_slice(), other.key.as_slice())
    }

    /// Encrypts a data key: nonce ‖ ciphertext ‖ tag, bound to this key's version.
    pub(super) fn wrap(&self, data_key: &DataKey) -> Result<[u8; WRAPPED_KEY_BYTES], VaultError> {
        let nonce = random_nonce()?;
        let sealed = encrypt(&self.key, nonce, &self.wrapping_aad(), data_key.expose())?;
        let mut wrapped = [0; WRAPPED_KEY_BYTES];
        wrapped[..NONCE_BYTES].copy_from_slice(&nonce);
        wrapped[NONCE_BYTES..].copy_from_slice(&sealed);
        Ok(wrapped)
    }

    /// Decrypts a data key that [`Self::wrap`] has made.
    pub(super) fn unwrap_key(&self, wrapped: &[u8]) -> Result<DataKey, VaultError> {
        let (nonce, sealed) = wrapped.split_first_chunk().ok_or(VaultError::Decrypt)?;
        DataKey::from_bytes(&decrypt(&self.key, *nonce, &self.wrapping_aad(), sealed)?)
    }

    /// One line of a key text, as [`super::KeyRing::parse`] describes it.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (version, key) = match line.split_once(':') {
            Some((version, key)) => (KeyVersion(version.trim().parse().ok()?), key.trim()),
            None => (KeyVersion(1), line),
        };
        if version > KeyVersion::MAX {
            return None;
        }
        let bytes = HEXLOWER_PERMISSIVE.decode(key.as_bytes()).or_else(|_| BASE64.decode(key.as_bytes())).ok()?;
        Self::new(version, &Zeroizing::new(bytes)).ok()
    }

    fn wrapping_aad(&self) -> Vec<u8> {
        [b"bankside.v1/data-key\0".as_slice(), &self.version.0.to_be_bytes()].concat()
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey(version {}, [redacted])", self.version)
    }
}

/// Ciphertext ‖ tag.
pub(super) fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, VaultError> {
    // Room for the tag from the start, so that the buffer never moves and leaves plaintext behind.
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    buffer.extend_from_slice(plaintext);
    cipher(key).encrypt_in_place(&nonce.into(), aad, &mut buffer).map_err(|_| VaultError::TooLong)?;
    Ok(buffer)
}

/// The plaintext of ciphertext ‖ tag.
pub(super) fn decrypt(
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let nonce: Nonce<Aes256Gcm> = nonce.into();
    cipher(key).decrypt_in_place(&nonce, aad, &mut *buffer).map_err(|_| VaultError::Decrypt)?;
    Ok(buffer)
}

/// Random bytes, in place.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), VaultError> {
    SystemRandom::new().fill(bytes).map_err(|_| VaultError::Random)
}

/// A random nonce.
pub(super) fn random_nonce() -> Result<[u8; NONCE_BYTES], VaultError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    Ok(nonce)
}

/// The cipher under a key. It wipes its round keys when it is dropped, which ring's does not: that is why
/// this one is used here.
fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}
