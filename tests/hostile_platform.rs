//! A hostile platform between real issuers and a real acquirer.
//!
//! The platform has genuine certificates, which the network's authority issued, and does its worst with
//! everything that it relays, publishes and hands out. Whatever it does, it learns no card data and moves no
//! money, and once it stops, every charge comes to its true end by itself: a hold is confirmed if and only
//! if the acquirer approved.
//!
//! Each attack is a small function or a line of a table with a name. The test prints what came of each.

#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tests::customers::Card;

#[path = "hostile_platform/answers.rs"]
mod answers;
#[path = "hostile_platform/book.rs"]
mod book;
#[path = "hostile_platform/case.rs"]
mod case;
#[path = "hostile_platform/crossings.rs"]
mod crossings;
#[path = "hostile_platform/keys.rs"]
mod keys;
#[path = "hostile_platform/loot.rs"]
mod loot;
#[path = "hostile_platform/messages.rs"]
mod messages;
#[path = "hostile_platform/reading.rs"]
mod reading;
#[path = "hostile_platform/reckoning.rs"]
mod reckoning;
#[path = "hostile_platform/replays.rs"]
mod replays;
#[path = "hostile_platform/requests.rs"]
mod requests;
#[path = "hostile_platform/server.rs"]
mod server;
#[path = "hostile_platform/world.rs"]
mod world;

use case::{Case, Row};
use world::World;

/// Customers whose charges are attacked beside each other; the others belong to the longer stories.
const LANES: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hostile_platform_learns_no_card_data_and_moves_no_money() {
    let world = World::new().await;
    collect_loot(&world).await;
    let mut rows = cases(&world).await;
    rows.extend(replays::stories(&world).await);
    rows.extend(crossings::stories(&world).await);
    rows.extend(keys::stories(&world).await);
    print(&rows);
    reading::check_that_nothing_was_learned(&world);
    let world = Arc::into_inner(world).expect("nobody else holds the world");
    reckoning::check(world).await;
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
async fn cases(world: &Arc<World>) -> Vec<Row> {
    let waiting: VecDeque<(usize, Case)> = requests::cases().into_iter().chain(answers::cases()).enumerate().collect();
    let waiting = Arc::new(Mutex::new(waiting));
    let lanes: Vec<_> = (0..LANES)
        .map(|customer| {
            let (world, waiting) = (Arc::clone(world), Arc::clone(&waiting));
            tokio::spawn(async move {
                let mut rows = Vec::new();
                loop {
                    let Some((place, case)) = waiting.lock().unwrap().pop_front() else { return rows };
                    rows.push((place, case.run(&world, customer).await));
                }
            })
        })
        .collect();
    let mut rows = Vec::new();
    for lane in lanes {
        rows.extend(lane.await.unwrap());
    }
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

#[allow(clippy::print_stdout, reason = "the table is for whoever runs the test by hand")]
fn print(rows: &[Row]) {
    println!("{:<66} {:<20} {:<10} end", "the hostile platform …", "the acquirer says", "meanwhile");
    for Row { name, acquirer, meanwhile, end } in rows {
        println!("{name:<66} {acquirer:<20} {meanwhile:<10} {end}");
    }
    println!("{} attacks", rows.len());
}
