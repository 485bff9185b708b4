//! The card network, as `acquirer::network::AuthorizationNetwork` promises it to be: idempotent by the
//! authorization's id, its word unchanged but by a reversal. It is slow where its answer is long in coming,
//! silent where it never comes, and late where it comes after the acquirer has given up.
//!
//! A decision that it doesn't tell yet needs no state of its own: its inquiry may always go unanswered.

use ::acquirer::network::{Inquiry, NetworkDecision};
use proto::authorization::{Decision, DeclineReason};

use crate::{
    acquirer::{self, Word},
    action::Answer,
    cast::cast,
    mistake::Mistake,
    state::{Card, Message, State},
    world::World,
};

/// A request has arrived and is decided: `authorize`. One that was reversed before is declined.
pub fn decide(state: &mut State, authorization: u8, approves: bool) {
    state.take(Message::Card(authorization));
    let card = &mut state.network[usize::from(authorization)];
    if *card == Card::None {
        *card = if approves { Card::Approved } else { Card::Declined };
    }
}

/// The answer of `authorize` reaches the acquirer.
pub fn answer(world: &World, state: &mut State, authorization: u8) {
    let decision = match inquiry(state, authorization) {
        Inquiry::Approved(code) => NetworkDecision::Approved(code),
        Inquiry::Declined(reason) => NetworkDecision::Declined(reason),
        Inquiry::Unknown => return,
    };
    let decision = match decision {
        NetworkDecision::Approved(code) => Decision::Approved(code),
        NetworkDecision::Declined(reason) => Decision::Declined(reason),
    };
    acquirer::network_answered(world, state, authorization, decision);
}

/// The acquirer inquires, and settles by what it hears: `Authorizer::inquire` and `Authorizer::settle`.
///
/// The question, its answer and the commit are one step. Nothing is lost by that: what the network does between
/// its answer and the commit can as well happen after the commit, because the commit doesn't look.
pub fn inquire(world: &World, state: &mut State, authorization: u8, answer: Answer) {
    let word = match inquiry(state, authorization) {
        Inquiry::Approved(code) if answer == Answer::Given => Word::Decided(Decision::Approved(code)),
        Inquiry::Declined(reason) if answer == Answer::Given => Word::Decided(Decision::Declined(reason)),
        Inquiry::Approved(_) | Inquiry::Declined(_) | Inquiry::Unknown => Word::Silent,
    };
    acquirer::settle(world, state, authorization, word);
}

/// A reversal arrives: `reverse`, and `Authorizer::send_reversal` where the acknowledgement comes back.
pub fn reverse(world: &World, state: &mut State, authorization: u8, answer: Answer) {
    let acknowledged = answer == Answer::Given;
    let place = usize::from(authorization);
    if acknowledged || !world.makes(Mistake::ReversalForgotten) {
        match state.network[place] {
            Card::None | Card::Approved => state.network[place] = Card::Reversed,
            Card::Declined | Card::Reversed => {}
        }
    }
    if acknowledged || world.makes(Mistake::ReversalForgotten) {
        state.acquirer.reversals[place] = false;
    }
}

fn inquiry(state: &State, authorization: u8) -> Inquiry {
    match state.network[usize::from(authorization)] {
        Card::None => Inquiry::Unknown,
        Card::Approved => Inquiry::Approved(cast().codes[usize::from(authorization)]),
        Card::Declined | Card::Reversed => Inquiry::Declined(DeclineReason::DoNotHonor),
    }
}
