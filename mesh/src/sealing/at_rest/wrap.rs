//! The seam behind which the key encryption keys lie: a file, an HSM or a key management service.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyVersion, VaultError, key::fill_random};

/// The longest wrapped key, in bytes. RSA-OAEP under 4,096 bits makes 512, the blobs of key management
/// services are shorter; a stored record must stay below the store's limit with it.
pub const WRAPPED_KEY_BYTES_MAX: usize = 1024;

/// Wraps and unwraps data keys under key encryption keys that never leave it.
///
/// [`super::KeyRing`] is the implementation whose keys lie in the process's memory. One over an HSM calls
/// PKCS#11's `C_WrapKey` and `C_UnwrapKey` (or `C_Encrypt`) here; one over a key management service calls
/// its `Encrypt` and `Decrypt`. The calls are synchronous, because PKCS#11 is, and are made on the threads
/// that serve: an implementation that takes longer than a millisecond keeps a bounded cache of its own, or
/// wraps its waiting in `tokio::task::block_in_place`.
///
/// What every implementation keeps to:
/// - versions only grow, and one version is one key for ever;
/// - what was wrapped under a version in [`WrapKeys::versions`] can be unwrapped;
/// - unwrapping authenticates: altered bytes, and bytes wrapped under another version, are refused.
pub trait WrapKeys: fmt::Debug + Send + Sync + 'static {
    /// The version that wraps from now on.
    fn current(&self) -> KeyVersion;

    /// Every version that can unwrap, ascending.
    fn versions(&self) -> Vec<KeyVersion>;

    /// Wraps a data key under the current version.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] where the keys can't be reached now; [`VaultError::Random`].
    fn wrap(&self, data_key: &DataKey) -> Result<WrappedKey, VaultError>;

    /// Unwraps what [`WrapKeys::wrap`] has made under this version.
    ///
    /// # Errors
    /// [`VaultError::UnknownVersion`] where that key is not here; [`VaultError::Decrypt`] where the bytes
    /// are not what it made; [`VaultError::Unavailable`] where the keys can't be reached now, which says
    /// nothing about the bytes.
    fn unwrap_key(&self, version: KeyVersion, wrapped: &[u8]) -> Result<DataKey, VaultError>;
}

/// Keys that follow others which lie elsewhere: how a bank moves from a key file into an HSM. The new ones
/// wrap; the former ones unwrap what was wrapped before.
#[derive(Debug)]
pub struct Succession {
    /// Wraps from now on. Its versions must be higher than the former ones'.
    pub current: Arc<dyn WrapKeys>,
    /// Only unwraps.
    pub former: Arc<dyn WrapKeys>,
}

impl WrapKeys for Succession {
    fn current(&self) -> KeyVersion {
        self.current.current()
    }

    fn versions(&self) -> Vec<KeyVersion> {
        let mut versions = self.former.versions();
        versions.extend(self.current.versions());
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn wrap(&self, data_key: &DataKey) -> Result<WrappedKey, VaultError> {
        self.current.wrap(data_key)
    }

    fn unwrap_key(&self, version: KeyVersion, wrapped: &[u8]) -> Result<DataKey, VaultError> {
        let is_here = self.current.versions().contains(&version);
        let keys = if is_here { &self.current } else { &self.former };
        keys.unwrap_key(version, wrapped)
    }
}

/// The key of one record. Wiped when dropped, never printed.
// On the heap, so that moving the key leaves no copy of it behind.
pub struct DataKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl DataKey {
    /// A fresh random key.
    ///
    /// # Errors
    /// [`VaultError::Random`].
    pub fn random() -> Result<Self, VaultError> {
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        fill_random(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The key with these bytes.
    ///
    /// # Errors
    /// [`VaultError::Decrypt`] where there aren't exactly 32: what was unwrapped is no data key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        if bytes.len() != KEY_BYTES {
            return Err(VaultError::Decrypt);
        }
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The bytes. For wrapping and for the cipher alone.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

/// A wrapped data key, which may be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The key that unwraps it.
    pub version: KeyVersion,
    /// 1 to [`WRAPPED_KEY_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey(version {}, {} bytes)", self.version, self.bytes.len())
    }
}
