//! What stands in for a customer whom nobody knows, so that the answer takes the same way.

use mesh::{clock::Entropy, sealing::at_rest::Vault};
use zeroize::Zeroizing;

use super::{
    StartError,
    passwords::{PasswordError, Passwords},
};
use crate::{
    domain::ids::CustomerId,
    vault::{Tag, seal_password_hash},
};

/// The place that the decoy's hash is bound to; that of a customer of this id would be another hash.
const DECOY_ID: &str = "unknown";

/// A credential that no password opens.
pub(super) struct Decoy {
    customer: CustomerId,
    sealed_password_hash: Vec<u8>,
}

impl Decoy {
    /// A decoy with the hash of a random password, of the cost of real ones.
    pub(super) fn new(passwords: &Passwords, entropy: &dyn Entropy, vault: &Vault) -> Result<Self, StartError> {
        let mut password = Zeroizing::new([0; 32]);
        entropy.fill(password.as_mut_slice()).map_err(PasswordError::from)?;
        let customer: CustomerId = DECOY_ID.parse().expect("invariant: the constant is a customer id");
        let hash = passwords.hash(password.as_slice())?;
        let sealed_password_hash = seal_password_hash(vault, &customer, &hash)?;
        Ok(Self { customer, sealed_password_hash })
    }

    /// Whose place the hash is bound to.
    pub(super) fn customer(&self) -> &CustomerId {
        &self.customer
    }

    /// The encrypted hash.
    pub(super) fn sealed_password_hash(&self) -> &[u8] {
        &self.sealed_password_hash
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
