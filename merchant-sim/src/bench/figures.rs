//! Latencies and rates, as a benchmark reports them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest time that is told apart, in microseconds. Anything longer counts as this long.
const MICROS_MAX: u64 = 5 * 60 * 1_000_000;

/// A part of a payment whose time is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// `CreateOrder`.
    Create,
    /// Opening the payment page and reading its QR code.
    Scan,
    /// `SelectBank`, where there is a platform.
    Ticket,
    /// `StartAuthentication` and `VerifyIdentity`.
    SignIn,
    /// `ListCardOptions`.
    Cards,
    /// `SubmitCharge` until `WatchCharge` has shown the final state.
    Charge,
    /// From the charge's end until the shop has the notification.
    Told,
    /// From `CreateOrder` to the charge's end.
    Whole,
}

impl Phase {
    /// Every phase, in the order of a payment.
    pub const ALL: [Self; 8] =
        [Self::Create, Self::Scan, Self::Ticket, Self::SignIn, Self::Cards, Self::Charge, Self::Told, Self::Whole];

    /// The phase's name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create order",
            Self::Scan => "page and QR code",
            Self::Ticket => "ticket",
            Self::SignIn => "sign in",
            Self::Cards => "list cards",
            Self::Charge => "charge to final",
            Self::Told => "shop told after",
            Self::Whole => "whole payment",
        }
    }
}

/// The times of many payments, of one payer or of all.
#[derive(Debug)]
pub struct Figures {
    phases: BTreeMap<Phase, Histogram<u64>>,
    failures: BTreeMap<String, u64>,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The phase.
    pub phase: String,
    /// How many times it was measured.
    pub count: u64,
    /// The mean, in milliseconds.
    pub mean_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// What nine of ten stay below.
    pub p90_ms: f64,
    /// What 99 of 100 stay below.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// The share of the whole payments' time, 0 to 1; none for what is not a part of them.
    pub share: Option<f64>,
}

impl Figures {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never; the bounds of the histograms are constants.
    pub fn new() -> Result<Self> {
        let mut phases = BTreeMap::new();
        for phase in Phase::ALL {
            // Three digits: a p99 of 123 ms is told from one of 124 ms.
            let histogram = Histogram::new_with_bounds(1, MICROS_MAX, 3);
            phases.insert(phase, histogram.context("the bounds of a histogram")?);
        }
        Ok(Self { phases, failures: BTreeMap::new() })
    }

    /// Notes a time.
    pub fn record(&mut self, phase: Phase, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, MICROS_MAX);
        if let Some(histogram) = self.phases.get_mut(&phase) {
            histogram.saturating_record(micros);
        }
    }

    /// Notes a payment that failed, by its reason.
    pub fn fail(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    /// Adds another's times to these.
    ///
    /// # Errors
    /// Never; all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (phase, histogram) in &other.phases {
            if let Some(own) = self.phases.get_mut(phase) {
                own.add(histogram).context("histograms of the same bounds")?;
            }
        }
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        Ok(())
    }

    /// How many payments came to their end.
    #[must_use]
    pub fn payments(&self) -> u64 {
        self.phases.get(&Phase::Whole).map_or(0, Histogram::len)
    }

    /// Why payments failed, and how many for each reason.
    #[must_use]
    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }

    /// A line for each phase that was measured.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let total = |histogram: &Histogram<u64>| histogram.mean() * as_float(histogram.len());
        let whole = self.phases.get(&Phase::Whole).map_or(0.0, total);
        let measured = self.phases.iter().filter(|(_, histogram)| !histogram.is_empty());
        measured
            .map(|(phase, histogram)| Line {
                phase: phase.name().to_owned(),
                count: histogram.len(),
                mean_ms: histogram.mean() / 1e3,
                p50_ms: millis(histogram.value_at_quantile(0.50)),
                p90_ms: millis(histogram.value_at_quantile(0.90)),
                p99_ms: millis(histogram.value_at_quantile(0.99)),
                max_ms: millis(histogram.max()),
                share: is_part(*phase).then(|| total(histogram) / whole.max(1.0)),
            })
            .collect()
    }
}

/// Whether the whole payment's time contains this phase's.
const fn is_part(phase: Phase) -> bool {
    match phase {
        Phase::Create | Phase::Scan | Phase::Ticket | Phase::SignIn | Phase::Cards | Phase::Charge => true,
        Phase::Told | Phase::Whole => false,
    }
}

fn millis(micros: u64) -> f64 {
    as_float(micros) / 1e3
}

/// Exact below 2^53, which is 285 years in microseconds.
#[allow(clippy::cast_precision_loss)]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn line(figures: &Figures, phase: Phase) -> Line {
        figures.lines().into_iter().find(|line| line.phase == phase.name()).unwrap()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= b * 0.002
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut figures = Figures::new().unwrap();
        for millis in 1..=1_000 {
            figures.record(Phase::Whole, Duration::from_millis(millis));
        }
        let line = line(&figures, Phase::Whole);
        assert_eq!((line.count, figures.payments()), (1_000, 1_000));
        assert!(near(line.p50_ms, 500.0) && near(line.p90_ms, 900.0) && near(line.p99_ms, 990.0), "{line:?}");
        assert!(near(line.max_ms, 1_000.0) && near(line.mean_ms, 500.5), "{line:?}");
    }

    #[test]
    fn shares_are_of_the_whole_payments_time() {
        let mut figures = Figures::new().unwrap();
        for _ in 0..10 {
            figures.record(Phase::Create, Duration::from_millis(10));
            figures.record(Phase::SignIn, Duration::from_millis(60));
            figures.record(Phase::Charge, Duration::from_millis(30));
            figures.record(Phase::Whole, Duration::from_millis(100));
            figures.record(Phase::Told, Duration::from_millis(500));
        }
        assert!(near(line(&figures, Phase::SignIn).share.unwrap(), 0.6));
        assert_eq!(line(&figures, Phase::Told).share, None);
        assert!(figures.lines().iter().all(|line| line.phase != Phase::Scan.name()), "nothing was scanned");
    }

    #[test]
    fn payers_are_added_up() {
        let (mut all, mut one) = (Figures::new().unwrap(), Figures::new().unwrap());
        one.record(Phase::Whole, Duration::from_millis(5));
        one.fail("OVERLOADED".to_owned());
        all.add(&one).unwrap();
        all.add(&one).unwrap();
        assert_eq!(all.payments(), 2);
        assert_eq!(all.failures().get("OVERLOADED"), Some(&2));
    }

    #[test]
    fn a_time_beyond_the_bounds_counts_as_the_longest() {
        let mut figures = Figures::new().unwrap();
        figures.record(Phase::Whole, Duration::from_secs(24 * 60 * 60));
        figures.record(Phase::Whole, Duration::ZERO);
        assert_eq!(figures.payments(), 2);
    }
}
