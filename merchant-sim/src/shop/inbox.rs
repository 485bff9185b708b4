//! The events that a shop has taken in: verified, each once, in order for each order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh::directory::Member;
use proto::authorization::Carried;
use proto::event::{OrderEvent, OrderState};
use proto::fields::Invalid;
use proto::ids::{MerchantId, OrderId};
use proto::pb;
use tokio::sync::watch;

/// Where a shop's knowledge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With the first order ever: every order's events begin at position 1.
    FirstOrder,
    /// Somewhere: of an order made earlier, the first event may have any position.
    Resumed,
}

/// What became of an event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new and kept.
    New,
    /// It was there already, byte for byte.
    Again,
}

/// Why an event is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It breaks a rule of the contracts.
    #[error(transparent)]
    Malformed(#[from] Invalid),
    /// The acquirer didn't sign it.
    #[error("the event is not signed by the acquirer")]
    Signature,
    /// It is for another shop.
    #[error("the event is for another shop")]
    OtherMerchant,
    /// Its id was there already with other content.
    #[error("the event's id came before with other content")]
    Contradiction,
    /// An event before it is missing.
    #[error("an event before this one is missing; the next expected position is {0}")]
    Gap(u32),
}

/// A shop's events. Clones share them.
#[derive(Clone, Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    merchant: MerchantId,
    acquirer: Arc<Member>,
    beginning: Beginning,
    orders: Mutex<HashMap<OrderId, Vec<Carried<OrderEvent>>>>,
    /// Changes with every new event, so that those who wait look again.
    changed: watch::Sender<u64>,
}

impl Inbox {
    /// An empty inbox of a shop, which believes this acquirer.
    #[must_use]
    pub fn new(merchant: MerchantId, acquirer: Arc<Member>, beginning: Beginning) -> Self {
        let shared = Shared { merchant, acquirer, beginning, orders: Mutex::default(), changed: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Takes an event in, if it is to be believed.
    ///
    /// # Errors
    /// [`Refused`]; the acquirer will send it again.
    pub fn take(&self, signed: pb::Signed) -> Result<Taken, Refused> {
        let event = Carried::<OrderEvent>::parse(signed)?;
        self.shared
            .acquirer
            .verify::<pb::OrderEvent>(&event.signed, event.says.occurred_at)
            .map_err(|_| Refused::Signature)?;
        if event.says.merchant != self.shared.merchant {
            return Err(Refused::OtherMerchant);
        }
        let mut orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.entry(event.says.order.clone()).or_default();
        if let Some(earlier) = known.iter().find(|earlier| earlier.says.position == event.says.position) {
            let same = earlier.signed.body == event.signed.body;
            return if same { Ok(Taken::Again) } else { Err(Refused::Contradiction) };
        }
        let next = known.last().map_or(1, |last| last.says.position + 1);
        let may_begin = known.is_empty() && self.shared.beginning == Beginning::Resumed;
        if event.says.position != next && !may_begin {
            return Err(Refused::Gap(next));
        }
        known.push(event);
        drop(orders);
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(Taken::New)
    }

    /// The events of one order so far.
    #[must_use]
    pub fn of(&self, order: &OrderId) -> Vec<OrderEvent> {
        let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.get(order).map(|events| events.iter().map(|event| event.says.clone()).collect()).unwrap_or_default()
    }

    /// Changes with every new event, of whichever order.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Waits for the first event of an order that is wanted. `None` where it doesn't come in time.
    pub async fn wait_for(
        &self,
        order: &OrderId,
        patience: Duration,
        wanted: impl Fn(&OrderEvent) -> bool,
    ) -> Option<OrderEvent> {
        let mut changed = self.news();
        let find = async {
            loop {
                if let Some(event) = self.of(order).into_iter().find(&wanted) {
                    return event;
                }
                // The sender lives as long as this inbox, so that waiting cannot fail.
                let _ = changed.changed().await;
            }
        };
        tokio::time::timeout(patience, find).await.ok()
    }

    /// Waits until an order is paid. `None` where that doesn't happen in time.
    pub async fn paid(&self, order: &OrderId, patience: Duration) -> Option<OrderEvent> {
        self.wait_for(order, patience, |event| event.state == OrderState::Approved).await
    }
}

#[cfg(test)]
mod tests;
