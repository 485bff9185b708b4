//! What can happen next. The order of the choices is fixed, so that a way is found again.

use crate::{
    action::{Action, Answer, AuthorizationStep, ChargeStep, Delivery, Fate, WholeStep},
    cast::{AUTHORIZATIONS, ISSUERS},
    issuer,
    mistake::Mistake,
    records::{Attempt, Charge, OrderName},
    state::{Card, Message, Sender, State, Worker},
    world::World,
};

/// Adds everything that can happen next.
pub fn all(world: &World, state: &State, actions: &mut Vec<Action>) {
    of_messages(state, actions);
    of_authorizations(world, state, actions);
    of_charges(world, state, actions);
    of_the_whole(world, state, actions);
}

fn of_charges(world: &World, state: &State, actions: &mut Vec<Action>) {
    let left = &state.left;
    for charge in world.charges() {
        let file = state.charge(charge);
        let take = |step| Action::Charge(charge, step);
        if issuer::may_submit(world, state, charge) {
            actions.push(take(ChargeStep::Submit));
        }
        match file.sender {
            Sender::None => {}
            Sender::Ready => {
                actions.push(take(ChargeStep::CommitSent));
                actions.extend((left.refusals > 0).then_some(take(ChargeStep::CannotPrepare)));
            }
            Sender::Sent => actions.push(take(ChargeStep::Transmit)),
            Sender::Waiting => {
                actions.push(take(ChargeStep::GiveUpWaiting));
                actions.extend((left.resends > 0).then_some(take(ChargeStep::Resend)));
            }
        }
        if file.asking {
            let gives_up = !world.makes(Mistake::QuestionWithoutDeadline);
            actions.extend(gives_up.then_some(take(ChargeStep::GiveUpAsking)));
        } else if file.state == (Charge::Unknown { parked: false }) {
            actions.push(take(ChargeStep::Ask));
        }
        if matches!(file.state, Charge::Held | Charge::Sent) {
            if file.sender == Sender::None {
                actions.push(take(ChargeStep::PutRight));
            } else if left.standstills > 0 {
                actions.extend([take(ChargeStep::LoseSender), take(ChargeStep::Standstill)]);
            }
        }
        if left.swaps > 0 && (file.sender == Sender::Waiting || file.asking) {
            let others = (0..).take(AUTHORIZATIONS).filter(|other| *other != file.authorization);
            let given = others.filter(|other| issuer::foreign_result(state, *other).is_some());
            actions.extend(given.map(|other| take(ChargeStep::Swap(other))));
        }
    }
}

fn of_messages(state: &State, actions: &mut Vec<Action>) {
    let left = &state.left;
    for message in state.wire.iter().copied() {
        match message {
            Message::Card(authorization) => {
                actions.push(Action::Authorization(authorization, AuthorizationStep::NetworkApproves));
                if state.network[usize::from(authorization)] == Card::None {
                    actions.push(Action::Authorization(authorization, AuthorizationStep::NetworkDeclines));
                }
                continue;
            }
            Message::Authorize(_) | Message::Question(_) => {
                actions.push(Action::Message(message, Fate::Delivered));
                actions.extend((left.duplicates > 0).then_some(Action::Message(message, Fate::DeliveredTwice)));
                actions.extend((left.refusals > 0).then_some(Action::Message(message, Fate::Refused)));
            }
            Message::Reply { .. } | Message::Answer { .. } => {
                actions.push(Action::Message(message, Fate::Delivered));
            }
        }
        actions.extend((left.losses > 0).then_some(Action::Message(message, Fate::Lost)));
    }
}

fn of_authorizations(world: &World, state: &State, actions: &mut Vec<Action>) {
    for authorization in (0..).take(AUTHORIZATIONS) {
        let place = usize::from(authorization);
        let take = |step| Action::Authorization(authorization, step);
        let card = state.network[place];
        let worker = state.acquirer.workers[place];
        let is_orphan = state.attempt(authorization) == Attempt::Deciding && worker == Worker::None;
        match worker {
            Worker::Begun => actions.push(take(AuthorizationStep::AskNetwork)),
            Worker::Told(_) => actions.push(take(AuthorizationStep::CommitTold)),
            Worker::None | Worker::Asking => {}
        }
        let is_asked = worker == Worker::Asking;
        // One that comes late goes nowhere, which is tried too.
        if card != Card::None && (is_asked || state.attempt(authorization).verdict().is_some()) {
            actions.push(take(AuthorizationStep::NetworkAnswers));
        }
        let is_due = is_asked && !world.makes(Mistake::NetworkWithoutDeadline);
        if is_due || (is_orphan && !world.makes(Mistake::NotRecovered)) {
            actions.push(take(AuthorizationStep::Inquire(Answer::Given)));
            if card != Card::None {
                actions.push(take(AuthorizationStep::Inquire(Answer::Missing)));
            }
        }
        if state.left.beside > 0 && state.attempt(authorization) == Attempt::Deciding && !is_orphan {
            actions.push(take(AuthorizationStep::InquireBeside(Answer::Given)));
            if card != Card::None {
                actions.push(take(AuthorizationStep::InquireBeside(Answer::Missing)));
            }
        }
        if state.acquirer.reversals[place] {
            actions.push(take(AuthorizationStep::Reverse(Answer::Given)));
            actions.push(take(AuthorizationStep::Reverse(Answer::Missing)));
        }
        if state.left.acquirer_crashes > 0 && worker != Worker::None {
            actions.push(take(AuthorizationStep::LoseWorker));
        }
    }
}

fn of_the_whole(world: &World, state: &State, actions: &mut Vec<Action>) {
    let (acquirer, left) = (&state.acquirer, &state.left);
    if acquirer.acknowledged < acquirer.order.position {
        actions.push(Action::Whole(WholeStep::Notify(Delivery::Acknowledged)));
        if left.losses > 0 {
            actions.extend([
                Action::Whole(WholeStep::Notify(Delivery::Unacknowledged)),
                Action::Whole(WholeStep::Notify(Delivery::Lost)),
            ]);
        }
    }
    if acquirer.order.name == OrderName::Open && state.is_past_deadline() {
        actions.push(Action::Whole(WholeStep::Expire));
    }
    if state.clock < world.configuration.clock_max {
        actions.push(Action::Whole(WholeStep::ClockGoesOn));
    }
    actions.extend((left.cancels > 0).then_some(Action::Whole(WholeStep::Cancel)));
    actions.extend((left.suspensions > 0).then_some(Action::Whole(WholeStep::Suspend)));
    actions.extend((left.acquirer_crashes > 0).then_some(Action::Whole(WholeStep::CrashAcquirer)));
    for issuer in (0..).take(ISSUERS) {
        if !world.charges().any(|charge| world.issuer_of(charge) == usize::from(issuer)) {
            continue;
        }
        actions.extend((left.issuer_crashes > 0).then_some(Action::Whole(WholeStep::CrashIssuer(issuer))));
        let is_parked = |charge| {
            world.issuer_of(charge) == usize::from(issuer)
                && state.charge(charge).state == (Charge::Unknown { parked: true })
        };
        if world.charges().any(is_parked) {
            actions.push(Action::Whole(WholeStep::RestartIssuer(issuer)));
        }
    }
}
