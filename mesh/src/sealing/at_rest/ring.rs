//! Key encryption keys that lie in the process's memory, read from a file or an environment variable.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{DataKey, KeyEncryptionKey, KeyVersion, VaultError, WrapKeys, WrappedKey};
use crate::config::Environment;

/// The largest key file, in bytes. A real one has a line for each key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The current key encryption key and the retired ones. Wiped when dropped.
#[derive(Debug)]
pub struct KeyRing {
    current: KeyVersion,
    keys: BTreeMap<KeyVersion, KeyEncryptionKey>,
}

impl KeyRing {
    /// A ring of these keys; the one with the highest version wraps.
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
    /// Each line is `<version>:<key>`, the version at most [`KeyVersion::MAX`], the key being 32 bytes in
    /// hexadecimal or base64; a key alone has version 1; blank lines and lines that start with `#` don't count. One line may hold several keys with
    /// commas between them, because a line break is hard to put into an environment variable.
    ///
    /// # Errors
    /// [`VaultError::KeyText`] with the number of the wrong line and never its contents, and those of
    /// [`KeyRing::new`].
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let keys = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .flat_map(|(number, line)| line.split(',').map(move |key| (number, key.trim())))
            .map(|(number, key)| KeyEncryptionKey::from_line(key).ok_or(VaultError::KeyText(number)));
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// Reads the keys from a file, which only its owner may read or write. Blocks.
    ///
    /// # Errors
    /// [`VaultError::File`], [`VaultError::Permissions`] and those of [`KeyRing::parse`].
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let unreadable = |e: std::io::Error| VaultError::File(path.to_owned(), e.kind());
        let file = File::open(path).map_err(unreadable)?;
        // The opened file is asked, not the path, so that what was checked is what is read.
        let about = file.metadata().map_err(unreadable)?;
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::Permissions(path.to_owned(), mode));
        }
        // Room for all of it and some bytes more, so that the text never moves and leaves keys behind.
        let length = about.len().min(KEY_FILE_BYTES_MAX);
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or_default() + 64));
        let read = file.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        // The newest key stands last: a file that was read in part would seal under an old one.
        if read as u64 > KEY_FILE_BYTES_MAX {
            return Err(VaultError::File(path.to_owned(), std::io::ErrorKind::FileTooLarge));
        }
        Self::parse(&text)
    }

    /// Reads the keys from an environment variable.
    ///
    /// # Errors
    /// [`VaultError::Variable`] where it is not set, and those of [`KeyRing::parse`].
    pub fn from_environment(name: &str, environment: &dyn Environment) -> Result<Self, VaultError> {
        let text = environment.variable(name).map(Zeroizing::new);
        Self::parse(&text.ok_or_else(|| VaultError::Variable(name.to_owned()))?)
    }

    /// Whether it holds the very same keys.
    pub fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.values().zip(other.keys.values()).all(|(one, other)| one.is(other))
    }

    /// Whether it may take the place of another ring while records are being written under that one.
    ///
    /// # Errors
    /// [`VaultError::CurrentRemoved`] where that one's current key is not here, and
    /// [`VaultError::OtherKey`] where a version is another key than there.
    pub fn check_successor_of(&self, former: &Self) -> Result<(), VaultError> {
        if !self.keys.contains_key(&former.current) {
            return Err(VaultError::CurrentRemoved(former.current));
        }
        let other = former.keys.values().find(|key| self.keys.get(&key.version()).is_some_and(|same| !same.is(key)));
        other.map_or(Ok(()), |key| Err(VaultError::OtherKey(key.version())))
    }

    fn key(&self, version: KeyVersion) -> Result<&KeyEncryptionKey, VaultError> {
        self.keys.get(&version).ok_or(VaultError::UnknownVersion(version))
    }
}

impl WrapKeys for KeyRing {
    fn current(&self) -> KeyVersion {
        self.current
    }

    fn versions(&self) -> Vec<KeyVersion> {
        self.keys.keys().copied().collect()
    }

    fn wrap(&self, data_key: &DataKey) -> Result<WrappedKey, VaultError> {
        let bytes = self.key(self.current)?.wrap(data_key)?.to_vec();
        Ok(WrappedKey { version: self.current, bytes })
    }

    fn unwrap_key(&self, version: KeyVersion, wrapped: &[u8]) -> Result<DataKey, VaultError> {
        self.key(version)?.unwrap_key(wrapped)
    }
}
