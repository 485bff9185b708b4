//! Card data and customers' secrets at rest.
//!
//! Cards and password hashes are encrypted by the vault (AES-256-GCM, a data key for each record, the
//! data keys wrapped by a key from a file that lies outside the database). Each is bound to its place:
//! a record that somebody copies into another customer's place does not open there.
//!
//! National ids and user codes are not stored at all, only keyed hashes of them ([`LookupKeys`]).

mod lookup;
mod verification;

pub use lookup::{LookupError, LookupKeys, Tag};
pub use verification::{CardVerification, NoVerification, StoredVerification, VerificationError, VerificationProfile};

use mesh::sealing::at_rest::{Encrypted, Vault, VaultError};
use proto::{card::CardData, ids::CardOptionId};
use zeroize::Zeroizing;

use crate::domain::ids::CustomerId;

/// Why something at rest can't be read or written. It holds nothing of what is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtRestError {
    /// The vault can't work, or the record is not one that was sealed for this place.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What was opened is no card.
    #[error("the opened record is no card")]
    NotACard,
    /// What was opened is no password hash.
    #[error("the opened record is no password hash")]
    NotAPasswordHash,
}

/// Encrypts a card for one customer's card option.
///
/// # Errors
/// [`AtRestError::Vault`].
pub fn seal_card(
    vault: &Vault,
    customer: &CustomerId,
    option: &CardOptionId,
    card: &CardData,
) -> Result<Vec<u8>, AtRestError> {
    Ok(vault.encrypt(&card_place(customer, option), &card.encode())?.to_bytes())
}

/// Decrypts the card of one customer's card option.
///
/// # Errors
/// [`AtRestError`]; a card that was sealed for another customer or option is [`VaultError::Decrypt`].
pub fn open_card(
    vault: &Vault,
    customer: &CustomerId,
    option: &CardOptionId,
    sealed: &[u8],
) -> Result<CardData, AtRestError> {
    let plaintext = vault.decrypt(&card_place(customer, option), &Encrypted::from_bytes(sealed)?)?;
    CardData::decode(&plaintext).map_err(|_| AtRestError::NotACard)
}

/// Encrypts a customer's password hash (a PHC string), so that a stolen database gives nothing to
/// guess against.
///
/// # Errors
/// [`AtRestError::Vault`].
pub fn seal_password_hash(vault: &Vault, customer: &CustomerId, phc: &str) -> Result<Vec<u8>, AtRestError> {
    Ok(vault.encrypt(&password_place(customer), phc.as_bytes())?.to_bytes())
}

/// Decrypts a customer's password hash.
///
/// # Errors
/// [`AtRestError`]; one that was sealed for another customer is [`VaultError::Decrypt`].
pub fn open_password_hash(
    vault: &Vault,
    customer: &CustomerId,
    sealed: &[u8],
) -> Result<Zeroizing<String>, AtRestError> {
    let plaintext = vault.decrypt(&password_place(customer), &Encrypted::from_bytes(sealed)?)?;
    let text = std::str::from_utf8(&plaintext).map_err(|_| AtRestError::NotAPasswordHash)?;
    Ok(Zeroizing::new(text.to_owned()))
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

    use mesh::sealing::at_rest::{KeyEncryptionKey, KeyVersion};
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
            assert_eq!(opened, Err(AtRestError::Vault(VaultError::Decrypt)));
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
        assert_eq!(error, AtRestError::NotACard);
        assert!(!format!("{error} {error:?}").contains(PAN));
    }
}
