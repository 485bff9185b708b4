//! What stands in for a customer whom nobody knows, so that the answer takes the same way.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use mesh::{
    clock::Entropy,
    sealing::at_rest::{Encrypted, Vault, VaultError},
};
use zeroize::Zeroizing;

use super::{
    StartError,
    passwords::{PasswordError, Passwords},
};
use crate::{
    domain::ids::CustomerId,
    vault::{AtRestError, RecordName, Tag, seal_password_hash},
};

/// The place that the decoy's hash is bound to; that of a customer of this id would be another hash.
const DECOY_ID: &str = "unknown";

/// A credential that no password opens.
pub(super) struct Decoy {
    customer: CustomerId,
    sealed_password_hash: Mutex<Bytes>,
}

impl Decoy {
    /// A decoy with the hash of a random password, of the cost of real ones.
    pub(super) fn new(passwords: &Passwords, entropy: &dyn Entropy, vault: &Vault) -> Result<Self, StartError> {
        let mut password = Zeroizing::new([0; 32]);
        entropy.fill(password.as_mut_slice()).map_err(PasswordError::from)?;
        let customer: CustomerId = DECOY_ID.parse().expect("invariant: the constant is a customer id");
        let hash = passwords.hash(password.as_slice())?;
        let sealed_password_hash = Mutex::new(seal_password_hash(vault, &customer, &hash)?.into());
        Ok(Self { customer, sealed_password_hash })
    }

    /// Whose place the hash is bound to.
    pub(super) fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// The encrypted hash.
    pub(super) fn sealed_password_hash(&self) -> Bytes {
        self.sealed_password_hash.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves the hash to the vault's current key, as the stored ones are moved. A decoy that no key opens any
    /// more would tell an unknown customer from a known one.
    pub(super) fn follow_keys(&self, vault: &Vault) -> Result<(), AtRestError> {
        let fault = |problem: VaultError| AtRestError {
            record: RecordName::new("password hash", DECOY_ID.as_bytes()),
            problem: problem.into(),
        };
        let moved = Encrypted::from_bytes(&self.sealed_password_hash()).and_then(|sealed| vault.rewrap(&sealed));
        let moved = moved.map_err(fault)?.to_bytes();
        *self.sealed_password_hash.lock().unwrap_or_else(PoisonError::into_inner) = moved.into();
        Ok(())
    }

    /// Under which name tries for an unknown national id are counted. There are 1,024 such names, so that
    /// made-up ids can't fill the store; two ids that share one lock each other, which nobody notices.
    pub(super) fn lockout_name(national_id: &Tag) -> String {
        let [a, b, ..] = national_id.as_bytes();
        format!("?{}", u16::from_be_bytes([*a, *b]) % 1024)
    }
}

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoy")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use mesh::{clock::SystemEntropy, sealing::at_rest::KeyRing};

    use super::*;
    use crate::{auth::PasswordConfig, vault::open_password_hash};

    #[test]
    fn the_decoy_follows_the_keys() {
        let key = |version: u8| format!("{version}:{}", format!("{version:02x}").repeat(32));
        let ring = |text: &str| Arc::new(KeyRing::parse(text).unwrap());
        let vault = Vault::over(ring(&key(1)));
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let passwords = Passwords::new(&PasswordConfig::default(), Arc::clone(&entropy)).unwrap();
        let decoy = Decoy::new(&passwords, entropy.as_ref(), &vault).unwrap();
        vault.replace(ring(&format!("{},{}", key(1), key(2))));
        decoy.follow_keys(&vault).unwrap();
        vault.replace(ring(&key(2)));
        assert!(open_password_hash(&vault, decoy.customer(), &decoy.sealed_password_hash()).is_ok());
        vault.replace(ring(&key(3)));
        let error = decoy.follow_keys(&vault).unwrap_err().to_string();
        assert!(error.starts_with("password hash unknown: "), "{error}");
        assert!(Encrypted::key_version_of(&decoy.sealed_password_hash()).is_some(), "it is left as it was");
    }
}
