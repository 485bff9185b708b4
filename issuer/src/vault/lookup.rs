//! Keyed hashes, so that a customer is found by what is not stored.

use std::fmt;

use bytes::Bytes;
use mesh::clock::Entropy;
use mesh::sealing::at_rest::{Encrypted, Vault, VaultError};
use mesh::secret::constant_time_eq;
use mesh::store::{Commit, IndexEntry, KeyRange, Kind, PageRequest, Store, StoreError, Transition, Version};
use prost::Message;
use proto::card::Pan;
use proto::ids::DeviceId;
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::sealed::{Sealed, key_version_entry};
use crate::domain::activation_code::ActivationCode;
use crate::domain::ids::CustomerId;
use crate::domain::national_id::NationalId;
use crate::records::{Entity, INDEX_CUSTOMER_BY_NATIONAL_ID, Key};

/// Where the one record with the encrypted lookup key stands.
const KEY_RECORD: &[u8] = b"lookup";

/// What the encrypted lookup key is bound to.
const KEY_PLACE: &[u8] = b"bankside.issuer/lookup-key";

const KEY_BYTES: usize = 32;

/// The keys of the keyed hashes (HMAC-SHA256, RFC 2104).
///
/// They are derived (HKDF, RFC 5869) from one random key that lies in the store, encrypted by the vault.
/// It is not derived from the vault's own key, because that one is replaced from time to time, and no
/// customer would be found again afterwards. Nobody can guess national ids, of which there are few,
/// against a stolen database without the vault's key.
pub struct LookupKeys {
    national_id: hmac::Key,
    user_code: hmac::Key,
    card: hmac::Key,
    source: hmac::Key,
    activation_code: hmac::Key,
    features: hmac::Key,
    passkey_user: hmac::Key,
}

impl LookupKeys {
    /// Reads the key from the store, or makes it where there is none yet and nobody to be found by it.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn open(store: &dyn Store, vault: &Vault, entropy: &dyn Entropy) -> Result<Self, LookupError> {
        let id = LookupKey::at().record_id();
        if let Some(record) = store.get(&id).await? {
            return Self::from_record(vault, &record.body);
        }
        let customers = store.scan(INDEX_CUSTOMER_BY_NATIONAL_ID, KeyRange::all(), PageRequest::first(1)).await?;
        if !customers.items.is_empty() {
            return Err(LookupError::Lost);
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(key.as_mut_slice()).map_err(|_| LookupError::Random)?;
        let record = LookupKey { sealed: vault.encrypt(KEY_PLACE, key.as_slice())?.to_bytes().into() };
        let first = Transition::new().put(id.clone(), Version::ABSENT, record.encode_to_vec(), record.indexes());
        match store.commit(first).await {
            Commit::Committed { .. } => Ok(Self::derive(&key)),
            Commit::Fatal(error) => Err(error.into()),
            // Another process was faster, or a connection was lost: what is stored now counts.
            Commit::Conflict(_) | Commit::Duplicate(_) | Commit::Refused(_) | Commit::Unknown => {
                let record = store.get(&id).await?.ok_or(LookupError::NotStored)?;
                Self::from_record(vault, &record.body)
            }
        }
    }

    /// Finds the customer with this national id.
    #[must_use]
    pub fn national_id(&self, id: &NationalId) -> Tag {
        tag(&self.national_id, &[id.expose()])
    }

    /// Recognises a customer's user code.
    #[must_use]
    pub fn user_code(&self, customer: &CustomerId, code: &str) -> Tag {
        tag(&self.user_code, &[customer.as_str().as_bytes(), b"\0", code.as_bytes()])
    }

    /// Recognises a customer's card.
    #[must_use]
    pub fn card(&self, customer: &CustomerId, pan: &Pan) -> Tag {
        tag(&self.card, &[customer.as_str().as_bytes(), b"\0", pan.expose().as_bytes()])
    }

    /// Recognises a number, whoever's card it is.
    #[must_use]
    pub fn number(&self, pan: &Pan) -> Tag {
        tag(&self.card, &[b"\0", pan.expose().as_bytes()])
    }

    /// Recognises where a caller is, without keeping where.
    #[must_use]
    pub fn source(&self, origin: &[u8]) -> Tag {
        tag(&self.source, &[origin])
    }

    /// Finds the customer whom this activation code was given to.
    #[must_use]
    pub fn activation_code(&self, code: &ActivationCode) -> Tag {
        tag(&self.activation_code, &[code.expose()])
    }

    /// Recognises features that a device has measured before, from their bytes.
    #[must_use]
    pub fn features(&self, device: &DeviceId, features: &[u8]) -> Tag {
        tag(&self.features, &[device.as_str().as_bytes(), b"\0", features])
    }

    /// Names a customer to the customer's authenticators, and tells nobody else who it is.
    #[must_use]
    pub fn passkey_user(&self, customer: &CustomerId) -> Tag {
        tag(&self.passkey_user, &[customer.as_str().as_bytes()])
    }

    fn from_record(vault: &Vault, body: &[u8]) -> Result<Self, LookupError> {
        let sealed = LookupKey::decode(body).map_err(|_| LookupError::Damaged)?.sealed;
        let key = vault.decrypt(KEY_PLACE, &Encrypted::from_bytes(&sealed)?)?;
        let key = key.as_slice().try_into().map_err(|_| LookupError::Damaged)?;
        Ok(Self::derive(key))
    }

    fn derive(key: &[u8; KEY_BYTES]) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"bankside.issuer/lookup").extract(key);
        let expand = |label: &str| {
            let okm = extracted.expand(&[label.as_bytes()], hmac::HMAC_SHA256).map(hmac::Key::from);
            okm.expect("invariant: the 32 bytes of an HMAC key are far below what HKDF gives")
        };
        Self {
            national_id: expand("national-id"),
            user_code: expand("user-code"),
            card: expand("card"),
            source: expand("source"),
            activation_code: expand("activation-code"),
            features: expand("features"),
            passkey_user: expand("passkey-user"),
        }
    }
}

impl fmt::Debug for LookupKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKeys([redacted])")
    }
}

/// A keyed hash. There is no `PartialEq`: tags are compared by [`Tag::matches`].
#[derive(Clone, Copy)]
pub struct Tag([u8; 32]);

impl Tag {
    /// The 32 bytes, to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is the stored one, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, stored: &[u8]) -> bool {
        constant_time_eq(&self.0, stored)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag([redacted])")
    }
}

/// Why the lookup keys can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The store doesn't work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault can't open the stored key; most often the key file is another one.
    #[error("the stored lookup key can't be opened ({0}); is this the key file that the store was made with?")]
    Vault(#[from] VaultError),
    /// The stored key is damaged.
    #[error("the stored lookup key is damaged")]
    Damaged,
    /// The key is gone, and with it the way to every customer. A new one would find none of them.
    #[error("the stored lookup key is gone, but there are customers who were stored under it; restore the store")]
    Lost,
    /// The new key could not be stored.
    #[error("the lookup key could not be stored")]
    NotStored,
    /// There are no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// The stored form.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LookupKey {
    #[prost(bytes = "bytes", tag = "1")]
    sealed: Bytes,
}

impl LookupKey {
    /// Where it stands; there is one.
    pub(crate) fn at() -> Key<Self> {
        Key::new(KEY_RECORD)
    }
}

impl Entity for LookupKey {
    const KIND: Kind = Kind::new("vault-key");

    fn key(&self) -> Key<Self> {
        Self::at()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![key_version_entry(&self.sealed)]
    }
}

impl Sealed for LookupKey {
    const NAME: &'static str = "key of the look-up hashes";

    fn sealed(&self) -> &Bytes {
        &self.sealed
    }

    fn set_sealed(&mut self, sealed: Bytes) {
        self.sealed = sealed;
    }

    fn place(&self) -> Option<Vec<u8>> {
        Some(KEY_PLACE.to_vec())
    }

    fn is_readable(plaintext: &[u8]) -> bool {
        plaintext.len() == KEY_BYTES
    }
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    Tag(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::clock::SystemEntropy;
    use mesh::sealing::at_rest::{KeyEncryptionKey, KeyVersion};
    use mesh::store::memory::MemoryStore;

    use super::*;

    fn key(version: u32, byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::new(KeyVersion::new(version), &[byte; 32]).unwrap()
    }

    #[tokio::test]
    async fn the_same_store_gives_the_same_tags_also_under_a_new_vault_key() {
        let (store, entropy) = (MemoryStore::new(), SystemEntropy::new());
        let id = "A123456789".parse().unwrap();
        let first = LookupKeys::open(&store, &Vault::new([key(1, 1)]).unwrap(), &entropy).await.unwrap();
        let rotated = Vault::new([key(1, 1), key(2, 2)]).unwrap();
        let again = LookupKeys::open(&store, &rotated, &entropy).await.unwrap();
        assert!(first.national_id(&id).matches(again.national_id(&id).as_bytes()));

        let other = LookupKeys::open(&MemoryStore::new(), &rotated, &entropy).await.unwrap();
        assert!(!first.national_id(&id).matches(other.national_id(&id).as_bytes()));
    }

    #[tokio::test]
    async fn another_key_file_is_refused() {
        let (store, entropy) = (MemoryStore::new(), SystemEntropy::new());
        LookupKeys::open(&store, &Vault::new([key(1, 1)]).unwrap(), &entropy).await.unwrap();
        let error = LookupKeys::open(&store, &Vault::new([key(1, 9)]).unwrap(), &entropy).await.unwrap_err();
        assert!(matches!(error, LookupError::Vault(VaultError::Decrypt)), "{error}");
    }

    #[tokio::test]
    async fn a_tag_depends_on_customer_and_purpose() {
        let vault = Vault::new([key(1, 1)]).unwrap();
        let keys = LookupKeys::open(&MemoryStore::new(), &vault, &SystemEntropy::new()).await.unwrap();
        let (lin, wu): (CustomerId, CustomerId) = ("lin".parse().unwrap(), "wu".parse().unwrap());
        let pan: Pan = "4000000000000002".parse().unwrap();
        let of_lin = keys.card(&lin, &pan);
        assert!(of_lin.matches(keys.card(&lin, &pan).as_bytes()));
        assert!(!of_lin.matches(keys.card(&wu, &pan).as_bytes()));
        assert!(!of_lin.matches(keys.user_code(&lin, pan.expose()).as_bytes()));
        assert_eq!(format!("{keys:?} {of_lin:?}"), "LookupKeys([redacted]) Tag([redacted])");
    }
}
