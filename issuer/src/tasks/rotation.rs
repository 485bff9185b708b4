//! Moving every sealed record to the vault's current key, while the issuer serves.
//!
//! The index of key versions says what is left, so that nothing has to be remembered: a process that dies at
//! any point goes on where it was, and whoever writes a record meanwhile writes it under the current key.
//! Records move in small batches with rests between them. One that changes under the move is left to the
//! next round, one that no key opens is named in the log and left as it is.
//!
//! Beside it the key file is watched; [`adopt`] says which new keys are taken.

use std::{collections::HashSet, sync::Arc, time::Duration};

use mesh::{
    sealing::at_rest::KeyVersion,
    store::RecordId,
    telemetry::{Counter, Gauge, Metrics},
};
use tokio::sync::watch;

use crate::{
    audit::{self, Act, Entry},
    context::Context,
    keys::VaultKeys,
    vault::needs,
};

mod key_file;
mod sweep;

pub use key_file::{Refused, adopt};
pub use sweep::{Stuck, Sweep, SweepError, Swept};

/// How often somebody looks whether a record came under an old key after all.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long after new keys came in a record may still be written under the former ones. Between sealing and
/// the commit there is no waiting for anybody else, so that this is ample.
const SETTLING: Duration = Duration::from_secs(5);

/// The wait after something failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The wait before records are tried again that were changing under the move.
const REST_AFTER_CONFLICT: Duration = Duration::from_millis(100);

/// How often the log says how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Watches the keys and moves records, until the context's `stop`. `rate` is in records per second.
pub async fn run(ctx: Arc<Context>, keys: VaultKeys, rate: u32) {
    let numbers = Numbers::new(&ctx.metrics);
    let (adopted, news) = watch::channel(None);
    let mut rotation = Rotation {
        ctx: &ctx,
        numbers: numbers.clone(),
        pause: Duration::from_secs(1) / rate.max(1),
        known_stuck: HashSet::new(),
        moved: 0,
        told: Vec::new(),
    };
    tokio::select! {
        () = ctx.stop.cancelled() => {}
        () = key_file::watch(&ctx, keys, &numbers, &adopted) => {}
        () = rotation.run(news) => {}
    }
}

/// What is shown of the vault.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// The version that new records are sealed under.
    pub current: Gauge,
    /// Records that need an older key.
    pub left: Gauge,
    /// Of those, the ones that can't be moved.
    pub stuck: Gauge,
    /// Records that were moved.
    pub moved: Counter,
    /// Changed key files that were not taken.
    pub refused: Counter,
}

impl Numbers {
    /// The numbers of this registry.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            current: metrics.gauge(
                "bankside_issuer_vault_key_version",
                "The version of the key that new records are sealed under.",
                &[],
            ),
            left: metrics.gauge(
                "bankside_issuer_vault_records_left",
                "Sealed records that need a key older than the current one.",
                &[],
            ),
            stuck: metrics.gauge(
                "bankside_issuer_vault_records_stuck",
                "Sealed records that no key opens, so that they can't be moved to the current one.",
                &[],
            ),
            moved: metrics.counter(
                "bankside_issuer_vault_records_moved_total",
                "Sealed records moved to a newer key.",
                &[],
            ),
            refused: metrics.counter(
                "bankside_issuer_vault_keys_refused_total",
                "Changed key files that were not taken; the former keys counted on.",
                &[],
            ),
        }
    }
}

/// How a round over the records has ended.
enum Round {
    /// Some records were changing, or newer keys came in meanwhile.
    Again,
    /// Nothing is left but what can't be moved.
    Clear,
}

struct Rotation<'a> {
    ctx: &'a Context,
    numbers: Numbers,
    /// The rest that one moved record costs.
    pause: Duration,
    /// Records that are in the log already because they can't be moved.
    known_stuck: HashSet<RecordId>,
    /// Records moved since the end was told last.
    moved: u64,
    /// The retired keys that the end was told of, and whether records need them all the same.
    told: Vec<(KeyVersion, bool)>,
}

impl Rotation<'_> {
    /// `news` says when new keys came in, by the clock's time since its start.
    async fn run(&mut self, mut news: watch::Receiver<Option<Duration>>) {
        loop {
            let adopted = *news.borrow_and_update();
            let begun = self.ctx.clock.elapsed();
            let settling = adopted.map_or(Duration::ZERO, |at| (at + SETTLING).saturating_sub(begun));
            let rest = match self.round().await {
                Ok(Round::Again) => REST_AFTER_CONFLICT,
                Ok(Round::Clear) if !settling.is_zero() => settling,
                Ok(Round::Clear) => match self.tell_end().await {
                    Ok(()) => LOOK_EVERY,
                    Err(error) => self.failed(&error),
                },
                Err(error) => self.failed(&error),
            };
            tokio::select! {
                () = self.ctx.clock.sleep(rest) => {}
                changed = news.changed() => if changed.is_err() { return },
            }
        }
    }

    fn failed(&self, error: &SweepError) -> Duration {
        tracing::error!(%error, "the vault's records could not be moved; it is tried again");
        REST_AFTER_FAILURE
    }

    /// One round over everything that needs an older key.
    async fn round(&mut self) -> Result<Round, SweepError> {
        let (store, vault) = (self.ctx.repository.store().as_ref(), &self.ctx.keys.vault);
        let target = vault.current();
        self.numbers.current.set(target.number().into());
        let mut left = needs::count(store, needs::before(target)).await?;
        self.numbers.left.set(signed(left));
        if left > self.known_stuck.len() {
            tracing::info!(key_version = %target, left, "the vault's records move to a new key");
        }
        let mut sweep = Sweep::new(store, vault);
        let (mut busy, mut stuck) = (0, 0);
        let mut told = self.ctx.clock.elapsed();
        while let Some(swept) = sweep.step().await? {
            left = left.saturating_sub(swept.moved);
            self.moved += swept.moved as u64;
            self.numbers.moved.add(swept.moved as u64);
            self.numbers.left.set(signed(left));
            busy += swept.busy;
            stuck += swept.stuck.len();
            for record in swept.stuck {
                self.tell_stuck(record).await;
            }
            if self.ctx.clock.elapsed().saturating_sub(told) >= TELL_EVERY {
                told = self.ctx.clock.elapsed();
                tracing::info!(key_version = %target, moved = self.moved, left, "the vault's records are moving");
            }
            // Also where nothing was moved, so that no walk over damaged records takes a thread for itself.
            let share = u32::try_from(swept.moved).unwrap_or(u32::MAX).max(1);
            self.ctx.clock.sleep(self.pause.saturating_mul(share)).await;
        }
        self.numbers.stuck.set(signed(stuck));
        if stuck == 0 {
            self.known_stuck.clear();
        }
        Ok(if busy > 0 || vault.current() != target { Round::Again } else { Round::Clear })
    }

    async fn tell_stuck(&mut self, record: Stuck) {
        if !self.known_stuck.insert(record.id) {
            return;
        }
        let Stuck { name, problem, .. } = record;
        tracing::error!(record = %name, %problem, "a record of the vault is damaged and can't move to the new key");
        let entry = Entry::new(self.ctx.clock.now(), Act::VaultRecordDamaged).record(&name);
        if let Err(error) = audit::note(&self.ctx.repository, &entry).await {
            tracing::error!(%error, "the audit trail could not be told");
        }
    }

    /// Says which keys nobody needs any more, once.
    async fn tell_end(&mut self) -> Result<(), SweepError> {
        let (store, vault) = (self.ctx.repository.store().as_ref(), &self.ctx.keys.vault);
        let needed = needs::indexed(store).await?;
        let retired = vault.versions().into_iter().filter(|version| *version < vault.current());
        let retired: Vec<_> = retired.map(|version| (version, needed.contains_key(&version))).collect();
        for (version, is_needed) in retired.iter().filter(|retired| !self.told.contains(retired)) {
            if *is_needed {
                tracing::error!(
                    key_version = %version, first = ?needed.get(version),
                    "only damaged records need this key any more; `issuer vault check` names them; keep its line \
                     until they are restored"
                );
            } else {
                tracing::info!("no record needs key version {version} any more; its line may be removed");
            }
        }
        self.told = retired;
        self.moved = 0;
        let current = vault.current();
        let entry = Entry::new(self.ctx.clock.now(), Act::VaultRotated).key_version(current.number());
        if let Err(error) = needs::tell_moved(store, current, &entry).await {
            tracing::error!(%error, "the audit trail could not be told; it is tried again");
        }
        Ok(())
    }
}

/// A count as a gauge shows it.
fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
