//! The test of the test: each mistake is found, by its checker, within a bounded number of seeds.

use simulation::{mistake::Mistake, model::Plan, run::run};

/// The most seeds that a mistake may hide in. The rarest needs a crash in the one moment that matters.
const SEEDS_MAX: u64 = 400;

fn is_found(mistake: Mistake) {
    let found = (1..=SEEDS_MAX).find_map(|seed| Some((seed, run(Plan::of(seed), Some(mistake), false).failure?)));
    let Some((seed, failure)) = found else { panic!("{mistake} was not found in {SEEDS_MAX} seeds") };
    assert_eq!(failure.checker, mistake.found_by(), "{mistake}, seed {seed}: {}", failure.why);
}

macro_rules! found {
    ($($name:ident: $mistake:ident,)+) => {
        $(#[test]
        fn $name() {
            is_found(Mistake::$mistake);
        })+

        #[test]
        fn every_mistake_is_looked_for() {
            assert_eq!([$(Mistake::$mistake),+], Mistake::ALL);
        }
    };
}

found! {
    a_transport_that_makes_a_decline_of_a_lost_answer: LostMeansDeclined,
    a_store_that_forgets_what_it_acknowledged: StoreForgets,
    a_store_that_tears_a_transition: StoreTears,
    a_card_network_that_approves_what_was_reversed: ApprovesReversed,
    a_card_network_that_charges_twice: ChargesTwice,
    an_issuer_that_does_not_recover: NoIssuerRecovery,
    an_acquirer_that_does_not_recover: NoAcquirerRecovery,
    an_acquirer_that_sends_no_reversals: NoReversals,
    a_courier_that_acknowledges_without_delivering: CourierLies,
    a_shop_that_counts_an_event_twice: ShopCountsTwice,
    a_card_that_travels_in_the_clear: CardInTheClear,
    a_port_that_trusts_the_route: TrustsTheRoute,
    a_store_that_compares_no_versions: BlindAccounts,
    a_store_that_keeps_no_answers: StoreForgetsAnswers,
    a_port_that_promises_a_cancel_too_soon: CancelsTooSoon,
    a_wire_that_changes_an_amount: AmountSlips,
}
