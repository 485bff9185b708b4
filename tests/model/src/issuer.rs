//! A bank's steps, as `issuer::charges` and `issuer::tasks` take them. What happens to a charge and to its
//! account is decided by `issuer::domain`; what is here is what is committed together, and when
//! something leaves.

use ::issuer::domain::{
    account::Account as DomainAccount,
    charge::{Effect, Event, Rejected},
    result::Asked,
};
use proto::authorization::{AuthorizationResult, Decision, DeclineReason};
use std::time::Duration;

use crate::{
    cast::{cast, made_at},
    mistake::Mistake,
    records::{Account, Charge, Claim, Decided, Verdict},
    state::{Message, Sender, State},
    world::World,
};

/// A customer submits a charge: `charges::submit`, with hold, charge and claim in one commit.
pub fn submit(world: &World, state: &mut State, charge: u8) {
    let issuer = world.issuer_of(charge);
    if !may_submit(world, state, charge) {
        return;
    }
    let held = state.accounts[issuer].load().map(|account| account.hold(cast().amount()));
    // Where the funds are not there the customer is told so, and nothing changes.
    let Ok(Ok(held)) = held else { return };
    state.accounts[issuer] = Account::save(held);
    state.claims[issuer] = Claim::Taken(charge);
    state.charge_mut(charge).state = Charge::Held;
    state.charge_mut(charge).sender = Sender::Ready;
}

/// Whether a charge would be taken: `charges::submit::hold`. An order is paid by one charge at a time.
#[must_use]
pub fn may_submit(world: &World, state: &State, charge: u8) -> bool {
    state.charge(charge).state == Charge::Absent && state.claims[world.issuer_of(charge)] == Claim::Free
}

/// `charges::send::commit_sent`: the request is durable before its first byte leaves.
pub fn commit_sent(world: &World, state: &mut State, charge: u8) {
    let sent = cast().sent[usize::from(state.charge(charge).authorization)];
    state.charge_mut(charge).sender = match advance(world, state, charge, Event::Send(sent)) {
        Ok(()) => Sender::Sent,
        Err(_) => Sender::None,
    };
}

/// `charges::send::give_up`: the request can't be made.
pub fn give_up(world: &World, state: &mut State, charge: u8) {
    // Where somebody else was faster there is nothing left to give up.
    let _ = advance(world, state, charge, Event::Abandon);
    state.charge_mut(charge).sender = Sender::None;
}

/// `charges::send::transmit`: the bytes leave, for the first time or once more. The call before has ended.
pub fn transmit(state: &mut State, charge: u8) {
    let authorization = state.charge(charge).authorization;
    state.acquirer.callers[usize::from(authorization)] = false;
    state.wire.retain(|message| !matches!(message, Message::Reply { charge: waiting, .. } if *waiting == charge));
    state.send(Message::Authorize(authorization));
    state.charge_mut(charge).sender = Sender::Waiting;
}

/// `charges::send::lose`: no result came, for whatever reason.
pub fn lose(world: &World, state: &mut State, charge: u8) {
    state.charge_mut(charge).sender = Sender::None;
    let event = if world.makes(Mistake::TransportErrorDeclines) {
        Event::Decide(Decision::Declined(DeclineReason::NetworkUnavailable))
    } else {
        Event::Lose
    };
    // A result, or the look for what stands still, may have been faster.
    let lost = advance(world, state, charge, event).is_ok();
    if lost && (world.makes(Mistake::HoldReleasedOnUnknown) || world.makes(Mistake::HoldReleasedTwice)) {
        move_hold(world, state, charge, DomainAccount::release);
    }
    if lost && world.makes(Mistake::ClaimFreedOnUnknown) {
        state.claims[world.issuer_of(charge)] = Claim::Free;
    }
}

/// A result reaches the sender of a charge: `charges::send::take`.
pub fn take(world: &World, state: &mut State, charge: u8, result: Decided) {
    match bring_result(world, state, charge, result) {
        Settled::Final => state.charge_mut(charge).sender = Sender::None,
        Settled::Untrusted => lose(world, state, charge),
    }
}

/// `charges::inquire`: the question leaves.
pub fn ask(state: &mut State, charge: u8) {
    state.charge_mut(charge).asking = true;
    state.send(Message::Question(state.charge(charge).authorization));
}

/// The answer to a question: a result, or that it is being decided.
pub fn answered(world: &World, state: &mut State, charge: u8, result: Option<Decided>) {
    match result.map(|result| bring_result(world, state, charge, result)) {
        Some(Settled::Final) => state.charge_mut(charge).asking = false,
        Some(Settled::Untrusted) | None => ask_again_later(world, state, charge),
    }
}

/// `charges::inquire::ask_again_later`.
pub fn ask_again_later(world: &World, state: &mut State, charge: u8) {
    state.charge_mut(charge).asking = false;
    // A result that came by another way may have ended the charge.
    let _ = advance(world, state, charge, Event::AskedInVain { wait_at_least: Duration::ZERO, jitter: 0 });
}

/// The process ends and starts again: `tasks::recovery::recover`, before the first call is taken.
pub fn restart(world: &World, state: &mut State, issuer: usize) {
    for charge in world.charges().filter(|charge| world.issuer_of(*charge) == issuer) {
        let before = state.charge(charge).state;
        state.charge_mut(charge).sender = Sender::None;
        state.charge_mut(charge).asking = false;
        if world.makes(Mistake::SentIsAbandoned) && before == Charge::Sent {
            state.charge_mut(charge).state = Charge::Held;
        }
        put_right(world, state, charge);
        if world.makes(Mistake::NewIdAfterRestart) && before == Charge::Sent {
            send_anew(world, state, charge);
        }
    }
}

/// `tasks::recovery::restart`, at the start, and where a charge has come to a standstill.
pub fn put_right(world: &World, state: &mut State, charge: u8) {
    // One that is where a restart changes nothing is left as it is.
    let _ = advance(world, state, charge, Event::Restart);
}

/// By mistake: the same charge under a new authorization.
fn send_anew(world: &World, state: &mut State, charge: u8) {
    let Some(other) = world.other_authorization(charge) else { return };
    let file = state.charge_mut(charge);
    if file.authorization != other {
        file.authorization = other;
        file.state = Charge::Sent;
        file.sender = Sender::Sent;
    }
}

enum Settled {
    Final,
    Untrusted,
}

/// `charges::settle::bring_result`: a result that answers what was asked ends the charge.
fn bring_result(world: &World, state: &mut State, charge: u8, result: Decided) -> Settled {
    let file = *state.charge(charge);
    let Some(sent) = file.state.load(file.authorization).and_then(|state| state.sent()) else {
        // "nothing was sent for it": the step would be tried again for ever.
        state.noted.inconsistent = true;
        return Settled::Untrusted;
    };
    let asked = Asked {
        authorization: cast().authorizations[usize::from(file.authorization)].clone(),
        issuer: cast().issuers[world.issuer_of(charge)].clone(),
        acquirer: cast().acquirer.clone(),
        request_digest: sent.request_digest,
        order_digest: cast().order.digest,
        amount: cast().amount(),
        signed_at: sent.signed_at,
    };
    let decision = match asked.answered_by(&signed_result(world, result), state.now()) {
        Ok(decision) => decision,
        Err(_) if world.makes(Mistake::AnyResultAccepted) => result.verdict.decision(),
        Err(_) => return Settled::Untrusted,
    };
    match advance(world, state, charge, Event::Decide(decision)) {
        Ok(()) | Err(Rejected::AlreadySo) => {}
        Err(Rejected::Contradiction) => state.noted.contradicted = true,
        Err(Rejected::OutOfTurn) => state.noted.inconsistent = true,
    }
    Settled::Final
}

/// The result of an authorization as the acquirer signs it: `acquirer::authorize::result::sign`.
fn signed_result(world: &World, result: Decided) -> AuthorizationResult {
    let place = usize::from(result.authorization);
    AuthorizationResult {
        authorization: cast().authorizations[place].clone(),
        issuer: cast().issuers[world.issuer_of(result.authorization)].clone(),
        acquirer: cast().acquirer.clone(),
        request_digest: cast().sent[place].request_digest,
        order_digest: cast().order.digest,
        amount: cast().amount(),
        decision: result.verdict.decision(),
        decided_at: made_at(),
    }
}

/// `charges::advance`: one event with everything that changes with it, in one commit.
fn advance(world: &World, state: &mut State, charge: u8, event: Event) -> Result<(), Rejected> {
    let file = *state.charge(charge);
    let Some(stored) = file.state.load(file.authorization) else { return Err(Rejected::OutOfTurn) };
    let (next, effects) = stored.apply(event, &cast().schedule, state.now())?;
    for effect in effects {
        carry_out(world, state, charge, effect);
    }
    state.charge_mut(charge).state = Charge::save(next);
    Ok(())
}

/// `charges::advance::add`. What is missing there is a damaged record, which no step may meet.
fn carry_out(world: &World, state: &mut State, charge: u8, effect: Effect) {
    let issuer = world.issuer_of(charge);
    match effect {
        Effect::ConfirmHold => move_hold(world, state, charge, DomainAccount::confirm),
        Effect::ReleaseHold => move_hold(world, state, charge, DomainAccount::release),
        Effect::KeepClaim | Effect::FreeClaim => {
            state.noted.inconsistent |= state.claims[issuer] != Claim::Taken(charge);
            state.claims[issuer] = if effect == Effect::KeepClaim { Claim::Paid(charge) } else { Claim::Free };
        }
        Effect::StoreRequest => {
            state.noted.inconsistent |= state.charge(charge).request;
            state.charge_mut(charge).request = true;
        }
        Effect::RemoveRequest => {
            state.noted.inconsistent |= !state.charge(charge).request;
            state.charge_mut(charge).request = false;
        }
    }
}

fn move_hold<E>(
    world: &World,
    state: &mut State,
    charge: u8,
    step: impl FnOnce(DomainAccount, proto::money::Money) -> Result<DomainAccount, E>,
) {
    let issuer = world.issuer_of(charge);
    let moved = state.accounts[issuer].load().map(|account| step(account, cast().amount()));
    match moved {
        Ok(Ok(account)) => state.accounts[issuer] = Account::save(account),
        Ok(Err(_)) | Err(_) => state.noted.inconsistent = true,
    }
}

/// The result of another authorization, as the platform may hand it over: one that was given out.
#[must_use]
pub fn foreign_result(state: &State, authorization: u8) -> Option<Decided> {
    let verdict: Option<Verdict> = state.noted.first[usize::from(authorization)];
    verdict.map(|verdict| Decided { authorization, verdict })
}
