//! An encrypted record and its stored forms.
//!
//! | format | key version | wrapped key | nonce | ciphertext ‖ tag |
//! |---|---|---|---|---|
//! | `01` | 4 bytes | 60 bytes, as [`super::KeyRing`] makes them | 12 bytes | the rest |
//! | `02` | 4 bytes | 2 bytes of length, then 1 to 1,024 bytes | 12 bytes | the rest |
//!
//! Numbers are big-endian. A wrapped key of 60 bytes is written in format 1.

use std::fmt;

use super::key::WRAPPED_KEY_BYTES;
use super::{KeyVersion, NONCE_BYTES, TAG_BYTES, VaultError, WRAPPED_KEY_BYTES_MAX, WrappedKey};

/// The format with a wrapped key of 60 bytes.
const FIXED: u8 = 1;

/// The format that tells the wrapped key's length.
const VARIABLE: u8 = 2;

/// How much longer a record in format 1 is than its plaintext, in bytes.
pub const AT_REST_OVERHEAD_BYTES: usize = 1 + 4 + WRAPPED_KEY_BYTES + NONCE_BYTES + TAG_BYTES;

/// An encrypted record: safe to store, useless without the vault.
#[derive(Clone, PartialEq, Eq)]
pub struct Encrypted {
    pub(super) wrapped_key: WrappedKey,
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) ciphertext: Vec<u8>,
}

impl Encrypted {
    /// Which key encryption key it needs.
    pub fn key_version(&self) -> KeyVersion {
        self.wrapped_key.version
    }

    /// Which key encryption key a stored form needs, as far as its first bytes tell.
    pub fn key_version_of(stored: &[u8]) -> Option<KeyVersion> {
        let (format, rest) = stored.split_first()?;
        let version = rest.first_chunk()?;
        matches!(*format, FIXED | VARIABLE).then(|| KeyVersion::new(u32::from_be_bytes(*version)))
    }

    /// Its stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wrapped = &self.wrapped_key.bytes;
        let mut bytes = Vec::with_capacity(7 + wrapped.len() + NONCE_BYTES + self.ciphertext.len());
        bytes.push(if wrapped.len() == WRAPPED_KEY_BYTES { FIXED } else { VARIABLE });
        bytes.extend(self.wrapped_key.version.number().to_be_bytes());
        if wrapped.len() != WRAPPED_KEY_BYTES {
            let length = u16::try_from(wrapped.len()).expect("invariant: a wrapped key's length was checked");
            bytes.extend(length.to_be_bytes());
        }
        bytes.extend(wrapped);
        bytes.extend(self.nonce);
        bytes.extend(&self.ciphertext);
        bytes
    }

    /// Reads a stored form.
    ///
    /// # Errors
    /// [`VaultError::Format`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        Self::read(bytes).ok_or(VaultError::Format)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (length, rest) = match *format {
            FIXED => (WRAPPED_KEY_BYTES, rest),
            VARIABLE => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        if !(1..=WRAPPED_KEY_BYTES_MAX).contains(&length) {
            return None;
        }
        let (wrapped_key, rest) = rest.split_at_checked(length)?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        let version = KeyVersion::new(u32::from_be_bytes(*version));
        (ciphertext.len() >= TAG_BYTES).then(|| Self {
            wrapped_key: WrappedKey { version, bytes: wrapped_key.to_vec() },
            nonce: *nonce,
            ciphertext: ciphertext.to_vec(),
        })
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted(key version {}, {} bytes)", self.key_version(), self.ciphertext.len())
    }
}
