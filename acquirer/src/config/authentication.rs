//! The table `authentication`: what the acquirer demands of the issuers' identity verification.

use mesh::config::FieldError;
use proto::{
    money::{Currency, Money},
    order::CategoryCode,
};
use serde::Deserialize;

use super::from_text;
use crate::domain::authentication::{Demand, Policy, Rule};

/// There are three kinds of proof: what the cardholder knows, has and is.
const KINDS_MAX: usize = 3;

/// The acquirer's own rules. Default: none, so that the issuer alone decides.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticationConfig {
    /// The rules. The first that fits a payment decides; one that fits none is left to the issuer.
    pub rules: Vec<AuthenticationRule>,
}

/// A rule: conditions, all of which must hold, and demands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticationRule {
    /// For payments up to and including one of these amounts, one for each currency; a payment in another
    /// currency does not fit.
    pub amount_up_to: Vec<AmountConfig>,
    /// For payments to merchants of these categories (ISO 18245), four digits each.
    pub category_codes: Vec<String>,
    /// Demands so many kinds of proof, 0 to 3. Default 0.
    pub kinds: usize,
    /// Demands a consent that a bound device signed. Default: no.
    pub consent: bool,
}

/// An amount.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AmountConfig {
    /// The ISO 4217 code.
    #[serde(deserialize_with = "from_text")]
    pub currency: Currency,
    /// The amount in minor units.
    pub minor_units: i64,
}

impl AuthenticationConfig {
    /// Every field that can't be used.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        self.policy().err().unwrap_or_default()
    }

    /// The rules as the domain knows them.
    ///
    /// # Errors
    /// Every field that can't be used.
    pub fn policy(&self) -> Result<Policy, Vec<FieldError>> {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        for (place, config) in self.rules.iter().enumerate() {
            let field = format!("rules[{place}]");
            let rule = config.rule(&field, &mut errors);
            if let Some(earlier) = rules.iter().position(|earlier| covers(earlier, &rule)) {
                let problem = format!(
                    "is never reached, because rules[{earlier}] fits every payment that it is for; move it up, change \
                     its conditions, or remove it"
                );
                errors.push(FieldError::new(field, problem));
            }
            rules.push(rule);
        }
        if errors.is_empty() { Ok(Policy::new(rules)) } else { Err(errors) }
    }
}

impl AuthenticationRule {
    /// The rule at `field`, as far as it can be read.
    fn rule(&self, field: &str, errors: &mut Vec<FieldError>) -> Rule {
        if self.kinds > KINDS_MAX {
            errors.push(FieldError::new(format!("{field}.kinds"), "must be 0 to 3"));
        }
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
        let mut amount_up_to: Vec<Money> = Vec::new();
        for (place, amount) in self.amount_up_to.iter().enumerate() {
            let at = format!("{field}.amount_up_to[{place}]");
            match Money::new(amount.currency, amount.minor_units).ok().filter(|money| money.minor_units() > 0) {
                Some(money) if amount_up_to.iter().any(|other| other.currency() == money.currency()) => {
                    let problem = format!("{} has an amount already; remove one", money.currency());
                    errors.push(FieldError::new(format!("{at}.currency"), problem));
                }
                Some(money) => amount_up_to.push(money),
                None => {
                    errors.push(FieldError::new(format!("{at}.minor_units"), "must be 1 to 1000000000000 minor units"));
                }
            }
        }
        Rule { amount_up_to, categories, demand: Demand { kinds: self.kinds, consent: self.consent } }
    }
}

/// Whether every payment that the later rule is for fits the earlier one.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let reaches = |max: &Money| {
        earlier
            .amount_up_to
            .iter()
            .any(|own| own.currency() == max.currency() && own.minor_units() >= max.minor_units())
    };
    let amounts =
        earlier.amount_up_to.is_empty() || (!later.amount_up_to.is_empty() && later.amount_up_to.iter().all(reaches));
    let categories = earlier.categories.is_empty()
        || (!later.categories.is_empty() && later.categories.iter().all(|code| earlier.categories.contains(code)));
    amounts && categories
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> AuthenticationConfig {
        toml::from_str(text).unwrap()
    }

    fn money(code: &str, units: i64) -> Money {
        Money::new(code.parse().unwrap(), units).unwrap()
    }

    #[test]
    fn rules_are_read_in_their_order() {
        let policy = read(
            r#"
            [[rules]]
            category_codes = ["7995"]
            kinds = 2
            consent = true
            [[rules]]
            amount_up_to = [{ currency = "TWD", minor_units = 300000 }]
            [[rules]]
            kinds = 2
            "#,
        )
        .policy()
        .unwrap();
        let demand = |amount, category: &str| policy.demand(amount, category.parse().unwrap());
        assert_eq!(demand(money("TWD", 1), "7995"), Demand { kinds: 2, consent: true });
        assert_eq!(demand(money("TWD", 300_000), "5942"), Demand::default());
        assert_eq!(demand(money("TWD", 300_001), "5942"), Demand { kinds: 2, consent: false });
        assert_eq!(demand(money("USD", 1), "5942"), Demand { kinds: 2, consent: false });
        assert_eq!(read("").policy().unwrap(), Policy::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let twd = |units: i64| format!("{{ currency = \"TWD\", minor_units = {units} }}");
        let cases = [
            ("[[rules]]\nkinds = 4".to_owned(), "rules[0].kinds"),
            ("[[rules]]\ncategory_codes = [\"5942\", \"x\"]".to_owned(), "rules[0].category_codes[1]"),
            (format!("[[rules]]\namount_up_to = [{}]", twd(0)), "rules[0].amount_up_to[0].minor_units"),
            (format!("[[rules]]\namount_up_to = [{}, {}]", twd(1), twd(2)), "rules[0].amount_up_to[1].currency"),
            ("[[rules]]\nkinds = 1\n[[rules]]\nkinds = 2".to_owned(), "rules[1]"),
            (format!("[[rules]]\namount_up_to = [{}]\n[[rules]]\namount_up_to = [{}]", twd(9), twd(9)), "rules[1]"),
            ("[[rules]]\ncategory_codes = [\"1\"]\n[[rules]]\ncategory_codes = [\"5942\"]\n[[rules]]\ncategory_codes = [\"5942\"]\nkinds = 1".to_owned(), "rules[2]"),
        ];
        for (text, field) in cases {
            let errors = read(&text).validate();
            assert!(errors.iter().any(|error| error.field == field), "{text}: {errors:?}");
        }
        let in_order =
            format!("[[rules]]\namount_up_to = [{}]\n[[rules]]\namount_up_to = [{}]\n[[rules]]", twd(9), twd(10));
        assert_eq!(read(&in_order).validate(), []);
        assert!(toml::from_str::<AuthenticationConfig>("[[rules]]\nkind = 2").is_err());
    }
}
