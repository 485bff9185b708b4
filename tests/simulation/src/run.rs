//! One run, from its plan to the verdict; and, after a failure, the smallest plan that still fails.

use std::{
    cell::RefCell,
    panic,
    sync::{Arc, Once},
    time::Duration,
};

use crate::{
    engine::{Due, Entry},
    log,
    mistake::Mistake,
    model::{BOUND, HEALED_AT, Plan},
    ops,
    parties::issuer,
    party::Party,
    watch::{Failure, Others},
    world::World,
};

/// How often it is asked, after the faults, whether everything has come to its end.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The charges that customers made.
    pub payments: u64,
    /// The faults that happened.
    pub faults: u64,
    /// What a checker found.
    pub failure: Option<Failure>,
    /// What happened, where it was kept.
    pub history: String,
}

/// A failure with the smallest plan that was found for it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// Its run, with its history.
    pub outcome: Outcome,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs a plan to its end. The same plan and mistake always come to the same outcome, line for line.
#[must_use]
pub fn run(plan: Plan, mistake: Option<Mistake>, keeps_history: bool) -> Outcome {
    notice_panics();
    let world = World::new(plan, mistake, keeps_history);
    log::within(&world, || {
        begin(&world);
        while let Some(entry) = world.engine.next() {
            step(&world, entry);
            if let Some(panicked) = PANICS.with_borrow_mut(Vec::pop) {
                world.fails("panic", || panicked);
            }
            if world.watch(|watch| watch.failure().is_some()) || world.is_settled() {
                break;
            }
        }
        world.end();
    });
    let failure = world.watch(|watch| watch.failure().cloned());
    if let Some(failure) = &failure {
        world.tell(|| format!("FAILED {}: {}", failure.checker, failure.why));
    }
    let payments = world.watch(|watch| watch.payments());
    Outcome { payments, faults: world.faults(), failure, history: world.history() }
}

/// Takes away orders and accidents as long as the same checker fails, and runs what is left with its history.
#[must_use]
pub fn shrink(plan: &Plan, mistake: Option<Mistake>, checker: &str) -> Shrunk {
    let fails = |plan: &Plan| run(plan.clone(), mistake, false).failure.is_some_and(|found| found.checker == checker);
    let mut smallest = plan.clone();
    let mut at = 0;
    while at < smallest.orders.len() {
        let fewer = smallest.without_order(at);
        if !fewer.orders.is_empty() && fails(&fewer) { smallest = fewer } else { at += 1 }
    }
    at = 0;
    while at < smallest.accidents.len() {
        let fewer = smallest.without_accident(at);
        if fails(&fewer) { smallest = fewer } else { at += 1 }
    }
    let outcome = run(smallest.clone(), mistake, true);
    Shrunk { plan: smallest, outcome }
}

fn begin(world: &Arc<World>) {
    for party in Party::ISSUERS {
        issuer::fill(world, party);
    }
    for party in Party::ALL {
        world.start(party);
        // What its tasks do first.
        world.engine.after(Duration::ZERO, party, |_| {});
    }
    ops::customers(world);
    ops::accidents(world);
    world.engine.after(HEALED_AT, Party::Phones, |world| {
        world.heal();
        look(world);
    });
}

fn step(world: &Arc<World>, Entry { party, due }: Entry) {
    match due {
        Due::Wake(waker) => waker.wake(),
        Due::Happen(happening) => happening(world),
    }
    world.host(party).run_to_rest();
}

/// Whether everything has come to its end; if not, it is asked again, until the bound.
fn look(world: &Arc<World>) {
    let unsettled = with_others(world, |others| world.watch(|watch| watch.unsettled(others)));
    let busy = world.flows() > 0 || Party::ALL.into_iter().any(|party| !world.host(party).is_up());
    match unsettled {
        None if !busy => {
            with_others(world, |others| world.watch(|watch| watch.reconcile(others)));
            world.set_settled();
        }
        unsettled if world.engine.now() > HEALED_AT + BOUND => {
            let (checker, why) = unsettled.unwrap_or_else(|| ("final-in-time", "somebody is still at it".to_owned()));
            world.fails(checker, || why);
        }
        Some(_) | None => world.engine.after(LOOK_EVERY, Party::Phones, look),
    }
}

fn with_others<T>(world: &Arc<World>, look: impl FnOnce(&Others<'_>) -> T) -> T {
    let network = world.card_network.all();
    let [books, tea] = Party::SHOPS.map(|shop| world.books(shop).open());
    look(&Others { network: &network, shops: [&*books, &*tea] })
}

/// Notes every panic on the thread of a run; the runtime would hide it in a task's result. A panic of anybody else goes
/// the usual way.
fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !log::is_within() {
                return usual(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            PANICS.with_borrow_mut(|panics| panics.push(format!("a panic at {place}")));
        }));
    });
}
