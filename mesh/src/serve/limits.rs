//! The limits of a port.

use crate::config::{FieldError, Period};
use serde::Deserialize;
use std::time::Duration;

/// The largest message, in bytes. The port judges what comes in, and refuses more with the reason
/// `MESSAGE_TOO_LARGE`; a service sets no `max_decoding_message_size` of its own, because tonic would
/// refuse first and without a reason. What goes out, and what a client takes in, only tonic can limit:
/// a role passes this to `max_encoding_message_size`, and to both limits of a client.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The limits of one port, as a table of the configuration file; what it doesn't name keeps its
/// default.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest message, in bytes. Default 64 KiB.
    pub message_bytes_max: usize,
    /// Connections at one time; one more is closed at once. Default 4,096.
    pub connections_max: usize,
    /// Short calls in hand at one time; one more is shed with `RESOURCE_EXHAUSTED`. Default 1,024:
    /// several times what two cores can work on, and at 64 KiB each still 64 MiB.
    pub requests_max: usize,
    /// Streams open at one time, counted apart. Default 4,096.
    pub streams_max: usize,
    /// Concurrent calls on one HTTP/2 connection. Default 256.
    pub streams_per_connection_max: u32,
    /// The deadline of a call whose caller names none. Default 10 s.
    pub deadline_default: Period,
    /// The longest deadline that a caller can have. Default 30 s.
    pub deadline_max: Period,
    /// The time for a TLS handshake. Default 5 s.
    pub handshake: Period,
    /// The time from the handshake to the first request, and for the head of an HTTP/1.1 request.
    /// Default 10 s.
    pub first_request: Period,
    /// The time that a connection may stay without a request. Default 15 min.
    pub idle: Period,
    /// The time between HTTP/2 pings. Default 20 s.
    pub keep_alive: Period,
    /// The time for the answer to a ping, after which the peer is taken for gone. Default 10 s.
    pub keep_alive_wait: Period,
    /// How long NOT_SERVING is shown before the port closes. Default 0 s.
    pub drain_notice: Period,
    /// The time for calls in flight to finish once the port is closed. Default 15 s: more than an
    /// issuer waits for a result.
    pub drain: Period,
    /// What a shed caller is told to wait. Default 200 ms.
    pub retry_after_shed: Period,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = |count| Period::new(Duration::from_secs(count));
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            connections_max: 4_096,
            requests_max: 1_024,
            streams_max: 4_096,
            streams_per_connection_max: 256,
            deadline_default: seconds(10),
            deadline_max: seconds(30),
            handshake: seconds(5),
            first_request: seconds(10),
            idle: seconds(15 * 60),
            keep_alive: seconds(20),
            keep_alive_wait: seconds(10),
            drain_notice: seconds(0),
            drain: seconds(15),
            retry_after_shed: Period::new(Duration::from_millis(200)),
        }
    }
}

impl Limits {
    /// The limits of one of several threads that share a port: the counts of calls are divided.
    pub(super) fn share_of(self, threads: usize) -> Self {
        let share = |count: usize| count.div_ceil(threads.max(1));
        Self { requests_max: share(self.requests_max), streams_max: share(self.streams_max), ..self }
    }

    /// Every limit but the two of draining must be more than zero, and the default deadline can't
    /// exceed the longest.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let counts = [
            ("message_bytes_max", self.message_bytes_max),
            ("connections_max", self.connections_max),
            ("requests_max", self.requests_max),
            ("streams_max", self.streams_max),
            ("streams_per_connection_max", self.streams_per_connection_max as usize),
        ];
        let periods = [
            ("deadline_default", self.deadline_default),
            ("deadline_max", self.deadline_max),
            ("handshake", self.handshake),
            ("first_request", self.first_request),
            ("idle", self.idle),
            ("keep_alive", self.keep_alive),
            ("keep_alive_wait", self.keep_alive_wait),
        ];
        let zero_counts = counts.into_iter().filter(|(_, count)| *count == 0);
        let zero_periods = periods.into_iter().filter(|(_, period)| period.get().is_zero());
        let mut errors: Vec<FieldError> = zero_counts
            .map(|(field, _)| FieldError::new(field, "must be at least 1"))
            .chain(zero_periods.map(|(field, _)| FieldError::new(field, "must be more than zero")))
            .collect();
        if self.deadline_default > self.deadline_max {
            errors.push(FieldError::new(
                "deadline_default",
                format!("must not exceed deadline_max, which is {}", self.deadline_max),
            ));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_zero_is_named() {
        assert!(Limits::default().validate().is_empty());
        let zero = Limits { requests_max: 0, deadline_max: Period::new(Duration::ZERO), ..Limits::default() };
        let fields: Vec<String> = zero.validate().into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["requests_max", "deadline_max", "deadline_default"]);
    }
}
