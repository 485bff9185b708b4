//! How long a signed-in customer stays signed in.

use std::time::{Duration, SystemTime};

/// The two times that end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Without a call.
    pub idle: Duration,
    /// Altogether.
    pub total: Duration,
}

/// How old the stored time of the last call may become before it is stored anew. It is what a restart
/// may take off a session's idle time, and it bounds the writes to one a minute for each session.
pub const STORED_USE_AGE_MAX: Duration = Duration::from_secs(60);

/// What is to be done with a session that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; the time of the use is worth storing.
    Store,
    /// It goes on; the stored time is fresh enough.
    Keep,
    /// It is over.
    Over,
}

/// Judges a session that is used at `now`.
///
/// `used` is the last use that is known, `stored` the last one that was stored. A clock that was set
/// back makes no session older; the end is a point in time and stays.
#[must_use]
pub fn judge(ends: SystemTime, used: SystemTime, stored: SystemTime, life: Life, now: SystemTime) -> Verdict {
    let since = |earlier: SystemTime| now.duration_since(earlier).unwrap_or_default();
    if now >= ends || since(used) >= life.idle {
        Verdict::Over
    } else if since(stored) >= STORED_USE_AGE_MAX {
        Verdict::Store
    } else {
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const LIFE: Life = Life { idle: Duration::from_secs(300), total: Duration::from_secs(900) };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn ends_when_idle_or_at_its_end() {
        let cases = [
            (0, 0, 0, Verdict::Keep),
            (0, 0, 59, Verdict::Keep),
            (0, 0, 60, Verdict::Store),
            (0, 0, 299, Verdict::Store),
            (0, 0, 300, Verdict::Over),
            // Used in memory, not yet stored.
            (59, 0, 358, Verdict::Store),
            (59, 0, 359, Verdict::Over),
            (890, 880, 899, Verdict::Keep),
            (890, 880, 900, Verdict::Over),
        ];
        for (used, stored, now, verdict) in cases {
            assert_eq!(judge(at(900), at(used), at(stored), LIFE, at(now)), verdict, "{used} {stored} {now}");
        }
    }

    #[test]
    fn a_clock_set_back_ends_nothing() {
        assert_eq!(judge(at(900), at(100), at(100), LIFE, at(0)), Verdict::Keep);
    }
}
