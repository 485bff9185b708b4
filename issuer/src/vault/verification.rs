//! Where a card's verification value (CVV) comes from.

use async_trait::async_trait;
use proto::card::{CardData, Cvv};
use serde::Deserialize;

/// The source of card verification values.
///
/// In production an HSM derives the value from the card's number and expiry under a key that never
/// leaves it; nothing is stored. Whoever connects one implements this trait, no other code changes.
#[async_trait]
pub trait CardVerification: Send + Sync + std::fmt::Debug {
    /// The value to send along with this card, or none: the contracts let it be absent.
    ///
    /// # Errors
    /// [`VerificationError`]; the charge is then not sent.
    async fn value(&self, card: &CardData) -> Result<Option<Cvv>, VerificationError>;
}

/// The source of values can't be reached. It says nothing about the card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("card verification values can't be made now: {0}")]
pub struct VerificationError(pub &'static str);

/// Which source a configuration names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationProfile {
    /// No value is sent, and none may be imported.
    #[default]
    None,
    /// For sandboxes: the value lies encrypted beside the number. The card industry's rules forbid
    /// that for real cards (PCI DSS, requirement 3.3.1).
    Stored,
}

impl VerificationProfile {
    /// The source itself.
    #[must_use]
    pub fn source(self) -> Box<dyn CardVerification> {
        match self {
            Self::None => Box::new(NoVerification),
            Self::Stored => Box::new(StoredVerification),
        }
    }

    /// Whether values may be stored.
    #[must_use]
    pub const fn stores(self) -> bool {
        match self {
            Self::None => false,
            Self::Stored => true,
        }
    }
}

/// Sends no value, not even one that is stored.
#[derive(Clone, Copy, Debug)]
pub struct NoVerification;

#[async_trait]
impl CardVerification for NoVerification {
    async fn value(&self, _: &CardData) -> Result<Option<Cvv>, VerificationError> {
        Ok(None)
    }
}

/// Sends the value that is stored with the card, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct StoredVerification;

#[async_trait]
impl CardVerification for StoredVerification {
    async fn value(&self, card: &CardData) -> Result<Option<Cvv>, VerificationError> {
        Ok(card.cvv.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proto::card::Expiry;

    use super::*;

    #[tokio::test]
    async fn a_stored_value_is_sent_in_the_sandbox_alone() {
        let card = CardData {
            pan: "4000000000000002".parse().unwrap(),
            expiry: Expiry::new(2031, 12).unwrap(),
            cvv: Some("123".parse().unwrap()),
        };
        assert_eq!(VerificationProfile::Stored.source().value(&card).await.unwrap(), card.cvv);
        assert_eq!(VerificationProfile::None.source().value(&card).await.unwrap(), None);
        assert_eq!(VerificationProfile::default(), VerificationProfile::None);
    }
}
