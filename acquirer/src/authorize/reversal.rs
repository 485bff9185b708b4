//! Reversals: repeated until the card network acknowledges them.

use std::{sync::Arc, time::Duration};

use mesh::store::{KeyRange, PageRequest};
use tokio::task::JoinSet;

use super::{Authorizer, network_id};
use crate::{
    error::Error,
    network::NetworkError,
    records::{REVERSALS_DUE, Reversal, time_key},
    repository::{Changes, Loaded, Outcome},
};

/// How many reversals are sent at once.
const REVERSAL_PAGE: usize = 32;
/// The wait after the first failed try; it doubles from there.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait: a network that comes back hears of it within a minute.
const RETRY_MAX: Duration = Duration::from_secs(60);

impl Authorizer {
    /// Sends every reversal that is due, and says how many were acknowledged.
    ///
    /// # Errors
    /// [`Error::Repository`]; what was acknowledged and not recorded is sent again, which is harmless.
    pub async fn send_reversals(self: &Arc<Self>) -> Result<usize, Error> {
        let mut acknowledged = 0;
        let mut after = None;
        loop {
            // Up to and with this millisecond.
            let due = time_key(self.context.clock.now() + Duration::from_millis(1));
            let page = PageRequest { after, limit: REVERSAL_PAGE };
            let range = KeyRange::between(Vec::new(), due);
            let (reversals, next) =
                self.context.repository.readable_page::<Reversal>(REVERSALS_DUE, range, page).await?;
            let mut work = JoinSet::new();
            for reversal in reversals {
                let this = Arc::clone(self);
                work.spawn(async move { this.send_reversal(reversal).await });
            }
            while let Some(sent) = work.join_next().await {
                acknowledged += usize::from(sent.map_err(|_| Error::Interrupted)??);
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(acknowledged),
            }
        }
    }

    async fn send_reversal(&self, mut reversal: Loaded<Reversal>) -> Result<bool, Error> {
        let id = network_id(&reversal.entity.attempt);
        let deadline = self.context.clock.sleep(self.context.limits.network_inquiry_deadline.get());
        let answer: Option<Result<(), NetworkError>> = tokio::select! {
            answer = self.network.reverse(&id) => Some(answer),
            () = deadline => None,
        };
        let acknowledged = matches!(answer, Some(Ok(())));
        let changes = if acknowledged {
            tracing::info!(attempt = %reversal.entity.attempt, "reversed");
            Changes::new().remove(&reversal)
        } else {
            let wait = RETRY_MIN.saturating_mul(1 << reversal.entity.tries.min(16)).min(RETRY_MAX);
            reversal.entity.tries = reversal.entity.tries.saturating_add(1);
            reversal.entity.due = self.context.clock.now() + wait;
            tracing::warn!(attempt = %reversal.entity.attempt, tries = reversal.entity.tries, "not reversed yet");
            Changes::new().update(&reversal)
        };
        match self.context.repository.commit(changes).await? {
            Outcome::Committed(_) => Ok(acknowledged),
            // Another process sends reversals too and was faster.
            Outcome::Stale | Outcome::Duplicate(_) => Ok(false),
        }
    }
}
