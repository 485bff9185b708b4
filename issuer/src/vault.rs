//! Card data and customers' secrets at rest.
//!
//! Cards and password hashes are encrypted by the vault (AES-256-GCM, a data key for each record, the
//! data keys wrapped by a key from a file that lies outside the database). Each is bound to its place:
//! a record that somebody copies into another customer's place does not open there.
//!
//! National ids and user codes are not stored at all, only keyed hashes of them ([`LookupKeys`]).

pub mod check;
pub mod needs;
pub mod sealed;

mod before_index;
mod lookup;
mod template;
mod verification;

pub use lookup::{LookupError, LookupKeys, Tag};
pub use sealed::{Problem, RecordName};
pub use template::{open_template, seal_template};
pub use verification::{CardVerification, NoVerification, StoredVerification, VerificationError, VerificationProfile};

use mesh::sealing::at_rest::{Encrypted, Vault};
use proto::{card::CardData, ids::CardOptionId};
use zeroize::Zeroizing;

use crate::{
    domain::ids::CustomerId,
    records::{Card, Credential},
    vault::sealed::Sealed,
};

/// Why something at rest can't be read or written. It names the record and holds nothing of what is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{record}: {problem}")]
pub struct AtRestError {
    /// The record.
    pub record: RecordName,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Encrypts a card for one customer's card option.
///
/// # Errors
/// [`AtRestError`] where the vault can't work.
pub fn seal_card(
    vault: &Vault,
    customer: &CustomerId,
    option: &CardOptionId,
    card: &CardData,
) -> Result<Vec<u8>, AtRestError> {
    seal::<Card>(vault, option.as_str().as_bytes(), &card_place(customer, option), &card.encode())
}

/// Decrypts the card of one customer's card option.
///
/// # Errors
/// [`AtRestError`]; a card that was sealed for another customer or option does not decrypt.
pub fn open_card(
    vault: &Vault,
    customer: &CustomerId,
    option: &CardOptionId,
    sealed: &[u8],
) -> Result<CardData, AtRestError> {
    let key = option.as_str().as_bytes();
    let plaintext = open::<Card>(vault, key, &card_place(customer, option), sealed)?;
    CardData::decode(&plaintext).map_err(|_| fault::<Card>(key, Problem::NotReadable))
}

/// Encrypts a customer's password hash (a PHC string), so that a stolen database gives nothing to
/// guess against.
///
/// # Errors
/// [`AtRestError`] where the vault can't work.
pub fn seal_password_hash(vault: &Vault, customer: &CustomerId, phc: &str) -> Result<Vec<u8>, AtRestError> {
    seal::<Credential>(vault, customer.as_str().as_bytes(), &password_place(customer), phc.as_bytes())
}

/// Decrypts a customer's password hash.
///
/// # Errors
/// [`AtRestError`]; one that was sealed for another customer does not decrypt.
pub fn open_password_hash(
    vault: &Vault,
    customer: &CustomerId,
    sealed: &[u8],
) -> Result<Zeroizing<String>, AtRestError> {
    let key = customer.as_str().as_bytes();
    let plaintext = open::<Credential>(vault, key, &password_place(customer), sealed)?;
    let text = std::str::from_utf8(&plaintext).map_err(|_| fault::<Credential>(key, Problem::NotReadable))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Encrypts something for the record of the kind `T` at this key, bound to its place.
///
/// # Errors
/// [`AtRestError`] where the vault can't work.
pub fn seal<T: Sealed>(vault: &Vault, key: &[u8], place: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, AtRestError> {
    let sealed = vault.encrypt(place, plaintext).map_err(|error| fault::<T>(key, error.into()))?;
    Ok(sealed.to_bytes())
}

/// Decrypts what is sealed in the record of the kind `T` at this key, in its place.
///
/// # Errors
/// [`AtRestError`]; what was sealed for another place does not decrypt.
pub fn open<T: Sealed>(
    vault: &Vault,
    key: &[u8],
    place: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AtRestError> {
    let opened = Encrypted::from_bytes(sealed).and_then(|sealed| vault.decrypt(place, &sealed));
    opened.map_err(|error| fault::<T>(key, error.into()))
}

fn fault<T: Sealed>(key: &[u8], problem: Problem) -> AtRestError {
    AtRestError { record: RecordName::new(T::NAME, key), problem }
}

/// What a card is bound to: customer id ‖ card option id, behind a label and apart by a zero byte, which
/// no id contains.
fn card_place(customer: &CustomerId, option: &CardOptionId) -> Vec<u8> {
    [b"bankside.issuer/card\0".as_slice(), customer.as_str().as_bytes(), b"\0", option.as_str().as_bytes()].concat()
}

/// What a password hash is bound to.
fn password_place(customer: &CustomerId) -> Vec<u8> {
    [b"bankside.issuer/password\0".as_slice(), customer.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::sealing::at_rest::{KeyEncryptionKey, KeyVersion, VaultError};
    use proto::card::Expiry;

    use super::*;

    const PAN: &str = "4000000000000002";

    fn vault() -> Vault {
        Vault::new([KeyEncryptionKey::generate(KeyVersion::new(1)).unwrap().0]).unwrap()
    }

    fn card() -> CardData {
        CardData {
            pan: PAN.parse().unwrap(),
            expiry: Expiry::new(2031, 12).unwrap(),
            cvv: Some("123".parse().unwrap()),
        }
    }

    fn option(number: u8) -> CardOptionId {
        CardOptionId::from_random([number; 16])
    }

    #[test]
    fn a_card_opens_in_its_place_alone() {
        let (vault, lin, wu) = (vault(), "lin".parse().unwrap(), "wu".parse().unwrap());
        let sealed = seal_card(&vault, &lin, &option(1), &card()).unwrap();
        assert_eq!(open_card(&vault, &lin, &option(1), &sealed).unwrap(), card());
        let elsewhere = [
            open_card(&vault, &wu, &option(1), &sealed),
            open_card(&vault, &lin, &option(2), &sealed),
            open_card(&self::vault(), &lin, &option(1), &sealed),
        ];
        for opened in elsewhere {
            assert_eq!(opened.unwrap_err().problem, Problem::Vault(VaultError::Decrypt));
        }
        let text = String::from_utf8_lossy(&sealed);
        assert!(!text.contains(PAN) && !text.contains("4000"), "the number is encrypted");
    }

    #[test]
    fn swapped_records_are_noticed() {
        let (vault, lin, wu) = (vault(), "lin".parse().unwrap(), "wu".parse().unwrap());
        let of_lin = seal_card(&vault, &lin, &option(1), &card()).unwrap();
        let of_wu = seal_card(&vault, &wu, &option(2), &card()).unwrap();
        assert!(open_card(&vault, &lin, &option(1), &of_wu).is_err());
        assert!(open_card(&vault, &wu, &option(2), &of_lin).is_err());
    }

    #[test]
    fn a_password_hash_opens_for_its_customer_alone_and_is_no_card() {
        let (vault, lin, wu) = (vault(), "lin".parse().unwrap(), "wu".parse().unwrap());
        let sealed = seal_password_hash(&vault, &lin, "$argon2id$v=19$").unwrap();
        assert_eq!(open_password_hash(&vault, &lin, &sealed).unwrap().as_str(), "$argon2id$v=19$");
        assert!(open_password_hash(&vault, &wu, &sealed).is_err());
        assert!(open_card(&vault, &lin, &option(1), &sealed).is_err());
    }

    #[test]
    fn errors_hold_nothing_of_the_card() {
        let (vault, lin) = (vault(), "lin".parse().unwrap());
        let no_card = vault.encrypt(&card_place(&lin, &option(1)), PAN.as_bytes()).unwrap().to_bytes();
        let error = open_card(&vault, &lin, &option(1), &no_card).unwrap_err();
        assert_eq!(error.problem, Problem::NotReadable);
        assert_eq!(error.record.to_string(), format!("card {}", option(1)));
        assert!(!format!("{error} {error:?}").contains(PAN));
    }
}
