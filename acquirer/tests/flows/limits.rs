//! The merchant's limits: taken up before the network is asked, given back with every decline.

use std::time::Duration;

use acquirer::{
    domain::merchant::Day,
    records::{KeptOrder, MerchantDay},
};
use mesh::clock::Clock as _;
use proto::{authorization::DeclineReason, event::OrderState};

use super::{
    bank::{Bank, approved, declined, new_order, other_shop, shop, twd},
    network::Answer,
};

async fn taken(bank: &Bank, day: Day) -> i64 {
    let key = MerchantDay::key_of(&shop(), day);
    let day = bank.context.repository.load::<MerchantDay>(&key).await.unwrap();
    day.map_or(0, |day| day.entity.totals.taken(twd(0).currency()).minor_units())
}

#[tokio::test]
async fn a_day_holds_what_was_approved_and_no_more() {
    let bank = Bank::new();
    let today = Day::of(bank.clock.now());
    for (number, expected) in [(1, 100_000), (2, 200_000)] {
        let order = bank.order(&format!("R-{number}"), 100_000).await;
        assert!(approved(&bank.authorize(&bank.a.request(&order, number, bank.clock.now())).await.unwrap()));
        assert_eq!(taken(&bank, today).await, expected);
    }
    let over = bank.order("R-3", 1).await;
    let result = bank.authorize(&bank.a.request(&over, 3, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::MerchantLimit));
    let state = bank.state(&over).await;
    assert_eq!((state.name(), state.course().declines), (OrderState::Open, 1), "a counted decline");
    assert_eq!(bank.network.asked().len(), 2, "the network was not asked");

    bank.clock.advance(Duration::from_secs(24 * 60 * 60));
    let tomorrow = bank.order("R-4", 1).await;
    assert!(approved(&bank.authorize(&bank.a.request(&tomorrow, 4, bank.clock.now())).await.unwrap()));
}

#[tokio::test]
async fn every_decline_gives_back_what_it_took() {
    let bank = Bank::new();
    let today = Day::of(bank.clock.now());
    let order = bank.order("R-1", 100_000).await;
    bank.network.next([
        Answer::Decline(DeclineReason::LostCard),
        Answer::Unreachable,
        Answer::OtherContent,
        Answer::DeclineWhenReleased,
    ]);
    for number in 1..=3 {
        bank.authorize(&bank.a.request(&order, number, bank.clock.now())).await.unwrap();
        assert_eq!(taken(&bank, today).await, 0);
    }
    let work = bank.spawn(&bank.a.request(&order, 4, bank.clock.now()));
    bank.network.asked_times(4).await;
    assert_eq!(taken(&bank, today).await, 100_000, "while it is decided");
    // The decline comes on the next day, and gives back to the day that was taken from.
    bank.clock.advance(Duration::from_millis(1));
    bank.orders.cancel(&shop(), order.id()).await.unwrap();
    bank.network.release();
    work.await.unwrap().unwrap();
    assert_eq!(taken(&bank, today).await, 0);
}

#[tokio::test]
async fn what_was_taken_on_one_day_is_given_back_to_it_on_the_next() {
    let bank = Bank::new();
    let seconds = bank.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // One second before midnight.
    bank.clock.advance(Duration::from_secs(86_399 - seconds % 86_400));
    let today = Day::of(bank.clock.now());
    let order = bank.order("R-1", 100_000).await;
    bank.network.next([Answer::DeclineWhenReleased]);
    let work = bank.spawn(&bank.a.request(&order, 1, bank.clock.now()));
    bank.network.asked_times(1).await;
    bank.clock.advance(Duration::from_secs(2));
    bank.network.release();
    work.await.unwrap().unwrap();
    assert_eq!((taken(&bank, today).await, taken(&bank, Day(today.0 + 1)).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rush_never_exceeds_the_day() {
    let bank = Bank::new();
    let mut orders: Vec<KeptOrder> = Vec::new();
    for number in 0..40 {
        orders.push(bank.order(&format!("R-{number}"), 10_000).await);
    }
    let calls: Vec<_> = orders
        .iter()
        .zip(1u8..)
        .map(|(order, number)| bank.spawn(&bank.a.request(order, number, bank.clock.now())))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let mut paid = 0;
    for order in &orders {
        paid += i64::from(bank.state(order).await.name() == OrderState::Approved);
    }
    assert_eq!(paid, 20, "200,000 in orders of 10,000");
    assert_eq!(taken(&bank, Day::of(bank.clock.now())).await, 200_000);
}

#[tokio::test]
async fn a_merchant_without_a_daily_limit_keeps_no_total() {
    let bank = Bank::new();
    let order = bank.orders.create(&other_shop(), &new_order("T-1", 100_000)).await.unwrap().order;
    assert!(approved(&bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap()));
    let key = MerchantDay::key_of(&other_shop(), Day::of(bank.clock.now()));
    assert!(bank.context.repository.load::<MerchantDay>(&key).await.unwrap().is_none());
}
