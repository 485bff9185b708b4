//! Counters and gauges, kept in the process and shown in the Prometheus text format.
//!
//! Labels are fixed when a series is registered, so that no request can create one: the number of
//! series, and the memory they take, follows from the code alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds several.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it; a negative number subtracts.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

impl Series {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
        }
    }
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    series: BTreeMap<String, Series>,
}

/// The registry. Clones share one set of numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<&'static str, Family>>>,
}

impl Metrics {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter under that name and those labels; the same one for the same name and labels.
    /// A name is lower snake case and ends in `_total`.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        match self.series(name, help, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            // One name stands for one kind; a second kind counts, and is shown nowhere.
            Series::Gauge(_) => Counter::default(),
        }
    }

    /// A gauge under that name and those labels; the same one for the same name and labels.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        match self.series(name, help, labels, || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            Series::Counter(_) => Gauge::default(),
        }
    }

    /// All numbers, in the Prometheus text exposition format, version 0.0.4.
    #[must_use]
    pub fn exposition(&self) -> String {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, family) in families.iter() {
            let kind = family.series.values().next().map_or("untyped", Series::kind);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {}", family.help);
            let _ = writeln!(text, "# TYPE {name} {kind}");
            for (labels, series) in &family.series {
                let _ = match series {
                    Series::Counter(counter) => writeln!(text, "{name}{labels} {}", counter.value()),
                    Series::Gauge(gauge) => writeln!(text, "{name}{labels} {}", gauge.value()),
                };
            }
        }
        text
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> Series,
    ) -> Series {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family { help, series: BTreeMap::new() });
        family.series.entry(render(labels)).or_insert_with(make).clone()
    }
}

fn render(labels: &[(&'static str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{key}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_series_is_shared_and_shown_once() {
        let metrics = Metrics::new();
        let labels = [("rpc", "/a/B")];
        metrics.counter("calls_total", "Calls.", &labels).add(2);
        metrics.counter("calls_total", "Calls.", &labels).increment();
        metrics.gauge("open", "Open connections.", &[]).set(-1);
        assert_eq!(
            metrics.exposition(),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{rpc=\"/a/B\"} 3\n\
             # HELP open Open connections.\n# TYPE open gauge\nopen -1\n"
        );
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let metrics = Metrics::new();
        metrics.counter("c_total", "C.", &[("k", "a\"} 9\nx\\")]).increment();
        let text = metrics.exposition();
        assert_eq!(text.lines().last(), Some(r#"c_total{k="a\"} 9\nx\\"} 1"#));
    }
}
