//! Money: whole minor units of one currency, checked arithmetic, never a float.

use std::{fmt, str::FromStr};

use crate::{
    fields::{Fields, Invalid},
    pb, require,
};

/// The largest amount that the contracts carry: ten billion units of a two-decimal currency. Far
/// above any payment, and far enough below the end of `i64` that sums of thousands can't overflow.
pub const MINOR_UNITS_MAX: i64 = 1_000_000_000_000;

/// A currency by its ISO 4217 alphabetic code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(Row);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    code: &'static str,
    decimals: u8,
}

/// The currencies that the network knows, with the decimals of their minor unit (ISO 4217).
const CURRENCIES: [(&str, u8); 16] = [
    ("AUD", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CNY", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("HKD", 2),
    ("JPY", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("NZD", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("THB", 2),
    ("TWD", 2),
    ("USD", 2),
];

/// A text that is not a currency code of the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the ISO 4217 code of a currency that the network knows, three capital letters, for example \"TWD\"")]
pub struct UnknownCurrency;

impl Currency {
    /// The ISO 4217 alphabetic code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0.code
    }

    /// How many decimals the minor unit has.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        self.0.decimals
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let row = CURRENCIES.iter().find(|(code, _)| *code == text).ok_or(UnknownCurrency)?;
        Ok(Self(Row { code: row.0, decimals: row.1 }))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of zero or more, at most [`MINOR_UNITS_MAX`], in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    currency: Currency,
    minor_units: i64,
}

/// Arithmetic that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The amounts are in two currencies.
    #[error("the amounts are in different currencies")]
    CurrencyMismatch,
    /// The amount would be below zero or above the largest.
    #[error("must be an amount of 0 to 1000000000000 minor units")]
    OutOfRange,
}

impl Money {
    /// An amount of zero or more.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] below zero and above [`MINOR_UNITS_MAX`].
    pub fn new(currency: Currency, minor_units: i64) -> Result<Self, MoneyError> {
        if (0..=MINOR_UNITS_MAX).contains(&minor_units) {
            Ok(Self { currency, minor_units })
        } else {
            Err(MoneyError::OutOfRange)
        }
    }

    /// Nothing, in this currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { currency, minor_units: 0 }
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError`] for two currencies or a sum above the largest amount.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        let units = self.minor_units.checked_add(other.same_currency(self)?).ok_or(MoneyError::OutOfRange)?;
        Self::new(self.currency, units)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError`] for two currencies or a difference below zero.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let units = self.minor_units.checked_sub(other.same_currency(self)?).ok_or(MoneyError::OutOfRange)?;
        Self::new(self.currency, units)
    }

    /// The amount so many times.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] above the largest amount.
    pub fn checked_mul(self, times: u32) -> Result<Self, MoneyError> {
        let units = self.minor_units.checked_mul(i64::from(times)).ok_or(MoneyError::OutOfRange)?;
        Self::new(self.currency, units)
    }

    /// A received amount of zero or more.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Money) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let currency = fields.text::<Currency>("currency_code", &pb.currency_code);
        let in_range = (0..=MINOR_UNITS_MAX).contains(&pb.minor_units);
        fields.check("minor_units", in_range, "must be 0 to 1000000000000");
        require!(fields; currency);
        Ok(Self { currency, minor_units: pb.minor_units })
    }

    /// A received amount that is to be paid: more than zero.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse_positive(pb: pb::Money) -> Result<Self, Invalid> {
        let money = Self::parse(pb)?;
        if money.minor_units == 0 { Err(Invalid::field("minor_units", "must be more than zero")) } else { Ok(money) }
    }

    /// The amount as a message.
    #[must_use]
    pub fn to_pb(self) -> pb::Money {
        pb::Money { currency_code: self.currency.code().to_owned(), minor_units: self.minor_units }
    }

    fn same_currency(self, other: Self) -> Result<i64, MoneyError> {
        if self.currency == other.currency { Ok(self.minor_units) } else { Err(MoneyError::CurrencyMismatch) }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.currency.decimals());
        let digits = format!("{:0>width$}", self.minor_units, width = decimals + 1);
        let (units, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals == 0 { "" } else { "." };
        write!(f, "{} {units}{point}{fraction}", self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn money(code: &str, units: i64) -> Money {
        Money::new(code.parse().unwrap(), units).unwrap()
    }

    #[test]
    fn is_printed_with_the_currencys_decimals() {
        assert_eq!(money("TWD", 129_900).to_string(), "TWD 1299.00");
        assert_eq!(money("USD", 5).to_string(), "USD 0.05");
        assert_eq!(money("JPY", 1200).to_string(), "JPY 1200");
        assert_eq!(money("KWD", 1).to_string(), "KWD 0.001");
    }

    #[test]
    fn two_currencies_do_not_mix() {
        assert_eq!(money("TWD", 1).checked_add(money("USD", 1)), Err(MoneyError::CurrencyMismatch));
        assert_eq!(money("TWD", 1).checked_sub(money("USD", 1)), Err(MoneyError::CurrencyMismatch));
    }

    #[test]
    fn a_wrong_amount_names_its_field() {
        let parse =
            |code: &str, minor_units| Money::parse_positive(pb::Money { currency_code: code.into(), minor_units });
        for (code, units, path) in [
            ("twd", 1, "currency_code"),
            ("XXX", 1, "currency_code"),
            ("TWD", 0, "minor_units"),
            ("TWD", -1, "minor_units"),
            ("TWD", i64::MAX, "minor_units"),
        ] {
            assert_eq!(parse(code, units).unwrap_err().violations[0].path, path);
        }
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(a in 0..=MINOR_UNITS_MAX, b in 0..=MINOR_UNITS_MAX) {
            let (a, b) = (money("TWD", a), money("TWD", b));
            match a.checked_add(b) {
                Ok(sum) => prop_assert_eq!(sum.checked_sub(b), Ok(a)),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::OutOfRange);
                    prop_assert!(a.minor_units() + b.minor_units() > MINOR_UNITS_MAX);
                }
            }
        }

        #[test]
        fn the_wire_carries_it_unchanged(units in 0..=MINOR_UNITS_MAX) {
            let amount = money("TWD", units);
            prop_assert_eq!(Money::parse(amount.to_pb()), Ok(amount));
        }
    }
}
