//! An issuer's policy, in the form that its configuration has.

use serde::Serialize;

use crate::sample::policies::{AURORA_SMALL_COUNT_MAX, AURORA_SMALL_MAX, AURORA_SMALL_SUM_MAX};
use crate::sample::{CURRENCY, policies};
use crate::topology::{Amount, Policy};

#[derive(Serialize)]
pub(super) struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    bind_sessions: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in: Option<Kinds>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    low_value: Vec<LowValue>,
}

#[derive(Serialize)]
struct Kinds {
    kinds: u32,
}

#[derive(Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    amount_up_to: Vec<Amount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    category_codes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'static str>,
    one_of: Vec<Vec<&'static str>>,
    consent: bool,
}

#[derive(Serialize)]
struct LowValue {
    currency: &'static str,
    amount_max_minor_units: i64,
    sum_max_minor_units: i64,
    count_max: u32,
}

pub(super) fn describe(policy: Policy, serves_app: bool) -> Table {
    let bind_sessions = policy.binds_sessions(serves_app);
    let plain = Table { profile: None, bind_sessions, sign_in: None, rules: Vec::new(), low_value: Vec::new() };
    match policy {
        Policy::Psd2 => Table {
            profile: Some("psd2"),
            low_value: vec![LowValue {
                currency: CURRENCY,
                amount_max_minor_units: AURORA_SMALL_MAX,
                sum_max_minor_units: AURORA_SMALL_SUM_MAX,
                count_max: AURORA_SMALL_COUNT_MAX,
            }],
            ..plain
        },
        Policy::Table => Table { rules: policies::BASALT_RULES.iter().map(rule).collect(), ..plain },
        Policy::Strict => Table { profile: Some("two_of_three"), sign_in: Some(Kinds { kinds: 2 }), ..plain },
        Policy::Any => Table { profile: Some("one_factor"), ..plain },
    }
}

fn rule(rule: &policies::Rule) -> Rule {
    let amount = |minor_units| Amount { currency: CURRENCY.to_owned(), minor_units };
    Rule {
        amount_up_to: rule.amount_max.into_iter().map(amount).collect(),
        category_codes: rule.categories.to_vec(),
        device: rule.by_device.then_some("bound"),
        one_of: rule.one_of.iter().map(|factors| factors.to_vec()).collect(),
        consent: rule.consent,
    }
}
