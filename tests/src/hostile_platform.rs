//! A hostile platform between real issuers and a real acquirer.
//!
//! The platform has genuine certificates, which the network's authority issued, and does its worst with
//! everything that it relays, publishes and hands out. Whatever it does, it learns no card data and moves no
//! money, and once it stops, every charge comes to its true end by itself: a hold is confirmed if and only
//! if the acquirer approved.
//!
//! Each attack is a small function or a line of a table with a name. What must come of it is what the acquirer
//! says to the first request that the platform put to it, and how the charge ends.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use crate::{
    attacks::{Attack, Table, Tried, caught, play_all},
    customers::Card,
};

mod answers;
mod book;
mod case;
mod crossings;
mod keys;
mod loot;
mod messages;
mod reading;
mod reckoning;
mod replays;
mod requests;
mod server;
mod world;

use case::Case;
use world::World;

/// Customers whose charges are attacked beside each other; the others belong to the longer stories.
const LANES: u32 = 4;

/// Plays them all, and compares the books in the end.
pub async fn table() -> Table {
    let world = World::new().await;
    collect_loot(&world).await;
    let mut tried = cases(&world).await;
    for stories in [replays::stories, crossings::stories, keys::stories] {
        tried.extend(play_all(stories(&world)).await);
    }
    let reckoning = caught(async {
        reading::check_that_nothing_was_learned(&world);
        let world = Arc::into_inner(world).expect("nobody else holds the world");
        reckoning::check(world).await;
    });
    Table::new("the hostile platform …", tried, reckoning.await)
}

/// What the platform keeps from charges that it relayed honestly.
async fn collect_loot(world: &World) {
    let (request, approval) = world.pay(&world.aurora, 0, Card::Good).await;
    let (_, decline) = world.pay(&world.aurora, 0, Card::Poor).await;
    assert_eq!((approval.in_a_word().as_str(), decline.in_a_word().as_str()), ("APPROVED", "INSUFFICIENT_FUNDS"));
    let loot = world.hostile().loot();
    loot.old_request.set(request).unwrap();
    loot.old_approval.set(approval.result.unwrap()).unwrap();
    loot.old_decline.set(decline.result.unwrap()).unwrap();
}

/// Plays every attack on a single charge, one customer's charges one after the other.
async fn cases(world: &Arc<World>) -> Vec<Tried> {
    let waiting: VecDeque<(usize, Case)> = requests::cases().into_iter().chain(answers::cases()).enumerate().collect();
    let waiting = Arc::new(Mutex::new(waiting));
    let lanes: Vec<_> = (0..LANES)
        .map(|customer| {
            let (world, waiting) = (Arc::clone(world), Arc::clone(&waiting));
            tokio::spawn(async move {
                let mut tried = Vec::new();
                loop {
                    let Some((place, case)) = waiting.lock().unwrap().pop_front() else { return tried };
                    tried.push((place, case.attack(&world, customer).play().await));
                }
            })
        })
        .collect();
    let mut tried = Vec::new();
    for lane in lanes {
        tried.extend(lane.await.unwrap());
    }
    tried.sort_by_key(|(place, _)| *place);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

/// What must come of an attack on one charge.
fn outcome(acquirer: &str, end: &str) -> String {
    format!("{acquirer} → {end}")
}

/// An attack that is told as a story.
fn story<'a>(
    name: &str,
    acquirer: &str,
    end: &str,
    act: impl Future<Output = (String, String)> + Send + 'a,
) -> Attack<'a> {
    Attack::new(name, outcome(acquirer, end), async move {
        let (acquirer, end) = act.await;
        outcome(&acquirer, &end)
    })
}
