#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn money(code: &str, units: i64) -> Money {
    Money::new(code.parse().unwrap(), units).unwrap()
}

/// Up to 30.00 each, 100.00 together, five times; in Taiwan dollars 1,000.00, 3,500.00 and three.
fn limits() -> Vec<Limits> {
    vec![
        Limits { amount_max: money("EUR", 3_000), sum_max: money("EUR", 10_000), count_max: 5 },
        Limits { amount_max: money("TWD", 100_000), sum_max: money("TWD", 350_000), count_max: 3 },
    ]
}

fn after(payments: &[Money]) -> Tally {
    payments.iter().fold(Tally::default(), |tally, amount| tally.with(*amount).unwrap())
}

#[test]
fn each_bound_is_kept_to_the_minor_unit() {
    let eur = |units| money("EUR", units);
    let cases: [(&[Money], Money, bool); 12] = [
        (&[], eur(1), true),
        (&[], eur(3_000), true),
        (&[], eur(3_001), false),
        (&[], money("USD", 1), false),
        (&[eur(3_000), eur(3_000), eur(3_000)], eur(1_000), true),
        (&[eur(3_000), eur(3_000), eur(3_000)], eur(1_001), false),
        (&[eur(1), eur(1), eur(1), eur(1)], eur(1), true),
        (&[eur(1), eur(1), eur(1), eur(1), eur(1)], eur(1), false),
        // The sum is each currency's own, the count is of all.
        (&[eur(3_000), eur(3_000)], money("TWD", 100_000), true),
        (&[eur(1), eur(1), eur(1)], money("TWD", 1), false),
        (&[money("TWD", 100_000), money("TWD", 100_000), money("TWD", 100_000)], eur(3_000), true),
        (&[money("TWD", 1), money("TWD", 1), eur(1), eur(1), eur(1)], eur(1), false),
    ];
    for (before, amount, allowed) in cases {
        assert_eq!(after(before).allows(amount, &limits()), allowed, "{before:?}, then {amount:?}");
    }
    assert!(!Tally::default().allows(eur(1), &[]), "without limits nothing is small");
}

#[test]
fn what_is_given_back_is_as_if_it_had_never_been() {
    let eur = |units| money("EUR", units);
    let tally = after(&[eur(1_000), eur(2_000)]);
    let one = tally.clone().without(eur(2_000), Tally::FIRST_EPOCH);
    assert_eq!(one, after(&[eur(1_000)]));
    assert!(one.without(eur(1_000), Tally::FIRST_EPOCH).is_empty());
}

#[test]
fn a_payment_with_two_kinds_ends_the_tally_and_nothing_comes_back_into_the_next() {
    let eur = |units| money("EUR", units);
    let old = after(&[eur(3_000), eur(3_000)]);
    let new = old.clone().ended();
    assert!(new.is_empty() && new.epoch() == old.epoch() + 1);
    let new = new.with(eur(500)).unwrap();
    assert_eq!(new.clone().without(eur(3_000), old.epoch()), new, "it was counted in the tally that is gone");
    assert!(new.clone().without(eur(500), new.epoch()).is_empty());
}

#[test]
fn a_tally_is_stored_and_read() {
    let tally = after(&[money("EUR", 1_000), money("TWD", 7), money("EUR", 1)]).ended().with(money("TWD", 9)).unwrap();
    assert_eq!(Tally::stored(tally.epoch(), tally.payments(), tally.sums()).unwrap(), tally);
}

proptest! {
    /// Payments begin where they are allowed, and end approved, not approved, or with a stronger one in between, in
    /// any order. The live and the approved ones since the last strong one never go over a bound, and the
    /// tally is what they make together.
    #[test]
    fn no_course_of_payments_goes_over_a_bound(steps in prop::collection::vec((0u8..4, 1i64..4_000, any::<bool>()), 0..60)) {
        let mut tally = Tally::default();
        let mut live: Vec<(u64, Money)> = Vec::new();
        let mut counted: Vec<Money> = Vec::new();
        for (step, units, in_euros) in steps {
            let amount = if in_euros { money("EUR", units) } else { money("TWD", units * 30) };
            match (step, live.first().copied()) {
                (0 | 1, _) => if tally.allows(amount, &limits()) {
                    live.push((tally.epoch(), amount));
                    counted.push(amount);
                    tally = tally.with(amount).unwrap();
                },
                // Declined.
                (2, Some((epoch, amount))) => {
                    live.remove(0);
                    if epoch == tally.epoch() {
                        let place = counted.iter().position(|other| *other == amount).unwrap();
                        counted.remove(place);
                    }
                    tally = tally.without(amount, epoch);
                }
                (2, None) => {
                    tally = tally.ended();
                    counted.clear();
                }
                // Approved: nothing changes.
                _ => drop((!live.is_empty()).then(|| live.remove(0))),
            }
            prop_assert_eq!(tally.payments() as usize, counted.len());
            for limits in limits() {
                let of_currency = counted.iter().filter(|amount| amount.currency() == limits.amount_max.currency());
                let sum: i64 = of_currency.map(|amount| amount.minor_units()).sum();
                prop_assert_eq!(tally.sum(limits.amount_max.currency()).minor_units(), sum);
                prop_assert!(sum <= limits.sum_max.minor_units());
            }
            prop_assert!(tally.payments() <= 5);
        }
    }
}
