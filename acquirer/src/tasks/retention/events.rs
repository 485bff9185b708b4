//! The events of `WatchOrders`, and the notifications that were parked.

use std::{collections::BTreeSet, sync::Arc};

use mesh::store::{
    Item, KeyRange, PageRequest, Seq, Version,
    limits::{PAGE_ITEMS_MAX, TRIM_EVENTS_MAX, WRITES_MAX},
};
use prost::Message as _;
use proto::{authorization::Carried, event::OrderEvent, ids::MerchantId, pb};
use tokio_util::sync::CancellationToken;

use super::{Removed, Retention, Run};
use crate::{
    error::Error,
    orders::merchant_topic,
    outbox,
    records::{EVENT_MARKS, EventMark, KeptOrder, ORDERS_BY_MERCHANT, time_key},
    repository::{Changes, Loaded, Outcome},
};

impl Retention {
    /// Removes a merchant's events, the oldest first, as far as all of them are beyond their period.
    pub(super) async fn remove_events(
        &self,
        run: &Arc<Run>,
        merchant: &MerchantId,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut mark = run.mark_of(merchant).await?;
        while !stop.is_cancelled() {
            let Some((up_to, count)) = run.oldest_events(merchant).await? else { return Ok(()) };
            mark.entity.removed_to = mark.entity.removed_to.max(up_to);
            let topic = merchant_topic(merchant)?;
            let changes = Changes::new().update(&mark).with(|transition| transition.trim(topic, up_to));
            match run.repository.commit(changes).await? {
                Outcome::Committed(_) => {}
                // Another process removes them.
                Outcome::Stale | Outcome::Duplicate(_) => return Ok(()),
            }
            let done = Removed { events: count as u64, ..Removed::default() };
            self.numbers.add(&done);
            *removed += done;
            self.rest_after(count, stop).await;
            mark = run.mark_of(merchant).await?;
        }
        Ok(())
    }

    /// Removes the notifications that have been parked for their period.
    pub(super) async fn remove_parked(
        &self,
        run: &Arc<Run>,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let range = KeyRange::between(Vec::new(), time_key(run.cutoffs.parked));
        self.sweep(run, (outbox::PARKED_SINCE, range), WRITES_MAX, removed, stop, remove_parked).await
    }
}

impl Run {
    /// Every merchant that anything is kept of: those with orders, and those that were met before.
    pub(super) async fn merchants(&self) -> Result<BTreeSet<MerchantId>, Error> {
        let mut merchants = BTreeSet::new();
        let mut from = Vec::new();
        loop {
            let range = KeyRange::starting_at(from);
            let (first, _) =
                self.repository.page::<KeptOrder>(ORDERS_BY_MERCHANT, range, PageRequest::first(1)).await?;
            let Some(first) = first.first() else { break };
            let merchant = first.entity.merchant().clone();
            // Behind every key of this merchant, whose id a zero byte ends.
            from = [merchant.as_str().as_bytes(), &[1]].concat();
            merchants.insert(merchant);
        }
        let mut after = None;
        loop {
            let page = PageRequest { after, limit: PAGE_ITEMS_MAX };
            let (marks, next) = self.repository.page::<EventMark>(EVENT_MARKS, KeyRange::all(), page).await?;
            merchants.extend(marks.into_iter().map(|mark| mark.entity.merchant));
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(merchants),
            }
        }
    }

    /// The merchant's mark. It is made before the first order goes, so that the merchant is found for as long
    /// as there are events.
    async fn mark_of(&self, merchant: &MerchantId) -> Result<Loaded<EventMark>, Error> {
        let key = EventMark::key_of(merchant);
        if let Some(mark) = self.repository.load(&key).await? {
            return Ok(mark);
        }
        let mark = Loaded {
            version: Version::ABSENT,
            entity: EventMark { merchant: merchant.clone(), removed_to: Seq::START },
        };
        match self.repository.commit(Changes::new().update(&mark)).await? {
            Outcome::Committed(_) | Outcome::Stale | Outcome::Duplicate(_) => {}
        }
        self.repository.load(&key).await?.ok_or(Error::Contended)
    }

    /// The place up to which the oldest events are beyond their period, and how many those are; at most as many
    /// as one trim removes. An event that can't be read goes with the next one that can.
    async fn oldest_events(&self, merchant: &MerchantId) -> Result<Option<(Seq, usize)>, Error> {
        let events = self.repository.events(&merchant_topic(merchant)?, Seq::START, TRIM_EVENTS_MAX).await?;
        let mut oldest = None;
        for (place, event) in events.iter().enumerate() {
            let signed = pb::Signed::decode(event.body.clone()).ok();
            match signed.and_then(|signed| Carried::<OrderEvent>::parse(signed).ok()) {
                Some(carried) if carried.says.occurred_at < self.cutoffs.events => {
                    oldest = Some((event.seq, place + 1))
                }
                Some(_) => break,
                None => tracing::error!(%merchant, seq = event.seq.number(), "an event can't be read"),
            }
        }
        Ok(oldest)
    }
}

async fn remove_parked(run: Arc<Run>, items: Vec<Item>) -> Result<Removed, Error> {
    let count = items.len();
    let changes = items.into_iter().fold(Changes::new(), |changes, item| {
        changes.with(|transition| transition.remove(item.id, item.record.version))
    });
    match run.repository.commit(changes).await? {
        Outcome::Committed(_) => Ok(Removed { parked: count as u64, ..Removed::default() }),
        // An operator has one of them delivered after all.
        Outcome::Stale | Outcome::Duplicate(_) => Ok(super::left(count)),
    }
}
