//! How long what is finished is kept.

use std::time::Duration;

use mesh::config::{FieldError, Period};
use proto::order::ORDER_LIFE_MAX;
use serde::Deserialize;

use crate::{
    domain::{authorization::RETENTION, retention::Periods},
    outbox::TRY_FOR,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Orders are never kept less than this: the longest life of an order, and the day that it may end in.
const ORDERS_MIN: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Results are never kept less than this beyond their orders: an issuer's operator has a month to ask.
const RESULTS_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Parked notifications are never kept less than this: an operator has a week to have them delivered.
const PARKED_MIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long what is finished is kept; [`crate::domain::retention`] says what each period means.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Finished orders. Default 180 days: cardholders may dispute a payment for 120 days with most card
    /// networks, and the shop's answer takes its weeks.
    pub orders: Period,
    /// Results and references, beyond their orders. Default 400 days, as the network has agreed: an issuer's
    /// question within that time gets the recorded answer.
    pub results: Period,
    /// Events of `WatchOrders`. Default 180 days, as the orders: a shop that was away for less misses none.
    pub events: Period,
    /// Parked notifications. Default 90 days, in which an operator can have them delivered. They hold
    /// their order back for as long.
    pub parked: Period,
    /// Records looked at in a second at most. Default 500: a hundred times what one day of 200,000 orders
    /// needs on average, and a small part of what the store can do.
    pub rate: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            orders: Period::new(DAY * 180),
            results: Period::new(RETENTION),
            events: Period::new(DAY * 180),
            parked: Period::new(DAY * 90),
            rate: 500,
        }
    }
}

impl RetentionConfig {
    /// The periods as the domain knows them.
    #[must_use]
    pub const fn periods(&self) -> Periods {
        Periods {
            orders: self.orders.get(),
            results: self.results.get(),
            events: self.events.get(),
            parked: self.parked.get(),
        }
    }

    /// No period may be so short that something goes that is still needed.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let shortest = [
            ("orders", self.orders, ORDERS_MIN),
            ("results", self.results, RESULTS_MIN),
            // What could not be delivered is found by WatchOrders after it was parked.
            ("events", self.events, ORDER_LIFE_MAX + TRY_FOR + DAY),
            ("parked", self.parked, PARKED_MIN),
        ];
        let short = shortest.into_iter().filter(|(_, period, min)| period.get() < *min);
        let mut errors: Vec<FieldError> = short
            .map(|(field, _, min)| FieldError::new(field, format!("must be at least {}", Period::new(min))))
            .collect();
        if self.rate == 0 {
            errors.push(FieldError::new("rate", "must be at least 1"));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fields(text: &str) -> Vec<String> {
        let config: RetentionConfig = toml::from_str(text).unwrap();
        config.validate().iter().map(|error| error.field.clone()).collect()
    }

    #[test]
    fn the_defaults_hold() {
        assert_eq!(fields(""), [""; 0]);
        assert_eq!(RetentionConfig::default().periods().results, RETENTION);
    }

    #[test]
    fn what_is_too_short_is_named() {
        assert_eq!(
            fields("orders = \"47h\"\nresults = \"29d\"\nevents = \"4d\"\nparked = \"6d\"\nrate = 0"),
            ["orders", "results", "events", "parked", "rate"]
        );
        assert_eq!(fields("orders = \"2d\"\nresults = \"30d\"\nevents = \"5d\"\nparked = \"7d\"\nrate = 1"), [""; 0]);
    }
}
