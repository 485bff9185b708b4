//! What the acquirer demands of the issuer's identity verification, before it takes the risk of a payment.
//!
//! The issuer decides how it verifies its customer, and answers for it. An acquirer that does not leave it at that
//! has rules of its own: the first that fits a payment decides, and a payment that fits none is judged by the
//! issuer alone.

use proto::{
    authorization::{DeclineReason, Factor, kinds},
    digest::Digest,
    money::Money,
    order::CategoryCode,
};

/// The acquirer's rules; none demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// A rule for payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For payments up to and including one of these amounts, one for each currency; empty for every amount.
    pub amount_up_to: Vec<Money>,
    /// For payments to merchants of these categories (ISO 18245); empty for every merchant.
    pub categories: Vec<CategoryCode>,
    /// What they demand.
    pub demand: Demand,
}

/// What a payment demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// How many of the three kinds of proof, at least.
    pub kinds: usize,
    /// Whether a bound device must have signed a consent.
    pub consent: bool,
}

impl Policy {
    /// A policy of these rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// What a payment of this amount to a merchant of this category demands.
    #[must_use]
    pub fn demand(&self, amount: Money, category: CategoryCode) -> Demand {
        self.rules.iter().find(|rule| rule.fits(amount, category)).map_or(Demand::default(), |rule| rule.demand)
    }
}

impl Rule {
    /// Whether it is for such a payment.
    #[must_use]
    pub fn fits(&self, amount: Money, category: CategoryCode) -> bool {
        let is_up_to = |max: &Money| max.currency() == amount.currency() && amount.minor_units() <= max.minor_units();
        (self.amount_up_to.is_empty() || self.amount_up_to.iter().any(is_up_to))
            && (self.categories.is_empty() || self.categories.contains(&category))
    }
}

impl Demand {
    /// Judges what the issuer says that the cardholder proved. The digest stands for a consent that the issuer
    /// verified and keeps; here nobody could read it.
    ///
    /// # Errors
    /// [`DeclineReason::AuthenticationInsufficient`].
    pub fn judge(self, factors: &[Factor], consent: Option<&Digest>) -> Result<(), DeclineReason> {
        if kinds(factors) >= self.kinds && (consent.is_some() || !self.consent) {
            Ok(())
        } else {
            Err(DeclineReason::AuthenticationInsufficient)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use Factor::{Inherence, Knowledge, Passkey, Possession};

    use super::*;

    fn money(code: &str, units: i64) -> Money {
        Money::new(code.parse().unwrap(), units).unwrap()
    }

    #[test]
    fn each_combination_against_each_demand() {
        let combinations: [(&[Factor], usize); 9] = [
            (&[], 0),
            (&[Knowledge], 1),
            (&[Possession], 1),
            (&[Inherence], 1),
            (&[Passkey], 2),
            (&[Knowledge, Passkey], 2),
            (&[Knowledge, Possession], 2),
            (&[Inherence, Possession], 2),
            (&[Knowledge, Inherence, Possession], 3),
        ];
        let digest = Digest::of(b"a consent");
        for (factors, proved) in combinations {
            for demanded in 0..=3 {
                for demands_consent in [false, true] {
                    for consent in [None, Some(&digest)] {
                        let demand = Demand { kinds: demanded, consent: demands_consent };
                        let suffices = proved >= demanded && (!demands_consent || consent.is_some());
                        let expected = if suffices { Ok(()) } else { Err(DeclineReason::AuthenticationInsufficient) };
                        assert_eq!(demand.judge(factors, consent), expected, "{demand:?}, {factors:?}, {consent:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_without_one_nothing_is_demanded() {
        let rule = |amount_up_to: Vec<Money>, categories: &[&str], kinds, consent| Rule {
            amount_up_to,
            categories: categories.iter().map(|code| code.parse().unwrap()).collect(),
            demand: Demand { kinds, consent },
        };
        let policy = Policy::new(vec![
            rule(vec![], &["7995", "6051"], 2, true),
            rule(vec![money("TWD", 1_000), money("USD", 30)], &[], 1, false),
            rule(vec![money("TWD", 5_000)], &["5942"], 2, false),
            rule(vec![money("TWD", 9_000), money("EUR", 1)], &[], 3, true),
        ]);
        let cases = [
            (money("TWD", 1), "7995", 2, true),
            (money("EUR", 9), "6051", 2, true),
            (money("TWD", 1_000), "5942", 1, false),
            (money("TWD", 1_001), "5942", 2, false),
            (money("TWD", 1_001), "5999", 3, true),
            (money("TWD", 5_001), "5942", 3, true),
            (money("USD", 30), "5942", 1, false),
            (money("USD", 31), "5942", 0, false),
            (money("EUR", 1), "5942", 3, true),
            (money("TWD", 9_001), "5942", 0, false),
        ];
        for (amount, category, kinds, consent) in cases {
            assert_eq!(
                policy.demand(amount, category.parse().unwrap()),
                Demand { kinds, consent },
                "{amount:?} {category}"
            );
        }
        assert_eq!(Policy::default().demand(money("TWD", 1), "5942".parse().unwrap()), Demand::default());
    }
}
