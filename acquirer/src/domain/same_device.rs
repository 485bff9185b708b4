//! Which payments must come from the device that opened the payment page.

use proto::money::Money;

/// The amounts above which they must, one for each currency; a currency without one has no such payments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SameDevice {
    above: Vec<Money>,
}

impl SameDevice {
    /// Above these amounts.
    #[must_use]
    pub fn new(above: Vec<Money>) -> Self {
        Self { above }
    }

    /// Whether there are any such payments.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.above.is_empty()
    }

    /// Whether a payment of this amount is one. One of exactly the limit is not.
    #[must_use]
    pub fn applies(&self, amount: Money) -> bool {
        let is_above =
            |limit: &Money| limit.currency() == amount.currency() && amount.minor_units() > limit.minor_units();
        self.above.iter().any(is_above)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn money(code: &str, units: i64) -> Money {
        Money::new(code.parse().unwrap(), units).unwrap()
    }

    #[test]
    fn only_what_is_above_its_currencys_limit() {
        let rule = SameDevice::new(vec![money("TWD", 500_000), money("USD", 15_000)]);
        for (amount, applies) in [
            (money("TWD", 499_999), false),
            (money("TWD", 500_000), false),
            (money("TWD", 500_001), true),
            (money("USD", 15_000), false),
            (money("USD", 15_001), true),
            (money("JPY", 500_001), false),
        ] {
            assert_eq!(rule.applies(amount), applies, "{amount}");
            assert!(!SameDevice::default().applies(amount));
        }
        assert!(rule.is_on() && !SameDevice::default().is_on());
    }
}
