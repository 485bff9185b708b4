//! What must be seen to happen somewhere, so that a configuration which allows too little is noticed.

use proto::authorization::DeclineReason;
use stateright::Property;

use crate::{
    records::{Attempt, Charge, OrderName, Verdict},
    state::{Card, State, Worker},
    world::World,
};

/// A customer pays.
pub const APPROVED: &str = "seen: a charge is approved";
/// A second bank meets a busy order.
pub const BUSY: &str = "seen: a second bank is declined, ORDER_BUSY, and the first one's is approved";
/// The network approves something that was declined before, and it is reversed.
pub const REVERSED_APPROVAL: &str = "seen: the card network approved late, and it is being reversed";
/// A request that never arrived.
pub const TOMBSTONE: &str = "seen: a request never arrived and is declined for ever, while it is still on the way";
/// A charge given up.
pub const ABANDONED: &str = "seen: a held charge is given up after a restart";
/// An authorization without a worker.
pub const WORKER_LOST: &str = "seen: an authorization has lost its worker";
/// A cancel that waits.
pub const PENDING_THEN_CANCELLED: &str = "seen: a cancel was answered PENDING and then CANCELLED";
/// A cancel that comes too late.
pub const TOO_LATE: &str = "seen: a cancel was answered PENDING and then TOO_LATE";
/// An order that outlives its deadline while authorizing.
pub const EXPIRED_AFTER_DECLINE: &str = "seen: a decline after the deadline expires the order";
/// A parked charge.
pub const PARKED: &str = "seen: a charge is parked";
/// A retry.
pub const SECOND_CARD_PAYS: &str = "seen: a second card pays after a decline at the same bank";
/// The last attempt.
pub const FAILED: &str = "seen: the last attempt fails the order";

/// The sights.
#[must_use]
pub fn all() -> Vec<Property<World>> {
    vec![
        Property::sometimes(APPROVED, |_, state: &State| {
            has_charge(state, |charge| matches!(charge, Charge::Approved(_)))
        }),
        Property::sometimes(BUSY, |_, state: &State| {
            let busy = |charge| charge == Charge::Declined(DeclineReason::OrderBusy);
            has_charge(state, busy) && has_charge(state, |charge| matches!(charge, Charge::Approved(_)))
        }),
        Property::sometimes(REVERSED_APPROVAL, |_, state: &State| {
            let mut cards = state.network.iter().zip(state.acquirer.reversals);
            cards.any(|(card, owed)| *card == Card::Approved && owed)
        }),
        Property::sometimes(TOMBSTONE, |_, state: &State| {
            let never = Attempt::Decided { verdict: Verdict::Declined(DeclineReason::NeverReceived), received: false };
            let is_on_the_way = |number| state.is_on_the_way(crate::state::Message::Authorize(number));
            (0..).zip(state.acquirer.attempts).any(|(number, attempt)| attempt == never && is_on_the_way(number))
        }),
        Property::sometimes(ABANDONED, |_, state: &State| has_charge(state, |charge| charge == Charge::Abandoned)),
        Property::sometimes(WORKER_LOST, |_, state: &State| {
            let mut attempts = state.acquirer.attempts.iter().zip(state.acquirer.workers);
            attempts.any(|(attempt, worker)| *attempt == Attempt::Deciding && worker == Worker::None)
        }),
        Property::sometimes(PENDING_THEN_CANCELLED, |_, state: &State| {
            state.shop.told_pending && state.shop.told_cancelled
        }),
        Property::sometimes(TOO_LATE, |_, state: &State| state.shop.told_pending && state.shop.told_too_late),
        Property::sometimes(EXPIRED_AFTER_DECLINE, |_, state: &State| {
            let order = state.acquirer.order;
            order.name == OrderName::Expired && order.last.is_some()
        }),
        Property::sometimes(PARKED, |_, state: &State| {
            has_charge(state, |charge| charge == Charge::Unknown { parked: true })
        }),
        Property::sometimes(SECOND_CARD_PAYS, second_card_pays),
        Property::sometimes(FAILED, |_, state: &State| state.acquirer.order.name == OrderName::Failed),
    ]
}

fn has_charge(state: &State, wanted: impl Fn(Charge) -> bool) -> bool {
    state.charges.iter().any(|file| wanted(file.state))
}

fn second_card_pays(world: &World, state: &State) -> bool {
    world.charges().any(|paid| {
        let earlier = |charge: &u8| *charge != paid && world.issuer_of(*charge) == world.issuer_of(paid);
        let declined = |charge: u8| matches!(state.charge(charge).state, Charge::Declined(_));
        matches!(state.charge(paid).state, Charge::Approved(_)) && world.charges().filter(earlier).any(declined)
    })
}
