//! The limits of checkouts and probes.

use std::{path::PathBuf, time::Duration};

use mesh::config::{FieldError, Period};
use serde::Deserialize;

/// The limits of checkouts; what the table doesn't name keeps its default.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct CheckoutLimits {
    /// How long the code in an app link can be redeemed. Default 10 min: an app that must first be
    /// installed still gets its order. Never longer than the order lives.
    pub code_life: Period,
    /// How long a checkout is remembered after its order's end, so that a late shopper hears that it
    /// has ended and not that it never was. Default 1 h.
    pub kept_after_end: Period,
}

impl Default for CheckoutLimits {
    fn default() -> Self {
        Self {
            code_life: Period::new(Duration::from_secs(10 * 60)),
            kept_after_end: Period::new(Duration::from_secs(60 * 60)),
        }
    }
}

impl CheckoutLimits {
    /// A code must live for a while.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        positive(&[("code_life", self.code_life)])
    }
}

/// How the banks' servers are probed; what the table doesn't name keeps its default.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct HealthLimits {
    /// The pause between two rounds of probes. Default 3 s.
    pub interval: Period,
    /// How long a bank may take to answer. Default 2 s.
    pub answer: Period,
    /// How many probes in a row must fail until a bank counts as unreachable. Default 2, so that one
    /// lost packet takes nobody off the picker.
    pub failures: u32,
    /// Probes under way at one time. Default 64.
    pub concurrency: usize,
    /// The authorities of the banks' device ports, PEM. Default: the network's own.
    pub authority: Option<PathBuf>,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            interval: Period::new(Duration::from_secs(3)),
            answer: Period::new(Duration::from_secs(2)),
            failures: 2,
            concurrency: 64,
            authority: None,
        }
    }
}

impl HealthLimits {
    /// Nothing may be zero.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = positive(&[("interval", self.interval), ("answer", self.answer)]);
        let counts = [("failures", self.failures == 0), ("concurrency", self.concurrency == 0)];
        let zero = counts.into_iter().filter(|(_, is_zero)| *is_zero);
        errors.extend(zero.map(|(field, _)| FieldError::new(field, "must be at least 1")));
        errors
    }
}

fn positive(periods: &[(&str, Period)]) -> Vec<FieldError> {
    let zero = periods.iter().filter(|(_, period)| period.get().is_zero());
    zero.map(|(field, _)| FieldError::new(*field, "must be more than zero")).collect()
}
