//! What happens to a world from outside: customers come, accidents happen, faults end.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use proto::pb;

use crate::{
    model::{Accident, What},
    parties::phone,
    party::Party,
    wire::{Message, Reply, call},
    world::World,
};

/// How long an impostor waits for an answer.
const IMPOSTOR_WAIT: Duration = Duration::from_secs(10);

/// Lets every customer of the plan begin.
pub fn customers(world: &Arc<World>) {
    for plan in &world.plan.orders {
        for place in 0..plan.payers.len() {
            let (at, plan, place) = (Arc::clone(world), plan.clone(), u64::try_from(place).unwrap_or_default());
            world.flow(true);
            world.host(Party::Phones).spawn(async move {
                phone::pay(Arc::clone(&at), plan, place).await;
                at.flow(false);
            });
        }
    }
}

/// Lets every accident of the plan happen at its time.
pub fn accidents(world: &Arc<World>) {
    for Accident { at, what } in world.plan.accidents.clone() {
        world.engine.after(at, place_of(what), move |world| happen(world, what));
    }
}

/// At whom an accident happens.
const fn place_of(what: What) -> Party {
    match what {
        What::Crash { party, .. }
        | What::CrashAtCommit { party, .. }
        | What::Clock { party, .. }
        | What::Full { party, .. } => party,
        What::Cut { one, .. } => one,
        What::Impostor { .. } => Party::Phones,
    }
}

fn happen(world: &Arc<World>, what: What) {
    match what {
        What::Crash { party, down } => world.crash(party, down),
        What::CrashAtCommit { party, commits, made, down } => world.disk(party).die_at(commits, made, down),
        What::Cut { one, other, lasts } => {
            world.fault();
            world.tell(|| format!("the cable between {one} and {other} is cut"));
            world.wires.cut(one, other, true);
            world.engine.after(lasts, one, move |world| {
                world.tell(|| format!("the cable between {one} and {other} is mended"));
                world.wires.cut(one, other, false);
            });
        }
        What::Clock { party, millis } => {
            world.fault();
            world.tell(|| format!("the clock of {party} jumps to {millis} ms off"));
            world.offset(party).set(millis);
        }
        What::Full { party, lasts } => {
            world.fault();
            world.tell(|| format!("the disk of {party} is full"));
            world.disk(party).full(true);
            world.engine.after(lasts, party, move |world| {
                world.tell(|| format!("the disk of {party} has room again"));
                world.disk(party).full(false);
            });
        }
        What::Impostor { order } => impostors(world, order),
    }
}

/// The other bank sends a bank's request as its own, straight and by the platform, and the other shop cancels.
fn impostors(world: &Arc<World>, number: u64) {
    let Some(plan) = world.plan.orders.iter().find(|plan| plan.number == number) else { return };
    if let Some((owner, bytes)) = world.watch(|watch| watch.request_about(number)) {
        let other = if owner == Party::North { Party::South } else { Party::North };
        for to in [Party::Acquirer, Party::Platform] {
            world.fault();
            act(world, other, to, number, "a bank sends another's request", Message::Authorize(bytes.clone()));
        }
    }
    if let Some(order) = world.shown(number) {
        let other = if plan.shop == Party::Books { Party::Tea } else { Party::Books };
        world.fault();
        let wish = pb::CancelOrderRequest { order_id: order.order.id.to_string() }.encode_to_vec();
        act(world, other, Party::Acquirer, number, "a shop cancels another's order", Message::Cancel(wish.into()));
    }
}

fn act(world: &Arc<World>, by: Party, to: Party, number: u64, what: &'static str, message: Message) {
    let at = Arc::clone(world);
    // As an event of the impostor's own, so that its process goes on with it.
    world.engine.after(Duration::ZERO, by, move |world| {
        world.host(by).spawn(async move {
            let clock = at.clock(by);
            let reply = tokio::select! {
                biased;
                reply = call(&at, by, to, number, message) => reply.ok(),
                () = clock.sleep(IMPOSTOR_WAIT) => None,
            };
            let is_answered = matches!(reply, Some(Reply::Bytes(_)));
            at.watch(|watch| watch.impostor(number, what, is_answered));
        });
    });
}
