//! How much time a call has.

use http::{HeaderMap, HeaderValue};
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// gRPC's header for what is left of the caller's time (gRPC over HTTP/2, "Timeout").
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The moment by which a call must be answered; in the extensions of every request.
///
/// It stands on the monotonic clock: a wall clock that is set back or ahead moves no deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that far from now.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// The deadline of a request, where it came through a [`Server`](super::Server).
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().copied()
    }

    /// The deadline of the call that this task works on, where there is one. A spawned task has none: what
    /// goes on when its caller has left has a time of its own.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// Runs `work` with this deadline as the current one, which calls to other servers keep to.
    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// A deadline that far from an earlier moment.
    pub(crate) fn since(moment: Instant, duration: Duration) -> Self {
        Self(moment + duration)
    }

    /// Whether it has passed.
    pub(crate) fn is_over(self) -> bool {
        self.0 <= Instant::now()
    }

    /// What is left; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Waits until it has passed.
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0).await;
    }
}

/// What the caller asks for, where it asks in the header's own form: at most eight digits and a unit.
pub(crate) fn requested(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3_600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The header's value, in the finest unit that eight digits hold, rounded down so that a caller never
/// promises time that it hasn't got.
pub(crate) fn header(duration: Duration) -> HeaderValue {
    const MAX: u128 = 99_999_999;
    let (count, unit) = if duration.as_micros() <= MAX {
        (duration.as_micros(), 'u')
    } else if duration.as_millis() <= MAX {
        (duration.as_millis(), 'm')
    } else {
        (u128::from(duration.as_secs()).min(MAX), 'S')
    };
    HeaderValue::from_str(&format!("{count}{unit}")).expect("invariant: digits and a letter are visible ASCII")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_str(value).unwrap());
        requested(&headers)
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("9n"), Some(Duration::from_nanos(9)));
    }

    #[test]
    fn a_malformed_header_counts_as_none() {
        for text in ["", "S", "5", "100000000S", "-1S", "+1S", "1.5S", "5s", "1 S", "5é"] {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(requested(&headers), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_more(micros in 0u64..100_000_000_000_000) {
            let duration = Duration::from_micros(micros);
            let text = header(duration).to_str().unwrap().to_owned();
            let back = read(&text).unwrap();
            prop_assert!(back <= duration);
            prop_assert!(duration - back < Duration::from_secs(1));
        }
    }
}
