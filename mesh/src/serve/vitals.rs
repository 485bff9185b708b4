//! What a port says about its health: that it serves until it drains, and for how long the store beneath some of
//! its services can't work.

use std::{collections::BTreeSet, fmt, pin::pin, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::store::{Store, StoreError};

/// How often the store is looked at. A balancer asks no more often, and a look costs a few loads.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A look that takes longer says that the store can't work: where even that hangs, a commit hangs too.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// How many good looks in a row make a store well again. A disk whose free space is just what must be kept free
/// is well every other moment, and balancers must not send callers back and forth with it.
const GOOD_LOOKS: u32 = 3;

/// The services of a port, and what is said of them.
#[derive(Debug)]
pub(super) struct Vitals {
    port: &'static str,
    reporter: HealthReporter,
    services: BTreeSet<&'static str>,
    needs: Option<Needs>,
}

/// A store, and which services work without it.
#[derive(Clone)]
pub(super) struct Needs {
    pub(super) store: Arc<dyn Store>,
    pub(super) without: &'static [&'static str],
}

/// Says that a port serves, and follows its store from now on until `stop`.
pub(super) async fn begin(vitals: Option<Arc<Vitals>>, stop: CancellationToken) -> Option<JoinHandle<()>> {
    let vitals = vitals?;
    vitals.say_of_all(ServingStatus::Serving).await;
    Some(tokio::spawn(async move { vitals.follow_store(&stop).await }))
}

/// Says that a port does not serve any more. What follows the store must have been stopped, and has the word no more.
pub(super) async fn end(vitals: Option<Arc<Vitals>>, followed: Option<JoinHandle<()>>) {
    if let Some(followed) = followed
        && followed.await.is_err()
    {
        tracing::error!("what follows the store's health panicked");
    }
    if let Some(vitals) = vitals {
        vitals.say_of_all(ServingStatus::NotServing).await;
    }
}

impl Vitals {
    pub(super) fn new(
        port: &'static str,
        reporter: HealthReporter,
        services: BTreeSet<&'static str>,
        needs: Option<Needs>,
    ) -> Self {
        Self { port, reporter, services, needs }
    }

    /// Says that everything serves, or that nothing does any more.
    async fn say_of_all(&self, status: ServingStatus) {
        // The name of the server as a whole.
        self.reporter.set_service_status("", status).await;
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Keeps saying how the services are that need the store, until `stop`.
    async fn follow_store(&self, stop: &CancellationToken) {
        let Some(needs) = &self.needs else { return };
        let mut health = Health::default();
        loop {
            let mut looking = pin!(needs.store.health());
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = timeout(LOOK_TIME_MAX, looking.as_mut()) => looked,
            };
            let hangs = looked.is_err();
            self.judge(needs, &mut health, looked.map_err(|_| Sickness::Hangs).and_then(|looked| Ok(looked?))).await;
            if hangs {
                // It is waited for all the same, so that looks which hang don't become many.
                tokio::select! {
                    () = stop.cancelled() => return,
                    _late = looking => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
        }
    }

    /// Takes one more look into account, and says what it changes.
    async fn judge(&self, needs: &Needs, health: &mut Health, looked: Result<(), Sickness>) {
        if !health.changes(looked.is_ok()) {
            return;
        }
        match looked {
            Err(error) => {
                tracing::error!(port = self.port, %error, "health says NOT_SERVING: the store can't work");
                self.say(needs, ServingStatus::NotServing).await;
            }
            Ok(()) => {
                tracing::info!(port = self.port, "health says SERVING again: the store works");
                self.say(needs, ServingStatus::Serving).await;
            }
        }
    }

    /// Says it of the services that need the store, and of the server as a whole where all of them do: a server
    /// that can still do something is worth a caller's while.
    async fn say(&self, needs: &Needs, status: ServingStatus) {
        let needing = || self.services.iter().filter(|service| !needs.without.contains(service));
        if needing().count() == self.services.len() {
            self.reporter.set_service_status("", status).await;
        }
        for service in needing() {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needs").field("without", &self.without).finish_non_exhaustive()
    }
}

/// Why a store counts as one that can't work.
#[derive(Debug, thiserror::Error)]
enum Sickness {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it does not say how it is within {LOOK_TIME_MAX:?}")]
    Hangs,
}

/// What the looks at a store come to: it is sick at once, and well again after some time.
#[derive(Debug)]
struct Health {
    is_well: bool,
    good_in_a_row: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { is_well: true, good_in_a_row: 0 }
    }
}

impl Health {
    /// Takes one more look into account; true where that changes whether the store is well.
    fn changes(&mut self, is_good: bool) -> bool {
        self.good_in_a_row = if is_good { self.good_in_a_row.saturating_add(1) } else { 0 };
        let is_well = is_good && (self.is_well || self.good_in_a_row >= GOOD_LOOKS);
        std::mem::replace(&mut self.is_well, is_well) != is_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_sick_at_once_and_well_after_several_good_looks_in_a_row() {
        let mut health = Health::default();
        let looks = [true, false, true, true, false, true, true, true, true, false];
        let changes: Vec<bool> = looks.into_iter().map(|look| health.changes(look)).collect();
        assert_eq!(changes, [false, true, false, false, false, false, false, true, false, true]);
    }

    #[test]
    fn what_is_well_every_other_moment_is_sick() {
        let mut health = Health::default();
        let changes = (0..100).filter(|look| health.changes(look % 2 == 0)).count();
        assert_eq!((changes, health.is_well), (1, false));
    }
}
