#![allow(clippy::unwrap_used)]

mod bench;
mod clock;
mod crowd;
mod parked;

use bytes::Bytes;
use mesh::{
    clock::ManualClock,
    store::{
        Commit, IndexEntry, RecordId, Transition, Version,
        sled::{Options, SledStore},
    },
};
use proto::ids::OrderId;

use super::*;
use crate::outbox::{DUE, KIND, PARKED, TRY_FOR, flights::PER_MERCHANT_MAX};
use bench::{Bench, Manner, PATIENCE, event_id, start, until};

#[tokio::test]
async fn what_is_queued_is_delivered_once_and_its_record_is_gone() {
    let mut bench = Bench::new();
    bench.queue("shop-a", 1, 1).await;
    bench.run();
    bench.until_empty().await;
    bench.queue("shop-a", 2, 1).await;
    bench.queue("shop-b", 3, 1).await;
    bench.until_empty().await;
    bench.end().await;
    let mut heard = bench.script.heard();
    heard.sort();
    let mut expected = vec![event_id(1, 1), event_id(2, 1), event_id(3, 1)];
    expected.sort();
    assert_eq!(heard, expected);
    assert_eq!(bench.counted("acquirer_outbox_delivered_total"), 3);
    assert_eq!(bench.counted("acquirer_outbox_failed_total"), 0);
}

#[tokio::test]
async fn one_orders_events_go_out_by_position_whatever_fails() {
    let mut bench = Bench::new();
    // Above nine, positions do not sort as texts do.
    for position in (1..=12).rev() {
        bench.queue("shop-a", 1, position).await;
    }
    bench.script.set("shop-a", Manner::Refuses);
    bench.run();
    bench.until_tried(1, 1, 1).await;
    // The others step aside until the first one is due again.
    until(async || bench.delivery(1, 12).await.unwrap().state != State::Waiting { due: start() }).await;
    bench.clock.advance(Duration::from_secs(1));
    bench.until_tried(1, 1, 2).await;
    assert_eq!(bench.script.heard(), [event_id(1, 1), event_id(1, 1)]);

    bench.script.set("shop-a", Manner::Accepts);
    bench.clock.advance(Duration::from_secs(2));
    // No clock moves from here on: each success makes the next event due.
    bench.until_empty().await;
    bench.end().await;
    let in_order: Vec<String> = (1..=12).map(|position| event_id(1, position)).collect();
    assert_eq!(bench.script.heard()[2..], in_order);
}

#[tokio::test]
async fn a_dead_merchant_holds_its_own_slots_and_nobody_elses_events() {
    let mut bench = Bench::new();
    bench.script.set("shop-dead", Manner::Hangs);
    for order in 0..100 {
        bench.queue("shop-dead", order, 1).await;
    }
    bench.run();
    until(async || bench.script.on_the_line("shop-dead") == PER_MERCHANT_MAX).await;
    // Merchants before and behind it in the index.
    for order in 100..150 {
        bench.queue("shop-alive", order, 1).await;
        bench.queue("shop-zebra", order + 50, 1).await;
    }
    until(async || bench.counted("acquirer_outbox_delivered_total") == 100).await;
    assert_eq!(bench.script.on_the_line("shop-dead"), PER_MERCHANT_MAX);
    assert_eq!(bench.entries(DUE).await, 100);

    // Its slots go on to the next events when the first ones have had their time.
    bench.clock.advance(DELIVERY_TIME_MAX);
    until(async || bench.script.heard().len() == 100 + 2 * PER_MERCHANT_MAX).await;
    assert_eq!(bench.script.on_the_line("shop-dead"), PER_MERCHANT_MAX);
    bench.end().await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_means_once_more() {
    let mut bench = Bench::new();
    bench.script.set("shop-a", Manner::Hangs);
    bench.queue("shop-a", 1, 1).await;
    bench.run();
    until(async || bench.script.on_the_line("shop-a") == 1).await;
    bench.clock.advance(DELIVERY_TIME_MAX - Duration::from_millis(1));
    tokio::task::yield_now().await;
    assert_eq!(bench.delivery(1, 1).await.unwrap().tries, 0);
    bench.clock.advance(Duration::from_millis(1));
    let waiting = bench.until_tried(1, 1, 1).await;
    assert_eq!(waiting.first_try, Some(start()));
    let State::Waiting { due } = waiting.state else { panic!("parked at once") };
    let wait = due.duration_since(bench.clock.now()).unwrap();
    assert!((Duration::from_millis(750)..=Duration::from_secs(1)).contains(&wait), "{wait:?}");

    bench.script.set("shop-a", Manner::Accepts);
    bench.clock.set(due);
    bench.until_empty().await;
    bench.end().await;
    assert_eq!(bench.script.count(&event_id(1, 1)), 2);
}

#[tokio::test]
async fn after_72_hours_an_event_is_parked_and_its_successors_get_one_try_each() {
    let mut bench = Bench::new();
    bench.script.set("shop-a", Manner::Refuses);
    bench.queue("shop-a", 1, 1).await;
    bench.queue("shop-a", 1, 2).await;
    bench.run();
    let mut tries = 0;
    loop {
        tries += 1;
        match bench.until_tried(1, 1, tries).await.state {
            State::Waiting { due } => bench.clock.set(due),
            State::Parked { at } => {
                assert_eq!(at, start() + TRY_FOR);
                break;
            }
        }
    }
    assert!((84..=115).contains(&tries), "{tries} tries");
    let second = bench.until_tried(1, 2, 1).await;
    until(async || bench.entries(DUE).await == 0).await;
    assert_eq!((second.tries, second.state), (1, State::Parked { at: start() + TRY_FOR }));
    assert_eq!(bench.entries(PARKED).await, 2);

    // What happens later to the same order is news, and is delivered.
    bench.script.set("shop-a", Manner::Accepts);
    bench.queue("shop-a", 1, 3).await;
    bench.until_empty().await;
    bench.end().await;
    assert_eq!(bench.script.count(&event_id(1, 3)), 1);
    assert_eq!(bench.counted("acquirer_outbox_parked_total"), 2);
}

#[tokio::test]
async fn a_stop_drops_calls_in_flight_and_a_restart_makes_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SledStore::open(folder.path().join("store"), Options::new("acquirer/outbox-test")).unwrap());
    let clock = Arc::new(ManualClock::new(start()));
    let store = open();
    let mut bench = Bench::over(store.clone(), Arc::clone(&clock));
    bench.script.set("shop-dead", Manner::Hangs);
    bench.script.set("shop-cross", Manner::Refuses);
    bench.queue("shop-dead", 1, 1).await;
    bench.queue("shop-cross", 2, 1).await;
    bench.queue("shop-cross", 2, 2).await;
    bench.run();
    until(async || bench.script.on_the_line("shop-dead") == 1).await;
    bench.until_tried(2, 1, 1).await;
    bench.end().await;
    store.close().await;
    drop((bench, store));

    let mut bench = Bench::over(open(), clock);
    assert_eq!(bench.delivery(1, 1).await.unwrap().tries, 0);
    assert_eq!(bench.delivery(2, 1).await.unwrap().tries, 1);
    bench.run();
    until(async || bench.script.heard() == [event_id(1, 1)]).await;
    bench.clock.advance(Duration::from_secs(1));
    bench.until_empty().await;
    bench.end().await;
    assert_eq!(bench.script.heard(), [event_id(1, 1), event_id(2, 1), event_id(2, 2)]);
}

#[tokio::test]
async fn a_panic_is_a_failed_try_and_the_others_go_on() {
    let mut bench = Bench::new();
    bench.script.set("shop-bad", Manner::Panics);
    bench.queue("shop-bad", 1, 1).await;
    bench.run();
    bench.until_tried(1, 1, 1).await;
    bench.queue("shop-good", 2, 1).await;
    until(async || bench.counted("acquirer_outbox_delivered_total") == 1).await;
    bench.script.set("shop-bad", Manner::Accepts);
    bench.clock.advance(Duration::from_secs(1));
    bench.until_empty().await;
    bench.end().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_set_aside_for_the_operator() {
    let mut bench = Bench::new();
    let id = RecordId::new(KIND, "ord_broken.1");
    let due = IndexEntry::new(DUE, record::key(b"shop-a", start()));
    let damaged = Transition::new().put(id.clone(), Version::ABSENT, Bytes::from_static(b"\xff"), vec![due]);
    assert!(matches!(bench.store.commit(damaged).await, Commit::Committed { .. }));
    bench.queue("shop-a", 1, 1).await;
    bench.run();
    bench.until_empty().await;
    bench.end().await;
    assert_eq!(bench.script.heard(), [event_id(1, 1)]);
    assert_eq!(bench.entries(PARKED).await, 1);
    let listed = crate::outbox::parked(&bench.store, mesh::store::PageRequest::first(10)).await.unwrap();
    assert_eq!((listed.unreadable, listed.orders), (vec!["ord_broken.1".to_owned()], vec![]));
    assert_eq!(bench.store.get(&id).await.unwrap().unwrap().body, Bytes::from_static(b"\xff"));
}

#[tokio::test]
async fn the_worker_ends_when_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(folder.path().join("store"), Options::new("acquirer/outbox-test")).unwrap());
    let mut bench = Bench::over(store.clone(), Arc::new(ManualClock::new(start())));
    bench.run();
    bench.queue("shop-a", 1, 1).await;
    bench.until_empty().await;
    store.close().await;
    let running = bench.running.take().unwrap();
    tokio::time::timeout(PATIENCE, running).await.expect("the worker ended in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_orders_is_delivered_whole_and_each_order_in_order() {
    let mut bench = Bench::new();
    bench.run();
    let merchants = ["shop-a", "shop-b", "shop-c"];
    for position in 1..=4 {
        for order in 0..60 {
            bench.queue(merchants[usize::from(order) % 3], order, position).await;
        }
    }
    bench.until_empty().await;
    bench.end().await;
    let heard = bench.script.heard();
    assert_eq!(heard.len(), 240);
    for order in 0..60 {
        let own: Vec<&String> =
            heard.iter().filter(|id| id.starts_with(&format!("{}.", OrderId::from_random([order; 16])))).collect();
        let expected: Vec<String> = (1..=4).map(|position| event_id(order, position)).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}
