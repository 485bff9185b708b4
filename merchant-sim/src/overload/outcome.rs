//! What the load is told to do, and what it found.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest time that is told apart, in microseconds.
const MICROS_MAX: u64 = 120_000_000;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// How many callers ask one after another; none where the load doesn't wait for answers.
    pub callers: Option<u32>,
    /// How many units are begun each second, where nobody waits.
    pub per_second: f64,
    /// How long units are begun, in seconds.
    pub seconds: f64,
}

impl Order {
    /// So many callers, each with one unit at a time.
    #[must_use]
    pub fn closed(callers: u32, time: Duration) -> Self {
        Self { callers: Some(callers), per_second: 0.0, seconds: time.as_secs_f64() }
    }

    /// So many units a second, whatever is answered.
    #[must_use]
    pub fn open(per_second: f64, time: Duration) -> Self {
        Self { callers: None, per_second, seconds: time.as_secs_f64() }
    }
}

/// What came of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was done.
    Good,
    /// It was refused, with the time after which to ask again.
    Refused,
    /// It was refused without that.
    RefusedBare,
    /// It had no answer in its time.
    Late,
    /// It failed in another way.
    Failed(String),
}

/// What came of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How long units were begun, in seconds.
    pub seconds: f64,
    /// How many were begun.
    pub begun: u64,
    /// How many could not be begun, because the connections held as many as the server lets them.
    pub held_back: u64,
    /// How many were done while units were begun.
    pub good: u64,
    /// How many were done after that, and count for nothing.
    pub good_after: u64,
    /// How many were refused with a time to wait.
    pub refused: u64,
    /// How many were refused without one.
    pub refused_bare: u64,
    /// How many had no answer within their deadline.
    pub late: u64,
    /// How many failed in another way.
    pub failed: u64,
    /// How the first of those did.
    pub first_failure: Option<String>,
    /// The median time of those that were done, in milliseconds, from the moment they were due.
    pub p50_ms: f64,
    /// What 99 of 100 of those stayed below.
    pub p99_ms: f64,
    /// What 99 of 100 refusals stayed below.
    pub refused_p99_ms: f64,
    /// How long after the last unit was begun a new one was made and done, in milliseconds; none where that took
    /// too long to be waited for, and after a closed loop.
    pub recovered_ms: Option<f64>,
}

impl Outcome {
    /// How many were done in a second.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        as_float(self.good) / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// How many were begun in a second.
    #[must_use]
    pub fn offered(&self) -> f64 {
        as_float(self.begun) / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Counts units as they end.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) counts: Outcome,
    good: Histogram<u64>,
    refused: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, MICROS_MAX, 3);
        Ok(Self { counts: Outcome::default(), good: histogram()?, refused: histogram()? })
    }

    /// Counts one that has ended, in the time that counts or after it.
    pub(super) fn end(&mut self, ended: Ended, took: Duration, counts: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX);
        match ended {
            Ended::Good => {
                *(if counts { &mut self.counts.good } else { &mut self.counts.good_after }) += 1;
                self.good.saturating_record(micros);
            }
            Ended::Refused => {
                self.counts.refused += 1;
                self.refused.saturating_record(micros);
            }
            Ended::RefusedBare => self.counts.refused_bare += 1,
            Ended::Late => self.counts.late += 1,
            Ended::Failed(words) => {
                self.counts.failed += 1;
                self.counts.first_failure.get_or_insert(words);
            }
        }
    }

    pub(super) fn finish(self, took: Duration) -> Outcome {
        let millis = |histogram: &Histogram<u64>, quantile| as_float(histogram.value_at_quantile(quantile)) / 1e3;
        Outcome {
            seconds: took.as_secs_f64(),
            p50_ms: millis(&self.good, 0.5),
            p99_ms: millis(&self.good, 0.99),
            refused_p99_ms: millis(&self.refused, 0.99),
            ..self.counts
        }
    }
}

/// Exact below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(super) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_was_done_in_time_is_goodput() {
        let mut tally = Tally::new().unwrap();
        for (ended, counts, count) in
            [(Ended::Good, true, 20), (Ended::Good, false, 5), (Ended::Refused, true, 70), (Ended::Late, true, 5)]
        {
            for _ in 0..count {
                tally.counts.begun += 1;
                tally.end(ended.clone(), Duration::from_millis(5), counts);
            }
        }
        let outcome = tally.finish(Duration::from_secs(2));
        assert!((outcome.goodput() - 10.0).abs() < 1e-9 && (outcome.offered() - 50.0).abs() < 1e-9);
        assert!((4.9..5.1).contains(&outcome.p99_ms));
    }
}
