//! Removes ended charges that have been kept for their period, so that the store's size stays bounded.
//!
//! [`crate::domain::retention`] says what is kept how long. A run goes through the ended charges in the order in
//! which they ended, at a bounded rate. A charge goes in one commit with its claim and its consent, at the
//! versions that were judged, so that a run may end anywhere and the next one goes on. Time is the trusted
//! one ([`Trusted`]): a clock that is set back stops removal, one that jumps ahead does not hasten it.
//!
//! What came of a run is in the audit trail, by kind and number. A process that dies in the middle of one
//! leaves out what it had removed in it.

use std::{
    ops::AddAssign,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::{
    clock::Trusted,
    store::{Index, KeyRange, PageRequest},
    telemetry::{Counter, Gauge, Metrics},
};
use tokio::task::JoinSet;

use crate::{
    audit::{Act, Entry, Outcome as Told},
    charges::Charge,
    context::Context,
    domain::retention::{Cutoffs, Periods},
    error::Error,
    records::{
        self, Claim, Consent, INDEX_CHARGE_CONSENTED, INDEX_CHARGE_ENDED, RetentionMark, millis_of, time_key, time_of,
    },
    repository::{Changes, Outcome, Stored},
};

/// The pause between two runs: what is due appears evenly, and is in no hurry.
const RUN_EVERY: Duration = Duration::from_secs(10 * 60);
/// Charges looked at together, and committed side by side: the store syncs them as one group.
const PAGE: usize = 64;
/// Charges removed with one commit: each takes a claim and a consent along, and a commit writes eight records.
const TOGETHER: usize = 2;

/// Removes what has been kept for its period.
#[derive(Clone, Debug)]
pub struct Retention {
    ctx: Arc<Context>,
    periods: Periods,
    /// Charges looked at in one second; none where nothing is to be waited for.
    rate: Option<u32>,
    numbers: Arc<Numbers>,
}

/// How many records of each kind were removed, and how many had to be left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Charges.
    pub charges: u64,
    /// Claims on paid orders.
    pub claims: u64,
    /// Consents.
    pub consents: u64,
    /// Charges beyond their period that can't be read, or were changed at the same moment.
    pub left: u64,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.charges += other.charges;
        self.claims += other.claims;
        self.consents += other.consents;
        self.left += other.left;
    }
}

#[derive(Debug)]
struct Numbers {
    charges: Counter,
    claims: Counter,
    consents: Counter,
    left: Gauge,
    ahead: Gauge,
}

impl Numbers {
    fn register(metrics: &Metrics) -> Self {
        let removed = |kind| {
            let help = "Records removed after their period.";
            metrics.counter("issuer_retention_removed_total", help, &[("kind", kind)])
        };
        let left = "Charges beyond their period that the last run left, because they can't be read or had changed.";
        let ahead = "Seconds by which the clock is beyond the time that removal trusts; more than 0 needs an operator.";
        Self {
            charges: removed("charge"),
            claims: removed("claim"),
            consents: removed("consent"),
            left: metrics.gauge("issuer_retention_left", left, &[]),
            ahead: metrics.gauge("issuer_retention_clock_ahead_seconds", ahead, &[]),
        }
    }

    fn add(&self, removed: &Removed) {
        self.charges.add(removed.charges);
        self.claims.add(removed.claims);
        self.consents.add(removed.consents);
    }
}

impl Retention {
    /// Removes by these periods, and looks at `rate` charges in a second at most.
    #[must_use]
    pub fn new(ctx: Arc<Context>, periods: Periods, rate: Option<u32>) -> Self {
        let numbers = Arc::new(Numbers::register(&ctx.metrics));
        Self { ctx, periods, rate, numbers }
    }

    /// Makes the mark in a store that has none: time is trusted from now on. Call it at the start.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn prepare(&self) -> Result<(), Error> {
        if self.mark().await?.is_none() {
            let mark = RetentionMark { trusted_ms: millis_of(self.ctx.clock.now()) };
            match self.ctx.repository.commit(Changes::new().create(&mark)).await? {
                Outcome::Committed | Outcome::Reload => {}
            }
        }
        Ok(())
    }

    /// Removes until the context's `stop`.
    pub async fn run(self) {
        // Of the time before this process nobody knows how long it was: the first run counts none.
        let mut elapsed = Duration::ZERO;
        let mut looked_at = self.ctx.clock.elapsed();
        loop {
            tokio::select! {
                () = self.ctx.stop.cancelled() => return,
                () = self.ctx.clock.sleep(RUN_EVERY) => {}
            }
            match self.run_once(elapsed).await {
                Ok(removed) if removed.charges == 0 => {}
                Ok(removed) => tracing::info!(?removed, "charges were removed after their period"),
                Err(error) => tracing::error!(%error, "charges can't be removed; trying again later"),
            }
            let now = self.ctx.clock.elapsed();
            elapsed = now.saturating_sub(looked_at);
            looked_at = now;
        }
    }

    /// One run over everything. `elapsed` is the time since the last one of this process, zero for the first.
    ///
    /// # Errors
    /// The store's failure; what was removed before stays removed and is in the audit trail, if the store still
    /// takes that.
    pub async fn run_once(&self, elapsed: Duration) -> Result<Removed, Error> {
        let Some(trusted) = self.advance(elapsed).await? else { return Ok(Removed::default()) };
        let cutoffs = self.periods.cutoffs(trusted);
        let mut removed = Removed::default();
        let done = self.remove_all(cutoffs, &mut removed).await;
        self.numbers.left.set(i64::try_from(removed.left).unwrap_or(i64::MAX));
        self.tell(&removed).await?;
        done.map(|()| removed)
    }

    async fn remove_all(&self, cutoffs: Cutoffs, removed: &mut Removed) -> Result<(), Error> {
        self.sweep(INDEX_CHARGE_ENDED, cutoffs.charges, cutoffs, removed).await?;
        self.sweep(INDEX_CHARGE_CONSENTED, cutoffs.consents, cutoffs, removed).await
    }

    /// Moves the trusted time, durably. None where somebody else moved it.
    async fn advance(&self, elapsed: Duration) -> Result<Option<SystemTime>, Error> {
        let Some(mark) = self.mark().await? else {
            self.prepare().await?;
            return Ok(None);
        };
        let last = time_of(mark.value.trusted_ms);
        let trusted = Trusted::after(last, self.ctx.clock.now(), elapsed);
        let ahead = trusted.ahead.as_secs();
        self.numbers.ahead.set(i64::try_from(ahead).unwrap_or(i64::MAX));
        if ahead > 0 {
            tracing::error!(
                ahead_seconds = ahead,
                "the clock is far beyond the last time that it was seen at; charges are removed by a time that \
                 catches up slowly: check the clock"
            );
        }
        if trusted.time > last {
            let moved = RetentionMark { trusted_ms: millis_of(trusted.time) };
            match self.ctx.repository.commit(Changes::new().replace(mark.version, &moved)).await? {
                Outcome::Committed => {}
                Outcome::Reload => return Ok(None),
            }
        }
        Ok(Some(trusted.time))
    }

    async fn mark(&self) -> Result<Option<Stored<RetentionMark>>, Error> {
        Ok(self.ctx.repository.load(&RetentionMark::at()).await?)
    }

    /// Works through the charges of an index that ended before a time, page by page.
    async fn sweep(
        &self,
        index: Index,
        before: SystemTime,
        cutoffs: Cutoffs,
        removed: &mut Removed,
    ) -> Result<(), Error> {
        let range = KeyRange::between(time_key(SystemTime::UNIX_EPOCH), time_key(before));
        let mut page = PageRequest::first(PAGE);
        while !self.ctx.stop.is_cancelled() {
            let found = self.ctx.repository.page::<records::Charge>(index, range.clone(), page).await?;
            let mut pieces = JoinSet::new();
            for piece in found.items.chunks(TOGETHER) {
                pieces.spawn(remove(Arc::clone(&self.ctx), piece.to_vec(), cutoffs));
            }
            while let Some(piece) = pieces.join_next().await {
                let piece = piece.map_err(|error| Error::internal("removing charges", error))??;
                self.numbers.add(&piece);
                *removed += piece;
            }
            self.rest_after(found.items.len()).await;
            let Some(next) = found.next else { return Ok(()) };
            page = PageRequest::after(next, PAGE);
        }
        Ok(())
    }

    /// Waits as long as looking at so many charges takes at the rate.
    async fn rest_after(&self, looked_at: usize) {
        let Some(rate) = self.rate else { return };
        let rest = Duration::from_secs(looked_at as u64) / rate.max(1);
        tokio::select! {
            () = self.ctx.stop.cancelled() => {}
            () = self.ctx.clock.sleep(rest) => {}
        }
    }

    /// Says in the audit trail what was removed.
    async fn tell(&self, removed: &Removed) -> Result<(), Error> {
        let kinds = [("charge", removed.charges), ("claim", removed.claims), ("consent", removed.consents)];
        let now = self.ctx.clock.now();
        let told = kinds.into_iter().filter(|(_, count)| *count > 0).fold(None, |changes, (kind, count)| {
            let entry = Entry::new(now, Act::RecordsRemoved).record_kind(kind).count(count).outcome(Told::Done);
            Some(changes.unwrap_or_else(Changes::new).audit(&entry))
        });
        if let Some(changes) = told {
            // Nothing is expected of any record, so that there is nothing to load again.
            let _outcome = self.ctx.repository.commit(changes).await?;
        }
        Ok(())
    }
}

/// Removes charges with what stands beside them, all in one commit.
async fn remove(ctx: Arc<Context>, charges: Vec<Stored<records::Charge>>, cutoffs: Cutoffs) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let mut changes = Changes::new();
    for stored in &charges {
        let charge = match Charge::from_record(&stored.value) {
            Ok(charge) if cutoffs.allow(charge.state, charge.updated_at, charge.consent.is_some()) => charge,
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(charge_id = stored.value.charge_id, %error, "a charge can't be read and stays");
                continue;
            }
        };
        changes = changes.remove(stored);
        removed.charges += 1;
        let claim = ctx.repository.load(&Claim::at(&charge.order.digest)).await?;
        if let Some(claim) = claim.filter(|claim| claim.value.is_of(&charge.customer, &charge.id)) {
            changes = changes.remove(&claim);
            removed.claims += 1;
        }
        if let Some(consent) = ctx.repository.load(&Consent::at(&charge.customer, &charge.id)).await? {
            changes = changes.remove(&consent);
            removed.consents += 1;
        }
    }
    let all = Removed { left: charges.len() as u64, ..Removed::default() };
    if removed.charges == 0 {
        return Ok(all);
    }
    match ctx.repository.commit(changes).await? {
        Outcome::Committed => Ok(Removed { left: all.left - removed.charges, ..removed }),
        Outcome::Reload => Ok(all),
    }
}
