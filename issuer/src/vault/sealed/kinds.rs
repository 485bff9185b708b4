//! What is sealed in the records of each kind, and where it belongs.

use bytes::Bytes;
use proto::card::CardData;

use super::Sealed;
use crate::{
    records::{Card, Credential},
    vault::{card_place, password_place},
};

impl Sealed for Card {
    const NAME: &'static str = "card";

    fn sealed(&self) -> &Bytes {
        &self.sealed_data
    }

    fn set_sealed(&mut self, sealed: Bytes) {
        self.sealed_data = sealed;
    }

    fn place(&self) -> Option<Vec<u8>> {
        Some(card_place(&self.customer_id.parse().ok()?, &self.card_option_id.parse().ok()?))
    }

    fn is_readable(plaintext: &[u8]) -> bool {
        CardData::decode(plaintext).is_ok()
    }
}

impl Sealed for Credential {
    const NAME: &'static str = "password hash";

    fn sealed(&self) -> &Bytes {
        &self.sealed_password_hash
    }

    fn set_sealed(&mut self, sealed: Bytes) {
        self.sealed_password_hash = sealed;
    }

    fn place(&self) -> Option<Vec<u8>> {
        Some(password_place(&self.customer_id.parse().ok()?))
    }

    fn is_readable(plaintext: &[u8]) -> bool {
        std::str::from_utf8(plaintext).is_ok_and(|text| text.starts_with('$'))
    }
}
