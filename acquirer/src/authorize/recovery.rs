//! Authorizations whose worker is gone: after a crash, or after a store that failed in between.

use std::sync::Arc;

use mesh::store::{KeyRange, PageRequest};
use proto::time::CLOCK_SKEW_MAX;
use tokio::task::JoinSet;

use super::{Authorizer, Entry, InFlight};
use crate::{
    bounds::WORKER_GRACE,
    error::Error,
    records::{ATTEMPTS_DECIDING, Attempt, time_key},
};

/// How many are settled at once: enough to be done soon, few enough for any card network.
const RECOVERY_PAGE: usize = 64;

/// Which authorizations are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All that have no worker here: right after the start, when nobody else works on the store.
    Everything,
    /// Those whose time is long over, whoever worked on them, and those whose time lies further ahead than any
    /// worker's: they began before the clock was set back.
    Overdue,
}

impl Authorizer {
    /// Settles authorizations that nobody works on, by inquiry, and says how many it settled. It reads
    /// page by page, so that its memory does not grow with what was left behind.
    ///
    /// One that can't be settled or read is logged and left for the next time; the others go on.
    ///
    /// # Errors
    /// [`Error::Repository`] where the index can't be read.
    pub async fn recover(self: &Arc<Self>, which: Recovery) -> Result<usize, Error> {
        let now = self.context.clock.now();
        match which {
            Recovery::Everything => self.recover_between(KeyRange::all()).await,
            Recovery::Overdue => {
                let over = KeyRange::between(Vec::new(), time_key(now - WORKER_GRACE));
                let unreachable = now + self.context.limits.network_deadline.get() + CLOCK_SKEW_MAX;
                let ahead = KeyRange::starting_at(time_key(unreachable));
                Ok(self.recover_between(over).await? + self.recover_between(ahead).await?)
            }
        }
    }

    async fn recover_between(self: &Arc<Self>, range: KeyRange) -> Result<usize, Error> {
        let mut settled = 0;
        let mut after = None;
        loop {
            let page = PageRequest { after, limit: RECOVERY_PAGE };
            let (attempts, next) =
                self.context.repository.readable_page::<Attempt>(ATTEMPTS_DECIDING, range.clone(), page).await?;
            let mut work = JoinSet::new();
            for attempt in attempts {
                let id = attempt.entity.id;
                let Entry::Claimed(slot) = InFlight::enter(&self.in_flight, &id) else { continue };
                let this = Arc::clone(self);
                let settle = async move {
                    let outcome = this.settle_by_inquiry(&id).await;
                    drop(slot);
                    outcome.map_err(|error| tracing::error!(attempt = %id, %error, "not recovered"))
                };
                work.spawn(self.tasks.track_future(settle));
            }
            while let Some(outcome) = work.join_next().await {
                settled += usize::from(matches!(outcome, Ok(Ok(()))));
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(settled),
            }
        }
    }
}
