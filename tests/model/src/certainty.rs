//! Whether certainty can be reached: from any moment, with no fault and no wish any more, everything becomes
//! final within a bound of steps.
//!
//! A model checker's "eventually" says nothing about runs that go round in a circle, and a bank that asks
//! while the acquirer decides does go round. So one run is made from every moment instead, by a schedule
//! that is fair: in each round all work that can be done is done once, and the acquirer's deadline for
//! the card network comes to its end; only where there was no work does a bank lose patience, then an operator
//! helps with what is parked, and only then does time pass. The run must end, where nothing more
//! happens, with everything final. That it exists shows that there is no moment without a way out, and that it is
//! the plainest schedule there is shows that the way needs no luck.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::{Mutex, PoisonError},
};

use stateright::Model as _;

use crate::{
    action::{Action, Answer, AuthorizationStep, Kind, WholeStep},
    records::Attempt,
    state::{Card, Clock, State},
    world::World,
};

/// More rounds than any run needs: a bank's question takes two, an authorization with its inquiry and its
/// reversal five.
pub const ROUNDS_MAX: u16 = 60;
/// The runs are remembered in so many parts, so that the checker's threads seldom wait for each other.
const SHARDS: usize = 64;
/// The highest bits choose the part, because the map itself goes by the lowest.
const SHARD_SHIFT: u32 = 64 - SHARDS.ilog2();

/// Under which circumstances the faults end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weather {
    /// All is well.
    Fair,
    /// The card network answers nothing more; it still acknowledges reversals.
    SilentNetwork,
    /// All that was on the way is lost; then all is well.
    EverythingLost,
}

impl Weather {
    const fn is_silent(self) -> bool {
        match self {
            Self::Fair | Self::EverythingLost => false,
            Self::SilentNetwork => true,
        }
    }

    fn begin(self, state: &State) -> State {
        let mut state = state.clone();
        match self {
            Self::Fair | Self::SilentNetwork => {}
            Self::EverythingLost => state.wire.clear(),
        }
        state
    }
}

/// From which moments certainty is reached, and in how many rounds.
#[derive(Debug)]
pub struct Certainty {
    fair: Known,
    silent: Known,
}

type Shard = Mutex<HashMap<u64, u16, BuildHasherDefault<AsItIs>>>;

#[derive(Debug)]
struct Known(Vec<Shard>);

impl Default for Certainty {
    fn default() -> Self {
        let known = || Known((0..SHARDS).map(|_| Shard::default()).collect());
        Self { fair: known(), silent: known() }
    }
}

impl Certainty {
    /// Whether everything becomes final from this moment on.
    #[must_use]
    pub fn is_reached(&self, world: &World, state: &State, weather: Weather) -> bool {
        if weather == Weather::EverythingLost && state.wire.is_empty() {
            // Nothing was on the way, so that this is the fair weather's run.
            return true;
        }
        let is_silent = weather.is_silent();
        let known = if is_silent { &self.silent } else { &self.fair };
        let mut state = weather.begin(state);
        let mut passed = Vec::new();
        let rounds = loop {
            let place = place_of(&state);
            if let Some(rounds) = known.find(place) {
                break rounds;
            }
            passed.push(place);
            if passed.len() > usize::from(ROUNDS_MAX) {
                return false;
            }
            match round(world, &state, is_silent) {
                Some(next) => state = next,
                None if is_certain(world, &state) => break 0,
                None => return false,
            }
        };
        for (place, rounds) in passed.into_iter().rev().zip(rounds..) {
            known.learn(place, rounds + 1);
        }
        true
    }

    /// Where the run from this moment on stands when it has ended, or when its time is over.
    #[must_use]
    pub fn end(world: &World, state: &State, weather: Weather) -> State {
        let mut state = weather.begin(state);
        for _ in 0..ROUNDS_MAX {
            match round(world, &state, weather.is_silent()) {
                Some(next) => state = next,
                None => break,
            }
        }
        state
    }

    /// The most rounds that any run has taken.
    #[must_use]
    pub fn rounds_max(&self) -> u16 {
        let shards = self.fair.0.iter().chain(&self.silent.0);
        let longest = |shard: &Shard| shard.lock().unwrap_or_else(PoisonError::into_inner).values().copied().max();
        shards.filter_map(longest).max().unwrap_or_default()
    }
}

impl Known {
    fn find(&self, place: u64) -> Option<u16> {
        self.shard(place).lock().unwrap_or_else(PoisonError::into_inner).get(&place).copied()
    }

    fn learn(&self, place: u64, rounds: u16) {
        self.shard(place).lock().unwrap_or_else(PoisonError::into_inner).insert(place, rounds);
    }

    fn shard(&self, place: u64) -> &Shard {
        &self.0[usize::try_from(place >> SHARD_SHIFT).unwrap_or_default()]
    }
}

/// The moment's number. What may still go wrong plays no part where nothing goes wrong any more, nor
/// does what was only noted.
fn place_of(state: &State) -> u64 {
    let State { acquirer, network, charges, accounts, claims, wire, clock, suspended, shop, left: _, noted: _ } = state;
    BuildHasherDefault::<DefaultHasher>::default()
        .hash_one((acquirer, network, charges, accounts, claims, wire, clock, suspended, shop))
}

/// One round of the fair schedule; none where nothing happens any more.
fn round(world: &World, state: &State, is_silent: bool) -> Option<State> {
    let mut actions = Vec::new();
    world.actions(state, &mut actions);
    if is_silent {
        actions.retain(|action| !needs_the_network(*action, state));
    }
    let mut now = state.clone();
    let worked = take_all(world, &mut now, &actions, Kind::Work);
    if take_all(world, &mut now, &actions, Kind::NetworkDeadline) || worked {
        return Some(now);
    }
    for kind in [Kind::Patience, Kind::Operator, Kind::Time] {
        if take_all(world, &mut now, &actions, kind) {
            return Some(now);
        }
    }
    // The checker may have stopped the clocks; here they go on to the deadline.
    (state.clock == Clock::InTime && !state.acquirer.order.is_final())
        .then(|| world.after(state, Action::Whole(WholeStep::ClockGoesOn)))
        .flatten()
}

/// Takes each of the actions of a kind that can still be taken. Whether there was one.
fn take_all(world: &World, state: &mut State, actions: &[Action], kind: Kind) -> bool {
    let mut taken = false;
    for action in actions.iter().filter(|action| action.kind() == kind) {
        let mut possible = Vec::new();
        world.actions(state, &mut possible);
        if let Some(next) = possible.contains(action).then(|| world.after(state, *action)).flatten() {
            *state = next;
            taken = true;
        }
    }
    taken
}

fn needs_the_network(action: Action, state: &State) -> bool {
    let Action::Authorization(authorization, step) = action else { return false };
    match step {
        AuthorizationStep::NetworkApproves | AuthorizationStep::NetworkDeclines | AuthorizationStep::NetworkAnswers => {
            true
        }
        // Where it has decided, an inquiry without an answer is another action.
        AuthorizationStep::Inquire(Answer::Given) => state.network[usize::from(authorization)] != Card::None,
        AuthorizationStep::Inquire(Answer::Missing)
        | AuthorizationStep::AskNetwork
        | AuthorizationStep::CommitTold
        | AuthorizationStep::InquireBeside(_)
        | AuthorizationStep::Reverse(_)
        | AuthorizationStep::LoseWorker => false,
    }
}

/// Whether everything is final and everybody who must know it does.
fn is_certain(world: &World, state: &State) -> bool {
    let acquirer = &state.acquirer;
    let charges = world.charges().all(|charge| !state.charge(charge).state.is_live());
    let money = state
        .network
        .iter()
        .zip(acquirer.attempts)
        .all(|(card, attempt)| (*card == Card::Approved) == attempt.is_approved());
    charges
        && money
        && acquirer.order.is_final()
        && acquirer.attempts.iter().all(|attempt| *attempt != Attempt::Deciding)
        && acquirer.reversals.iter().all(|owed| !owed)
        && state.shop.heard == acquirer.order.position
        && acquirer.acknowledged == acquirer.order.position
        && state.accounts.iter().all(|account| account.held == 0)
}

/// The numbers are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl std::hash::Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
