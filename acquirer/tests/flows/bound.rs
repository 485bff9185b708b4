//! Everything comes to its end within the published time after the last fault has healed.

use std::{sync::Arc, time::Duration};

use acquirer::{records::ATTEMPTS_DECIDING, tasks};
use mesh::{
    clock::Clock as _,
    store::{KeyRange, PageRequest, memory::MemoryStore},
};
use proto::event::OrderState;
use tokio_util::sync::CancellationToken;

use super::{
    authorize::reversals,
    bank::{Bank, shop},
    network::Answer,
    probe::{Fuse, Probe},
};

/// Lets all tasks do what they can at this time.
async fn settle_down() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

async fn deciding(bank: &Bank) -> usize {
    let store = bank.context.repository.store();
    store.scan(ATTEMPTS_DECIDING, KeyRange::all(), PageRequest::first(100)).await.unwrap().items.len()
}

#[tokio::test]
async fn after_the_repair_everything_is_final_within_the_published_time() {
    let probe = Probe::new(Arc::new(MemoryStore::new()), Fuse::new(u32::MAX));
    let bank = Bank::over(Arc::clone(&probe) as _);
    let (stop, bounds) = (CancellationToken::new(), bank.context.bounds());
    let clock = Arc::clone(&bank.context.clock);
    tokio::spawn(tasks::expire_orders(bank.orders.clone(), stop.clone()));
    tokio::spawn(tasks::recover_authorizations(Arc::clone(&bank.authorizer), clock, stop.clone()));
    tokio::spawn(tasks::send_reversals(Arc::clone(&bank.authorizer), Arc::clone(&bank.context), stop.clone()));
    settle_down().await;

    // The store breaks while the network is asked, some of the answers are lost, and then the network dies.
    let answers = [Answer::ApproveWhenReleased, Answer::Silent, Answer::Unreachable, Answer::DeclineWhenReleased];
    let mut orders = Vec::new();
    for number in 0..20_u8 {
        let order = bank.order(&format!("R-{number}"), 100).await;
        bank.network.next([answers[usize::from(number) % answers.len()]]);
        if number == 10 {
            bank.network.die();
        }
        bank.spawn(&bank.a.request(&order, number, bank.clock.now()));
        bank.network.asked_times(usize::from(number) + 1).await;
        orders.push(order);
    }
    probe.set_broken(true);
    for _ in 0..10 {
        bank.network.release();
    }
    for _ in 0..40 {
        settle_down().await;
        bank.clock.advance(Duration::from_secs(1));
    }
    assert!(deciding(&bank).await >= 10, "they have lost their workers");

    // The repair.
    probe.set_broken(false);
    bank.network.revive();
    let repaired = bank.clock.now();
    let (mut decided, mut reversed) = (None, None);
    let last_expiry = orders.iter().map(|order| order.signed.order.expires_at).max().unwrap();
    while bank.clock.now() < last_expiry + bounds.final_within() {
        settle_down().await;
        let now = bank.clock.now();
        if decided.is_none() && deciding(&bank).await == 0 {
            decided = Some(now);
        }
        if reversed.is_none() && decided.is_some() && reversals(&bank).await == 0 {
            reversed = Some(now);
        }
        bank.clock.advance(Duration::from_secs(1));
    }
    let decided = decided.expect("all of them are decided");
    assert!(decided <= repaired + bounds.decided_within(), "{:?}", decided.duration_since(repaired));
    let reversed = reversed.expect("all of them are reversed");
    assert!(reversed <= repaired + bounds.reversed_within(), "{:?}", reversed.duration_since(repaired));
    settle_down().await;
    let events = bank.events(&shop()).await;
    for order in &orders {
        // By the events alone: whoever looks at an order would expire it.
        let last = events.iter().rfind(|event| event.order == *order.id()).expect("an event");
        assert!(matches!(last.state, OrderState::Approved | OrderState::Expired), "{:?}", last.state);
    }
    stop.cancel();
}
