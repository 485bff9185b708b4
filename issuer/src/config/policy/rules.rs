//! One rule, one requirement, one currency's limits.

use std::collections::BTreeSet;

use mesh::config::FieldError;
use proto::{
    authorization::Factor,
    money::{Currency, Money},
    order::CategoryCode,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::factor;
use crate::domain::{
    low_value::Limits,
    policy::{Condition, Demand, Device, Requirement, Rule},
};

/// There are three kinds of proof: what the customer knows, has and is.
const KINDS_MAX: usize = 3;
const EXACTLY_ONE: &str = "must have exactly one of `kinds` (how many of the three kinds of proof) and `one_of` (a \
                           list of combinations of factors)";
const NOT_AN_AMOUNT: &str = "must be 1 to 1000000000000 minor units";

/// What must be proved: so many kinds, or one of these combinations.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RequirementConfig {
    /// How many of the three kinds, 1 to 3. A passkey is two by itself.
    pub kinds: Option<usize>,
    /// Combinations of factors, any one of which suffices.
    pub one_of: Option<Vec<Vec<String>>>,
}

/// One rule for payments: conditions, all of which must hold, and demands.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// For payments up to and including one of these amounts, one for each currency; a payment in another
    /// currency does not fit.
    #[serde(default)]
    pub amount_up_to: Vec<AmountConfig>,
    /// For payments to merchants of these categories (ISO 18245), four digits each.
    #[serde(default)]
    pub category_codes: Vec<String>,
    /// For sessions in which a bound device proved itself, or for those in which none did.
    pub device: Option<DeviceState>,
    /// For small payments, by `low_value` and what the customer paid before.
    #[serde(default)]
    pub low_value: bool,
    /// Demands so many kinds of proof.
    pub kinds: Option<usize>,
    /// Demands one of these combinations of factors.
    pub one_of: Option<Vec<Vec<String>>>,
    /// Demands the signed consent of a bound device, also where none proved itself in the session.
    #[serde(default)]
    pub consent: bool,
}

/// An amount.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AmountConfig {
    /// The ISO 4217 code.
    #[serde(deserialize_with = "currency")]
    pub currency: Currency,
    /// The amount in minor units.
    pub minor_units: i64,
}

/// Whether a bound device proved itself in a session.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// One did.
    Bound,
    /// None did.
    None,
}

/// Which payments are small in one currency.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct LowValueConfig {
    /// The ISO 4217 code.
    #[serde(deserialize_with = "currency")]
    pub currency: Currency,
    /// The largest small payment, in minor units.
    pub amount_max_minor_units: i64,
    /// The largest sum of small payments since the last payment with two kinds of proof, in minor units.
    pub sum_max_minor_units: i64,
    /// The most small payments since then.
    pub count_max: u32,
}

/// The amounts of article 16 of the technical standards on strong customer authentication, EUR 30, EUR 100 and five
/// payments, and about the same in the currencies of the samples.
pub(super) fn article_16() -> Vec<Limits> {
    let table = [("EUR", 3_000, 10_000), ("TWD", 100_000, 350_000), ("USD", 3_000, 10_000)];
    let limits = |(code, amount_max, sum_max): (&str, i64, i64)| {
        let currency: Currency = code.parse().ok()?;
        let money = |units| Money::new(currency, units).ok();
        Some(Limits { amount_max: money(amount_max)?, sum_max: money(sum_max)?, count_max: 5 })
    };
    table.into_iter().filter_map(limits).collect()
}

impl RequirementConfig {
    /// The requirement at `field`; none where something is wrong with it.
    pub(super) fn requirement(
        &self,
        field: &str,
        offered: &[Factor],
        errors: &mut Vec<FieldError>,
    ) -> Option<Requirement> {
        match (self.kinds, &self.one_of) {
            (Some(kinds), None) if (1..=KINDS_MAX).contains(&kinds) => Some(Requirement::kinds(kinds)),
            (Some(_), None) => {
                errors.push(FieldError::new(format!("{field}.kinds"), "must be 1 to 3"));
                None
            }
            (None, Some(combinations)) => {
                Self::combinations(combinations, &format!("{field}.one_of"), offered, errors).map(Requirement::one_of)
            }
            (Some(_), Some(_)) | (None, None) => {
                errors.push(FieldError::new(field, EXACTLY_ONE));
                None
            }
        }
    }

    fn combinations(
        combinations: &[Vec<String>],
        field: &str,
        offered: &[Factor],
        errors: &mut Vec<FieldError>,
    ) -> Option<Vec<BTreeSet<Factor>>> {
        let before = errors.len();
        if combinations.is_empty() {
            errors.push(FieldError::new(field, "must have at least one combination, for example [[\"passkey\"]]"));
        }
        let mut all = Vec::new();
        for (place, combination) in combinations.iter().enumerate() {
            if combination.is_empty() {
                let problem = "must have at least one factor: nothing proved is no proof";
                errors.push(FieldError::new(format!("{field}[{place}]"), problem));
            }
            let mut factors = BTreeSet::new();
            for (position, text) in combination.iter().enumerate() {
                let problem = match factor(text) {
                    Ok(factor) if !offered.contains(&factor) => {
                        "is not offered; name it in `policy.offered` (a passkey needs the table `passkeys`), or remove it here".to_owned()
                    }
                    Ok(factor) if factors.insert(factor) => continue,
                    Ok(_) => "stands in this combination twice; remove one".to_owned(),
                    Err(problem) => problem,
                };
                errors.push(FieldError::new(format!("{field}[{place}][{position}]"), problem));
            }
            all.push(factors);
        }
        (errors.len() == before).then_some(all)
    }
}

impl RuleConfig {
    /// The rule at `field`; none where something is wrong with it.
    pub(super) fn rule(&self, field: &str, offered: &[Factor], errors: &mut Vec<FieldError>) -> Option<Rule> {
        let before = errors.len();
        let amount_up_to = self.amounts(&format!("{field}.amount_up_to"), errors);
        let mut categories: Vec<CategoryCode> = Vec::new();
        for (place, text) in self.category_codes.iter().enumerate() {
            match text.parse() {
                Ok(code) => categories.push(code),
                Err(_) => errors.push(FieldError::new(
                    format!("{field}.category_codes[{place}]"),
                    "must be the four digits of a merchant category code (ISO 18245), for example \"5942\"",
                )),
            }
        }
        let requirement = RequirementConfig { kinds: self.kinds, one_of: self.one_of.clone() };
        let factors = requirement.requirement(field, offered, errors)?;
        let device = self.device.map(|device| match device {
            DeviceState::Bound => Device::Bound,
            DeviceState::None => Device::None,
        });
        let when = Condition { amount_up_to, categories, device, low_value: self.low_value };
        let demand = Demand { factors, consent: self.consent };
        (errors.len() == before).then_some(Rule { when, demand })
    }

    fn amounts(&self, field: &str, errors: &mut Vec<FieldError>) -> Vec<Money> {
        let mut amounts: Vec<Money> = Vec::new();
        for (place, amount) in self.amount_up_to.iter().enumerate() {
            let at = format!("{field}[{place}]");
            match positive(amount.currency, amount.minor_units) {
                Some(money) if amounts.iter().any(|other| other.currency() == money.currency()) => {
                    let problem = format!("{} has an amount already; remove one", money.currency());
                    errors.push(FieldError::new(format!("{at}.currency"), problem));
                }
                Some(money) => amounts.push(money),
                None => errors.push(FieldError::new(format!("{at}.minor_units"), NOT_AN_AMOUNT)),
            }
        }
        amounts
    }
}

impl LowValueConfig {
    /// The limits; every wrong field otherwise.
    pub(super) fn limits(&self) -> Result<Limits, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut amount = |field: &str, units| {
            let amount = positive(self.currency, units);
            if amount.is_none() {
                errors.push(FieldError::new(field, NOT_AN_AMOUNT));
            }
            amount
        };
        let amount_max = amount("amount_max_minor_units", self.amount_max_minor_units);
        let sum_max = amount("sum_max_minor_units", self.sum_max_minor_units);
        if self.sum_max_minor_units < self.amount_max_minor_units {
            let problem = "must be at least `amount_max_minor_units`, or the largest small payment could never be made";
            errors.push(FieldError::new("sum_max_minor_units", problem));
        }
        if self.count_max == 0 {
            errors.push(FieldError::new("count_max", "must be at least 1; for no small payments remove the entry"));
        }
        match (amount_max, sum_max) {
            (Some(amount_max), Some(sum_max)) if errors.is_empty() => {
                Ok(Limits { amount_max, sum_max, count_max: self.count_max })
            }
            (Some(_) | None, Some(_) | None) => Err(errors),
        }
    }
}

fn positive(currency: Currency, units: i64) -> Option<Money> {
    Money::new(currency, units).ok().filter(|money| money.minor_units() > 0)
}

fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
