//! Encryption at rest: every record under a data key of its own, the data keys wrapped by a key
//! encryption key that lives outside the database (envelope encryption, AES-256-GCM throughout).
//!
//! Where the key encryption keys live is behind the trait [`WrapKeys`]. [`KeyRing`] holds them in memory,
//! from a file or an environment variable; an HSM or a key management service takes its place without
//! another change.
//!
//! Key encryption keys carry a version, so that they can be replaced: a new one encrypts from then on,
//! the old ones still decrypt, and [`Vault::rewrap`] moves a record over without touching its contents.
//! [`Vault::replace`] brings in new keys while records are being written.
//!
//! Nonces are random. A data key is used once, and a key encryption key wraps by far fewer than the
//! 2³² keys that NIST SP 800-38D allows with random nonces; replace it before that.
//!
//! Keys and opened plaintext are wiped from memory when they are dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

mod key;
mod record;
mod ring;
mod wrap;

pub use key::{KeyEncryptionKey, KeyVersion};
use key::{decrypt, encrypt, random_nonce};
pub use record::{AT_REST_OVERHEAD_BYTES, Encrypted};
pub use ring::KeyRing;
pub use wrap::{DataKey, Succession, WRAPPED_KEY_BYTES_MAX, WrapKeys, WrappedKey};

/// The length of a key, in bytes.
const KEY_BYTES: usize = 32;

/// The length of an AES-GCM nonce, in bytes.
const NONCE_BYTES: usize = 12;

/// The length of an AES-GCM tag, in bytes.
const TAG_BYTES: usize = 16;

/// Encrypts and decrypts records under key encryption keys that can be replaced meanwhile.
#[derive(Debug)]
pub struct Vault {
    keys: ArcSwap<Arc<dyn WrapKeys>>,
}

impl Vault {
    /// A vault with these keys; the one with the highest version encrypts.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] and [`VaultError::DuplicateVersion`].
    pub fn new(keys: impl IntoIterator<Item = KeyEncryptionKey>) -> Result<Self, VaultError> {
        KeyRing::new(keys).map(|ring| Self::over(Arc::new(ring)))
    }

    /// A vault over these keys, wherever they lie.
    pub fn over(keys: Arc<dyn WrapKeys>) -> Self {
        Self { keys: ArcSwap::from_pointee(keys) }
    }

    /// A vault with the keys of this text; [`KeyRing::parse`] describes it.
    ///
    /// # Errors
    /// Those of [`KeyRing::parse`].
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        KeyRing::parse(text).map(|ring| Self::over(Arc::new(ring)))
    }

    /// A vault with the keys of a file, which only its owner may read or write.
    ///
    /// # Errors
    /// Those of [`KeyRing::from_file`].
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        KeyRing::from_file(path).map(|ring| Self::over(Arc::new(ring)))
    }

    /// Puts other keys in the place of these. What is being encrypted or decrypted at this moment ends under
    /// the former ones, so that the new ones must hold the former ones' current version, too.
    pub fn replace(&self, keys: Arc<dyn WrapKeys>) {
        self.keys.store(Arc::new(keys));
    }

    /// The version that new records are encrypted under.
    pub fn current(&self) -> KeyVersion {
        self.keys.load().current()
    }

    /// Every version that can be decrypted, ascending.
    pub fn versions(&self) -> Vec<KeyVersion> {
        self.keys.load().versions()
    }

    /// Encrypts a record under a fresh data key. `aad` binds it to its place, such as table and id: a
    /// record copied to another place doesn't decrypt.
    ///
    /// # Errors
    /// [`VaultError::TooLong`] beyond what AES-GCM can take, [`VaultError::Random`], and those of
    /// [`WrapKeys::wrap`].
    pub fn encrypt(&self, aad: &[u8], plaintext: &[u8]) -> Result<Encrypted, VaultError> {
        let data_key = DataKey::random()?;
        let nonce = random_nonce()?;
        let ciphertext = encrypt(data_key.expose(), nonce, aad, plaintext)?;
        Ok(Encrypted { wrapped_key: self.wrap(&data_key)?, nonce, ciphertext })
    }

    /// Decrypts a record.
    ///
    /// # Errors
    /// [`VaultError::UnknownVersion`] where its key is not here; [`VaultError::Decrypt`] where key,
    /// place or bytes are wrong; and the others of [`WrapKeys::unwrap_key`].
    pub fn decrypt(&self, aad: &[u8], record: &Encrypted) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        decrypt(self.unwrap_key(record)?.expose(), record.nonce, aad, &record.ciphertext)
    }

    /// The same record with its data key wrapped by the current key encryption key. Its contents are not
    /// opened, so that damage in them goes along unnoticed.
    ///
    /// # Errors
    /// Those of [`WrapKeys::unwrap_key`] and [`WrapKeys::wrap`].
    pub fn rewrap(&self, record: &Encrypted) -> Result<Encrypted, VaultError> {
        let wrapped_key = self.wrap(&self.unwrap_key(record)?)?;
        Ok(Encrypted { wrapped_key, nonce: record.nonce, ciphertext: record.ciphertext.clone() })
    }

    fn wrap(&self, data_key: &DataKey) -> Result<WrappedKey, VaultError> {
        let wrapped = self.keys.load().wrap(data_key)?;
        if (1..=WRAPPED_KEY_BYTES_MAX).contains(&wrapped.bytes.len()) { Ok(wrapped) } else { Err(VaultError::Wrapped) }
    }

    fn unwrap_key(&self, record: &Encrypted) -> Result<DataKey, VaultError> {
        self.keys.load().unwrap_key(record.wrapped_key.version, &record.wrapped_key.bytes)
    }
}

/// Why a record or a key could not be used. No variant carries key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// A key has another length.
    #[error("a key is {KEY_BYTES} bytes")]
    Key,
    /// There is no key at all.
    #[error("no key encryption key was given")]
    NoKey,
    /// Two keys claim one version.
    #[error("two key encryption keys have version {0}")]
    DuplicateVersion(KeyVersion),
    /// A line of the key text is wrong; its contents are not shown.
    #[error("line {0} of the key text is not <version>:<key>, the key being 32 bytes in hexadecimal or base64")]
    KeyText(usize),
    /// The key file cannot be read.
    #[error("the key file {} cannot be read: {}", .0.display(), .1)]
    File(PathBuf, std::io::ErrorKind),
    /// Others may read the key file.
    #[error("the key file {} has mode {:o}; make it readable by its owner alone (chmod 600)", .0.display(), .1)]
    Permissions(PathBuf, u32),
    /// The environment variable with the keys is not there.
    #[error("the environment variable {0} is not set, or not UTF-8")]
    Variable(String),
    /// New keys lack the one that records are being encrypted under.
    #[error("key version {0} is missing, which encrypts now; put its line back")]
    CurrentRemoved(KeyVersion),
    /// New keys have another key under a version that is in use.
    #[error("key version {0} is another key than before; a new key needs a new, higher version")]
    OtherKey(KeyVersion),
    /// The record needs a key that the vault hasn't got.
    #[error("the record needs key encryption key version {0}, which is not here")]
    UnknownVersion(KeyVersion),
    /// The stored bytes are no encrypted record.
    #[error("the stored bytes are not an encrypted record of a known format")]
    Format,
    /// Key, place or bytes are wrong.
    #[error("the record cannot be decrypted")]
    Decrypt,
    /// The plaintext exceeds AES-GCM's limit.
    #[error("the record is too long to encrypt")]
    TooLong,
    /// A wrapped key can't be stored.
    #[error("a wrapped key is not 1 to {WRAPPED_KEY_BYTES_MAX} bytes")]
    Wrapped,
    /// Where the keys lie can't be reached now, which says nothing about any record.
    #[error("the key encryption keys can't be reached: {0}")]
    Unavailable(String),
    /// The system has no random bytes to give.
    #[error("the system's random source failed")]
    Random,
}

#[cfg(test)]
mod tests;
