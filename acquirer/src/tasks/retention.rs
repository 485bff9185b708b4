//! Removes what is finished and has been kept for its period, so that the store's size stays bounded.
//!
//! [`crate::domain::retention`] says what is kept how long. A run goes through the kinds one after another, each
//! by an index in the order of time, at a bounded rate. What makes it safe:
//!
//! - The marks come first: the horizon is durable, and in force in this process, before the first result behind
//!   it is removed. A crash leaves an earlier horizon with everything behind it, or a later one with more than
//!   it needs; never a result that is gone and could be contradicted.
//! - Each removal is one commit at the versions that were judged: what changed meanwhile stays. A run that
//!   ends anywhere is taken up by the next one, which finds by the same indexes what is left.
//! - An order goes after nothing of it waits for its merchant, and its results go after it and its trace.
//! - Time is the trusted one ([`Trusted`]): a clock that is set back stops removal, one that jumps ahead
//!   does not hasten it.

use std::{
    fmt,
    future::Future,
    ops::AddAssign,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::{
    clock::{Clock, Trusted},
    store::{Index, Item, KeyRange, PageRequest, Seq},
    telemetry::{Counter, Gauge, Metrics},
};
use proto::time::CLOCK_SKEW_MAX;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::{
    domain::retention::{Cutoffs, Marks, Periods},
    error::Error,
    records::RetentionMarks,
    repository::{Changes, Entity, Loaded, Outcome, Repository},
};

mod events;
mod orders;
mod results;

/// The pause between two runs. What is due appears evenly or at midnight; neither is in a hurry.
const RUN_EVERY: Duration = Duration::from_secs(10 * 60);
/// Records looked at together, and committed side by side: the store syncs them as one group.
const PAGE: usize = 64;

/// Removes what has been kept for its period.
#[derive(Clone)]
pub struct Retention {
    repository: Repository,
    clock: Arc<dyn Clock>,
    periods: Periods,
    /// Records looked at in one second; none where nothing is to be waited for.
    rate: Option<u32>,
    numbers: Arc<Numbers>,
}

/// How many records of each kind a run removed, and how many it had to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Orders, with their lines.
    pub orders: u64,
    /// Traces of orders, with the answers under their references.
    pub traces: u64,
    /// Results.
    pub results: u64,
    /// Events of `WatchOrders`.
    pub events: u64,
    /// Parked notifications.
    pub parked: u64,
    /// Merchants' days.
    pub days: u64,
    /// What is beyond its period and stays, because it is not finished, waits for its merchant, or can't be read.
    pub left: u64,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.traces += other.traces;
        self.results += other.results;
        self.events += other.events;
        self.parked += other.parked;
        self.days += other.days;
        self.left += other.left;
    }
}

#[derive(Debug)]
struct Numbers {
    orders: Counter,
    traces: Counter,
    results: Counter,
    events: Counter,
    parked: Counter,
    days: Counter,
    left: Gauge,
    ahead: Gauge,
}

impl Numbers {
    fn register(metrics: &Metrics) -> Self {
        let removed = |kind| {
            let help = "Records removed after their period.";
            metrics.counter("acquirer_retention_removed_total", help, &[("kind", kind)])
        };
        let left = "Records beyond their period that the last run left, because they are not finished.";
        let ahead = "Seconds by which the clock is beyond the time that removal trusts; more than 0 needs an operator.";
        Self {
            orders: removed("order"),
            traces: removed("trace"),
            results: removed("result"),
            events: removed("event"),
            parked: removed("notification"),
            days: removed("day"),
            left: metrics.gauge("acquirer_retention_left", left, &[]),
            ahead: metrics.gauge("acquirer_retention_clock_ahead_seconds", ahead, &[]),
        }
    }

    fn add(&self, removed: &Removed) {
        self.orders.add(removed.orders);
        self.traces.add(removed.traces);
        self.results.add(removed.results);
        self.events.add(removed.events);
        self.parked.add(removed.parked);
        self.days.add(removed.days);
    }
}

/// One run: what it goes by.
struct Run {
    repository: Repository,
    marks: Marks,
    cutoffs: Cutoffs,
}

impl Retention {
    /// Removes by these periods, and looks at `rate` records in a second at most.
    #[must_use]
    pub fn new(
        repository: Repository,
        clock: Arc<dyn Clock>,
        periods: Periods,
        rate: Option<u32>,
        metrics: &Metrics,
    ) -> Self {
        Self { repository, clock, periods, rate, numbers: Arc::new(Numbers::register(metrics)) }
    }

    /// Puts the stored horizon in force; makes the marks in a store that has none. Call it before the first
    /// request is taken.
    ///
    /// A store without marks that holds anything has removed nothing. One that holds nothing may be new, or the
    /// successor of one that was lost: of what was signed before it nobody can say that it never was.
    ///
    /// # Errors
    /// [`Error::Repository`], [`Error::Contended`].
    pub async fn prepare(&self) -> Result<(), Error> {
        if self.stored().await?.is_none() {
            let now = self.clock.now();
            let is_new = *self.repository.store().watch().borrow() == Seq::START;
            let horizon = if is_new { now - CLOCK_SKEW_MAX } else { SystemTime::UNIX_EPOCH };
            let marks = RetentionMarks(Marks { trusted: now, horizon });
            match self.repository.commit(Changes::new().create(&marks)).await? {
                Outcome::Committed(_) | Outcome::Stale | Outcome::Duplicate(_) => {}
            }
        }
        let marks = self.stored().await?.ok_or(Error::Contended)?;
        self.repository.move_horizon(marks.entity.0.horizon);
        Ok(())
    }

    /// Removes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // Of the time before this process nobody knows how long it was: the first run counts none.
        let mut elapsed = Duration::ZERO;
        let mut looked_at = self.clock.elapsed();
        while pause(&self.clock, RUN_EVERY, &stop).await {
            match self.run_once(elapsed, &stop).await {
                Ok(removed) if removed == (Removed { left: removed.left, ..Removed::default() }) => {}
                Ok(removed) => tracing::info!(?removed, "records were removed after their period"),
                Err(error) => tracing::error!(%error, "records can't be removed; trying again later"),
            }
            let now = self.clock.elapsed();
            elapsed = now.saturating_sub(looked_at);
            looked_at = now;
        }
    }

    /// One run over everything. `elapsed` is the time since the last one of this process, zero for the first.
    ///
    /// # Errors
    /// [`Error::Repository`]; what was removed before stays removed, and the next run goes on.
    pub async fn run_once(&self, elapsed: Duration, stop: &CancellationToken) -> Result<Removed, Error> {
        let Some(marks) = self.advance(elapsed).await? else { return Ok(Removed::default()) };
        let run = Arc::new(Run { repository: self.repository.clone(), marks, cutoffs: marks.cutoffs(&self.periods) });
        let mut removed = Removed::default();
        let done = self.remove_all(&run, &mut removed, stop).await;
        self.numbers.left.set(i64::try_from(removed.left).unwrap_or(i64::MAX));
        done.map(|()| removed)
    }

    async fn remove_all(&self, run: &Arc<Run>, removed: &mut Removed, stop: &CancellationToken) -> Result<(), Error> {
        self.remove_parked(run, removed, stop).await?;
        for merchant in run.merchants().await? {
            self.remove_events(run, &merchant, removed, stop).await?;
            self.remove_orders(run, &merchant, removed, stop).await?;
        }
        self.remove_traces(run, removed, stop).await?;
        self.remove_results(run, removed, stop).await
    }

    /// Moves the marks, durably, and puts the horizon in force. None where somebody else moved them.
    async fn advance(&self, elapsed: Duration) -> Result<Option<Marks>, Error> {
        let Some(mut stored) = self.stored().await? else {
            return Err(Error::Inconsistent("retention runs without its marks"));
        };
        let now = self.clock.now();
        let trusted = Trusted::after(stored.entity.0.trusted, now, elapsed);
        let ahead = trusted.ahead.as_secs();
        self.numbers.ahead.set(i64::try_from(ahead).unwrap_or(i64::MAX));
        if ahead > 0 {
            tracing::error!(
                ahead_seconds = ahead,
                "the clock is far beyond the last time that it was seen at; records are removed by a time that \
                 catches up slowly: check the clock"
            );
        }
        let marks = stored.entity.0.advanced(trusted.time, &self.periods);
        if marks != stored.entity.0 {
            stored.entity = RetentionMarks(marks);
            match self.repository.commit(Changes::new().update(&stored)).await? {
                Outcome::Committed(_) => {}
                Outcome::Stale | Outcome::Duplicate(_) => return Ok(None),
            }
        }
        self.repository.move_horizon(marks.horizon);
        Ok(Some(marks))
    }

    async fn stored(&self) -> Result<Option<Loaded<RetentionMarks>>, Error> {
        Ok(self.repository.load(RetentionMarks::KEY).await?)
    }

    /// Works through a range of an index, page by page, `together` records in one piece of work.
    async fn sweep<W, F>(
        &self,
        run: &Arc<Run>,
        (index, range): (Index, KeyRange),
        together: usize,
        removed: &mut Removed,
        stop: &CancellationToken,
        work: W,
    ) -> Result<(), Error>
    where
        W: Fn(Arc<Run>, Vec<Item>) -> F,
        F: Future<Output = Result<Removed, Error>> + Send + 'static,
    {
        let mut after = None;
        while !stop.is_cancelled() {
            let page = PageRequest { after, limit: PAGE };
            let page = self.repository.store().scan(index, range.clone(), page).await.map_err(store_failed)?;
            let mut pieces = JoinSet::new();
            for piece in page.items.chunks(together) {
                pieces.spawn(work(Arc::clone(run), piece.to_vec()));
            }
            while let Some(piece) = pieces.join_next().await {
                let piece = piece.map_err(|_| Error::Interrupted)??;
                self.numbers.add(&piece);
                *removed += piece;
            }
            self.rest_after(page.items.len(), stop).await;
            match page.next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits as long as looking at so many records takes at the rate.
    async fn rest_after(&self, looked_at: usize, stop: &CancellationToken) {
        let Some(rate) = self.rate else { return };
        let rest = Duration::from_secs(looked_at as u64) / rate.max(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.clock.sleep(rest) => {}
        }
    }
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention").field("periods", &self.periods).finish_non_exhaustive()
    }
}

fn store_failed(error: mesh::store::StoreError) -> Error {
    Error::Repository(error.into())
}

/// What an index has found, as an entity. One that can't be read is logged, and stays for somebody to look at.
fn read<E: Entity>(item: Item) -> Option<Loaded<E>> {
    let record = String::from_utf8_lossy(&item.id.key).into_owned();
    let read = Loaded::of(item);
    read.map_err(|error| tracing::error!(%record, %error, "a record can't be read and stays beyond its period")).ok()
}

/// Nothing removed, and so many left.
fn left(count: usize) -> Removed {
    Removed { left: count as u64, ..Removed::default() }
}
