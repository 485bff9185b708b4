//! The task that empties the outbox.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::{
    clock::{Clock, Entropy},
    store::{Item, Store, StoreError},
    telemetry::{Counter, Metrics},
};
use proto::ids::MerchantId;
use tokio_util::sync::CancellationToken;

use super::{
    courier::{Courier, DELIVERY_TIME_MAX, DeliveryError},
    flights::{Flights, Landed},
    queue::{self, Queue, QueueError, Stored},
    record::{self, BACK_OFF_MAX, Delivery, State},
};
use crate::bounds::has_come;

/// How long the worker lets the store alone after it failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long the worker sleeps at most while anything waits. A clock that is set back would make it sleep on
/// for as long, and what was due by the old time is due by no other.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// How many of one merchant's due deliveries are looked at in one pass. One order can have any number of
/// them, all behind the first; without an end the passes over them would slow everybody's deliveries.
const LOOKED_AT_MAX: usize = 256;

/// Empties the outbox, as long as it runs. One at a time may run over a store: the order of one
/// order's events is kept by what this worker knows of its own deliveries.
pub struct Worker {
    store: Arc<dyn Store>,
    queue: Queue,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    courier: Arc<dyn Courier>,
    counters: Counters,
}

struct Counters {
    delivered: Counter,
    failed: Counter,
    parked: Counter,
}

impl Counters {
    fn register(metrics: &Metrics) -> Self {
        Self {
            delivered: metrics.counter(
                "acquirer_outbox_delivered_total",
                "Order events that their merchant acknowledged.",
                &[],
            ),
            failed: metrics.counter(
                "acquirer_outbox_failed_total",
                "Tries to deliver an order event that failed.",
                &[],
            ),
            parked: metrics.counter(
                "acquirer_outbox_parked_total",
                "Order events that were given up after 72 hours.",
                &[],
            ),
        }
    }
}

impl Worker {
    /// A worker over this store.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        courier: Arc<dyn Courier>,
        metrics: &Metrics,
    ) -> Self {
        let queue = Queue::new(Arc::clone(&store));
        Self { store, queue, clock, entropy, courier, counters: Counters::register(metrics) }
    }

    /// Delivers until `stop`, or until the store is closed. Calls in flight are dropped at `stop`;
    /// their events are delivered again after the next start.
    pub async fn run(self, stop: CancellationToken) {
        let worker = Arc::new(self);
        let mut news = worker.store.watch();
        let mut flights = Flights::default();
        let mut pause_until = None;
        loop {
            // Before reading, so that what comes while reading is news again.
            news.borrow_and_update();
            let now = worker.clock.now();
            let wake_at = match pause_until.filter(|until| *until > now) {
                Some(until) => Some(until),
                None => match worker.dispatch(now, &mut flights, &stop).await {
                    Ok(next) => next,
                    Err(QueueError::Store(StoreError::Closed)) => break,
                    Err(error) => {
                        tracing::error!(%error, "the outbox cannot be read");
                        pause_until = Some(now + STORE_PAUSE);
                        pause_until
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => break,
                landed = flights.landed() => {
                    if !worker.all_settled(landed).await {
                        pause_until = Some(worker.clock.now() + STORE_PAUSE);
                    }
                }
                changed = news.changed() => if changed.is_err() { break },
                () = worker.sleep_until(wake_at) => {}
                () = worker.clock.sleep(LOOK_PERIOD), if wake_at.is_some() => {}
            }
        }
        flights.finish().await;
    }

    async fn sleep_until(&self, time: Option<SystemTime>) {
        match time {
            Some(time) => self.clock.sleep_until(time).await,
            None => std::future::pending().await,
        }
    }

    /// Starts everything that is due and may start, and says when the next delivery is due.
    async fn dispatch(
        self: &Arc<Self>,
        now: SystemTime,
        flights: &mut Flights,
        stop: &CancellationToken,
    ) -> Result<Option<SystemTime>, QueueError> {
        let mut next = None;
        let mut from = Vec::new();
        while let Some((name, due)) = self.queue.next_merchant(from).await? {
            let due = match has_come(due, now, BACK_OFF_MAX) {
                true => self.dispatch_merchant(&name, now, flights, stop).await?,
                false => Some(due),
            };
            next = [next, due].into_iter().flatten().min();
            from = record::merchant_end(&name);
        }
        Ok(next)
    }

    /// The same for one merchant. Where its slots are full there is no next time: a slot that becomes free
    /// wakes the worker.
    async fn dispatch_merchant(
        self: &Arc<Self>,
        name: &[u8],
        now: SystemTime,
        flights: &mut Flights,
        stop: &CancellationToken,
    ) -> Result<Option<SystemTime>, QueueError> {
        let merchant: Option<MerchantId> = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        let merchant = merchant.ok_or(StoreError::Corrupt("a due key's merchant"))?;
        let mut looked_at = 0;
        for range in queue::due_ranges(name, now) {
            let mut after = None;
            loop {
                if flights.is_full(&merchant) {
                    return Ok(None);
                }
                let (items, next) = self.queue.due(range.clone(), after).await?;
                looked_at += items.len();
                for item in items {
                    if flights.is_full(&merchant) {
                        return Ok(None);
                    }
                    self.consider(item, name, now, flights, stop).await?;
                }
                match next {
                    // What is under way wakes the worker when it lands; only where nothing is does it have to come
                    // back by itself.
                    Some(_) if looked_at >= LOOKED_AT_MAX => return Ok(Some(now + STORE_PAUSE)),
                    Some(cursor) => after = Some(cursor),
                    None => break,
                }
            }
        }
        self.queue.due_after(name, now).await
    }

    /// Starts the delivery of what is due, or of what has to go before it, or lets it wait for that.
    ///
    /// Only this worker changes the deliveries of an order that has nothing under way, so what was read
    /// here stays true until something is launched for the order.
    async fn consider(
        self: &Arc<Self>,
        item: Item,
        merchant: &[u8],
        now: SystemTime,
        flights: &mut Flights,
        stop: &CancellationToken,
    ) -> Result<(), QueueError> {
        let stored = match Stored::of(item.clone()) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, record = %String::from_utf8_lossy(&item.id.key), "an outbox record is set aside");
                return self.queue.set_aside(item, merchant, now).await;
            }
        };
        if flights.has(&stored.delivery.order) {
            return Ok(());
        }
        let head = match self.queue.head(&stored.delivery.order).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(QueueError::Damaged(error)) => {
                // The damaged one is set aside at its own due time; until then its order waits, and no other.
                tracing::error!(%error, order_id = %stored.delivery.order, "an order's events wait");
                return Ok(());
            }
            Err(error @ (QueueError::Store(_) | QueueError::Contended)) => return Err(error),
        };
        let worker = Arc::clone(self);
        match head.delivery.state {
            State::Waiting { due }
                if !has_come(due, now, BACK_OFF_MAX) && head.delivery.position != stored.delivery.position =>
            {
                flights.launch(stored.delivery.clone(), async move { worker.defer(stored, due).await });
            }
            State::Waiting { due: _ } => {
                let stop = stop.clone();
                let delivery = head.delivery.clone();
                flights.launch(head.delivery, async move { worker.deliver(delivery, &stop).await });
            }
            State::Parked { at: _ } => {}
        }
        Ok(())
    }

    async fn defer(&self, waiting: Stored, until: SystemTime) -> Landed {
        let delivery = waiting.delivery.clone();
        settled(&delivery, self.queue.defer(waiting, until).await)
    }

    async fn deliver(&self, delivery: Delivery, stop: &CancellationToken) -> Landed {
        let began = self.clock.now();
        let outcome = tokio::select! {
            () = stop.cancelled() => return Landed::Settled,
            outcome = self.courier.deliver(&delivery.merchant, delivery.event.clone()) => outcome,
            () = self.clock.sleep(DELIVERY_TIME_MAX) => Err(DeliveryError::TimedOut),
        };
        match outcome {
            Ok(()) => {
                self.counters.delivered.increment();
                settled(&delivery, self.queue.acknowledged(&delivery, self.clock.now()).await)
            }
            Err(error) => self.fail(delivery, began, &error).await,
        }
    }

    async fn fail(&self, delivery: Delivery, began: SystemTime, error: &(dyn fmt::Display + Sync)) -> Landed {
        self.counters.failed.increment();
        let now = self.clock.now();
        let failed = delivery.failed(began, now, self.jitter(), &error.to_string());
        let (merchant, order, position, tries) = (&failed.merchant, &failed.order, failed.position, failed.tries);
        let landed = settled(&failed, self.queue.failed(&failed, now).await);
        match (&landed, failed.state) {
            (Landed::Settled, State::Parked { at: _ }) => {
                self.counters.parked.increment();
                tracing::error!(%merchant, order_id = %order, position, tries, %error, "an order event is parked");
            }
            (Landed::Settled, State::Waiting { due: _ }) => {
                tracing::info!(%merchant, order_id = %order, position, tries, %error, "an order event has to wait");
            }
            (Landed::Unsettled | Landed::Broken(_), State::Parked { at: _ } | State::Waiting { due: _ }) => {}
        }
        landed
    }

    /// Sees to the deliveries whose tasks panicked, and says whether the store has the outcome of all.
    async fn all_settled(&self, landed: Vec<Landed>) -> bool {
        let mut all = true;
        for one in landed {
            let one = match one {
                Landed::Broken(delivery) => {
                    let began = self.clock.now();
                    self.fail(*delivery, began, &"the delivery panicked").await
                }
                settled @ (Landed::Settled | Landed::Unsettled) => settled,
            };
            all &= matches!(one, Landed::Settled);
        }
        all
    }

    fn jitter(&self) -> u16 {
        let mut bytes = [0; 2];
        // Without randomness the tries are merely less spread out, which is no reason to stop delivering.
        match self.entropy.fill(&mut bytes) {
            Ok(()) => u16::from_be_bytes(bytes),
            Err(_) => 0,
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("courier", &self.courier).finish_non_exhaustive()
    }
}

fn settled(delivery: &Delivery, outcome: Result<(), QueueError>) -> Landed {
    match outcome {
        Ok(()) => Landed::Settled,
        Err(error) => {
            let (order, position) = (&delivery.order, delivery.position);
            tracing::error!(order_id = %order, position, %error, "the outbox cannot keep what became of an event");
            Landed::Unsettled
        }
    }
}

#[cfg(test)]
mod tests;
