//! The issuer's limits, each with its default and why.

use std::time::Duration;

use mesh::config::{FieldError, Period};
use serde::Deserialize;

use super::check_period;

/// Sign-in and sessions.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AuthLimits {
    /// How long a challenge can be answered. Default 2 min: long enough to type a password.
    pub challenge: Period,
    /// How long a session lasts without a call. Default 5 min.
    pub session_idle: Period,
    /// How long a session lasts altogether. Default 15 min: the life of an order.
    pub session_total: Period,
    /// Failed passwords before a lock. Default 5.
    pub password_tries_max: u32,
    /// How long a lock lasts, of passwords only. Default 30 min.
    pub password_lock: Period,
    /// Failed proofs from one address (of IPv6, one network of 48 bits) before it has to wait. Default 100: a
    /// mobile carrier hides thousands of customers behind one address, and some of them mistype.
    pub source_failures_max: u32,
    /// In what time. Default 10 min.
    pub source_window: Period,
}

impl Default for AuthLimits {
    fn default() -> Self {
        let minutes = |count: u64| Period::new(Duration::from_secs(count * 60));
        Self {
            challenge: minutes(2),
            session_idle: minutes(5),
            session_total: minutes(15),
            password_tries_max: 5,
            password_lock: minutes(30),
            source_failures_max: 100,
            source_window: minutes(10),
        }
    }
}

impl AuthLimits {
    /// Every period and count must be more than zero.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_period("challenge", self.challenge, &mut errors);
        check_period("session_idle", self.session_idle, &mut errors);
        check_period("session_total", self.session_total, &mut errors);
        check_period("password_lock", self.password_lock, &mut errors);
        check_period("source_window", self.source_window, &mut errors);
        if self.source_failures_max == 0 {
            errors.push(FieldError::new("source_failures_max", "must be at least 1"));
        }
        if self.password_tries_max == 0 {
            errors.push(FieldError::new("password_tries_max", "must be at least 1"));
        }
        errors
    }
}

/// Charges.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ChargeLimits {
    /// How long a result is waited for, during which the same request is sent again after a lost connection.
    /// Default 10 s: more than the acquirer waits for its network.
    pub result_wait: Period,
    /// How long after the loss of a result the acquirer is asked first. Default 200 ms; it doubles with each
    /// question.
    pub inquiry_first: Period,
    /// The longest time between two questions. Default 30 s.
    pub inquiry_max: Period,
    /// How long after the sending a charge is parked; only a start asks about it once more. Default 24 h.
    pub park_after: Period,
    /// Questions under way at one time. Default 64, so that a dead acquirer's charges leave room for
    /// the others'.
    pub inquiries_max: u32,
}

impl Default for ChargeLimits {
    fn default() -> Self {
        Self {
            result_wait: Period::new(Duration::from_secs(10)),
            inquiry_first: Period::new(Duration::from_millis(200)),
            inquiry_max: Period::new(Duration::from_secs(30)),
            park_after: Period::new(Duration::from_secs(24 * 60 * 60)),
            inquiries_max: 64,
        }
    }
}

impl ChargeLimits {
    /// Every period and count must be more than zero, and the first question can't come after the longest wait.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_period("result_wait", self.result_wait, &mut errors);
        check_period("inquiry_first", self.inquiry_first, &mut errors);
        check_period("park_after", self.park_after, &mut errors);
        if self.inquiry_first > self.inquiry_max {
            errors.push(FieldError::new("inquiry_max", format!("must be at least {}", self.inquiry_first)));
        }
        if self.inquiries_max == 0 {
            errors.push(FieldError::new("inquiries_max", "must be at least 1"));
        }
        errors
    }
}
