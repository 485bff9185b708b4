//! A clock that is set ahead or back, and a server that was down when a deadline passed.

use std::{sync::Arc, time::Duration};

use acquirer::{authorize::Recovery, orders::Cancelling, tasks};
use mesh::{
    clock::Clock as _,
    store::sled::{Options, SledStore},
};
use proto::{authorization::DeclineReason, event::OrderState};
use tokio_util::sync::CancellationToken;

use super::{
    authorize::reversals,
    bank::{Bank, approved, declined, shop},
    network::Answer,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn what_the_clock_has_expired_stays_expired_when_it_is_set_back() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let right = bank.clock.now();
    bank.clock.set(right + HOUR);
    assert_eq!(bank.orders.expire_due().await.unwrap(), 1);
    bank.clock.set(right);
    let paid = bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&paid), Some(DeclineReason::OrderExpired));
    assert_eq!(bank.orders.cancel(&shop(), order.id()).await.unwrap().0, Cancelling::AlreadyExpired);
    bank.clock.set(right + HOUR);
    assert_eq!(bank.orders.expire_due().await.unwrap(), 0, "once is enough");
    let events = bank.events(&shop()).await;
    assert_eq!(events.iter().map(|event| event.state).collect::<Vec<_>>(), [OrderState::Expired; 2]);
    assert_eq!(events.iter().filter(|event| event.authorization.is_none()).count(), 1, "one expiry, one refusal");
    assert_eq!(bank.network.asked(), []);
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_an_open_order_live_as_much_longer_and_expires_it_once() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.clock.set(order.signed.order.expires_at + Duration::from_millis(1));
    // Nobody has looked at it by this clock, so nobody was told that it is over.
    bank.clock.set(order.signed.order.expires_at);
    assert_eq!(bank.orders.expire_due().await.unwrap(), 0);
    bank.network.next([Answer::Decline(DeclineReason::LostCard)]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
    bank.clock.advance(Duration::from_millis(1));
    assert_eq!(bank.orders.expire_due().await.unwrap(), 1);
    let paid = bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&paid), Some(DeclineReason::OrderExpired));
}

#[tokio::test]
async fn an_authorization_under_way_is_settled_once_however_the_clock_jumps() {
    for jump in [HOUR, Duration::ZERO] {
        let bank = Bank::new();
        // Certificates have a beginning, too.
        bank.clock.advance(2 * HOUR);
        let order = bank.order("R-1", 100).await;
        let right = bank.clock.now();
        bank.network.next([Answer::ApproveWhenReleased]);
        let paying = bank.spawn(&bank.a.request(&order, 1, right));
        bank.network.asked_times(1).await;
        // An hour ahead, where its time seems long over, or an hour back.
        bank.clock.set(if jump.is_zero() { right - HOUR } else { right + jump });
        assert_eq!(bank.authorizer.recover(Recovery::Overdue).await.unwrap(), 0, "it has its worker");
        assert_eq!(bank.orders.expire_due().await.unwrap(), 0);
        bank.network.release();
        paying.await.unwrap().unwrap();
        assert_eq!(bank.state(&order).await.name(), OrderState::Approved);
        bank.clock.set(right + HOUR);
        assert_eq!(bank.orders.expire_due().await.unwrap(), 0);
        assert_eq!(bank.events(&shop()).await.len(), 1);
    }
}

#[tokio::test]
async fn an_authorization_without_a_worker_waits_for_no_clock_that_was_set_back() {
    let bank = Bank::new();
    let (one, two) = (bank.order("R-1", 100).await, bank.order("R-2", 100).await);
    bank.network.next([Answer::Panic; 2]);
    for (number, order) in [(1, &one), (2, &two)] {
        let sent = bank.a.request(order, number, bank.clock.now());
        assert!(bank.spawn(&sent).await.unwrap().is_err(), "the worker panics");
    }
    bank.clock.set(bank.clock.now() - HOUR);
    assert_eq!(bank.authorizer.recover(Recovery::Overdue).await.unwrap(), 2);
    for order in [&one, &two] {
        assert_eq!(bank.state(order).await.name(), OrderState::Open);
    }
    assert_eq!(reversals(&bank).await, 2);
}

#[tokio::test]
async fn the_same_request_waits_out_no_more_than_the_networks_deadline() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let asked = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::Panic]);
    assert!(bank.spawn(&asked).await.unwrap().is_err());
    // No further than it may differ from the issuer's, or the request is not listened to.
    bank.clock.set(bank.clock.now() - Duration::from_secs(50));
    let again = bank.spawn(&asked);
    bank.advance_a_sleeper(Duration::from_secs(5)).await;
    let settled = tokio::time::timeout(Duration::from_secs(30), again).await.expect("an end in time");
    settled.unwrap().unwrap();
    let result = bank.authorize(&asked).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
}

#[tokio::test]
async fn a_reversal_waits_for_no_clock_that_was_set_back() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.network.next([Answer::Unreachable]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    bank.network.fail_reversals(1);
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0);
    bank.clock.set(bank.clock.now() - HOUR);
    assert_eq!((bank.authorizer.send_reversals().await.unwrap(), reversals(&bank).await), (1, 0));
}

#[tokio::test]
async fn what_expired_while_the_server_was_down_is_expired_at_its_start_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(SledStore::open(folder.path().join("store"), Options::new("acquirer/down")).unwrap());
    let store = open();
    let before = Bank::over(Arc::clone(&store) as _);
    let mut orders = Vec::new();
    for number in 0..70 {
        orders.push(before.order(&format!("R-{number}"), 1).await);
    }
    let paid = orders.pop().unwrap();
    assert!(approved(&before.authorize(&before.a.request(&paid, 1, before.clock.now())).await.unwrap()));
    mesh::store::Store::close(&*store).await;
    drop(store);
    before.clock.advance(24 * HOUR);

    let bank = before.restarted_over(open());
    let stop = CancellationToken::new();
    let expiring = tokio::spawn(tasks::expire_orders(bank.orders.clone(), stop.clone()));
    let told = async {
        while bank.events(&shop()).await.len() < 70 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("the shop is told in time");
    stop.cancel();
    expiring.await.unwrap();
    for order in &orders {
        let late = bank.authorize(&bank.a.request(order, 200, bank.clock.now())).await;
        // The id is used for one request alone; the first decides.
        if let Ok(late) = late {
            assert_eq!(declined(&late), Some(DeclineReason::OrderExpired));
        }
        assert_eq!(bank.state(order).await.name(), OrderState::Expired);
    }
    assert_eq!(bank.state(&paid).await.name(), OrderState::Approved);
    let expiries = bank.events(&shop()).await.into_iter().filter(|event| event.authorization.is_none()).count();
    assert_eq!(expiries, 69, "each once");
    bank.context.repository.store().close().await;
}
