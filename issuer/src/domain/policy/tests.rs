#![allow(clippy::unwrap_used)]

use Factor::{Inherence, Knowledge, Passkey, Possession};
use proptest::prelude::*;

use super::*;

fn money(code: &str, units: i64) -> Money {
    Money::new(code.parse().unwrap(), units).unwrap()
}

fn code(text: &str) -> CategoryCode {
    text.parse().unwrap()
}

fn rule(when: Condition, kinds: usize) -> Rule {
    Rule { when, demand: Demand::kinds(kinds) }
}

fn up_to(units: i64) -> Condition {
    Condition { amount_up_to: vec![money("TWD", units)], ..Condition::default() }
}

fn parts(rules: Vec<Rule>) -> Parts {
    Parts {
        offered: FACTORS.to_vec(),
        sign_in: Requirement::kinds(1),
        rules,
        low_value: Vec::new(),
        bind_sessions: false,
    }
}

fn small() -> Limits {
    Limits { amount_max: money("TWD", 50), sum_max: money("TWD", 120), count_max: 2 }
}

#[test]
fn a_requirement_says_what_would_help() {
    let two = Requirement::kinds(2);
    let table: [(&[Factor], &[Factor]); 8] = [
        (&[], &[Knowledge, Possession, Passkey, Inherence]),
        (&[Knowledge], &[Possession, Passkey, Inherence]),
        (&[Possession], &[Knowledge, Passkey, Inherence]),
        (&[Inherence], &[Knowledge, Possession, Passkey]),
        (&[Passkey], &[]),
        (&[Knowledge, Possession], &[]),
        (&[Knowledge, Inherence], &[]),
        (&[Knowledge, Possession, Passkey, Inherence], &[]),
    ];
    for (proved, missing) in table {
        assert_eq!(two.missing(proved, &FACTORS), missing, "{proved:?}");
        assert_eq!(two.is_met(proved), missing.is_empty(), "{proved:?}");
    }
    // What isn't offered is never named, and what was proved before it was withdrawn still counts.
    assert_eq!(two.missing(&[Knowledge], &[Knowledge, Possession]), [Possession]);
    assert_eq!(two.missing(&[Possession], &[Knowledge]), [Knowledge]);
    let one_of = Requirement::one_of([[Knowledge, Possession].into(), [Passkey].into(), [Passkey, Knowledge].into()]);
    assert_eq!(one_of.missing(&[Inherence], &FACTORS), [Knowledge, Possession, Passkey]);
    assert_eq!(one_of.missing(&[Passkey], &FACTORS), []);
}

#[test]
fn the_first_rule_that_fits_decides() {
    let games = Condition { categories: vec![code("7995")], ..Condition::default() };
    let bound = Condition { device: Some(Device::Bound), ..up_to(100) };
    let low_value = Condition { low_value: true, ..Condition::default() };
    let rules = vec![rule(games, 3), rule(bound, 1), rule(low_value, 1), rule(Condition::default(), 2)];
    let policy = Policy::new(Parts { low_value: vec![small()], ..parts(rules) }).unwrap();
    let fresh = Tally::default();
    let used = Tally::default().with(money("TWD", 40)).unwrap().with(money("TWD", 40)).unwrap();
    let twd = |units| money("TWD", units);
    let cases = [
        (twd(1), "7995", Device::Bound, &fresh, 3, false),
        (twd(100), "5942", Device::Bound, &used, 1, false),
        (twd(101), "5942", Device::Bound, &fresh, 2, false),
        (money("USD", 1), "5942", Device::Bound, &fresh, 2, false),
        (twd(50), "5942", Device::None, &fresh, 1, true),
        (twd(51), "5942", Device::None, &fresh, 2, false),
        (twd(50), "5942", Device::None, &used, 2, false),
    ];
    for (amount, category, device, tally, kinds, is_low_value) in cases {
        let payment = Payment { amount, category: code(category), device, tally };
        let verdict = policy.payment(&payment);
        assert_eq!((verdict.demand, verdict.is_low_value), (&Demand::kinds(kinds), is_low_value), "{payment:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let bound = |device| Condition { device: Some(device), ..Condition::default() };
    let low_value = Condition { low_value: true, ..up_to(50) };
    let last = || rule(Condition::default(), 2);
    let faults = |parts: Parts| Policy::new(parts).unwrap_err();
    assert_eq!(faults(parts(vec![])), [Fault::NoRule]);
    assert_eq!(faults(parts(vec![rule(up_to(1), 1)])), [Fault::LastRuleHasCondition]);
    assert_eq!(faults(parts(vec![last(), last()])), [Fault::RuleUnreachable(1)]);
    assert_eq!(faults(parts(vec![rule(up_to(9), 1), rule(up_to(9), 2), last()])), [Fault::RuleUnreachable(1)]);
    let both = vec![rule(bound(Device::Bound), 1), rule(bound(Device::None), 2), last()];
    assert_eq!(faults(parts(both)), [Fault::RuleUnreachable(2)], "two rules cover it together");
    assert_eq!(
        faults(parts(vec![rule(low_value.clone(), 1), last()])),
        [Fault::RuleUnreachable(0)],
        "nothing is small"
    );
    let over =
        Condition { low_value: true, ..Condition { amount_up_to: vec![money("USD", 9)], ..Condition::default() } };
    let of_twd = |rules| Parts { low_value: vec![small()], ..parts(rules) };
    assert_eq!(faults(of_twd(vec![rule(over, 1), last()])), [Fault::RuleUnreachable(0)], "nothing in USD is small");
    assert_eq!(faults(of_twd(vec![last()])), [Fault::LowValueUnused]);
    let passwords = |rules| Parts { offered: vec![Knowledge], ..parts(rules) };
    assert_eq!(faults(passwords(vec![rule(up_to(9), 1), last()])), [Fault::RuleOutOfReach(1)]);
    let sign_in = Parts { sign_in: Requirement::kinds(2), ..passwords(vec![rule(Condition::default(), 1)]) };
    assert_eq!(faults(sign_in), [Fault::SignInOutOfReach]);
    let of_device = |rule: Rule| Parts { offered: vec![Knowledge, Passkey], ..parts(vec![rule, last()]) };
    assert_eq!(faults(of_device(rule(bound(Device::Bound), 1))), [Fault::RuleUnreachable(0)], "no device can be bound");
    let consent = Rule { when: up_to(9), demand: Demand { consent: true, ..Demand::kinds(1) } };
    assert_eq!(faults(of_device(consent)), [Fault::ConsentOutOfReach(0)]);
    assert_eq!(faults(Parts { offered: vec![], ..parts(vec![last()]) }), [Fault::NothingOffered]);
    assert!(Policy::new(of_twd(vec![rule(low_value, 1), last()])).is_ok());
    assert!(Policy::new(parts(vec![rule(up_to(9), 1), rule(up_to(10), 2), last()])).is_ok());
}

/// Small worlds of conditions, in which every payment can be tried.
fn conditions() -> impl Strategy<Value = Condition> {
    let currencies = prop::sample::subsequence(vec!["TWD", "USD"], 0..=2);
    let amounts = (currencies, prop::collection::vec(1i64..4, 2));
    let categories = prop::sample::subsequence(vec!["5942", "7995"], 0..=2);
    let device = prop::option::of(prop_oneof![Just(Device::Bound), Just(Device::None)]);
    (amounts, categories, device, any::<bool>()).prop_map(|((currencies, units), categories, device, low_value)| {
        Condition {
            amount_up_to: currencies.iter().zip(units).map(|(currency, units)| money(currency, units)).collect(),
            categories: categories.into_iter().map(code).collect(),
            device,
            low_value,
        }
    })
}

proptest! {
    /// A rule is called unreachable exactly if none of all payments reaches it.
    #[test]
    fn reach_is_what_trying_every_payment_finds(
        whens in prop::collection::vec(conditions(), 1..6),
        max in 1i64..4,
    ) {
        let rules: Vec<Rule> = whens.into_iter().map(|when| rule(when, 1)).collect();
        let limits = [Limits { amount_max: money("TWD", max), sum_max: money("TWD", 9), count_max: 2 }];
        let used = Tally::default().with(money("TWD", 1)).unwrap().with(money("TWD", 1)).unwrap();
        let mut reached = vec![false; rules.len()];
        for currency in ["TWD", "USD", "EUR"] {
            for units in 1..6 {
                for category in ["5942", "7995", "5999"] {
                    for device in [Device::Bound, Device::None] {
                        for tally in [&Tally::default(), &used] {
                            let payment = Payment { amount: money(currency, units), category: code(category), device, tally };
                            if let Some(place) = rules.iter().position(|rule| rule.when.fits(&payment, &limits)) {
                                reached[place] = true;
                            }
                        }
                    }
                }
            }
        }
        let expected: Vec<usize> = (0..rules.len()).filter(|place| !reached[*place]).collect();
        prop_assert_eq!(reach::unreached(&rules, &limits, true).collect::<Vec<_>>(), expected);
    }

    /// Whoever proves one of the missing factors after the other comes to an end, and pays.
    #[test]
    fn stepping_up_ends_in_paying(
        proved in prop::sample::subsequence(FACTORS.to_vec(), 0..=4),
        offered in prop::sample::subsequence(FACTORS.to_vec(), 1..=4),
        kinds in 1usize..4,
        choice in 0usize..4,
    ) {
        let requirement = Requirement::kinds(kinds);
        prop_assume!(requirement.is_within_reach(&offered));
        let mut proved = proved;
        for _ in 0..FACTORS.len() {
            let missing = requirement.missing(&proved, &offered);
            prop_assert_eq!(missing.is_empty(), proto::authorization::kinds(&proved) >= kinds);
            prop_assert!(missing.iter().all(|factor| offered.contains(factor) && !proved.contains(factor)));
            let Some(next) = missing.get(choice % missing.len().max(1)) else { break };
            proved.push(*next);
        }
        prop_assert!(requirement.is_met(&proved));
    }
}
