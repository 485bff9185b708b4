//! The bounds within which everything is tried.

use crate::{
    sight,
    state::{Budget, Clock},
};

/// Bounds: who pays, and how much may go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its name on the command line.
    pub name: &'static str,
    /// The charges that customers may submit, in any order that the banks allow.
    pub charges: &'static [ChargePlan],
    /// How many declines the order has counted before.
    pub declines_before: u8,
    /// How far the clocks may go.
    pub clock_max: Clock,
    /// Whether notifications are followed one by one; else the shop hears at once.
    pub notifies: bool,
    /// What may go wrong.
    pub budget: Budget,
    /// What must be seen to happen, lest the bounds allow too little to prove anything.
    pub shows: &'static [&'static str],
}

/// A charge that a customer may submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargePlan {
    /// The customer's bank.
    pub issuer: usize,
    /// The card that pays.
    pub card: CardPlan,
}

/// A card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardPlan {
    /// Good, so that the card network decides.
    Good,
    /// Its BIN belongs to another bank, so that the acquirer declines it by itself.
    OfAnotherBank,
}

const fn good(issuer: usize) -> ChargePlan {
    ChargePlan { issuer, card: CardPlan::Good }
}

const NOTHING: Budget = Budget {
    acquirer_crashes: 0,
    issuer_crashes: 0,
    losses: 0,
    duplicates: 0,
    refusals: 0,
    resends: 0,
    swaps: 0,
    standstills: 0,
    beside: 0,
    suspensions: 0,
    cancels: 0,
};

const ONE_CHARGE: Configuration = Configuration {
    name: "one-charge-crashes",
    charges: &[good(0)],
    declines_before: 0,
    clock_max: Clock::PastDeadline,
    notifies: true,
    budget: Budget { acquirer_crashes: 2, issuer_crashes: 2, losses: 1, duplicates: 1, cancels: 2, ..NOTHING },
    shows: &[
        sight::APPROVED,
        sight::TOMBSTONE,
        sight::REVERSED_APPROVAL,
        sight::ABANDONED,
        sight::WORKER_LOST,
        sight::PENDING_THEN_CANCELLED,
        sight::TOO_LATE,
        sight::EXPIRED_AFTER_DECLINE,
    ],
};

const TWO_BANKS: Configuration = Configuration {
    name: "two-banks-race",
    charges: &[good(0), good(1)],
    declines_before: 0,
    clock_max: Clock::PastDeadline,
    notifies: false,
    budget: Budget { duplicates: 1, cancels: 1, ..NOTHING },
    shows: &[sight::BUSY, sight::APPROVED],
};

/// What is checked each time.
pub const ALL: &[Configuration] = &[
    ONE_CHARGE,
    Configuration {
        name: "one-charge-faults",
        notifies: false,
        budget: Budget {
            acquirer_crashes: 1,
            issuer_crashes: 1,
            duplicates: 1,
            refusals: 1,
            resends: 1,
            standstills: 1,
            beside: 1,
            suspensions: 1,
            cancels: 1,
            ..NOTHING
        },
        shows: &[sight::APPROVED, sight::TOMBSTONE, sight::REVERSED_APPROVAL],
        ..ONE_CHARGE
    },
    Configuration {
        name: "parked",
        clock_max: Clock::NextDay,
        notifies: false,
        budget: Budget {
            acquirer_crashes: 1,
            issuer_crashes: 2,
            losses: 1,
            duplicates: 2,
            refusals: 1,
            standstills: 1,
            cancels: 1,
            ..NOTHING
        },
        shows: &[sight::PARKED],
        ..ONE_CHARGE
    },
    Configuration {
        name: "second-card",
        charges: &[good(0), good(0)],
        notifies: false,
        budget: Budget { acquirer_crashes: 1, issuer_crashes: 1, duplicates: 1, swaps: 1, cancels: 1, ..NOTHING },
        shows: &[sight::SECOND_CARD_PAYS],
        ..ONE_CHARGE
    },
    TWO_BANKS,
    Configuration {
        name: "two-banks-crash",
        budget: Budget { acquirer_crashes: 1, cancels: 1, ..NOTHING },
        ..TWO_BANKS
    },
    Configuration {
        name: "two-banks-restart",
        budget: Budget { acquirer_crashes: 1, issuer_crashes: 1, ..NOTHING },
        ..TWO_BANKS
    },
    Configuration {
        name: "last-attempt",
        declines_before: 4,
        clock_max: Clock::InTime,
        notifies: true,
        budget: Budget { acquirer_crashes: 1, duplicates: 1, cancels: 1, ..NOTHING },
        shows: &[sight::FAILED],
        ..TWO_BANKS
    },
    Configuration {
        name: "three-cards-two-banks",
        charges: &[ChargePlan { issuer: 0, card: CardPlan::OfAnotherBank }, good(0), good(1)],
        declines_before: 3,
        budget: Budget { cancels: 1, ..NOTHING },
        shows: &[sight::FAILED, sight::SECOND_CARD_PAYS, sight::BUSY],
        ..TWO_BANKS
    },
];

/// What is checked by command.
pub const DEEP: &[Configuration] = &[
    Configuration {
        name: "deep-race",
        declines_before: 3,
        budget: Budget { acquirer_crashes: 1, issuer_crashes: 1, duplicates: 1, cancels: 1, ..NOTHING },
        shows: &[sight::BUSY, sight::APPROVED, sight::FAILED],
        ..TWO_BANKS
    },
    Configuration {
        name: "deep-four-cards",
        charges: &[ChargePlan { issuer: 0, card: CardPlan::OfAnotherBank }, good(0), good(0), good(1)],
        declines_before: 2,
        clock_max: Clock::InTime,
        budget: Budget { cancels: 1, ..NOTHING },
        shows: &[sight::FAILED, sight::SECOND_CARD_PAYS, sight::BUSY],
        ..TWO_BANKS
    },
];

/// The configuration with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Configuration> {
    ALL.iter().chain(DEEP).find(|configuration| configuration.name == name)
}
