//! What a merchant may take, and where its shoppers may be sent.

use std::{
    collections::BTreeMap,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use proto::{
    link::WebAddress,
    money::{Currency, Money, MoneyError},
    order::Merchant,
};

/// A merchant as the acquirer has taken it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What stands in its orders.
    pub merchant: Merchant,
    /// What it may take, per currency.
    pub terms: Terms,
    /// Where its shoppers may be sent afterwards.
    pub return_urls: Vec<ReturnPrefix>,
    /// Where it hears of its orders; none where it follows them by itself.
    pub notification: Option<WebAddress>,
}

/// What a merchant may take. A currency that is absent is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(BTreeMap<Currency, Limits>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    order_max: Money,
    day_max: Option<Money>,
}

impl Terms {
    /// Adds a currency: the largest order, and the most in one day (UTC) where there is such a limit.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] for limits in two currencies.
    pub fn allow(&mut self, order_max: Money, day_max: Option<Money>) -> Result<(), MoneyError> {
        if day_max.is_some_and(|day_max| day_max.currency() != order_max.currency()) {
            return Err(MoneyError::CurrencyMismatch);
        }
        self.0.insert(order_max.currency(), Limits { order_max, day_max });
        Ok(())
    }

    /// Whether one order may be for this amount.
    #[must_use]
    pub fn allow_order(&self, amount: Money) -> bool {
        self.0.get(&amount.currency()).is_some_and(|limits| amount.minor_units() <= limits.order_max.minor_units())
    }

    /// The most in one day, where there is such a limit.
    #[must_use]
    pub fn day_max(&self, currency: Currency) -> Option<Money> {
        self.0.get(&currency).and_then(|limits| limits.day_max)
    }
}

/// A calendar day in UTC, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub u32);

impl Day {
    /// The day of a time.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self(u32::try_from(seconds / 86_400).unwrap_or(u32::MAX))
    }
}

/// What a merchant has taken in one day: the sum of its approved orders and of those under way, whose
/// amount is given back if they are declined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<Currency, Money>);

impl Totals {
    /// Takes an amount up, if the total then stays at or below `max`.
    ///
    /// # Errors
    /// [`OverLimit`]; nothing is taken up.
    pub fn take_up(&mut self, amount: Money, max: Money) -> Result<(), OverLimit> {
        let taken = self.taken(amount.currency()).checked_add(amount).map_err(|_| OverLimit)?;
        if max.currency() != amount.currency() || taken.minor_units() > max.minor_units() {
            return Err(OverLimit);
        }
        self.0.insert(amount.currency(), taken);
        Ok(())
    }

    /// Gives an amount back that was taken up before.
    ///
    /// # Errors
    /// [`MoneyError`] for more than was taken up.
    pub fn give_back(&mut self, amount: Money) -> Result<(), MoneyError> {
        let left = self.taken(amount.currency()).checked_sub(amount)?;
        self.0.insert(amount.currency(), left);
        Ok(())
    }

    /// What is taken up in a currency.
    #[must_use]
    pub fn taken(&self, currency: Currency) -> Money {
        self.0.get(&currency).copied().unwrap_or(Money::zero(currency))
    }

    /// The sum of each currency.
    pub fn sums(&self) -> impl Iterator<Item = Money> {
        self.0.values().copied()
    }
}

impl FromIterator<Money> for Totals {
    fn from_iter<I: IntoIterator<Item = Money>>(sums: I) -> Self {
        Self(sums.into_iter().map(|sum| (sum.currency(), sum)).collect())
    }
}

/// The amount is over the merchant's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount is over the merchant's limit")]
pub struct OverLimit;

/// The beginning of allowed return addresses. It matches up to a boundary: `https://shop.example/done`
/// allows `https://shop.example/done/1` and `https://shop.example/done?x`, not `https://shop.example/donee`
/// and never another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPrefix(WebAddress);

impl ReturnPrefix {
    /// A prefix: an https address without query.
    ///
    /// # Errors
    /// [`NotAPrefix`].
    pub fn new(address: WebAddress) -> Result<Self, NotAPrefix> {
        let text = address.as_str();
        if text.contains('?') || has_dot_segment(text) { Err(NotAPrefix) } else { Ok(Self(address)) }
    }

    /// Whether an address begins with this prefix, at a boundary.
    #[must_use]
    pub fn allows(&self, address: &WebAddress) -> bool {
        let Some(rest) = address.as_str().strip_prefix(self.0.as_str()) else { return false };
        let at_boundary = rest.is_empty() || self.0.as_str().ends_with('/') || rest.starts_with(['/', '?']);
        // A browser resolves "a/../b" before it goes there, so that it could leave the prefix.
        at_boundary && !has_dot_segment(address.as_str())
    }
}

impl fmt::Display for ReturnPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An address that can't be a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address without query and without \"..\"")]
pub struct NotAPrefix;

fn has_dot_segment(address: &str) -> bool {
    let path = address.split('?').next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    path.contains('\\') || path.contains("%5c") || path.split('/').any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn twd(units: i64) -> Money {
        Money::new("TWD".parse().unwrap(), units).unwrap()
    }

    #[test]
    fn a_return_address_must_begin_with_the_prefix_up_to_a_boundary() {
        let allows = |prefix: &str, address: &str| {
            ReturnPrefix::new(prefix.parse().unwrap()).unwrap().allows(&address.parse().unwrap())
        };
        for (prefix, address) in [
            ("https://shop.example/done", "https://shop.example/done"),
            ("https://shop.example/done", "https://shop.example/done/1"),
            ("https://shop.example/done", "https://shop.example/done?order=1"),
            ("https://shop.example/", "https://shop.example/anything"),
            ("https://shop.example", "https://shop.example/anything"),
        ] {
            assert!(allows(prefix, address), "{prefix} {address}");
        }
        for (prefix, address) in [
            ("https://shop.example/done", "https://shop.example/donee"),
            ("https://shop.example/done", "https://shop.example/"),
            ("https://shop.example/done", "https://shop.example/done/../evil"),
            ("https://shop.example/done", "https://shop.example/done/%2E%2e/evil"),
            ("https://shop.example/done", "https://shop.example/done/./"),
            ("https://shop.example/done", "https://shop.example/done/..\\evil"),
            ("https://shop.example/done", "https://shop.example/done/..%5Cevil"),
            ("https://shop.example", "https://shop.example.evil.example/"),
            ("https://shop.example", "https://shop.example:8443/"),
            ("https://shop.example", "http://localhost/"),
        ] {
            assert!(!allows(prefix, address), "{prefix} {address}");
        }
        for bad in ["https://shop.example/?x", "https://shop.example/a/../b", "https://shop.example/a/.."] {
            assert_eq!(ReturnPrefix::new(bad.parse().unwrap()), Err(NotAPrefix), "{bad}");
        }
    }

    #[test]
    fn a_day_takes_up_to_its_limit_and_gives_back_what_it_took() {
        let mut totals = Totals::default();
        totals.take_up(twd(60), twd(100)).unwrap();
        assert_eq!(totals.take_up(twd(41), twd(100)), Err(OverLimit));
        totals.take_up(twd(40), twd(100)).unwrap();
        let usd = Money::new("USD".parse().unwrap(), 1).unwrap();
        assert_eq!(totals.take_up(usd, twd(100)), Err(OverLimit), "a limit in another currency allows nothing");
        assert_eq!(totals.taken(twd(0).currency()), twd(100));
        totals.give_back(twd(60)).unwrap();
        assert_eq!(totals.give_back(twd(41)), Err(MoneyError::OutOfRange));
        assert_eq!(totals.sums().collect::<Vec<_>>(), [twd(40)]);
    }

    #[test]
    fn a_currency_without_terms_is_not_allowed() {
        let mut terms = Terms::default();
        terms.allow(twd(500), None).unwrap();
        assert!(terms.allow_order(twd(500)) && !terms.allow_order(twd(501)));
        let usd = Money::new("USD".parse().unwrap(), 1).unwrap();
        assert!(!terms.allow_order(usd));
        assert_eq!(terms.allow(usd, Some(twd(500))), Err(MoneyError::CurrencyMismatch));
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(Day::of(UNIX_EPOCH + Duration::from_secs(86_399)), Day(0));
        assert_eq!(Day::of(UNIX_EPOCH + Duration::from_secs(86_400)), Day(1));
    }
}
