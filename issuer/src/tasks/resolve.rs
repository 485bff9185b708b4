//! Asking the acquirers about charges whose result is not known, until each is known or parked.
//!
//! One loop finds what is due. The questions themselves run beside each other, each charge has at most
//! one under way, and an acquirer that doesn't answer takes only its share of the places: what is due is
//! found acquirer by acquirer, so that a long queue of one costs the others nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::store::{KeyRange, PageRequest, limits::PAGE_ITEMS_MAX};
use proto::ids::{AcquirerId, ChargeId};
use tokio::task::{Id, JoinError, JoinSet};

use crate::{
    charges::{Charge, inquire},
    context::Context,
    domain::ids::CustomerId,
    error::Error,
    records::{self, INDEX_CHARGE_DUE, behind_due_keys, due_key, millis_of, time_of},
    repository::Stored,
};

/// Every acquirer may take one in so many places at a time.
const ACQUIRER_SHARE: usize = 4;

/// The wait after something failed inside.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Asks until the context's `stop`; questions under way are given up then, and asked again after the restart.
pub async fn run(ctx: Arc<Context>) {
    let mut asking = Asking { ctx: Arc::clone(&ctx), under_way: HashMap::new(), tasks: JoinSet::new(), last: None };
    loop {
        let next = match asking.ask_what_is_due().await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the charges that are due could not be read");
                Some(ctx.clock.now() + REST_AFTER_FAILURE)
            }
        };
        let due = async {
            match next {
                Some(time) => ctx.clock.sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = ctx.bells.inquiry().notified() => {}
            Some(ended) = asking.tasks.join_next_with_id() => asking.ended(ended),
            () = due => {}
            // Looks anyway, by the clock that nobody can set: the wall clock may have been set back.
            () = ctx.clock.sleep(ctx.charge_limits.inquiry_max.get()) => {}
        }
    }
}

struct Asking {
    ctx: Arc<Context>,
    under_way: HashMap<Id, UnderWay>,
    tasks: JoinSet<()>,
    /// The acquirer that got a place last. The next round begins behind it, so that each has its turn.
    last: Option<AcquirerId>,
}

/// A question under way.
struct UnderWay {
    customer: CustomerId,
    charge: ChargeId,
    acquirer: AcquirerId,
}

impl Asking {
    /// Begins every question that is due and has a place, and returns when the next one becomes due.
    /// What is due and has no place waits for one of those under way to end.
    async fn ask_what_is_due(&mut self) -> Result<Option<SystemTime>, Error> {
        let mut acquirers = self.acquirers().await?;
        if let Some(last) = &self.last {
            let behind = acquirers.partition_point(|acquirer| acquirer <= last);
            acquirers.rotate_left(behind);
        }
        let mut next = None;
        for acquirer in acquirers {
            let later = self.ask_about(&acquirer).await?;
            next = [next, later].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// The acquirers that owe a result, in ascending order: one look for each, however many charges.
    async fn acquirers(&self) -> Result<Vec<AcquirerId>, Error> {
        let mut acquirers = Vec::new();
        let mut behind = Vec::new();
        while let Some(first) = self.page(KeyRange::starting_at(behind), 1).await?.first() {
            behind = behind_due_keys(&first.value.acquirer_id);
            match first.value.acquirer_id.parse() {
                Ok(acquirer) => acquirers.push(acquirer),
                Err(_) => tracing::error!(charge_id = first.value.charge_id, "a charge names no acquirer"),
            }
        }
        Ok(acquirers)
    }

    /// Begins what is due at one acquirer, and returns when the next question to it becomes due.
    async fn ask_about(&mut self, acquirer: &AcquirerId) -> Result<Option<SystemTime>, Error> {
        let now = self.ctx.clock.now();
        let key = |time| due_key(acquirer.as_str(), millis_of(time));
        let (after_now, end) = (due_key(acquirer.as_str(), millis_of(now) + 1), behind_due_keys(acquirer.as_str()));
        // No question is put off longer than this, so that a later time was made by a clock that was set
        // back since. Such a charge is due.
        let beyond = key(now + self.ctx.charge_limits.inquiry_max.get() + Duration::from_millis(1));
        let due =
            [KeyRange::between(key(SystemTime::UNIX_EPOCH), after_now.clone()), KeyRange::between(beyond, end.clone())];
        for range in due {
            // Those under way are still due, and stand in front.
            let taken = self.places_of(acquirer);
            let wanted = (taken + self.free_places_for(taken)).clamp(1, PAGE_ITEMS_MAX);
            for stored in self.page(range, wanted).await? {
                match Charge::from_record(&stored.value) {
                    Ok(charge) => self.ask(charge),
                    Err(error) => {
                        tracing::error!(charge_id = stored.value.charge_id, %error, "a charge can't be asked about");
                    }
                }
            }
        }
        let later = self.page(KeyRange::between(after_now, end), 1).await?;
        Ok(later.first().and_then(|stored| match &stored.value.state {
            Some(records::State::Unknown(unknown)) => Some(time_of(unknown.next_at_ms)),
            Some(_) | None => None,
        }))
    }

    fn ask(&mut self, charge: Charge) {
        let acquirer = &charge.order.order.acquirer;
        if self.is_under_way(&charge) || self.free_places_for(self.places_of(acquirer)) == 0 {
            return;
        }
        let entry =
            UnderWay { customer: charge.customer.clone(), charge: charge.id.clone(), acquirer: acquirer.clone() };
        self.last = Some(acquirer.clone());
        let ctx = Arc::clone(&self.ctx);
        let task = self.tasks.spawn(async move {
            if let Err(error) = inquire(&ctx, &charge).await {
                tracing::error!(charge_id = %charge.id, %error, "what the acquirer said could not be stored");
                // The charge is due as before; without a rest it would be asked about in a tight loop.
                ctx.clock.sleep(REST_AFTER_FAILURE).await;
            }
        });
        self.under_way.insert(task.id(), entry);
    }

    fn is_under_way(&self, charge: &Charge) -> bool {
        self.under_way.values().any(|other| other.charge == charge.id && other.customer == charge.customer)
    }

    fn places_of(&self, acquirer: &AcquirerId) -> usize {
        self.under_way.values().filter(|other| other.acquirer == *acquirer).count()
    }

    /// How many places an acquirer can still get that has taken so many.
    fn free_places_for(&self, taken: usize) -> usize {
        let places = usize::try_from(self.ctx.charge_limits.inquiries_max).unwrap_or(usize::MAX);
        let share = (places / ACQUIRER_SHARE).max(1);
        share.saturating_sub(taken).min(places.saturating_sub(self.under_way.len()))
    }

    async fn page(&self, range: KeyRange, limit: usize) -> Result<Vec<Stored<records::Charge>>, Error> {
        Ok(self.ctx.repository.page(INDEX_CHARGE_DUE, range, PageRequest::first(limit)).await?.items)
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "a question to an acquirer failed");
                error.id()
            }
        };
        self.under_way.remove(&id);
    }
}
