//! The acquirer's keys: the one that signs, and the ones that open sealed cards.
//!
//! Each order has a sealing key of its own. Its public half stands in the signed order; its private
//! half is encrypted under the key encryption key, kept in the order's record, and dropped with the
//! order's end, so that a card that was sealed to a finished order can't be opened by anybody.

use bytes::Bytes;
use mesh::{
    sealing::{
        SealingError, SealingKey,
        at_rest::{Encrypted, Vault, VaultError},
    },
    signing::Signer,
};
use proto::{
    authorization::{DeclineReason, SEALED_CARD_INFO, sealed_card_aad},
    card::CardData,
    digest::Digest,
    ids::{AuthorizationId, KeyId, OrderId},
    signed::{Signed, SignedBody},
};

/// Signs what the acquirer says.
#[derive(Clone, Debug)]
pub struct Seal {
    signer: Signer,
    key_id: KeyId,
}

impl Seal {
    /// Signs with this key.
    ///
    /// # Panics
    /// Never: both sides of the contracts write a key id as 32 hexadecimal digits.
    #[must_use]
    pub fn new(signer: Signer) -> Self {
        let key_id = signer.key_id().to_string().parse().expect("invariant: a key id is 32 hexadecimal digits");
        Self { signer, key_id }
    }

    /// Serialises a message once and signs those bytes.
    #[must_use]
    pub fn sign<M: SignedBody>(&self, message: &M) -> Signed {
        let body = Bytes::from(message.encode_to_vec());
        let signature = self.signer.sign(M::NAME, &body);
        Signed { body, key_id: self.key_id.clone(), signature }
    }
}

/// Makes sealing keys and opens cards with them.
#[derive(Debug)]
pub struct SealingKeys {
    vault: Vault,
}

/// A new order's sealing key.
pub struct NewSealingKey {
    /// For the signed order.
    pub public: [u8; 32],
    /// The private half, encrypted, for the order's record.
    pub wrapped: Bytes,
}

/// Why a key can't be used. Says nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key encryption key does not fit the record.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What was decrypted is no key.
    #[error(transparent)]
    Sealing(#[from] SealingError),
}

impl SealingKeys {
    /// Keys that are kept encrypted by this vault.
    #[must_use]
    pub const fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// A fresh key for an order.
    ///
    /// # Errors
    /// [`KeyError::Vault`].
    pub fn generate(&self, order: &OrderId) -> Result<NewSealingKey, KeyError> {
        let key = SealingKey::generate();
        let wrapped = self.vault.encrypt(&place(order), key.to_bytes().as_slice())?;
        Ok(NewSealingKey { public: *key.public().as_bytes(), wrapped: wrapped.to_bytes().into() })
    }

    /// Opens the card that was sealed to an order for one authorization. The inner error is the
    /// sender's doing, and a reason to decline.
    ///
    /// # Errors
    /// [`KeyError`], which is our own doing.
    pub fn open_card(
        &self,
        order: &OrderId,
        wrapped: &[u8],
        order_digest: &Digest,
        authorization: &AuthorizationId,
        sealed: &[u8],
    ) -> Result<Result<CardData, DeclineReason>, KeyError> {
        let private = self.vault.decrypt(&place(order), &Encrypted::from_bytes(wrapped)?)?;
        let key = SealingKey::from_bytes(&private)?;
        let Ok(plaintext) = key.open(SEALED_CARD_INFO, &sealed_card_aad(order_digest, authorization), sealed) else {
            return Ok(Err(DeclineReason::CardUnreadable));
        };
        Ok(CardData::decode(&plaintext).map_err(|invalid| {
            // A wrong number is the cardholder's to hear of; anything else is the issuer's mistake.
            let only_the_pan = invalid.violations.iter().all(|violation| violation.path == "pan");
            if only_the_pan { DeclineReason::CardInvalid } else { DeclineReason::CardUnreadable }
        }))
    }
}

/// What ties an encrypted sealing key to its order, so that one that was copied into another order's
/// record does not decrypt.
fn place(order: &OrderId) -> Vec<u8> {
    [b"order.sealing_key/", order.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::sealing::{
        SealingPublicKey,
        at_rest::{KeyEncryptionKey, KeyVersion},
    };
    use prost::Message as _;
    use proto::pb;

    use super::*;

    struct Sealed {
        keys: SealingKeys,
        order: OrderId,
        key: NewSealingKey,
        digest: Digest,
        authorization: AuthorizationId,
    }

    impl Sealed {
        fn new() -> Self {
            let (kek, _) = KeyEncryptionKey::generate(KeyVersion::new(1)).unwrap();
            let keys = SealingKeys::new(Vault::new([kek]).unwrap());
            let order = OrderId::from_random([1; 16]);
            let key = keys.generate(&order).unwrap();
            Self {
                keys,
                order,
                key,
                digest: Digest::of(b"order"),
                authorization: AuthorizationId::from_random([2; 16]),
            }
        }

        fn seal(&self, card: &pb::CardData) -> Vec<u8> {
            let aad = sealed_card_aad(&self.digest, &self.authorization);
            let public = SealingPublicKey::from_bytes(&self.key.public).unwrap();
            public.seal(SEALED_CARD_INFO, &aad, &card.encode_to_vec()).unwrap()
        }

        fn open(&self, sealed: &[u8]) -> Result<CardData, DeclineReason> {
            self.keys.open_card(&self.order, &self.key.wrapped, &self.digest, &self.authorization, sealed).unwrap()
        }
    }

    fn card() -> pb::CardData {
        pb::CardData { pan: "4000000000000002".into(), expiry_month: 12, expiry_year: 2031, cvv: "123".into() }
    }

    #[test]
    fn a_card_opens_with_its_order_and_authorization_alone() {
        let mut sealed = Sealed::new();
        let bytes = sealed.seal(&card());
        assert_eq!(sealed.open(&bytes).unwrap().pan.last_four(), "0002");
        sealed.authorization = AuthorizationId::from_random([3; 16]);
        assert_eq!(sealed.open(&bytes), Err(DeclineReason::CardUnreadable));
        sealed.authorization = AuthorizationId::from_random([2; 16]);
        sealed.digest = Digest::of(b"another order");
        assert_eq!(sealed.open(&bytes), Err(DeclineReason::CardUnreadable));
    }

    #[test]
    fn a_wrong_number_is_told_from_an_unreadable_card() {
        let sealed = Sealed::new();
        let wrong_digit = sealed.seal(&pb::CardData { pan: "4000000000000003".into(), ..card() });
        assert_eq!(sealed.open(&wrong_digit), Err(DeclineReason::CardInvalid));
        let no_month = sealed.seal(&pb::CardData { pan: "4000000000000003".into(), expiry_month: 13, ..card() });
        assert_eq!(sealed.open(&no_month), Err(DeclineReason::CardUnreadable));
        assert_eq!(sealed.open(b"nonsense"), Err(DeclineReason::CardUnreadable));
    }

    #[test]
    fn a_key_in_another_orders_record_does_not_decrypt() {
        let sealed = Sealed::new();
        let other = OrderId::from_random([9; 16]);
        let bytes = sealed.seal(&card());
        let opened = sealed.keys.open_card(&other, &sealed.key.wrapped, &sealed.digest, &sealed.authorization, &bytes);
        assert!(matches!(opened, Err(KeyError::Vault(_))));
    }
}
