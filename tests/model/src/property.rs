//! What must hold at every moment. Each property has a name, by which a mistake says who finds it.

use ::acquirer::domain::order::DECLINES_MAX;
use stateright::Property;

use crate::{
    cast::ISSUERS,
    certainty::Weather,
    records::{Account, Attempt, Charge, OrderName, Verdict},
    state::{Card, State, Worker},
    world::World,
};
use proto::authorization::DeclineReason;

/// At most one approval per order.
pub const ONE_APPROVAL: &str = "at most one approval per order";
/// The order is approved exactly where its authorization is.
pub const ORDER_FOLLOWS_APPROVAL: &str = "the order is approved exactly by its approved authorization";
/// A charge's end is the acquirer's decision.
pub const CHARGES_END_AS_DECIDED: &str = "a charge ends as the acquirer decided, and no other way";
/// Holds and spending match the charges.
pub const HOLDS_ARE_THE_LIVE_CHARGES: &str = "what is held and spent is what the live and the paid charges say";
/// The answer CANCELLED is kept.
pub const CANCELLED_MEANS_NO_APPROVAL: &str = "CANCELLED means no approval, ever";
/// The answer TOO_LATE is true.
pub const TOO_LATE_MEANS_APPROVED: &str = "TOO_LATE means approved";
/// The answer PENDING is kept.
pub const PENDING_ENDS_BY_ITSELF: &str = "PENDING becomes cancelled or approved by itself";
/// Idempotency of results.
pub const RESULTS_NEVER_CHANGE: &str = "a result once given for an id never changes";
/// Tombstones hold.
pub const NEVER_RECEIVED_IS_NEVER_APPROVED: &str = "an id declared never received is never approved";
/// Every authorization that stands at the card network is accounted for.
pub const MONEY_STANDS_FOR_APPROVALS: &str =
    "what stands at the card network is approved, being decided, or owed a reversal";
/// What was approved is not taken back.
pub const APPROVALS_STAND: &str = "what is approved stands at the card network, and is owed no reversal";
/// Nothing begins after the deadline.
pub const NOTHING_BEGINS_LATE: &str = "no authorization begins after the order's deadline";
/// Attempts are limited.
pub const DECLINES_ARE_COUNTED: &str = "every counted decline counts, and the last one ends the order";
/// The merchant's daily total.
pub const DAY_HOLDS_WHAT_IS_TAKEN: &str = "the merchant's day holds what is approved or under way";
/// The shop hears everything.
pub const SHOP_HEARS_EVERYTHING: &str = "every result of the order is announced, and nothing acknowledged was unheard";
/// An order that can be paid can be opened.
pub const KEY_LIVES_WITH_THE_ORDER: &str = "the sealing key is there exactly until the order is final";
/// One live charge per order and bank.
pub const ONE_LIVE_CHARGE: &str = "a bank pays an order with one charge at a time, and once";
/// No contradiction reaches a bank.
pub const NO_CONTRADICTION: &str = "no bank sees two results that contradict each other";
/// The rules of the domain and the steps of the code agree.
pub const NO_STEP_IS_INCONSISTENT: &str = "no step meets what the code takes for impossible";
/// Certainty is reached, as soon as the faults end.
pub const CERTAINTY: &str = "once the faults end everything becomes final";
/// The same, where the card network stays silent.
pub const CERTAINTY_IN_SILENCE: &str =
    "once the faults end everything becomes final, though the card network says nothing more";
/// The same, where all that was on the way is lost.
pub const CERTAINTY_AFTER_LOSS: &str =
    "once the faults end everything becomes final, though all is lost that was on the way";

/// The circumstances under which a property says that certainty is reached; none for the others.
#[must_use]
pub fn weather(name: &str) -> Option<Weather> {
    match name {
        CERTAINTY => Some(Weather::Fair),
        CERTAINTY_IN_SILENCE => Some(Weather::SilentNetwork),
        CERTAINTY_AFTER_LOSS => Some(Weather::EverythingLost),
        _ => None,
    }
}

/// The properties.
#[must_use]
pub fn all() -> Vec<Property<World>> {
    vec![
        Property::always(ONE_APPROVAL, one_approval),
        Property::always(ORDER_FOLLOWS_APPROVAL, order_follows_approval),
        Property::always(CHARGES_END_AS_DECIDED, charges_end_as_decided),
        Property::always(HOLDS_ARE_THE_LIVE_CHARGES, holds_are_the_live_charges),
        Property::always(CANCELLED_MEANS_NO_APPROVAL, |_, state: &State| {
            !state.shop.told_cancelled || (approvals(state) == 0 && state.acquirer.order.name == OrderName::Cancelled)
        }),
        Property::always(TOO_LATE_MEANS_APPROVED, |_, state: &State| {
            !state.shop.told_too_late || state.acquirer.order.name == OrderName::Approved
        }),
        Property::always(PENDING_ENDS_BY_ITSELF, pending_ends_by_itself),
        Property::always(RESULTS_NEVER_CHANGE, |_, state: &State| !state.noted.changed),
        Property::always(NEVER_RECEIVED_IS_NEVER_APPROVED, never_received_is_never_approved),
        Property::always(MONEY_STANDS_FOR_APPROVALS, money_stands_for_approvals),
        Property::always(APPROVALS_STAND, approvals_stand),
        Property::always(NOTHING_BEGINS_LATE, |_, state: &State| !state.noted.began_late),
        Property::always(DECLINES_ARE_COUNTED, declines_are_counted),
        Property::always(DAY_HOLDS_WHAT_IS_TAKEN, day_holds_what_is_taken),
        Property::always(SHOP_HEARS_EVERYTHING, shop_hears_everything),
        Property::always(KEY_LIVES_WITH_THE_ORDER, |_, state: &State| {
            state.acquirer.sealing_key != state.acquirer.order.is_final()
        }),
        Property::always(ONE_LIVE_CHARGE, one_live_charge),
        Property::always(NO_CONTRADICTION, |_, state: &State| !state.noted.contradicted),
        Property::always(NO_STEP_IS_INCONSISTENT, |_, state: &State| !state.noted.inconsistent),
        Property::always(CERTAINTY, |world, state| world.certainty.is_reached(world, state, Weather::Fair)),
        Property::always(CERTAINTY_IN_SILENCE, |world, state| {
            world.certainty.is_reached(world, state, Weather::SilentNetwork)
        }),
        Property::always(CERTAINTY_AFTER_LOSS, |world, state| {
            world.certainty.is_reached(world, state, Weather::EverythingLost)
        }),
    ]
}

fn approvals(state: &State) -> usize {
    state.acquirer.attempts.iter().filter(|attempt| attempt.is_approved()).count()
}

fn one_approval(_: &World, state: &State) -> bool {
    let given = state.noted.first.iter().flatten().filter(|verdict| verdict.is_approved()).count();
    approvals(state) <= 1 && given <= 1
}

fn order_follows_approval(_: &World, state: &State) -> bool {
    let order = state.acquirer.order;
    let approved = order.last.filter(|last| last.verdict.is_approved());
    match approved {
        Some(last) => {
            order.name == OrderName::Approved && state.attempt(last.authorization).verdict() == Some(last.verdict)
        }
        None => order.name != OrderName::Approved && approvals(state) == 0,
    }
}

/// Everything that was ever sent for a charge counts: its own authorization, and another one that a
/// mistake may have made.
fn charges_end_as_decided(world: &World, state: &State) -> bool {
    world.charges().all(|charge| {
        let authorizations = [Some(charge), world.other_authorization(charge)].into_iter().flatten();
        let mut attempts = authorizations.map(|authorization| state.attempt(authorization));
        match state.charge(charge).state {
            Charge::Absent | Charge::Held => attempts.all(|attempt| attempt == Attempt::Absent),
            Charge::Sent | Charge::Unknown { .. } => true,
            Charge::Approved(code) => attempts.any(|attempt| attempt.verdict() == Some(Verdict::Approved(code))),
            Charge::Declined(_) => {
                attempts.clone().all(|attempt| !attempt.is_approved() && attempt != Attempt::Deciding)
                    && attempts.any(|attempt| attempt.verdict().is_some())
            }
            Charge::Abandoned => attempts.all(|attempt| attempt == Attempt::Absent),
        }
    })
}

fn holds_are_the_live_charges(world: &World, state: &State) -> bool {
    (0..ISSUERS).all(|issuer| {
        let count = |wanted: fn(Charge) -> bool| {
            let ours = world.charges().filter(|charge| world.issuer_of(*charge) == issuer);
            u8::try_from(ours.filter(|charge| wanted(state.charge(*charge).state)).count()).unwrap_or(u8::MAX)
        };
        let spent = count(|state| matches!(state, Charge::Approved(_)));
        state.accounts[issuer] == Account { held: count(Charge::is_live), spent }
    })
}

fn pending_ends_by_itself(_: &World, state: &State) -> bool {
    !state.shop.told_pending
        || match state.acquirer.order.name {
            OrderName::Authorizing(underway) => underway.cancel_requested,
            OrderName::Approved | OrderName::Cancelled => true,
            OrderName::Open | OrderName::Expired | OrderName::Failed => false,
        }
}

fn never_received_is_never_approved(_: &World, state: &State) -> bool {
    state.noted.first.iter().zip(state.acquirer.attempts).zip(state.network).all(|((first, attempt), card)| {
        *first != Some(Verdict::Declined(DeclineReason::NeverReceived))
            || (!attempt.is_approved() && card != Card::Approved)
    })
}

/// A request that the card network has not seen yet may still be approved there. Where the acquirer has
/// declined it by then, its reversal must be on record, or have been there first.
fn money_stands_for_approvals(_: &World, state: &State) -> bool {
    let acquirer = &state.acquirer;
    let places = acquirer.attempts.iter().zip(acquirer.reversals).zip(state.network).zip(acquirer.workers);
    places.enumerate().all(|(number, (((attempt, owed), card), worker))| {
        let may_stand = match card {
            Card::Approved => true,
            Card::None => state.wire.iter().any(|message| is_card_request(*message, number)),
            Card::Declined | Card::Reversed => false,
        };
        let is_accounted_for = match attempt {
            Attempt::Deciding => true,
            Attempt::Decided { .. } => attempt.is_approved() || owed,
            // Only a mistake works on what is not on record.
            Attempt::Absent => worker != Worker::None,
        };
        !may_stand || is_accounted_for
    })
}

fn approvals_stand(_: &World, state: &State) -> bool {
    let places = state.acquirer.attempts.iter().zip(state.acquirer.reversals).zip(state.network);
    places.into_iter().all(|((attempt, owed), card)| !attempt.is_approved() || (card == Card::Approved && !owed))
}

fn is_card_request(message: crate::state::Message, number: usize) -> bool {
    matches!(message, crate::state::Message::Card(authorization) if usize::from(authorization) == number)
}

fn declines_are_counted(_: &World, state: &State) -> bool {
    let order = state.acquirer.order;
    let may_go_on = match order.name {
        OrderName::Open | OrderName::Authorizing(_) => u32::from(state.noted.declines) < DECLINES_MAX,
        OrderName::Failed => u32::from(state.noted.declines) == DECLINES_MAX,
        OrderName::Approved | OrderName::Expired | OrderName::Cancelled => {
            u32::from(state.noted.declines) <= DECLINES_MAX
        }
    };
    order.declines == state.noted.declines && may_go_on
}

fn day_holds_what_is_taken(_: &World, state: &State) -> bool {
    let holds = match state.acquirer.order.name {
        OrderName::Authorizing(_) | OrderName::Approved => 1,
        OrderName::Open | OrderName::Expired | OrderName::Failed | OrderName::Cancelled => 0,
    };
    state.acquirer.taken == holds
}

fn shop_hears_everything(_: &World, state: &State) -> bool {
    let acquirer = &state.acquirer;
    let announced = acquirer.attempts.iter().zip(acquirer.announced).all(|(attempt, announced)| match attempt {
        Attempt::Absent | Attempt::Deciding | Attempt::Decided { received: false, .. } => announced.is_none(),
        Attempt::Decided { verdict, received: true } => announced == Some(*verdict),
    });
    announced && acquirer.acknowledged <= state.shop.heard && state.shop.heard <= acquirer.order.position
}

fn one_live_charge(world: &World, state: &State) -> bool {
    (0..ISSUERS).all(|issuer| {
        let ours = world.charges().filter(|charge| world.issuer_of(*charge) == issuer);
        let busy = |state: Charge| state.is_live() || matches!(state, Charge::Approved(_));
        ours.filter(|charge| busy(state.charge(*charge).state)).count() <= 1
    })
}
