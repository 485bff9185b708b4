//! Reversals: repeated until the card network acknowledges them.
//!
//! A reversal is committed together with the decline that makes it necessary, so that no crash can part the
//! two, and it is removed once the network has acknowledged it. In between it is sent again and again,
//! across restarts. An approval that the network makes late, in the middle of that, is what it is for:
//! the network must refuse it where the reversal came first, and takes it back where the reversal comes after.
//! Where the network has another payment under the id, there is nothing of ours to take back, and the reversal ends.

use std::{sync::Arc, time::Duration};

use mesh::store::{KeyRange, PageRequest};
use tokio::task::JoinSet;

use super::{Authorizer, network_id};
use crate::{
    bounds::{REVERSAL_RETRY_MAX, REVERSAL_RETRY_MIN, has_come},
    domain::attempt::AttemptId,
    error::Error,
    network::{NetworkError, Sale},
    records::{Attempt, KeptOrder, REVERSALS_DUE, RemovedOrder, Reversal, time_key},
    repository::{Changes, Loaded, Outcome},
};

/// How many reversals are sent at once.
const REVERSAL_PAGE: usize = 32;

impl Authorizer {
    /// Sends every reversal that is due, and says how many were acknowledged. One that fails in an unforeseen
    /// way is logged and keeps none of the others.
    ///
    /// # Errors
    /// [`Error::Repository`] where the index can't be read; what was acknowledged and not recorded is sent
    /// again, which is harmless.
    pub async fn send_reversals(self: &Arc<Self>) -> Result<usize, Error> {
        // Up to and with this millisecond.
        let next = || self.context.clock.now() + Duration::from_millis(1);
        let due = self.send_between(KeyRange::between(Vec::new(), time_key(next()))).await?;
        // What lies behind the longest wait was written before the clock was set back.
        let ahead = KeyRange::starting_at(time_key(next() + REVERSAL_RETRY_MAX));
        Ok(due + self.send_between(ahead).await?)
    }

    async fn send_between(self: &Arc<Self>, range: KeyRange) -> Result<usize, Error> {
        let mut acknowledged = 0;
        let mut after = None;
        loop {
            let page = PageRequest { after, limit: REVERSAL_PAGE };
            let (reversals, next) =
                self.context.repository.readable_page::<Reversal>(REVERSALS_DUE, range.clone(), page).await?;
            let now = self.context.clock.now();
            let mut work = JoinSet::new();
            // One that has failed meanwhile may have moved to where this pass has not been yet.
            for reversal in reversals.into_iter().filter(|one| has_come(one.entity.due, now, REVERSAL_RETRY_MAX)) {
                let this = Arc::clone(self);
                work.spawn(async move { this.send_reversal(reversal).await });
            }
            while let Some(sent) = work.join_next().await {
                match sent {
                    Ok(Ok(was_acknowledged)) => acknowledged += usize::from(was_acknowledged),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "a reversal was not sent, or what became of it can't be kept")
                    }
                    Err(error) => tracing::error!(panicked = error.is_panic(), "a reversal could not be sent"),
                }
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(acknowledged),
            }
        }
    }

    async fn send_reversal(&self, mut reversal: Loaded<Reversal>) -> Result<bool, Error> {
        let id = network_id(&reversal.entity.attempt);
        let sale = self.sale(&reversal.entity.attempt).await?;
        let deadline = self.context.clock.sleep(self.context.limits.network_inquiry_deadline.get());
        let answer: Option<Result<(), NetworkError>> = tokio::select! {
            answer = self.network.reverse(&id, &sale) => Some(answer),
            () = deadline => None,
        };
        let acknowledged = matches!(answer, Some(Ok(())));
        let changes = match answer {
            Some(Ok(())) => {
                tracing::info!(attempt = %reversal.entity.attempt, "reversed");
                Changes::new().remove(&reversal)
            }
            Some(Err(error @ NetworkError::OtherContent)) => {
                self.tell_of_another(&reversal.entity.attempt, &error);
                Changes::new().remove(&reversal)
            }
            Some(Err(NetworkError::Unreachable(_))) | None => {
                let wait = back_off(reversal.entity.tries, self.jitter());
                reversal.entity.tries = reversal.entity.tries.saturating_add(1);
                reversal.entity.due = self.context.clock.now() + wait;
                let why = answer.and_then(Result::err).map_or("it is silent".to_owned(), |error| error.to_string());
                let (attempt, tries) = (&reversal.entity.attempt, reversal.entity.tries);
                tracing::warn!(%attempt, tries, why, "not reversed yet");
                Changes::new().update(&reversal)
            }
        };
        match self.context.repository.commit(changes).await? {
            Outcome::Committed(_) => Ok(acknowledged),
            // Another process sends reversals too and was faster.
            Outcome::Stale | Outcome::Duplicate(_) => Ok(false),
        }
    }

    /// What the authorization was for, by its own record and by its order, or by the trace that the order has left.
    async fn sale(&self, id: &AttemptId) -> Result<Sale, Error> {
        let lost = Error::Inconsistent("what a reversal is about is not on record");
        let Some(Attempt { amount, order: Some(order), .. }) = self.attempt(id).await?.map(|kept| kept.entity) else {
            return Err(lost);
        };
        let repository = &self.context.repository;
        if let Some(order) = repository.load::<KeptOrder>(order.as_str().as_bytes()).await? {
            return Ok(Sale { amount, merchant: order.entity.merchant().clone() });
        }
        let trace = repository.load::<RemovedOrder>(&RemovedOrder::key_of(&order)).await?;
        trace.map(|trace| Sale { amount, merchant: trace.entity.merchant }).ok_or(lost)
    }

    /// Any number. Without randomness the tries are merely less spread out.
    fn jitter(&self) -> u16 {
        let mut bytes = [0; 2];
        self.context.entropy.fill(&mut bytes).map_or(0, |()| u16::from_be_bytes(bytes))
    }
}

/// 1 s, 2 s, 4 s … 1 min, less up to a quarter of it, so that a network that comes back does not hear of
/// everything in one moment.
fn back_off(tries_before: u32, jitter: u16) -> Duration {
    let doubled = REVERSAL_RETRY_MIN.saturating_mul(1_u32.checked_shl(tries_before).unwrap_or(u32::MAX));
    let full = doubled.min(REVERSAL_RETRY_MAX);
    full - full / 4 * u32::from(jitter) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_from_a_second_to_a_minute_less_a_quarter_at_most() {
        let waits: Vec<u64> = (0..8).map(|tries| back_off(tries, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(2, u16::MAX), Duration::from_secs(3));
        assert_eq!(back_off(u32::MAX, 0), REVERSAL_RETRY_MAX);
    }
}
