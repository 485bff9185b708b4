//! What an operator sees of what was given up, and replaying it.

use std::collections::BTreeMap;

use mesh::store::{PageRequest, Transition, Version};

use super::*;
use crate::outbox::{
    ParkedOrder, ParkedPage, Replay, Replayed, State, Unacknowledged, parked, replay, unacknowledged, waits,
};

/// More events than any of these tests parks.
const MANY: usize = 100;

impl Bench {
    async fn all_parked(&self) -> Vec<ParkedOrder> {
        let (mut orders, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { after, limit: 2 };
            let ParkedPage { orders: page, unreadable, next } = parked(&self.store, page).await.unwrap();
            assert!(unreadable.is_empty(), "{unreadable:?}");
            orders.extend(page);
            match next {
                Some(cursor) => after = Some(cursor),
                None => return orders,
            }
        }
    }

    async fn replay(&self, what: Replay) -> usize {
        let replayed = replay(&self.store, &what, MANY, self.clock.now()).await.unwrap();
        assert!(!replayed.has_more);
        replayed.orders
    }

    /// Parks an event at this time, while nobody works on the outbox.
    async fn park(&self, merchant: &str, order: u8, position: u32, at: SystemTime) {
        self.queue(merchant, order, position).await;
        let delivery = self.delivery(order, position).await.unwrap();
        let version = self.store.get(&delivery.id()).await.unwrap().unwrap().version;
        let parked = Delivery { state: State::Parked { at }, tries: 9, first_try: Some(start()), ..delivery };
        let transition = Transition::new().put(parked.id(), version, parked.encode(), parked.indexes());
        assert!(matches!(self.store.commit(transition).await, Commit::Committed { .. }));
    }

    /// The events that wait, in the order in which they were written.
    async fn written(&self) -> Vec<String> {
        let mut written = BTreeMap::<Version, String>::new();
        for order in 1..=4 {
            for position in 1..=3 {
                let record = self.store.get(&RecordId::new(KIND, event_id(order, position))).await.unwrap();
                let Some(record) = record else { continue };
                let delivery = Delivery::decode(record.body).unwrap();
                if matches!(delivery.state, State::Waiting { .. }) {
                    written.insert(record.version, event_id(order, position));
                }
            }
        }
        written.into_values().collect()
    }

    async fn status(&self, order: u8) -> Unacknowledged {
        unacknowledged(&self.store, &OrderId::from_random([order; 16])).await.unwrap()
    }
}

/// Parks the events of three orders: two of one shop, the first of them with two events, and one of another shop.
async fn parked_bench() -> Bench {
    let mut bench = Bench::new();
    for shop in ["shop-a", "shop-b"] {
        bench.script.set(shop, Manner::Refuses);
    }
    bench.queue("shop-a", 1, 1).await;
    bench.queue("shop-a", 1, 2).await;
    bench.queue("shop-a", 2, 1).await;
    bench.queue("shop-b", 3, 1).await;
    bench.run();
    for order in [1, 2, 3] {
        bench.until_tried(order, 1, 1).await;
    }
    bench.clock.advance(TRY_FOR);
    until(async || bench.entries(PARKED).await == 4).await;
    bench
}

#[tokio::test]
async fn an_order_stands_in_the_list_once_with_its_first_event() {
    let mut bench = parked_bench().await;
    let mut listed = bench.all_parked().await;
    listed.sort_by_key(|order| order.order.to_string());
    let expected = |order: u8, merchant: &str| ParkedOrder {
        order: OrderId::from_random([order; 16]),
        merchant: merchant.parse().unwrap(),
        position: 1,
        occurred_at: start(),
        parked_at: start() + TRY_FOR,
        state: proto::pb::OrderState::Open,
        tries: 2,
        last_failure: Some(DeliveryError::Refused(tonic::Code::Unavailable).to_string()),
    };
    let mut all = vec![expected(1, "shop-a"), expected(2, "shop-a"), expected(3, "shop-b")];
    all.sort_by_key(|order| order.order.to_string());
    assert_eq!(listed, all);
    assert_eq!(bench.status(1).await, Unacknowledged { waiting: 0, next_try: None, parked: 2 });
    bench.end().await;
}

#[tokio::test]
async fn a_replayed_order_goes_out_in_order_and_the_others_stay() {
    let mut bench = parked_bench().await;
    bench.script.set("shop-a", Manner::Accepts);
    let before = bench.script.heard().len();
    assert_eq!(bench.replay(Replay::Order(OrderId::from_random([1; 16]))).await, 1);
    bench.until_empty().await;
    assert_eq!(bench.script.heard()[before..], [event_id(1, 1), event_id(1, 2)]);
    assert_eq!(bench.all_parked().await.len(), 2);
    assert_eq!(bench.status(1).await, Unacknowledged::default());
    assert_eq!(bench.replay(Replay::Order(OrderId::from_random([1; 16]))).await, 0, "there is nothing left");
    assert_eq!(bench.replay(Replay::Order(OrderId::from_random([99; 16]))).await, 0, "nor of an unknown one");
    bench.end().await;
}

#[tokio::test]
async fn a_shops_replay_sends_all_of_its_orders_and_nobody_elses() {
    let mut bench = parked_bench().await;
    bench.script.set("shop-a", Manner::Accepts);
    bench.script.set("shop-b", Manner::Accepts);
    // Its name begins like the other's.
    assert_eq!(bench.replay(Replay::Merchant("shop-a-b".parse().unwrap())).await, 0);
    assert_eq!(bench.replay(Replay::Merchant("shop-a".parse().unwrap())).await, 2);
    bench.until_empty().await;
    assert_eq!(bench.counted("acquirer_outbox_delivered_total"), 3);
    let [left] = &bench.all_parked().await[..] else { panic!("one is left") };
    assert_eq!(left.merchant.as_str(), "shop-b");
    bench.end().await;
}

#[tokio::test]
async fn a_replay_gets_the_whole_time_again_and_can_be_parked_again() {
    let mut bench = parked_bench().await;
    bench.replay(Replay::Order(OrderId::from_random([2; 16]))).await;
    let tried = bench.until_tried(2, 1, 1).await;
    assert_eq!((tried.tries, tried.first_try), (1, Some(start() + TRY_FOR)));
    let status = bench.status(2).await;
    assert_eq!((status.waiting, status.parked), (1, 0));
    assert!(status.next_try.is_some_and(|next| next > bench.clock.now()));
    bench.clock.advance(TRY_FOR);
    until(async || bench.entries(PARKED).await == 4).await;
    bench.end().await;
}

#[tokio::test]
async fn what_came_later_waits_for_a_replay_before_it() {
    let mut bench = parked_bench().await;
    bench.queue("shop-a", 1, 3).await;
    bench.until_tried(1, 3, 1).await;
    bench.replay(Replay::Order(OrderId::from_random([1; 16]))).await;
    bench.until_tried(1, 1, 1).await;
    bench.script.set("shop-a", Manner::Accepts);
    bench.clock.advance(Duration::from_secs(1));
    bench.until_empty().await;
    bench.end().await;
    let heard = bench.script.heard();
    assert_eq!(heard[heard.len() - 3..], [event_id(1, 1), event_id(1, 2), event_id(1, 3)]);
}

#[tokio::test]
async fn a_shops_replay_goes_by_position_where_the_clock_was_set_back_between_two_parkings() {
    let bench = Bench::new();
    let at = |seconds| start() + Duration::from_secs(seconds);
    // The first event was parked before the clock was set back, the others after that.
    for (order, position, seconds) in [(1, 1, 3_000), (1, 2, 10), (2, 1, 20), (1, 3, 30)] {
        bench.park("shop-a", order, position, at(seconds)).await;
    }
    assert_eq!(bench.replay(Replay::Merchant("shop-a".parse().unwrap())).await, 2);
    assert_eq!(bench.written().await, [event_id(1, 1), event_id(1, 2), event_id(1, 3), event_id(2, 1)]);
}

#[tokio::test]
async fn a_call_ends_at_its_bound_and_the_next_one_goes_on() {
    let bench = Bench::new();
    let shop = Replay::Merchant("shop-a".parse().unwrap());
    for (order, position) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
        let at = start() + Duration::from_secs(u64::from(order));
        bench.park("shop-a", order, position, at).await;
    }
    assert!(!waits(&bench.store, &shop).await.unwrap());
    let mut calls = Vec::new();
    for _ in 0..4 {
        let Replayed { orders, events, has_more } = replay(&bench.store, &shop, 2, bench.clock.now()).await.unwrap();
        calls.push((orders, events, has_more));
    }
    assert_eq!(calls, [(1, 3, true), (2, 2, false), (0, 0, false), (0, 0, false)], "an order is never cut");
    assert_eq!(bench.written().await.len(), 5);
    assert!(waits(&bench.store, &shop).await.unwrap());
    assert!(waits(&bench.store, &Replay::Order(OrderId::from_random([3; 16]))).await.unwrap());
    assert!(!waits(&bench.store, &Replay::Order(OrderId::from_random([4; 16]))).await.unwrap());
}
