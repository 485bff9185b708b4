//! The keys that wrap keys, and the one cipher under everything.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{KEY_BYTES, TAG_BYTES, VaultError};

/// Nonce, encrypted data key, tag.
pub(super) const WRAPPED_KEY_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;

/// Which key encryption key: counted up by whoever replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyVersion(u32);

impl KeyVersion {
    /// The key with this number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that wraps data keys.
pub struct KeyEncryptionKey {
    version: KeyVersion,
    key: LessSafeKey,
}

impl KeyEncryptionKey {
    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// [`VaultError::Key`] where there aren't exactly 32.
    pub fn new(version: KeyVersion, bytes: &[u8]) -> Result<Self, VaultError> {
        Ok(Self { version, key: aead_key(bytes)? })
    }

    /// A fresh random key and its bytes, for tests and for making a key file.
    ///
    /// # Errors
    /// [`VaultError::Random`] where the system gives no random bytes.
    pub fn generate(version: KeyVersion) -> Result<(Self, Zeroizing<[u8; KEY_BYTES]>), VaultError> {
        let bytes = random_key()?;
        Ok((Self::new(version, bytes.as_slice())?, bytes))
    }

    /// Its version.
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// Encrypts a data key: nonce ‖ ciphertext ‖ tag, bound to this key's version.
    pub(super) fn wrap(&self, data_key: &[u8; KEY_BYTES]) -> Result<[u8; WRAPPED_KEY_BYTES], VaultError> {
        let nonce = random_nonce()?;
        let sealed = Zeroizing::new(encrypt(&self.key, nonce, &self.wrapping_aad(), data_key)?);
        let mut wrapped = [0; WRAPPED_KEY_BYTES];
        wrapped[..NONCE_LEN].copy_from_slice(&nonce);
        wrapped[NONCE_LEN..].copy_from_slice(&sealed);
        Ok(wrapped)
    }

    /// Decrypts a data key that [`Self::wrap`] has made.
    pub(super) fn unwrap_key(
        &self,
        wrapped: &[u8; WRAPPED_KEY_BYTES],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&wrapped[..NONCE_LEN]);
        let opened = decrypt(&self.key, nonce, &self.wrapping_aad(), &wrapped[NONCE_LEN..])?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&opened);
        Ok(key)
    }

    /// One line of a key text, as [`super::Vault::parse`] describes it.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (version, key) = match line.split_once(':') {
            Some((version, key)) => (version.trim().parse().ok()?, key.trim()),
            None => (1, line),
        };
        let bytes = HEXLOWER_PERMISSIVE.decode(key.as_bytes()).or_else(|_| BASE64.decode(key.as_bytes())).ok()?;
        Self::new(KeyVersion(version), &Zeroizing::new(bytes)).ok()
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

/// An AES-256-GCM key from its 32 bytes.
pub(super) fn aead_key(bytes: &[u8]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| VaultError::Key)
}

/// Ciphertext ‖ tag.
pub(super) fn encrypt(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, VaultError> {
    // Room for the tag from the start, so that the buffer never moves and leaves plaintext behind.
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    buffer.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| VaultError::TooLong)?;
    Ok(buffer)
}

/// The plaintext of ciphertext ‖ tag.
pub(super) fn decrypt(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| VaultError::Decrypt)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// 32 random bytes.
pub(super) fn random_key() -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| VaultError::Random)?;
    Ok(key)
}

/// A random nonce.
pub(super) fn random_nonce() -> Result<[u8; NONCE_LEN], VaultError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Random)?;
    Ok(nonce)
}
