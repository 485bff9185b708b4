//! One step of an order: events applied to it, and everything that must be committed with them.

use std::time::SystemTime;

use prost::Message as _;
use proto::event::OrderEvent;

use super::merchant_topic;
use crate::{
    context::Context,
    domain::{
        merchant::Day,
        order::{Announcement, Effect, Event, Rejected},
    },
    error::Error,
    outbox,
    records::KeptOrder,
    repository::{Changes, Loaded},
};

/// A step under way.
pub(crate) struct Step<'a> {
    context: &'a Context,
    order: Loaded<KeptOrder>,
    now: SystemTime,
    announcements: Vec<Announcement>,
    day: Option<DayMove>,
}

/// A step that is ready to be committed.
pub(crate) struct Done {
    /// The order after it.
    pub(crate) order: KeptOrder,
    /// The order, its events and their notifications. The caller adds what else belongs to the step.
    pub(crate) changes: Changes,
    /// What the step does to the merchant's daily total.
    pub(crate) day: Option<DayMove>,
}

/// What a step does to the merchant's daily total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DayMove {
    /// The order's amount is taken up.
    TakeUp(Day),
    /// The order's amount is given back.
    GiveBack(Day),
}

impl<'a> Step<'a> {
    /// A step of this order at this time.
    pub(crate) const fn of(context: &'a Context, order: Loaded<KeptOrder>, now: SystemTime) -> Self {
        Self { context, order, now, announcements: Vec::new(), day: None }
    }

    /// Applies an event.
    ///
    /// # Errors
    /// [`Rejected`]; the step is as it was.
    pub(crate) fn apply(&mut self, event: Event) -> Result<(), Rejected> {
        let (state, effects) = self.order.entity.state.clone().apply(event, self.now)?;
        self.order.entity.state = state;
        for effect in effects {
            match effect {
                Effect::Announce(announcement) => self.announcements.push(announcement),
                Effect::ForgetSealingKey => self.order.entity.sealing_key = None,
                Effect::TakeUp(day) => self.day = Some(DayMove::TakeUp(day)),
                Effect::GiveBack(day) => self.day = Some(DayMove::GiveBack(day)),
            }
        }
        Ok(())
    }

    /// Signs the events and gathers the changes.
    ///
    /// # Errors
    /// [`Error::Inconsistent`].
    pub(crate) fn finish(self) -> Result<Done, Error> {
        let order = &self.order.entity;
        let topic = merchant_topic(order.merchant())?;
        // A merchant without an endpoint, or one that is gone, is told by `WatchOrders` alone.
        let is_notified =
            self.context.merchants.find(order.merchant()).is_some_and(|profile| profile.notification.is_some());
        let mut changes = Changes::new().update(&self.order);
        for announcement in self.announcements {
            let event = event_of(order, announcement, self.now);
            let signed = self.context.seal.sign(&event.to_pb());
            changes = changes.event(topic.clone(), signed.to_pb().encode_to_vec());
            if is_notified {
                changes = changes.with(|transition| outbox::enqueue(transition, &event, &signed));
            }
        }
        Ok(Done { order: self.order.entity, changes, day: self.day })
    }
}

fn event_of(order: &KeptOrder, announcement: Announcement, now: SystemTime) -> OrderEvent {
    OrderEvent {
        position: announcement.position,
        order: order.id().clone(),
        merchant: order.merchant().clone(),
        reference: order.reference.clone(),
        order_digest: order.signed.digest,
        occurred_at: now,
        state: announcement.state,
        authorization: announcement.authorization,
        amount: order.signed.order.amount,
    }
}
