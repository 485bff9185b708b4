//! Authorizations whose worker is gone: after a crash, or after a store that failed in between.

use std::{sync::Arc, time::Duration};

use mesh::store::{KeyRange, PageRequest};
use tokio::task::JoinSet;

use super::{Authorizer, Entry, InFlight};
use crate::{
    error::Error,
    records::{ATTEMPTS_DECIDING, Attempt, time_key},
};

/// How many are settled at once: enough to be done soon, few enough for any card network.
const RECOVERY_PAGE: usize = 64;

/// How long after the card network's deadline a worker, wherever it runs, has committed its outcome:
/// the deadline of the inquiry and a storm of conflicts fit into it.
const WORKER_GRACE: Duration = Duration::from_secs(10);

/// Which authorizations are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All that have no worker here: right after the start, when nobody else works on the store.
    Everything,
    /// Those whose time is long over, whoever worked on them.
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
        let range = match which {
            Recovery::Everything => KeyRange::all(),
            Recovery::Overdue => KeyRange::between(Vec::new(), time_key(self.context.clock.now() - WORKER_GRACE)),
        };
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
