//! What the table says, from its text alone: these tests read the same text by another way and judge by the
//! definition of the kinds of proof.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proto::money::Money;
use toml::{Table, Value};

use super::*;
use crate::domain::{
    low_value::Tally,
    policy::{Device, Payment},
};

fn read(text: &str) -> PolicyConfig {
    toml::from_str(text).unwrap()
}

fn policy(text: &str) -> Policy {
    read(text).policy(true).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn money(code: &str, units: i64) -> Money {
    Money::new(code.parse().unwrap(), units).unwrap()
}

/// All sixteen combinations of the four names.
fn combinations() -> Vec<BTreeSet<&'static str>> {
    let names = ["knowledge", "possession", "passkey", "inherence"];
    let subset = |bits: u8| (0..4).filter(|place| bits & (1 << place) != 0).map(|place| names[place]).collect();
    (0..16).map(subset).collect()
}

fn factors(names: &BTreeSet<&str>) -> Vec<Factor> {
    names.iter().map(|name| factor(name).unwrap()).collect()
}

/// How many kinds these prove: knowledge, possession and inherence are one each; a passkey is a possession
/// and something else, of which nobody is told what.
fn kinds_of(names: &BTreeSet<&str>) -> i64 {
    let knows = i64::from(names.contains("knowledge"));
    let is = i64::from(names.contains("inherence"));
    let has_device = i64::from(names.contains("possession"));
    if names.contains("passkey") { (knows + is + 1).max(2) } else { knows + is + has_device }
}

/// Whether a demand as it is written is met.
fn is_met(demand: &Table, proved: &BTreeSet<&str>) -> bool {
    match (demand.get("kinds"), demand.get("one_of")) {
        (Some(kinds), None) => kinds_of(proved) >= kinds.as_integer().unwrap(),
        (None, Some(Value::Array(combinations))) => combinations.iter().any(|combination| {
            combination.as_array().unwrap().iter().all(|name| proved.contains(name.as_str().unwrap()))
        }),
        other => panic!("{other:?}"),
    }
}

/// Whether a rule as it is written is for a payment; small payments apart.
fn fits(rule: &Table, currency: &str, units: i64, category: &str, bound: bool) -> bool {
    let amount =
        rule.get("amount_up_to").is_none_or(|amounts| {
            amounts.as_array().unwrap().iter().any(|max| {
                max["currency"].as_str() == Some(currency) && units <= max["minor_units"].as_integer().unwrap()
            })
        });
    let category = rule
        .get("category_codes")
        .is_none_or(|codes| codes.as_array().unwrap().iter().any(|code| code.as_str() == Some(category)));
    let device = rule.get("device").is_none_or(|device| (device.as_str() == Some("bound")) == bound);
    amount && category && device
}

/// Every kind of condition and demand, alone and together.
const RULES: &str = r#"
[[rules]]
category_codes = ["7995", "6051"]
amount_up_to = [{ currency = "TWD", minor_units = 500 }]
one_of = [["passkey", "possession"], ["inherence", "possession", "knowledge"]]
consent = true
[[rules]]
category_codes = ["7995"]
kinds = 3
[[rules]]
amount_up_to = [{ currency = "TWD", minor_units = 1000 }, { currency = "USD", minor_units = 30 }]
device = "bound"
kinds = 1
[[rules]]
amount_up_to = [{ currency = "USD", minor_units = 30 }]
device = "none"
one_of = [["knowledge"], ["passkey"]]
consent = true
[[rules]]
device = "bound"
one_of = [["possession", "inherence"]]
[[rules]]
kinds = 2
"#;

#[test]
fn every_combination_of_factors_against_every_kind_of_rule() {
    let policy = policy(RULES);
    let written: Table = RULES.parse().unwrap();
    let rules: Vec<&Table> = written["rules"].as_array().unwrap().iter().map(|rule| rule.as_table().unwrap()).collect();
    let mut decided = vec![(0, 0); rules.len()];
    for (currency, units) in
        [("TWD", 1), ("TWD", 500), ("TWD", 501), ("TWD", 1000), ("TWD", 1001), ("USD", 30), ("USD", 31), ("EUR", 1)]
    {
        for category in ["5942", "6051", "7995"] {
            for bound in [true, false] {
                let place = rules.iter().position(|rule| fits(rule, currency, units, category, bound)).unwrap();
                for proved in combinations() {
                    let device = if bound { Device::Bound } else { Device::None };
                    let tally = Tally::default();
                    let category = category.parse().unwrap();
                    let payment = Payment { amount: money(currency, units), category, device, tally: &tally };
                    let verdict = policy.payment(&payment);
                    let story = format!("{currency} {units} to {category}, {device:?}, {proved:?}: rule {place}");
                    let met = is_met(rules[place], &proved);
                    assert_eq!(verdict.demand.factors.is_met(&factors(&proved)), met, "{story}");
                    assert_eq!(policy.missing(&payment, &factors(&proved)).is_empty(), met, "{story}");
                    let consent = rules[place].get("consent").is_some_and(|value| value.as_bool().unwrap());
                    assert_eq!((verdict.demand.consent, verdict.is_low_value), (consent, false), "{story}");
                    let (yes, no) = &mut decided[place];
                    *(if met { yes } else { no }) += 1;
                }
            }
        }
    }
    assert!(decided.iter().all(|(yes, no)| *yes > 0 && *no > 0), "each rule decides both ways: {decided:?}");
}

#[test]
fn the_profiles_are_what_they_say() {
    let large = money("TWD", 1_000_000);
    let small = money("TWD", 100_000);
    for (text, large_takes, small_takes) in [
        ("", 2, 2),
        ("profile = \"two_of_three\"", 2, 2),
        ("profile = \"one_factor\"", 1, 1),
        ("profile = \"psd2\"", 2, 1),
    ] {
        let policy = policy(text);
        for proved in combinations() {
            assert_eq!(policy.sign_in().is_met(&factors(&proved)), kinds_of(&proved) >= 1, "{text}: {proved:?}");
            for (amount, takes) in [(large, large_takes), (small, small_takes)] {
                for device in [Device::Bound, Device::None] {
                    let tally = Tally::default();
                    let payment = Payment { amount, category: "5942".parse().unwrap(), device, tally: &tally };
                    let met = policy.missing(&payment, &factors(&proved)).is_empty();
                    assert_eq!(met, kinds_of(&proved) >= takes, "{text}: {amount:?} by {proved:?}");
                }
            }
        }
    }
}

#[test]
fn psd2_has_the_amounts_of_the_standards_unless_others_are_named() {
    let is_small = |policy: &Policy, amount: Money, before: &[Money]| {
        let tally = before.iter().fold(Tally::default(), |tally, amount| tally.with(*amount).unwrap());
        let payment = Payment { amount, category: "5942".parse().unwrap(), device: Device::None, tally: &tally };
        policy.payment(&payment).is_low_value
    };
    let standard = policy("profile = \"psd2\"");
    let eur = |units| money("EUR", units);
    for (amount, before, small) in [
        (eur(3_000), vec![], true),
        (eur(3_001), vec![], false),
        (eur(1_000), vec![eur(3_000); 3], true),
        (eur(1_001), vec![eur(3_000); 3], false),
        (eur(1), vec![eur(1); 4], true),
        (eur(1), vec![eur(1); 5], false),
        (money("TWD", 100_000), vec![money("TWD", 100_000); 2], true),
        (money("TWD", 100_001), vec![], false),
        (money("TWD", 50_001), vec![money("TWD", 100_000); 3], false),
        (money("USD", 3_000), vec![], true),
        (money("JPY", 1), vec![], false),
    ] {
        assert_eq!(is_small(&standard, amount, &before), small, "{amount:?} after {before:?}");
    }
    let own = policy(
        "profile = \"psd2\"\n[[low_value]]\ncurrency = \"JPY\"\namount_max_minor_units = 3000\n\
         sum_max_minor_units = 3000\ncount_max = 1",
    );
    assert!(is_small(&own, money("JPY", 3_000), &[]) && !is_small(&own, money("JPY", 1), &[money("JPY", 1)]));
    assert!(!is_small(&own, eur(1), &[]), "the bank's own list replaces the standard one");
}

#[test]
fn what_is_offered_and_what_lets_in_can_be_narrowed() {
    let policy =
        policy("offered = [\"passkey\", \"knowledge\"]\nbind_sessions = true\nsign_in = { one_of = [[\"passkey\"]] }");
    assert_eq!(policy.offered(), [Factor::Knowledge, Factor::Passkey]);
    assert_eq!(policy.sign_in().missing(&[Factor::Knowledge], policy.offered()), [Factor::Passkey]);
    assert!(policy.bind_sessions());
}

#[test]
fn a_passkey_is_offered_where_passkeys_are_set_up() {
    let without = read("").policy(false).unwrap();
    assert_eq!(without.offered(), [Factor::Knowledge, Factor::Possession, Factor::Inherence]);
    assert!(read("").policy(true).unwrap().offered().contains(&Factor::Passkey));
    let errors = read("offered = [\"knowledge\", \"passkey\"]").validate(false);
    assert!(
        errors.iter().any(|error| error.field == "offered[1]" && error.problem.contains("`passkeys`")),
        "{errors:?}"
    );
    let errors = read("[[rules]]\none_of = [[\"passkey\"]]").validate(false);
    assert!(errors.iter().any(|error| error.field == "rules[0].one_of[0][0]"), "{errors:?}");
}

#[test]
fn wrong_factors_and_kinds_are_named_with_what_to_do() {
    let rule = |text: &str| format!("[[rules]]\n{text}\n[[rules]]\nkinds = 2");
    let cases = [
        ("offered = []".to_owned(), "offered", "at least one"),
        ("offered = [\"sms\"]".to_owned(), "offered[0]", "\"passkey\""),
        ("offered = [\"passkey\", \"passkey\"]".to_owned(), "offered[1]", "remove one"),
        ("offered = [\"knowledge\"]".to_owned(), "profile", "offer more"),
        (
            "offered = [\"knowledge\"]\nprofile = \"one_factor\"\nsign_in = { kinds = 2 }".to_owned(),
            "sign_in",
            "offer more",
        ),
        ("sign_in = { kinds = 0 }".to_owned(), "sign_in.kinds", "1 to 3"),
        ("sign_in = { one_of = [[\"sms\"]] }".to_owned(), "sign_in.one_of[0][0]", "\"knowledge\""),
        (format!("profile = \"psd2\"\n{}", rule("low_value = true\nkinds = 1")), "profile", "left out"),
        (rule(""), "rules[0]", "exactly one"),
        (rule("kinds = 1\none_of = [[\"passkey\"]]"), "rules[0]", "exactly one"),
        (rule("device = \"bound\"\nkinds = 4"), "rules[0].kinds", "1 to 3"),
        (rule("device = \"bound\"\none_of = []"), "rules[0].one_of", "at least one"),
        (rule("device = \"bound\"\none_of = [[]]"), "rules[0].one_of[0]", "at least one"),
        (rule("device = \"bound\"\none_of = [[\"passkey\", \"otp\"]]"), "rules[0].one_of[0][1]", "must be one of"),
        (rule("device = \"bound\"\none_of = [[\"passkey\", \"passkey\"]]"), "rules[0].one_of[0][1]", "remove one"),
    ];
    each_is_named(&cases);
}

#[test]
fn wrong_conditions_and_limits_are_named_with_what_to_do() {
    let rule = |text: &str| format!("[[rules]]\n{text}\n[[rules]]\nkinds = 2");
    let cases = [
        (
            format!(
                "offered = [\"knowledge\", \"possession\"]\n{}",
                rule("device = \"none\"\none_of = [[\"passkey\"]]")
            ),
            "rules[0].one_of[0][0]",
            "offered",
        ),
        (rule("category_codes = [\"594\"]\nkinds = 1"), "rules[0].category_codes[0]", "ISO 18245"),
        (
            rule("amount_up_to = [{ currency = \"TWD\", minor_units = 0 }]\nkinds = 1"),
            "rules[0].amount_up_to[0].minor_units",
            "1 to",
        ),
        (
            rule(
                "amount_up_to = [{ currency = \"TWD\", minor_units = 1 }, { currency = \"TWD\", minor_units = 2 }]\nkinds = 1",
            ),
            "rules[0].amount_up_to[1].currency",
            "TWD",
        ),
        ("[[rules]]\ndevice = \"bound\"\nkinds = 1".to_owned(), "rules[0]", "no condition"),
        (rule("kinds = 1"), "rules[1]", "never reached"),
        (
            "offered = [\"passkey\"]\nrules = [{ kinds = 2, consent = true }]".to_owned(),
            "rules[0].consent",
            "needs bound devices",
        ),
        (rule("low_value = true\nkinds = 1"), "rules[0]", "never reached"),
        (
            format!(
                "{}\n[[low_value]]\ncurrency = \"EUR\"\namount_max_minor_units = 5\nsum_max_minor_units = 4\ncount_max = 0",
                rule("low_value = true\nkinds = 1")
            ),
            "low_value[0].sum_max_minor_units",
            "at least `amount_max_minor_units`",
        ),
        (
            "[[low_value]]\ncurrency = \"EUR\"\namount_max_minor_units = 5\nsum_max_minor_units = 5\ncount_max = 1"
                .to_owned(),
            "low_value",
            "no effect",
        ),
    ];
    each_is_named(&cases);
}

/// Each text has a fault at the field, and is told what to do about it.
fn each_is_named(cases: &[(String, &str, &str)]) {
    for (text, field, advice) in cases {
        let errors = read(text).validate(true);
        assert!(
            errors.iter().any(|error| error.field == *field && error.problem.contains(advice)),
            "{text}\nexpected {field}: …{advice}…, got {errors:?}"
        );
    }
}

/// The sample's examples, which are indented behind their "#", are rules that work, and its small payments are
/// those that the profile has by itself.
#[test]
fn the_samples_examples_work() {
    let sample = include_str!("../../../issuer.sample.toml");
    let (_, from) = sample.split_once("\n[policy]\n").unwrap();
    let table = from.split("\n\n").next().unwrap();
    let plain = read(table);
    assert_eq!((plain.profile, plain.policy(false).is_ok()), (Some(Profile::TwoOfThree), true));
    let example = |line: &str| line.strip_prefix("#   ").unwrap_or(line).replace("policy.", "");
    let opened: Vec<String> = table.lines().filter(|line| !line.starts_with("profile")).map(example).collect();
    let opened: Vec<&str> = opened.iter().map(String::as_str).filter(|line| !line.starts_with('"')).collect();
    let config = read(&opened.join("\n"));
    assert_eq!((config.rules.len(), config.low_value.len(), config.validate(true)), (4, 3, vec![]));
    let limits = config.low_value.iter().map(|limits| limits.limits().unwrap());
    assert_eq!(limits.collect::<Vec<_>>(), rules::article_16());
}

#[test]
fn fields_and_profiles_that_nobody_knows_are_refused() {
    for text in ["profile = \"psd3\"", "colour = 1", "[[rules]]\nkind = 2", "[[rules]]\ndevice = \"phone\"\nkinds = 2"]
    {
        assert!(toml::from_str::<PolicyConfig>(text).is_err(), "{text}");
    }
}
