//! Orders, the days of their merchants, and in the end the traces of the orders.

use std::sync::Arc;

use mesh::store::{Item, KeyRange, PageRequest, limits::WRITES_MAX};
use proto::ids::{MerchantId, OrderId};
use tokio_util::sync::CancellationToken;

use super::{Removed, Retention, Run, left, read, store_failed};
use crate::{
    domain::merchant::Day,
    error::Error,
    orders::idempotency_key,
    outbox,
    records::{
        KeptOrder, Lines, MerchantDay, ORDERS_BY_MERCHANT, PageBrowser, REMOVED_ORDERS_BY_TIME, RemovedOrder, time_key,
    },
    repository::{Changes, Outcome},
};

impl Retention {
    /// Removes a merchant's orders. The days go first, as long as the orders are there to say which days there
    /// are; nothing reads a day that long ago.
    pub(super) async fn remove_orders(
        &self,
        run: &Arc<Run>,
        merchant: &MerchantId,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let prefix = KeptOrder::merchant_prefix(merchant);
        let end = [&prefix[..], &time_key(run.cutoffs.orders)].concat();
        let range = KeyRange::between(prefix, end);
        let days = run.remove_days(merchant, range.clone()).await?;
        self.numbers.add(&days);
        *removed += days;
        self.sweep(run, (ORDERS_BY_MERCHANT, range), 1, removed, stop, remove_order).await
    }

    /// Removes the traces of orders, and with them the answers under their references.
    pub(super) async fn remove_traces(
        &self,
        run: &Arc<Run>,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let range = KeyRange::between(Vec::new(), time_key(run.cutoffs.traces));
        self.sweep(run, (REMOVED_ORDERS_BY_TIME, range), WRITES_MAX, removed, stop, remove_traces).await
    }
}

impl Run {
    /// Removes the merchant's days up to the one of the cutoff, beginning with the day of its oldest order.
    async fn remove_days(&self, merchant: &MerchantId, orders: KeyRange) -> Result<Removed, Error> {
        let (oldest, _) =
            self.repository.readable_page::<KeptOrder>(ORDERS_BY_MERCHANT, orders, PageRequest::first(1)).await?;
        let Some(oldest) = oldest.first() else { return Ok(Removed::default()) };
        let mut removed = Removed::default();
        for day in Day::of(oldest.entity.created_at()).0..=Day::of(self.cutoffs.orders).0 {
            let key = MerchantDay::key_of(merchant, Day(day));
            if let Some(day) = self.repository.load::<MerchantDay>(&key).await?
                && let Outcome::Committed(_) = self.repository.commit(Changes::new().remove(&day)).await?
            {
                removed.days += 1;
            }
        }
        Ok(removed)
    }

    /// Whether the merchant has not acknowledged everything of an order. A parked notification counts as
    /// long as it is kept, because an operator may still have it delivered.
    async fn waits_for_merchant(&self, order: &OrderId) -> Result<bool, Error> {
        for index in [outbox::HEADS, outbox::PARKED_ORDERS] {
            let range = KeyRange::prefix(order.as_str().as_bytes());
            let page = self.repository.store().scan(index, range, PageRequest::first(1)).await;
            if !page.map_err(store_failed)?.items.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Removes an order with its lines and leaves its trace, in one commit.
async fn remove_order(run: Arc<Run>, items: Vec<Item>) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    for item in items {
        let Some(order) = read::<KeptOrder>(item) else {
            removed.left += 1;
            continue;
        };
        let kept = &order.entity;
        if !run.cutoffs.allow_order(kept.created_at(), &kept.state) || run.waits_for_merchant(kept.id()).await? {
            removed.left += 1;
            continue;
        }
        let trace = RemovedOrder {
            order: kept.id().clone(),
            merchant: kept.merchant().clone(),
            reference: kept.reference.clone(),
            removed_at: run.marks.trusted,
        };
        let changes = Changes::new().remove(&order).create(&trace);
        let changes = match run.repository.load::<Lines>(kept.id().as_str().as_bytes()).await? {
            Some(lines) => changes.remove(&lines),
            None => changes,
        };
        let changes = match run.repository.load::<PageBrowser>(kept.id().as_str().as_bytes()).await? {
            Some(browser) => changes.remove(&browser),
            None => changes,
        };
        match run.repository.commit(changes).await? {
            Outcome::Committed(_) => removed.orders += 1,
            // A late refusal changed the order, and its shop must hear of that first.
            Outcome::Stale | Outcome::Duplicate(_) => removed.left += 1,
        }
    }
    Ok(removed)
}

async fn remove_traces(run: Arc<Run>, items: Vec<Item>) -> Result<Removed, Error> {
    let all = items.len();
    let mut changes = Changes::new();
    let mut count = 0;
    for trace in items.into_iter().filter_map(read::<RemovedOrder>) {
        let key = idempotency_key(&trace.entity.merchant, &trace.entity.reference);
        changes = changes.remove(&trace).forget(key);
        count += 1;
    }
    if count == 0 {
        return Ok(left(all));
    }
    match run.repository.commit(changes).await? {
        Outcome::Committed(_) => Ok(Removed { traces: count as u64, ..left(all - count) }),
        Outcome::Stale | Outcome::Duplicate(_) => Ok(left(all)),
    }
}
