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
    /// Connections at one time from one address, or from one IPv6 network of 64 bits, which is what one
    /// customer of a provider is given. Default 1,024: a member needs a handful, but a whole company or a
    /// mobile provider's gateway may stand behind one address, and yet nobody alone fills the port.
    pub connections_per_address_max: usize,
    /// TLS handshakes under way at one time; one more is closed at once. Default 512: about what two cores
    /// finish in the time that a caller waits for one. One address may have a fourth of them.
    pub handshakes_max: usize,
    /// Short calls in hand at one time; one more is shed with `RESOURCE_EXHAUSTED`. Default 1,024:
    /// several times what two cores can work on, and at 64 KiB each still 64 MiB. It bounds the memory;
    /// what keeps the answers quick is `answer_time`.
    pub requests_max: usize,
    /// Calls of one RPC that are taken in hand however long the answers take, where `requests_max` has room
    /// for them. Default 32: with fewer the store's commits wouldn't be shared by enough calls, and a
    /// neighbour that is down would leave no room to notice that it is back.
    pub requests_min: usize,
    /// How long most answers of an RPC may take, or three times what they take at rest where that is more.
    /// While they take longer, fewer and fewer calls of it are taken in hand and the others are shed. Default
    /// 100 ms: twenty times what an authorization takes at rest, and nothing to a person who waits.
    pub answer_time: Period,
    /// Streams open at one time, counted apart. Default 4,096.
    pub streams_max: usize,
    /// Calls of health and of server reflection open at one time, counted apart, so that a port that sheds
    /// still tells that it lives. Default 256: balancers and people hold a few.
    pub open_calls_max: usize,
    /// Concurrent calls on one HTTP/2 connection. Default 256.
    pub streams_per_connection_max: u32,
    /// How long a call may wait to be begun while calls have been waiting longer than this for a while;
    /// one that waited longer is shed. Default 50 ms: a caller of a payment notices no such wait, and a
    /// server that is not overloaded begins a call within one.
    pub queue_wait: Period,
    /// How long a call may wait to be begun in a burst. Default 500 ms.
    pub queue_wait_burst: Period,
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
    /// How long an answer may lie unread before its connection is cut; it may take up to twice as long to
    /// be noticed. Default 30 s: a phone in a tunnel comes back, and the memory doesn't wait for longer.
    pub unread: Period,
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
            connections_per_address_max: 1_024,
            handshakes_max: 512,
            requests_max: 1_024,
            requests_min: 32,
            answer_time: Period::new(Duration::from_millis(100)),
            streams_max: 4_096,
            open_calls_max: 256,
            streams_per_connection_max: 256,
            queue_wait: Period::new(Duration::from_millis(50)),
            queue_wait_burst: Period::new(Duration::from_millis(500)),
            deadline_default: seconds(10),
            deadline_max: seconds(30),
            handshake: seconds(5),
            first_request: seconds(10),
            idle: seconds(15 * 60),
            keep_alive: seconds(20),
            keep_alive_wait: seconds(10),
            unread: seconds(30),
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
        Self {
            requests_max: share(self.requests_max),
            requests_min: share(self.requests_min),
            streams_max: share(self.streams_max),
            open_calls_max: share(self.open_calls_max),
            ..self
        }
    }

    /// Every limit but the two of draining must be more than zero, the default deadline can't exceed the
    /// longest, nor a call's usual wait the one in a burst.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let counts = [
            ("message_bytes_max", self.message_bytes_max),
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("handshakes_max", self.handshakes_max),
            ("requests_max", self.requests_max),
            ("requests_min", self.requests_min),
            ("streams_max", self.streams_max),
            ("open_calls_max", self.open_calls_max),
            ("streams_per_connection_max", self.streams_per_connection_max as usize),
        ];
        let periods = [
            ("answer_time", self.answer_time),
            ("queue_wait", self.queue_wait),
            ("queue_wait_burst", self.queue_wait_burst),
            ("deadline_default", self.deadline_default),
            ("deadline_max", self.deadline_max),
            ("handshake", self.handshake),
            ("first_request", self.first_request),
            ("idle", self.idle),
            ("keep_alive", self.keep_alive),
            ("keep_alive_wait", self.keep_alive_wait),
            ("unread", self.unread),
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
        if self.queue_wait > self.queue_wait_burst {
            let problem = format!("must not exceed queue_wait_burst, which is {}", self.queue_wait_burst);
            errors.push(FieldError::new("queue_wait", problem));
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
