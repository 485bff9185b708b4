//! How long what is finished is kept.

use std::time::Duration;

use mesh::config::{FieldError, Period};
use serde::Deserialize;

use crate::domain::retention::Periods;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Charges are never kept less than this: a paid order's claim must outlive the order, which lives for 24 hours at
/// most, by the clocks of both banks.
const CHARGES_MIN: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// How long what is finished is kept; [`crate::domain::retention`] says what has no period, and why.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Ended charges without a signed consent. Default 540 days: the longest time after a payment in which card
    /// networks let a cardholder dispute it.
    pub charges: Period,
    /// Ended charges with a signed consent, and the consent. Default 1,826 days, five years: evidence of a
    /// payment order is kept for as long as the law of most countries asks of a bank, and no period is
    /// shorter than that of the charges.
    pub consents: Period,
    /// Charges looked at in a second at most. Default 500: a hundred times what one day of 200,000 charges needs
    /// on average.
    pub rate: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { charges: Period::new(DAY * 540), consents: Period::new(DAY * 1826), rate: 500 }
    }
}

impl RetentionConfig {
    /// The periods as the domain knows them.
    #[must_use]
    pub const fn periods(&self) -> Periods {
        Periods { charges: self.charges.get(), consents: self.consents.get() }
    }

    /// No period may be so short that something goes that is still needed.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.charges.get() < CHARGES_MIN {
            errors.push(FieldError::new("charges", format!("must be at least {}", Period::new(CHARGES_MIN))));
        }
        if self.consents.get() < self.charges.get() {
            errors.push(FieldError::new("consents", format!("must be at least {}", self.charges)));
        }
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

    #[test]
    fn the_defaults_hold_and_what_is_too_short_is_named() {
        let fields = |text: &str| -> Vec<String> {
            let config: RetentionConfig = toml::from_str(text).unwrap();
            config.validate().iter().map(|error| error.field.clone()).collect()
        };
        assert_eq!(fields(""), [""; 0]);
        assert_eq!(fields("charges = \"47h\"\nconsents = \"46h\"\nrate = 0"), ["charges", "consents", "rate"]);
        assert_eq!(fields("charges = \"2d\"\nconsents = \"2d\""), [""; 0]);
    }
}
