//! Encryption at rest: every record under a data key of its own, the data keys wrapped by a key
//! encryption key that lives outside the database (envelope encryption, AES-256-GCM throughout).
//!
//! Key encryption keys carry a version, so that they can be replaced: a new one encrypts from then on,
//! the old ones still decrypt, and [`Vault::rewrap`] moves a record over without touching its contents.
//!
//! Nonces are random. A data key is used once, and a key encryption key wraps by far fewer than the
//! 2³² keys that NIST SP 800-38D allows with random nonces; replace it before that.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ring::aead::NONCE_LEN;
use zeroize::Zeroizing;

mod key;

pub use key::{KeyEncryptionKey, KeyVersion};
use key::{WRAPPED_KEY_BYTES, aead_key, decrypt, encrypt, random_key, random_nonce};

/// The length of a key, in bytes.
const KEY_BYTES: usize = 32;

/// The length of an AES-GCM tag, in bytes.
const TAG_BYTES: usize = 16;

/// The first byte of a serialised record, so that another construction can come later.
const FORMAT: u8 = 1;

/// Format, key version, wrapped key, nonce; the ciphertext follows.
const HEADER_BYTES: usize = 1 + 4 + WRAPPED_KEY_BYTES + NONCE_LEN;

/// How much longer a serialised record is than its plaintext, in bytes.
pub const AT_REST_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// The largest key file, in bytes. A real one has a line for each key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Encrypts and decrypts records. Holds the current key encryption key and the retired ones.
#[derive(Debug)]
pub struct Vault {
    current: KeyVersion,
    keys: BTreeMap<KeyVersion, KeyEncryptionKey>,
}

impl Vault {
    /// A vault with these keys; the one with the highest version encrypts.
    ///
    /// # Errors
    /// [`VaultError::NoKey`] and [`VaultError::DuplicateVersion`].
    pub fn new(keys: impl IntoIterator<Item = KeyEncryptionKey>) -> Result<Self, VaultError> {
        let mut by_version = BTreeMap::new();
        for key in keys {
            let version = key.version();
            if by_version.insert(version, key).is_some() {
                return Err(VaultError::DuplicateVersion(version));
            }
        }
        let current = *by_version.last_key_value().ok_or(VaultError::NoKey)?.0;
        Ok(Self { current, keys: by_version })
    }

    /// Reads the keys from text, as it stands in a key file or an environment variable.
    ///
    /// Each line is `<version>:<key>`, the key being 32 bytes in hexadecimal or base64; a key alone has
    /// version 1; blank lines and lines that start with `#` don't count.
    ///
    /// # Errors
    /// [`VaultError::KeyText`] with the number of the wrong line and never its contents, and those of
    /// [`Vault::new`].
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let keys = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| KeyEncryptionKey::from_line(line).ok_or(VaultError::KeyText(number)));
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// Reads the keys from a file, which only its owner may read or write.
    ///
    /// # Errors
    /// [`VaultError::File`], [`VaultError::Permissions`] and those of [`Vault::parse`].
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let unreadable = |e: std::io::Error| VaultError::File(path.to_owned(), e.kind());
        let mut file = File::open(path).map_err(unreadable)?;
        // The opened file is asked, not the path, so that what was checked is what is read.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::Permissions(path.to_owned(), mode));
        }
        let mut text = Zeroizing::new(String::new());
        file.by_ref().take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
        Self::parse(&text)
    }

    /// The version that new records are encrypted under.
    pub fn current(&self) -> KeyVersion {
        self.current
    }

    /// Encrypts a record under a fresh data key. `aad` binds it to its place, such as table and id: a
    /// record copied to another place doesn't decrypt.
    ///
    /// # Errors
    /// [`VaultError::Random`], and [`VaultError::TooLong`] beyond what AES-GCM can take.
    pub fn encrypt(&self, aad: &[u8], plaintext: &[u8]) -> Result<Encrypted, VaultError> {
        let data_key = random_key()?;
        let nonce = random_nonce()?;
        let ciphertext = encrypt(&aead_key(data_key.as_slice())?, nonce, aad, plaintext)?;
        let wrapped_key = self.key(self.current)?.wrap(&data_key)?;
        Ok(Encrypted { key_version: self.current, wrapped_key, nonce, ciphertext })
    }

    /// Decrypts a record.
    ///
    /// # Errors
    /// [`VaultError::UnknownVersion`] where its key is not here; [`VaultError::Decrypt`] where key,
    /// place or bytes are wrong.
    pub fn decrypt(&self, aad: &[u8], record: &Encrypted) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let data_key = self.key(record.key_version)?.unwrap_key(&record.wrapped_key)?;
        decrypt(&aead_key(data_key.as_slice())?, record.nonce, aad, &record.ciphertext)
    }

    /// The same record with its data key wrapped by the current key encryption key.
    ///
    /// # Errors
    /// As [`Vault::decrypt`] and [`Vault::encrypt`].
    pub fn rewrap(&self, record: &Encrypted) -> Result<Encrypted, VaultError> {
        let data_key = self.key(record.key_version)?.unwrap_key(&record.wrapped_key)?;
        let wrapped_key = self.key(self.current)?.wrap(&data_key)?;
        Ok(Encrypted { key_version: self.current, wrapped_key, ..record.clone() })
    }

    fn key(&self, version: KeyVersion) -> Result<&KeyEncryptionKey, VaultError> {
        self.keys.get(&version).ok_or(VaultError::UnknownVersion(version))
    }
}

/// An encrypted record: safe to store, useless without the vault.
#[derive(Clone, PartialEq, Eq)]
pub struct Encrypted {
    key_version: KeyVersion,
    wrapped_key: [u8; WRAPPED_KEY_BYTES],
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
}

impl Encrypted {
    /// Which key encryption key it needs.
    pub fn key_version(&self) -> KeyVersion {
        self.key_version
    }

    /// Its stored form, [`AT_REST_OVERHEAD_BYTES`] longer than the plaintext.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.ciphertext.len());
        bytes.push(FORMAT);
        bytes.extend(self.key_version.number().to_be_bytes());
        bytes.extend(self.wrapped_key);
        bytes.extend(self.nonce);
        bytes.extend(&self.ciphertext);
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`VaultError::Format`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let parts = || {
            let (format, rest) = bytes.split_first()?;
            let (version, rest) = rest.split_first_chunk()?;
            let (wrapped_key, rest) = rest.split_first_chunk()?;
            let (nonce, ciphertext) = rest.split_first_chunk()?;
            (*format == FORMAT && ciphertext.len() >= TAG_BYTES).then(|| Self {
                key_version: KeyVersion::new(u32::from_be_bytes(*version)),
                wrapped_key: *wrapped_key,
                nonce: *nonce,
                ciphertext: ciphertext.to_vec(),
            })
        };
        parts().ok_or(VaultError::Format)
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted(key version {}, {} bytes)", self.key_version, self.ciphertext.len())
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
    /// The record needs a key that the vault hasn't got.
    #[error("the record needs key encryption key version {0}, which is not here")]
    UnknownVersion(KeyVersion),
    /// The stored bytes are no encrypted record.
    #[error("the stored bytes are not an encrypted record of format {FORMAT}")]
    Format,
    /// Key, place or bytes are wrong.
    #[error("the record cannot be decrypted")]
    Decrypt,
    /// The plaintext exceeds AES-GCM's limit.
    #[error("the record is too long to encrypt")]
    TooLong,
    /// The system has no random bytes to give.
    #[error("the system's random source failed")]
    Random,
}

#[cfg(test)]
mod tests;
