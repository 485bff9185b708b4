//! Points in time: `google.protobuf.Timestamp` outside, [`SystemTime`] inside.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use crate::fields::Invalid;

/// How far two honest clocks may differ. Only the acquirer's clock decides an order's expiry; every
/// other comparison between two parties' clocks allows this much.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// A received timestamp, from the year 1970 to 9999.
///
/// # Errors
/// One that is malformed or outside of that.
pub fn parse(timestamp: Timestamp) -> Result<SystemTime, Invalid> {
    let wrong = || Invalid::field("", "must be a timestamp from 1970 to 9999");
    let seconds = u64::try_from(timestamp.seconds).map_err(|_| wrong())?;
    let nanos = u32::try_from(timestamp.nanos).map_err(|_| wrong())?;
    // 253402300800 is the first second of the year 10000.
    if seconds >= 253_402_300_800 || nanos >= 1_000_000_000 {
        return Err(wrong());
    }
    Ok(UNIX_EPOCH + Duration::new(seconds, nanos))
}

/// A timestamp to send. Times before 1970 do not occur; they would become 1970.
#[must_use]
pub fn to_pb(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

/// Milliseconds since 1970, for index keys and ordering.
#[must_use]
pub fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A received duration, zero or longer.
///
/// # Errors
/// One that is malformed or negative.
pub fn parse_duration(duration: prost_types::Duration) -> Result<Duration, Invalid> {
    // Not by the conversion of `prost_types`, which panics over some of the numbers that can arrive.
    let wrong = || Invalid::field("", "must be a duration of zero or more");
    let seconds = u64::try_from(duration.seconds).map_err(|_| wrong())?;
    let nanos = u32::try_from(duration.nanos).map_err(|_| wrong())?;
    // The most that google.protobuf.Duration allows: about 10,000 years.
    if seconds > 315_576_000_000 || nanos >= 1_000_000_000 {
        return Err(wrong());
    }
    Ok(Duration::new(seconds, nanos))
}

/// A duration to send.
#[must_use]
pub fn duration_to_pb(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_wire() {
        let time = UNIX_EPOCH + Duration::new(1_790_000_000, 123_000_000);
        assert_eq!(parse(to_pb(time)), Ok(time));
        assert_eq!(unix_millis(time), 1_790_000_000_123);
    }

    #[test]
    fn nonsense_is_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0), (i64::MAX, 0)] {
            assert!(parse(Timestamp { seconds, nanos }).is_err(), "{seconds}.{nanos}");
        }
        let awkward =
            [(-1, 0), (0, -1), (i64::MIN, 0), (i64::MIN, i32::MIN), (i64::MAX, 0), (1, 1_000_000_000), (-1, 1)];
        for (seconds, nanos) in awkward {
            assert!(parse_duration(prost_types::Duration { seconds, nanos }).is_err(), "{seconds}.{nanos}");
        }
        let longest = prost_types::Duration { seconds: 315_576_000_000, nanos: 999_999_999 };
        assert_eq!(parse_duration(longest), Ok(Duration::new(315_576_000_000, 999_999_999)));
    }
}
