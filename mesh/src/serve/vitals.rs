//! What a port says about its health: that it serves until it drains, and for how long the store beneath some of
//! its services can't work.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::store::Store;

/// How often the store is looked at. A balancer asks no more often, and a look costs a few loads.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

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
        let mut is_well = true;
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = needs.store.health() => looked,
            };
            match (&looked, is_well) {
                (Err(error), true) => {
                    tracing::error!(port = self.port, %error, "health says NOT_SERVING: the store can't work");
                    self.say(needs, ServingStatus::NotServing).await;
                }
                (Ok(()), false) => {
                    tracing::info!(port = self.port, "health says SERVING again: the store works");
                    self.say(needs, ServingStatus::Serving).await;
                }
                (Ok(()), true) | (Err(_), false) => {}
            }
            is_well = looked.is_ok();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_PERIOD) => {}
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
