//! The test cards, all of them.

use proto::{
    authorization::DeclineReason,
    card::{Bin, Cvv, Pan},
};

use super::Behaviour;

/// The invented BINs that the simulated network knows, as ranges with both ends included.
pub const TEST_BINS: [(Bin, Bin); 3] =
    [(Bin(40_000_000), Bin(40_000_099)), (Bin(52_000_000), Bin(52_000_099)), (Bin(35_301_100), Bin(35_301_199))];

/// A card of the simulated network. It is good through any month that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestCard {
    pan: &'static str,
    cvv: &'static str,
    behaviour: Behaviour,
}

impl TestCard {
    /// The number. It passes Luhn, and lies under one of the [`TEST_BINS`].
    #[must_use]
    pub fn pan(&self) -> Pan {
        self.pan.parse().expect("invariant: a test checks every number of the table")
    }

    /// The right CVV.
    #[must_use]
    pub fn cvv(&self) -> Cvv {
        self.cvv.parse().expect("invariant: a test checks every CVV of the table")
    }

    /// What the simulated network does with it.
    #[must_use]
    pub const fn behaviour(&self) -> Behaviour {
        self.behaviour
    }
}

/// The test cards for sample data and tests: under each of the [`TEST_BINS`] three plain cards, and one
/// for each other [`Behaviour`].
///
/// | 40000000-40000099 | 52000000-52000099 | 35301100-35301199 | behaviour |
/// |---|---|---|---|
/// | 4000 0000 1348 0019 | 5200 0000 2559 0016 | 3530 1100 3770 0010 | approves |
/// | 4000 0000 1485 0020 | 5200 0000 2696 0028 | 3530 1100 3907 0024 | approves |
/// | 4000 0000 1622 0032 | 5200 0000 2833 0030 | 3530 1100 3044 0036 | approves |
/// | 4000 0000 1759 9012 | 5200 0000 2970 9018 | 3530 1100 3181 9014 | INSUFFICIENT_FUNDS |
/// | 4000 0000 1896 9024 | 5200 0000 2107 9022 | 3530 1100 3318 9028 | DO_NOT_HONOR |
/// | 4000 0000 1033 9036 | 5200 0000 2244 9034 | 3530 1100 3455 9039 | LOST_CARD |
/// | 4000 0000 1170 9047 | 5200 0000 2381 9045 | 3530 1100 3592 9041 | STOLEN_CARD |
/// | 4000 0000 1307 9050 | 5200 0000 2518 9058 | 3530 1100 3729 9054 | SUSPECTED_FRAUD |
/// | 4000 0000 1444 9062 | 5200 0000 2655 9069 | 3530 1100 3866 9065 | CVV_MISMATCH |
/// | 4000 0000 1581 9073 | 5200 0000 2792 9071 | 3530 1100 3003 9077 | approves after 2 s |
/// | 4000 0000 1718 9087 | 5200 0000 2929 9085 | 3530 1100 3140 9089 | never answers |
/// | 4000 0000 1855 9098 | 5200 0000 2066 9096 | 3530 1100 3277 9092 | approves after 8 s, silent until then |
///
/// The CVV of each is the three digits before the last four. Nothing here is secret: no bank issues
/// these numbers.
#[must_use]
pub const fn test_cards() -> &'static [TestCard] {
    &CARDS
}

const CARDS: [TestCard; 36] = [
    card("4000000013480019", "348", Behaviour::Approve),
    card("4000000014850020", "485", Behaviour::Approve),
    card("4000000016220032", "622", Behaviour::Approve),
    card("4000000017599012", "759", Behaviour::Decline(DeclineReason::InsufficientFunds)),
    card("4000000018969024", "896", Behaviour::Decline(DeclineReason::DoNotHonor)),
    card("4000000010339036", "033", Behaviour::Decline(DeclineReason::LostCard)),
    card("4000000011709047", "170", Behaviour::Decline(DeclineReason::StolenCard)),
    card("4000000013079050", "307", Behaviour::Decline(DeclineReason::SuspectedFraud)),
    card("4000000014449062", "444", Behaviour::Decline(DeclineReason::CvvMismatch)),
    card("4000000015819073", "581", Behaviour::Slow),
    card("4000000017189087", "718", Behaviour::Silent),
    card("4000000018559098", "855", Behaviour::Late),
    card("5200000025590016", "559", Behaviour::Approve),
    card("5200000026960028", "696", Behaviour::Approve),
    card("5200000028330030", "833", Behaviour::Approve),
    card("5200000029709018", "970", Behaviour::Decline(DeclineReason::InsufficientFunds)),
    card("5200000021079022", "107", Behaviour::Decline(DeclineReason::DoNotHonor)),
    card("5200000022449034", "244", Behaviour::Decline(DeclineReason::LostCard)),
    card("5200000023819045", "381", Behaviour::Decline(DeclineReason::StolenCard)),
    card("5200000025189058", "518", Behaviour::Decline(DeclineReason::SuspectedFraud)),
    card("5200000026559069", "655", Behaviour::Decline(DeclineReason::CvvMismatch)),
    card("5200000027929071", "792", Behaviour::Slow),
    card("5200000029299085", "929", Behaviour::Silent),
    card("5200000020669096", "066", Behaviour::Late),
    card("3530110037700010", "770", Behaviour::Approve),
    card("3530110039070024", "907", Behaviour::Approve),
    card("3530110030440036", "044", Behaviour::Approve),
    card("3530110031819014", "181", Behaviour::Decline(DeclineReason::InsufficientFunds)),
    card("3530110033189028", "318", Behaviour::Decline(DeclineReason::DoNotHonor)),
    card("3530110034559039", "455", Behaviour::Decline(DeclineReason::LostCard)),
    card("3530110035929041", "592", Behaviour::Decline(DeclineReason::StolenCard)),
    card("3530110037299054", "729", Behaviour::Decline(DeclineReason::SuspectedFraud)),
    card("3530110038669065", "866", Behaviour::Decline(DeclineReason::CvvMismatch)),
    card("3530110030039077", "003", Behaviour::Slow),
    card("3530110031409089", "140", Behaviour::Silent),
    card("3530110032779092", "277", Behaviour::Late),
];

const fn card(pan: &'static str, cvv: &'static str, behaviour: Behaviour) -> TestCard {
    TestCard { pan, cvv, behaviour }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::network::right_cvv;

    #[test]
    fn every_card_of_the_table_is_what_the_rules_make_of_its_number() {
        for card in test_cards() {
            let pan = card.pan();
            assert!(TEST_BINS.iter().any(|(first, last)| (*first..=*last).contains(&pan.bin())), "{}", card.pan);
            assert_eq!(Behaviour::of(&pan), card.behaviour(), "{}", card.pan);
            assert_eq!(right_cvv(&pan), card.cvv().expose(), "{}", card.pan);
        }
    }

    #[test]
    fn no_card_stands_there_twice_and_every_brand_has_its_three_plain_ones() {
        let pans: BTreeSet<&str> = test_cards().iter().map(|card| card.pan).collect();
        assert_eq!(pans.len(), test_cards().len());
        for brand in ["Visa", "Mastercard", "JCB"] {
            let plain = |card: &&TestCard| card.behaviour() == Behaviour::Approve && card.pan().brand() == brand;
            assert_eq!(test_cards().iter().filter(plain).count(), 3, "{brand}");
        }
    }
}
