//! The acquirer's steps, as `acquirer::authorize` and `acquirer::orders` take them. What is decided is
//! decided by `acquirer::domain`; what is here is what is committed together, and when something leaves.
//!
//! A commit by version that meets another one is tried again from the start in the code, so that every
//! step here is one whole round that met nobody.

use ::acquirer::domain::{
    authorization::{Caller, Claim, OrderFinding, Purpose, Standing, admit, judge_card, judge_order},
    order::{self, Announcement, Effect, Event},
};
use proto::authorization::{Decision, DeclineReason};

use crate::{
    cast::{cast, deadline, made_at},
    configuration::CardPlan,
    mistake::Mistake,
    records::{self, Attempt, Decided, Order, OrderName, Underway, Verdict},
    state::{Message, Sender, State, Worker},
    world::World,
};

/// What the card network came to (`acquirer::authorize::settle::Verdict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has decided.
    Decided(Decision),
    /// It stayed silent.
    Silent,
}

impl Word {
    fn decision(self) -> Decision {
        match self {
            Self::Decided(decision) => decision,
            Self::Silent => Decision::Declined(DeclineReason::NetworkUnavailable),
        }
    }
}

/// Whether who asks is listened to: `acquirer::domain::authorization::admit`. A bank that is suspended
/// starts nothing new, and is told what became of what it has started.
#[must_use]
pub fn admits(world: &World, state: &State, message: Message) -> bool {
    let (authorization, purpose) = match message {
        Message::Authorize(authorization) => (authorization, Purpose::Authorize),
        Message::Question(authorization) if world.makes(Mistake::QuestionNeedsStanding) => {
            (authorization, Purpose::Authorize)
        }
        Message::Question(authorization) => (authorization, Purpose::Resolve),
        Message::Card(_) | Message::Reply { .. } | Message::Answer { .. } => return true,
    };
    let claim = Claim {
        purpose,
        route_agrees: true,
        issuer: &cast().issuers[world.issuer_of(authorization)],
        acquirer: &cast().acquirer,
        signed_at: made_at(),
        request_signed_at: made_at(),
    };
    let standing = if state.suspended { Standing::Suspended } else { Standing::Active };
    admit(&claim, &cast().acquirer, &Caller::Platform, standing, || true, state.now()).is_ok()
}

/// A request arrives: `Authorizer::authorize`, and `Authorizer::open` where it is new.
pub fn authorize(world: &World, state: &mut State, authorization: u8) {
    state.acquirer.callers[usize::from(authorization)] = true;
    match state.attempt(authorization) {
        // The worker answers when it is done; where there is none, `Opened::Orphaned` waits and inquires.
        Attempt::Deciding => {}
        Attempt::Decided { received: false, .. } if world.makes(Mistake::SecondAnswerMissed) => {
            open(world, state, authorization);
        }
        Attempt::Decided { .. } => reply(world, state, authorization),
        Attempt::Absent => open(world, state, authorization),
    }
}

/// `Authorizer::open`: a decline that needs no card network, or the intent to ask it.
fn open(world: &World, state: &mut State, authorization: u8) {
    let now = if world.makes(Mistake::NoDeadlineAtCommit) { deadline() } else { state.now() };
    let kept = state.acquirer.order.load(|number| world.issuer_of(number));
    let finding = judge_order(Some((&cast().order, &kept)), &cast().order, cast().amount(), now);
    let decline = |reason| {
        let decided = Decided { authorization, verdict: Verdict::Declined(reason) };
        (reason, records::outcome(decided, |number| world.issuer_of(number)))
    };
    match finding {
        OrderFinding::Payable => begin(world, state, authorization, now),
        OrderFinding::Lapsed => {
            let (reason, outcome) = decline(DeclineReason::OrderExpired);
            commit_decline(world, state, authorization, reason, [Event::Expire, Event::Refuse(outcome)]);
        }
        OrderFinding::Refused(DeclineReason::OrderBusy) if world.makes(Mistake::BusyNotChecked) => {
            commit_intent(state, authorization);
        }
        OrderFinding::Refused(reason) => {
            let (reason, outcome) = decline(reason);
            commit_decline(world, state, authorization, reason, [Event::Refuse(outcome)]);
        }
        OrderFinding::Declined(reason) => {
            let (reason, outcome) = decline(reason);
            commit_decline(world, state, authorization, reason, [Event::Decline(outcome)]);
        }
        // The one order is kept for ever and presented as it is.
        OrderFinding::NotOurs(_) => state.noted.inconsistent = true,
    }
}

/// `Authorizer::begin`: the card is opened and judged, and the intent committed.
fn begin(world: &World, state: &mut State, authorization: u8, now: std::time::SystemTime) {
    // An open order without its key is `Error::Inconsistent` in `Authorizer::open_card`.
    state.noted.inconsistent |= !state.acquirer.sealing_key;
    let bin_is_issuers = match world.plan(authorization).card {
        CardPlan::Good => true,
        CardPlan::OfAnotherBank => false,
    };
    if let Err(reason) = judge_card(&cast().card, bin_is_issuers, now) {
        let decided = Decided { authorization, verdict: Verdict::Declined(reason) };
        let outcome = records::outcome(decided, |number| world.issuer_of(number));
        commit_decline(world, state, authorization, reason, [Event::Decline(outcome)]);
        return;
    }
    if world.makes(Mistake::IntentForgotten) {
        state.acquirer.workers[usize::from(authorization)] = Worker::Begun;
        return;
    }
    if step(world, state, [begin_event(world, authorization)], now) {
        commit_intent(state, authorization);
        state.noted.began_late |= state.is_past_deadline();
    }
}

fn begin_event(world: &World, authorization: u8) -> Event {
    let attempt = records::attempt_id(authorization, |number| world.issuer_of(number));
    Event::Begin { attempt, taken_from: Some(::acquirer::domain::merchant::Day(0)) }
}

fn commit_intent(state: &mut State, authorization: u8) {
    state.acquirer.attempts[usize::from(authorization)] = Attempt::Deciding;
    state.acquirer.workers[usize::from(authorization)] = Worker::Begun;
}

/// `Authorizer::decline`: the order's part and the decided attempt, in one commit.
fn commit_decline<const N: usize>(
    world: &World,
    state: &mut State,
    authorization: u8,
    reason: DeclineReason,
    events: [Event; N],
) {
    let counted = events.iter().any(|event| matches!(event, Event::Decline(_)));
    let now = state.now();
    if !step(world, state, events, now) {
        return;
    }
    state.noted.declines += u8::from(counted);
    let verdict = Verdict::Declined(reason);
    state.acquirer.attempts[usize::from(authorization)] = Attempt::Decided { verdict, received: true };
    state.note(authorization, verdict);
    reply(world, state, authorization);
}

/// `Authorizer::ask_and_settle`, its first line: the question leaves.
pub fn ask_network(state: &mut State, authorization: u8) {
    state.acquirer.workers[usize::from(authorization)] = Worker::Asking;
    state.send(Message::Card(authorization));
}

/// The card network has answered: `Authorizer::ask_and_settle`. An answer that comes after the worker gave up
/// is dropped with its future; here it goes as far as `settle`, which must not care.
pub fn network_answered(world: &World, state: &mut State, authorization: u8, decision: Decision) {
    let verdict = Verdict::of(decision);
    let worker = &mut state.acquirer.workers[usize::from(authorization)];
    if world.makes(Mistake::AnsweredBeforeCommit) && *worker == Worker::Asking {
        *worker = Worker::Told(verdict);
        state.note(authorization, verdict);
        send_reply(world, state, authorization, verdict);
        return;
    }
    let decided = matches!(state.attempt(authorization), Attempt::Decided { .. });
    if world.makes(Mistake::LateAnswerCounts) && decided {
        state.acquirer.attempts[usize::from(authorization)] = Attempt::Decided { verdict, received: true };
        state.note(authorization, verdict);
        return;
    }
    settle(world, state, authorization, Word::Decided(decision));
}

/// `Authorizer::settle`: the outcome and everything that belongs to it, in one commit.
pub fn settle(world: &World, state: &mut State, authorization: u8, word: Word) {
    let place = usize::from(authorization);
    let worker = std::mem::replace(&mut state.acquirer.workers[place], Worker::None);
    let verdict = Verdict::of(word.decision());
    let attempt = state.attempt(authorization);
    let Some(deciding) = attempt.load() else {
        if world.makes(Mistake::IntentForgotten) && worker != Worker::None {
            settle_without_intent(world, state, authorization, word);
        }
        return;
    };
    if deciding.result().is_some() {
        return;
    }
    let before = state.acquirer.order;
    let settle = Event::Settle(records::outcome(Decided { authorization, verdict }, |number| world.issuer_of(number)));
    if world.makes(Mistake::BusyNotChecked) && !is_underway(before, authorization) {
        force_settle(state, authorization, verdict);
    } else if !world.makes(Mistake::ApprovedWithoutOrder) && !step(world, state, [settle], state.now()) {
        return;
    }
    match deciding.decide(records::result(verdict)) {
        Ok(decided) => state.acquirer.attempts[place] = Attempt::save(&decided),
        Err(_) => state.noted.inconsistent = true,
    }
    if !verdict.is_approved() {
        state.noted.declines += 1;
        if world.makes(Mistake::DeclinesNotCounted) {
            state.acquirer.order.declines = before.declines;
            if state.acquirer.order.name == OrderName::Failed {
                state.acquirer.order.name = OrderName::Open;
                state.acquirer.sealing_key = true;
            }
        }
    }
    let is_reversed = word == Word::Silent || (world.makes(Mistake::ReversedAnyway) && worker == Worker::None);
    if is_reversed && !world.makes(Mistake::NoReversal) {
        state.acquirer.reversals[place] = true;
    }
    state.note(authorization, verdict);
    reply(world, state, authorization);
}

fn is_underway(order: Order, authorization: u8) -> bool {
    matches!(order.name, OrderName::Authorizing(Underway { authorization: underway, .. }) if underway == authorization)
}

/// By mistake: a second authorization ends, whatever the order waits for.
fn force_settle(state: &mut State, authorization: u8, verdict: Verdict) {
    if verdict.is_approved() {
        state.acquirer.order.name = OrderName::Approved;
        state.acquirer.order.last = Some(Decided { authorization, verdict });
    }
}

/// By mistake: intent and outcome are committed together, when the card network has answered.
fn settle_without_intent(world: &World, state: &mut State, authorization: u8, word: Word) {
    let now = state.now();
    if state.acquirer.order.name == OrderName::Open && step(world, state, [begin_event(world, authorization)], now) {
        state.acquirer.attempts[usize::from(authorization)] = Attempt::Deciding;
        settle(world, state, authorization, word);
    }
}

/// A question arrives: `Authorizer::resolve`.
pub fn resolve(world: &World, state: &mut State, authorization: u8) {
    let verdict = match state.attempt(authorization) {
        Attempt::Deciding => None,
        Attempt::Decided { verdict, received: _ } => Some(verdict),
        Attempt::Absent => {
            let verdict = Verdict::Declined(DeclineReason::NeverReceived);
            if !world.makes(Mistake::NoTombstone) {
                state.acquirer.attempts[usize::from(authorization)] = Attempt::Decided { verdict, received: false };
            }
            state.note(authorization, verdict);
            Some(verdict)
        }
    };
    let charge = world.charge_of(authorization);
    if state.charge(charge).asking && state.charge(charge).authorization == authorization {
        state.send(Message::Answer { charge, verdict });
    }
}

/// The shop cancels: `Orders::cancel`, and `Orders::current` before it.
pub fn cancel(world: &World, state: &mut State) {
    expire(world, state);
    match state.acquirer.order.name {
        OrderName::Approved => state.shop.told_too_late = true,
        OrderName::Cancelled => state.shop.told_cancelled = true,
        OrderName::Expired | OrderName::Failed => {}
        OrderName::Authorizing(_) if world.makes(Mistake::CancelNotRecorded) => state.shop.told_pending = true,
        OrderName::Authorizing(_) if world.makes(Mistake::TooLateWhileDeciding) => state.shop.told_too_late = true,
        OrderName::Authorizing(_) if world.makes(Mistake::CancelledAtOnce) => state.shop.told_cancelled = true,
        OrderName::Authorizing(Underway { cancel_requested: true, .. }) => state.shop.told_pending = true,
        name @ (OrderName::Open | OrderName::Authorizing(_)) => {
            let now = state.now();
            if step(world, state, [Event::Cancel], now) {
                let pending = matches!(name, OrderName::Authorizing(_));
                state.shop.told_pending |= pending;
                state.shop.told_cancelled |= !pending;
            }
        }
    }
}

/// `Orders::expire`, by the task or by whoever looks at the order.
pub fn expire(world: &World, state: &mut State) {
    let kept = state.acquirer.order.load(|number| world.issuer_of(number));
    if kept.has_lapsed(state.now()) {
        let now = state.now();
        step(world, state, [Event::Expire], now);
    }
}

/// The process ends and starts again. What was committed is there; who worked and waited is not.
pub fn crash(state: &mut State) {
    state.acquirer.workers.fill(Worker::None);
    state.acquirer.callers.fill(false);
    // Its connections are gone, and every answer that was not delivered yet with them.
    state.wire.retain(|message| match message {
        Message::Authorize(_) | Message::Question(_) | Message::Card(_) => true,
        Message::Reply { .. } | Message::Answer { .. } => false,
    });
}

/// The work on one authorization is lost, and the call that waits for it ends with an error.
pub fn lose_worker(state: &mut State, authorization: u8) {
    state.acquirer.workers[usize::from(authorization)] = Worker::None;
    state.acquirer.callers[usize::from(authorization)] = false;
}

/// By mistake: what was told is committed at last.
pub fn commit_told(world: &World, state: &mut State, authorization: u8) {
    if let Worker::Told(verdict) = state.acquirer.workers[usize::from(authorization)] {
        settle(world, state, authorization, Word::Decided(verdict.decision()));
    }
}

/// Answers whoever waits, from the record: the end of `Authorizer::authorize`.
fn reply(world: &World, state: &mut State, authorization: u8) {
    if let Some(verdict) = state.attempt(authorization).verdict() {
        send_reply(world, state, authorization, verdict);
    }
}

fn send_reply(world: &World, state: &mut State, authorization: u8, verdict: Verdict) {
    let charge = world.charge_of(authorization);
    let waits = state.charge(charge).sender == Sender::Waiting && state.charge(charge).authorization == authorization;
    if std::mem::take(&mut state.acquirer.callers[usize::from(authorization)]) && waits {
        state.send(Message::Reply { charge, verdict });
    }
}

/// `orders::Step`: the events on the order, with every effect, in one commit. Whether they applied.
fn step<const N: usize>(world: &World, state: &mut State, events: [Event; N], now: std::time::SystemTime) -> bool {
    let mut order = state.acquirer.order.load(|number| world.issuer_of(number));
    let mut made = Vec::new();
    for event in events {
        match order.apply(event, now) {
            Ok((next, effects)) => {
                order = next;
                made.extend(effects);
            }
            // The order was judged in the same round, so that its rules can't differ (`misjudged`).
            Err(_) => {
                state.noted.inconsistent = true;
                return false;
            }
        }
    }
    let mut position = state.acquirer.order.position.into();
    for effect in made {
        carry_out(world, state, &order, &mut position, effect);
    }
    state.noted.inconsistent |= position != order.course().position;
    state.acquirer.order = Order::save(&order);
    true
}

/// One effect. The announcements' positions go up one by one, and the last one names where the order stands.
fn carry_out(world: &World, state: &mut State, order: &order::State, last: &mut u32, effect: Effect) {
    match effect {
        Effect::Announce(Announcement { position, state: name, authorization }) => {
            *last += 1;
            state.noted.inconsistent |= position != *last;
            state.noted.inconsistent |= position == order.course().position && name != order.name();
            if let Some(outcome) = authorization {
                let Decided { authorization, verdict } = records::decided(&outcome);
                // A second announcement of one authorization would be a second result.
                let told = state.acquirer.announced[usize::from(authorization)].replace(verdict);
                state.noted.inconsistent |= told.is_some();
            }
        }
        Effect::ForgetSealingKey => state.acquirer.sealing_key = world.makes(Mistake::KeyKept),
        Effect::TakeUp(_) => state.acquirer.taken += 1,
        Effect::GiveBack(_) if world.makes(Mistake::DayNotGivenBack) => {}
        Effect::GiveBack(_) => match state.acquirer.taken.checked_sub(1) {
            Some(left) => state.acquirer.taken = left,
            None => state.noted.inconsistent = true,
        },
    }
}
