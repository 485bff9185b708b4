//! A merchant's stream of events wakes for its own events alone.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use acquirer::service::OrdersService;
use mesh::store::memory::MemoryStore;
use proto::pb::{self, order_service_client::OrderServiceClient};
use tokio_stream::StreamExt as _;

use super::{
    bank::{Bank, new_order, other_shop, shop},
    probe::{Fuse, Probe},
    service::by,
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn other_merchants_events_wake_nobody() {
    let probe = Probe::new(Arc::new(MemoryStore::new()), Fuse::new(u32::MAX));
    let bank = Bank::over(Arc::clone(&probe) as _);
    let mut client = OrderServiceClient::new(OrdersService::server(bank.orders.clone()));
    let watching = by("merchant", "shop-books", pb::WatchOrdersRequest::default());
    let mut events = client.watch_orders(watching).await.unwrap().into_inner();
    settle_down().await;
    let reads = || probe.event_reads.load(Ordering::SeqCst);
    let before = reads();
    for number in 0..50 {
        let order = bank.orders.create(&other_shop(), &new_order(&format!("T-{number}"), 1)).await.unwrap().order;
        bank.orders.cancel(&other_shop(), order.id()).await.unwrap();
        settle_down().await;
    }
    assert_eq!(reads(), before, "a hundred commits of others");

    let order = bank.order("R-1", 1).await;
    bank.orders.cancel(&shop(), order.id()).await.unwrap();
    // The clock stands still: nothing but the commit itself can have woken it.
    let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    assert!(event.unwrap().is_ok());
    settle_down().await;
    assert!(reads() <= before + 2, "{} reads for one event", reads() - before);
}

#[tokio::test]
async fn what_was_committed_without_a_word_is_found_by_looking() {
    let probe = Probe::new(Arc::new(MemoryStore::new()), Fuse::new(u32::MAX));
    let bank = Bank::over(Arc::clone(&probe) as _);
    let mut client = OrderServiceClient::new(OrdersService::server(bank.orders.clone()));
    let watching = by("merchant", "shop-books", pb::WatchOrdersRequest::default());
    let mut events = client.watch_orders(watching).await.unwrap().into_inner();
    settle_down().await;
    // Another process over the same store: this one's readers are not told.
    let other = bank.restarted();
    let order = other.order("R-1", 1).await;
    other.orders.cancel(&shop(), order.id()).await.unwrap();
    settle_down().await;
    bank.clock.advance(Duration::from_secs(5));
    let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    assert!(event.unwrap().is_ok());
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_keeps_no_news_from_a_reader() {
    let bank = Bank::new();
    let mut client = OrderServiceClient::new(OrdersService::server(bank.orders.clone()));
    let watching = by("merchant", "shop-books", pb::WatchOrdersRequest::default());
    let mut events = client.watch_orders(watching).await.unwrap().into_inner();
    let order = bank.order("R-1", 1).await;
    settle_down().await;
    // One poll reads the order and hands the commit over; the caller goes away before its answer.
    let shop = shop();
    let mut cancelling = Box::pin(bank.orders.cancel(&shop, order.id()));
    assert!(std::future::poll_fn(|cx| Poll::Ready(cancelling.as_mut().poll(cx).is_pending())).await);
    drop(cancelling);
    let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    assert!(event.unwrap().is_ok());
}
