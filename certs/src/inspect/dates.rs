//! Dates and spans as people say them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::time::ASN1Time;

use crate::authority::DAY;

/// From when on the end of a validity deserves a warning.
pub(super) const SOON: Duration = DAY.saturating_mul(14);

/// "2026-11-24 07:41:25 UTC".
pub(super) fn date(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    OffsetDateTime::from(time).format(&format).unwrap_or_else(|_| "a date that cannot be shown".to_owned())
}

/// "2026-11-24 07:41:25 UTC (89 days left)" or "(expired 3 hours ago)".
pub(super) fn end(time: SystemTime, now: SystemTime) -> String {
    match time.duration_since(now) {
        Ok(left) => format!("{} ({} left)", date(time), span(left)),
        Err(past) => format!("{} ({} ago)", date(time), span(past.duration())),
    }
}

/// "89 days", "3 hours", "1 minute", "12 seconds".
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// A certificate's time as the system's.
pub(super) fn system_time(time: ASN1Time) -> SystemTime {
    time.to_datetime().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_their_largest_fitting_unit() {
        for (seconds, words) in [
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn ends_before_and_after_now() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(end(at(86_400 * 3), at(0)), "1970-01-04 00:00:00 UTC (3 days left)");
        assert_eq!(end(at(0), at(120)), "1970-01-01 00:00:00 UTC (2 minutes ago)");
    }
}
