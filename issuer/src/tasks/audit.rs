//! Carrying what waits in the store into the audit trail, and giving out its head.

use std::{sync::Arc, time::Duration};

use mesh::{
    audit::{BATCH_MAX, Head},
    clock::Clock,
    telemetry::{Counter, Gauge, Metrics},
};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{Audit, CarryError, Standing},
    config::AuditConfig,
};

/// How long entries are gathered before they are written: one sync then serves them all. It adds nothing to
/// what a caller waits for, whose entry is durable in the store.
const GATHER: Duration = Duration::from_millis(50);
/// The first and the longest wait after a failure.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The one that carries.
#[derive(Debug)]
pub struct Carrier {
    audit: Audit,
    standing: Standing,
    clock: Arc<dyn Clock>,
    numbers: Numbers,
    head_every: Duration,
    head_entries: u64,
    /// The number of the head that was given out last.
    published: u64,
}

impl Carrier {
    /// Carries for this trail.
    #[must_use]
    pub fn new(
        audit: Audit,
        standing: Standing,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
        config: &AuditConfig,
    ) -> Self {
        Self {
            audit,
            standing,
            clock,
            numbers: Numbers::new(metrics),
            head_every: config.head_every.get(),
            head_entries: config.head_entries.into(),
            published: 0,
        }
    }

    /// Carries a first batch and gives out the head, before anybody is served. A trail that can't be written
    /// keeps no payment from being put right, but nobody signs in until it can.
    pub async fn start(&mut self) {
        if !tracing::enabled!(tracing::Level::INFO) {
            tracing::error!("the log's filter leaves out the audit head: a cut trail can't be told from a whole one");
        }
        if let Err(error) = self.carry_all(Some(1)).await {
            self.failed(&error);
            self.standing.fails_at_the_start(self.clock.as_ref());
        }
        self.publish();
    }

    /// Carries until `finish`, and then once more whatever waits. The store must be open until this returns.
    pub async fn run(mut self, finish: CancellationToken) {
        let mut visible = self.audit.repository().store().watch();
        let mut retry = RETRY_FIRST;
        let mut publish_at = self.clock.elapsed() + self.head_every;
        // What the start has left.
        let mut waits = true;
        while !finish.is_cancelled() {
            let until_publish = publish_at.saturating_sub(self.clock.elapsed());
            tokio::select! {
                () = finish.cancelled() => break,
                // The sender is gone with the store, which ends after this task.
                changed = visible.changed(), if !waits => waits = changed.is_ok(),
                () = self.clock.sleep(GATHER), if waits => {
                    visible.mark_unchanged();
                    match self.carry_all(None).await {
                        Ok(()) => (waits, retry) = (false, RETRY_FIRST),
                        Err(error) => {
                            self.failed(&error);
                            tokio::select! {
                                () = finish.cancelled() => break,
                                () = self.clock.sleep(retry) => {}
                            }
                            retry = (retry * 2).min(RETRY_MAX);
                        }
                    }
                }
                () = self.clock.sleep(until_publish) => {}
            }
            if self.clock.elapsed() >= publish_at {
                self.publish();
                publish_at = self.clock.elapsed() + self.head_every;
            }
        }
        if let Err(error) = self.carry_all(None).await {
            self.failed(&error);
        }
        self.publish();
    }

    /// Carries until nothing waits, or so many batches.
    async fn carry_all(&mut self, batches: Option<usize>) -> Result<(), CarryError> {
        let mut carried = 0;
        loop {
            let count = self.audit.carry().await?;
            self.numbers.entries.add(count as u64);
            let head = self.audit.head();
            self.numbers.head.set(i64::try_from(head.n).unwrap_or(i64::MAX));
            if head.n.saturating_sub(self.published) >= self.head_entries {
                self.publish();
            }
            carried += 1;
            if count < BATCH_MAX || batches == Some(carried) {
                self.standing.works();
                self.numbers.lag.set(0);
                return Ok(());
            }
        }
    }

    fn failed(&self, error: &CarryError) {
        self.standing.fails(self.clock.as_ref());
        let lag = self.standing.lag(self.clock.as_ref()).as_secs();
        self.numbers.failures.increment();
        self.numbers.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
        tracing::error!(
            %error, waiting_seconds = lag,
            "the audit trail can't be written; entries wait in the store, and nobody may sign in once they have \
             waited too long"
        );
    }

    /// Gives out the head, to where whoever can write the files can't take it back.
    fn publish(&mut self) {
        let Head { n, hash, .. } = self.audit.head();
        if n != self.published {
            tracing::info!(n, %hash, "audit head");
            self.published = n;
        }
    }
}

#[derive(Clone, Debug)]
struct Numbers {
    entries: Counter,
    head: Gauge,
    failures: Counter,
    lag: Gauge,
}

impl Numbers {
    fn new(metrics: &Metrics) -> Self {
        Self {
            entries: metrics.counter("bankside_audit_entries_total", "Entries written to the audit trail.", &[]),
            head: metrics.gauge("bankside_audit_head", "The number of the audit trail's last entry.", &[]),
            failures: metrics.counter(
                "bankside_audit_failures_total",
                "Times that the audit trail could not be written.",
                &[],
            ),
            lag: metrics.gauge(
                "bankside_audit_lag_seconds",
                "For how long entries have waited for an audit trail that can't be written.",
                &[],
            ),
        }
    }
}
