//! What is under way: one thing per order at a time, and a bounded number per merchant.

use std::{
    collections::{HashMap, HashSet},
    future::{self, Future},
};

use proto::ids::{MerchantId, OrderId};
use tokio::task::{self, JoinError, JoinSet};

use super::record::Delivery;

/// How many of one merchant's orders are under way at once. Enough to keep a fast merchant busy across
/// a continent, and few enough not to overrun a small one.
pub(super) const PER_MERCHANT_MAX: usize = 8;

/// What became of something that was under way.
#[derive(Debug)]
pub(super) enum Landed {
    /// The store has it.
    Settled,
    /// The store did not take the outcome, so the same delivery is still due.
    Unsettled,
    /// The task panicked, with this delivery in hand.
    Broken(Box<Delivery>),
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    tasks: JoinSet<Landed>,
    deliveries: HashMap<task::Id, Delivery>,
    orders: HashSet<OrderId>,
    per_merchant: HashMap<MerchantId, usize>,
}

impl Flights {
    pub(super) fn has(&self, order: &OrderId) -> bool {
        self.orders.contains(order)
    }

    pub(super) fn is_full(&self, merchant: &MerchantId) -> bool {
        self.per_merchant.get(merchant).is_some_and(|count| *count >= PER_MERCHANT_MAX)
    }

    /// Starts something that concerns this delivery's order.
    pub(super) fn launch(&mut self, delivery: Delivery, work: impl Future<Output = Landed> + Send + 'static) {
        self.orders.insert(delivery.order.clone());
        *self.per_merchant.entry(delivery.merchant.clone()).or_default() += 1;
        let task = self.tasks.spawn(work);
        self.deliveries.insert(task.id(), delivery);
    }

    /// Waits until at least one has landed, and returns all that have by then. Waits for ever where
    /// nothing is under way.
    pub(super) async fn landed(&mut self) -> Vec<Landed> {
        let Some(first) = self.tasks.join_next_with_id().await else { return future::pending().await };
        let mut landed = vec![self.release(first)];
        while let Some(next) = self.tasks.try_join_next_with_id() {
            landed.push(self.release(next));
        }
        landed
    }

    /// Waits until everything has landed.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn release(&mut self, joined: Result<(task::Id, Landed), JoinError>) -> Landed {
        let (id, landed) = match joined {
            Ok((id, landed)) => (id, Some(landed)),
            Err(error) => (error.id(), None),
        };
        let Some(delivery) = self.deliveries.remove(&id) else { return Landed::Settled };
        self.orders.remove(&delivery.order);
        if let Some(count) = self.per_merchant.get_mut(&delivery.merchant) {
            *count -= 1;
            if *count == 0 {
                self.per_merchant.remove(&delivery.merchant);
            }
        }
        landed.unwrap_or_else(|| Landed::Broken(Box::new(delivery)))
    }
}
