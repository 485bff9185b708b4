//! Mistakes that are made on purpose in what surrounds the real code: the test of the test. Each must be found, by
//! the checker that it names, within a bounded number of seeds.

use std::fmt;

use clap::ValueEnum;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mistake {
    /// A transport that makes a decline of an answer that was lost.
    LostMeansDeclined,
    /// A store that forgets the last commit after it was acknowledged, when its process dies.
    StoreForgets,
    /// A store that keeps half of a transition, when its process dies.
    StoreTears,
    /// A card network that approves what was reversed before.
    ApprovesReversed,
    /// A card network that charges a card again when a request arrives again.
    ChargesTwice,
    /// An issuer that doesn't recover at its start and has no watch over standstills.
    NoIssuerRecovery,
    /// An acquirer that doesn't settle what its last process left.
    NoAcquirerRecovery,
    /// An acquirer that never sends its reversals.
    NoReversals,
    /// A notification client that acknowledges without delivering.
    CourierLies,
    /// A shop that counts an event each time it hears of it.
    ShopCountsTwice,
    /// A card that travels in the clear.
    CardInTheClear,
    /// An acquirer's port that takes the route's word for who calls.
    TrustsTheRoute,
    /// An issuer's store that doesn't look at versions when it writes an account.
    BlindAccounts,
    /// An acquirer's store that keeps no answers under idempotency keys.
    StoreForgetsAnswers,
    /// An acquirer's port that promises CANCELLED while an authorization is under way.
    CancelsTooSoon,
    /// A wire to the card network that changes an amount.
    AmountSlips,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::LostMeansDeclined,
        Self::StoreForgets,
        Self::StoreTears,
        Self::ApprovesReversed,
        Self::ChargesTwice,
        Self::NoIssuerRecovery,
        Self::NoAcquirerRecovery,
        Self::NoReversals,
        Self::CourierLies,
        Self::ShopCountsTwice,
        Self::CardInTheClear,
        Self::TrustsTheRoute,
        Self::BlindAccounts,
        Self::StoreForgetsAnswers,
        Self::CancelsTooSoon,
        Self::AmountSlips,
    ];

    /// The checker that must find it.
    #[must_use]
    pub const fn found_by(self) -> &'static str {
        match self {
            Self::LostMeansDeclined | Self::StoreTears | Self::BlindAccounts => "holds",
            Self::StoreForgets => "found-again",
            Self::ApprovesReversed | Self::ChargesTwice | Self::ShopCountsTwice => "money",
            Self::NoIssuerRecovery | Self::NoAcquirerRecovery | Self::NoReversals => "final-in-time",
            Self::CourierLies => "merchant-hears",
            Self::CardInTheClear => "secrets",
            Self::TrustsTheRoute => "nobody-for-another",
            Self::StoreForgetsAnswers => "same-answer",
            Self::CancelsTooSoon => "cancel",
            Self::AmountSlips => "approved-is-authorized",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => write!(f, "{self:?}"),
        }
    }
}
