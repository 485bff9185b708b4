//! The relay's limits.

use std::time::Duration;

use mesh::config::{FieldError, Period};
use serde::Deserialize;

/// The limits of the relay, as a table of the configuration file; what it doesn't name keeps its
/// default.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RelayLimits {
    /// Threads that serve the members' port; 0 for as many as the machine has processors. Default 0.
    pub threads: usize,
    /// The longest wait for an acquirer, less where the caller has less left. Default 8 s: within the
    /// 10 s that an issuer waits.
    pub acquirer_wait: Period,
    /// Requests under way to one acquirer from one thread; one more is shed. Default 256, as many as an
    /// acquirer's server takes on one connection. It is never more than a fourth of what the thread may have in
    /// hand, which is its share of the port's `requests_max`.
    pub under_way_max: usize,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { threads: 0, acquirer_wait: Period::new(Duration::from_secs(8)), under_way_max: 256 }
    }
}

/// The most threads: more than any machine that needs them has.
const THREADS_MAX: usize = 256;

/// The share of what a thread may have in hand that one acquirer may have: one that hangs must not keep out what
/// goes to the others.
const ACQUIRER_SHARE_DIVISOR: usize = 4;

impl RelayLimits {
    /// What is wrong, field by field.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.threads > THREADS_MAX {
            errors.push(FieldError::new("threads", format!("must be at most {THREADS_MAX}")));
        }
        if self.acquirer_wait.get().is_zero() {
            errors.push(FieldError::new("acquirer_wait", "must be more than zero"));
        }
        if self.under_way_max == 0 {
            errors.push(FieldError::new("under_way_max", "must be at least 1"));
        }
        errors
    }

    /// How many threads to start.
    pub(super) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX),
            set => set,
        }
    }

    /// These limits on a thread that may have so many requests in hand.
    pub(super) fn within(self, requests_max: usize) -> Self {
        let share = (requests_max / ACQUIRER_SHARE_DIVISOR).max(1);
        Self { under_way_max: self.under_way_max.min(share), ..self }
    }

    /// What a shed caller is told to wait: about as long as an acquirer takes for a decision.
    pub(super) fn retry_after(&self) -> Duration {
        Duration::from_millis(200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_wrong_field_is_named() {
        assert!(RelayLimits::default().validate().is_empty());
        assert!(RelayLimits::default().threads() >= 1);
        let wrong = RelayLimits { threads: 1_000, acquirer_wait: Period::new(Duration::ZERO), under_way_max: 0 };
        let fields: Vec<String> = wrong.validate().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["threads", "acquirer_wait", "under_way_max"]);
    }

    #[test]
    fn one_acquirer_has_a_fourth_of_a_thread_at_most() {
        let of = |requests_max| RelayLimits::default().within(requests_max).under_way_max;
        assert_eq!([1, 7, 256, 1_024, 4_096].map(of), [1, 1, 64, 256, 256]);
    }
}
