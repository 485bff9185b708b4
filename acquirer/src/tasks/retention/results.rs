//! The results of authorizations.

use std::sync::Arc;

use mesh::store::{Item, KeyRange, limits::WRITES_MAX};
use tokio_util::sync::CancellationToken;

use super::{Removed, Retention, Run, left, read, store_failed};
use crate::{
    domain::attempt::AttemptId,
    error::Error,
    network::{self, NetworkId},
    records::{ATTEMPTS_DECIDED, Attempt, KeptOrder, RemovedOrder, Reversal, time_key},
    repository::{Changes, Outcome},
};

/// Results removed with one commit: each may take a record of the simulated card network along.
const TOGETHER: usize = WRITES_MAX / 2;

impl Retention {
    /// Removes the results of requests that were signed before the horizon.
    pub(super) async fn remove_results(
        &self,
        run: &Arc<Run>,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let range = KeyRange::between(Vec::new(), time_key(run.cutoffs.results));
        self.sweep(run, (ATTEMPTS_DECIDED, range), TOGETHER, removed, stop, remove_results).await
    }
}

impl Run {
    /// Whether a result may go: its order and the order's trace are gone, and nothing of it is under way.
    async fn has_outlived_its_order(&self, attempt: &Attempt) -> Result<bool, Error> {
        if attempt.state.result().is_none()
            || self.repository.load::<Reversal>(&Attempt::key_of(&attempt.id)).await?.is_some()
        {
            return Ok(false);
        }
        let Some(order) = &attempt.order else { return Ok(true) };
        let key = RemovedOrder::key_of(order);
        Ok(self.repository.load::<KeptOrder>(&key).await?.is_none()
            && self.repository.load::<RemovedOrder>(&key).await?.is_none())
    }

    /// Removes what a simulated card network in this store knows of an authorization, where there is one.
    async fn with_network_record(&self, changes: Changes, attempt: &Attempt) -> Result<Changes, Error> {
        let AttemptId { issuer, authorization } = attempt.id.clone();
        let id = network::record_of(&NetworkId { issuer, authorization });
        let record = self.repository.store().get(&id).await.map_err(store_failed)?;
        Ok(match record {
            Some(record) => changes.with(|transition| transition.remove(id, record.version)),
            None => changes,
        })
    }
}

async fn remove_results(run: Arc<Run>, items: Vec<Item>) -> Result<Removed, Error> {
    let all = items.len();
    let mut changes = Changes::new();
    let mut count = 0;
    for attempt in items.into_iter().filter_map(read::<Attempt>) {
        if run.has_outlived_its_order(&attempt.entity).await? {
            changes = run.with_network_record(changes.remove(&attempt), &attempt.entity).await?;
            count += 1;
        }
    }
    if count == 0 {
        return Ok(left(all));
    }
    match run.repository.commit(changes).await? {
        Outcome::Committed(_) => Ok(Removed { results: count as u64, ..left(all - count) }),
        Outcome::Stale | Outcome::Duplicate(_) => Ok(left(all)),
    }
}
