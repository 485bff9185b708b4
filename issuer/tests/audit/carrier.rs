//! The task: it carries by itself, gives out heads, and says when the trail can't be written.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use issuer::{audit::Standing, config::AuditConfig, error::Error, tasks::audit::Carrier};
use mesh::{
    audit::{CheckOptions, Published, check},
    clock::{Clock, ManualClock},
    config::TelemetryConfig,
    telemetry::{Metrics, dispatch},
};
use tokio_util::sync::CancellationToken;

use super::world::{Fault, World, now};

/// The longest that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    world: World,
    clock: Arc<ManualClock>,
    standing: Standing,
    metrics: Metrics,
    config: AuditConfig,
}

impl Bench {
    fn new() -> Self {
        let config = AuditConfig::default();
        Self {
            world: World::new(),
            clock: Arc::new(ManualClock::new(now())),
            standing: Standing::new(config.wait_max.get()),
            metrics: Metrics::new(),
            config,
        }
    }

    async fn carrier(&self) -> Carrier {
        let audit = self.world.open().await.unwrap().audit;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Carrier::new(audit, self.standing.clone(), clock, &self.metrics, &self.config)
    }

    fn number(&self, name: &str) -> i64 {
        let text = self.metrics.exposition();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Moves the clock in small steps until the condition holds.
    async fn until(&self, condition: impl Fn() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !condition() {
                self.clock.advance(Duration::from_millis(50));
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        });
        waited.await.expect("this must happen, and soon");
    }

    fn admits(&self) -> bool {
        match self.standing.admits(self.clock.as_ref()) {
            Ok(()) => true,
            Err(Error::Overloaded(wait)) => {
                assert!(wait > Duration::ZERO);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The log, to read again.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// A subscriber that writes here, and one that only has to be there: as long as there is a single one, whatever
    /// a thread without one would say first counts as unwanted everywhere.
    fn subscribers(&self, filter: &str) -> [tracing::Dispatch; 2] {
        let config = TelemetryConfig { filter: filter.to_owned(), ..TelemetryConfig::default() };
        let writer = self.clone();
        [dispatch(&config, move || writer.clone()).unwrap(), dispatch(&config, io::sink).unwrap()]
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_committed_comes_into_the_trail_and_its_head_into_the_log() {
    let log = Log::default();
    let subscribers = log.subscribers("info");
    let _logging = tracing::dispatcher::set_default(&subscribers[0]);
    let bench = Bench { config: AuditConfig { head_entries: 40, ..AuditConfig::default() }, ..Bench::new() };
    bench.world.note(0..3).await;
    let mut carrier = bench.carrier().await;
    carrier.start().await;
    assert_eq!(bench.world.customers(), [0, 1, 2], "what waits is carried before anybody is served");
    let finish = CancellationToken::new();
    let running = tokio::spawn(carrier.run(finish.clone()));

    bench.world.note(3..103).await;
    bench.until(|| bench.number("bankside_audit_entries_total") == 103).await;
    assert_eq!(bench.number("bankside_audit_head"), 104);
    let heads = |log: &Log| log.text().matches("audit head").count();
    // At the start, and twice after 40 entries or more: batches of 64 and 36 are seen whole.
    let after_entries = heads(&log);
    assert!((2..=4).contains(&after_entries), "{}", log.text());
    // One more entry waits for its minute.
    bench.world.note(103..104).await;
    bench.until(|| bench.number("bankside_audit_entries_total") == 104).await;
    bench.until(|| heads(&log) == after_entries + 1).await;
    bench.clock.advance(Duration::from_secs(600));
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(heads(&log), after_entries + 1, "a head that is known is not given out again");

    // What comes in at the very end is carried before the store is closed.
    bench.world.note(104..107).await;
    finish.cancel();
    running.await.unwrap();
    assert_eq!(bench.world.customers(), (0..107).collect::<Vec<_>>());
    assert!(bench.world.is_drained().await);
    let published: Vec<Published> = log.text().lines().filter_map(published).collect();
    assert_eq!(published.len(), after_entries + 2);
    assert_eq!(published.last().unwrap().n, 108);
    check(&bench.world.path(), &CheckOptions { heads: published, after: None }).unwrap();
}

/// `… audit head n=17 hash=…`
fn published(line: &str) -> Option<Published> {
    let (_, rest) = line.split_once("audit head n=")?;
    let (n, rest) = rest.split_once(" hash=")?;
    format!("{n}:{}", rest.trim()).parse().ok()
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_stops_new_sign_ins_only_after_a_while() {
    let bench = Bench::new();
    let mut carrier = bench.carrier().await;
    carrier.start().await;
    let finish = CancellationToken::new();
    let running = tokio::spawn(carrier.run(finish.clone()));
    bench.world.faults.set(std::iter::repeat_n(Fault::Fails(100), 5000));
    bench.world.note(0..70).await;
    bench.until(|| bench.number("bankside_audit_failures_total") >= 3).await;
    assert!(bench.admits(), "for a while it goes on");
    assert!(!bench.world.is_drained().await);
    bench.until(|| bench.number("bankside_audit_lag_seconds") >= 15 * 60).await;
    assert!(!bench.admits());
    assert!(bench.number("bankside_audit_failures_total") < 60, "it waits longer and longer between two tries");

    bench.world.faults.set([]);
    bench.until(|| bench.number("bankside_audit_entries_total") == 70).await;
    assert!(bench.admits());
    assert_eq!(bench.number("bankside_audit_lag_seconds"), 0);
    finish.cancel();
    running.await.unwrap();
    assert_eq!(bench.world.customers(), (0..70).collect::<Vec<_>>());
    bench.world.check();
}

#[tokio::test]
async fn a_log_that_leaves_the_heads_out_is_told_of() {
    for (filter, is_told) in [("warn", true), ("info", false)] {
        let log = Log::default();
        let subscribers = log.subscribers(filter);
        let _logging = tracing::dispatcher::set_default(&subscribers[0]);
        Bench::new().carrier().await.start().await;
        assert_eq!(log.text().contains("leaves out the audit head"), is_told, "{filter}: {}", log.text());
    }
}

/// A restart does not give a trail that can't be written another quarter of an hour.
#[tokio::test]
async fn nobody_signs_in_after_a_start_until_the_trail_is_written() {
    let bench = Bench::new();
    drop(bench.carrier().await);
    bench.world.note(0..3).await;
    let mut carrier = bench.carrier().await;
    bench.world.faults.set([Fault::Fails(0)]);
    carrier.start().await;
    assert!(!bench.admits());
    bench.world.faults.set([]);
    let finish = CancellationToken::new();
    let running = tokio::spawn(carrier.run(finish.clone()));
    bench.until(|| bench.admits()).await;
    finish.cancel();
    running.await.unwrap();
    assert_eq!(bench.world.customers(), [0, 1, 2]);
}
