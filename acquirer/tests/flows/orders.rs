//! Orders: made once, found, listed, cancelled, expired.

use std::time::Duration;

use acquirer::{
    domain::order::State,
    error::Error,
    orders::{Cancelling, OrderName},
    outbox::{self, Delivery},
};
use mesh::{
    clock::Clock as _,
    store::{KeyRange, PageRequest, Seq, limits::CURSOR_BYTES_MAX},
};
use proto::{authorization::DeclineReason, digest::Digest, event::OrderState};

use super::{
    bank::{Bank, new_order, other_shop, shop, some_order, twd},
    network::Answer,
};

#[tokio::test]
async fn the_same_wish_gives_the_same_order() {
    let bank = Bank::new();
    let first = bank.orders.create(&shop(), &new_order("R-1", 100)).await.unwrap();
    bank.clock.advance(Duration::from_secs(5));
    assert_eq!(bank.orders.create(&shop(), &new_order("R-1", 100)).await.unwrap(), first);
    let other = bank.orders.create(&shop(), &new_order("R-1", 101)).await;
    assert!(matches!(other, Err(Error::ReferenceReused)), "{other:?}");
    // A reference belongs to its shop.
    let theirs = bank.orders.create(&other_shop(), &new_order("R-1", 101)).await.unwrap();
    assert_ne!(theirs.order.id(), first.order.id());
}

#[tokio::test]
async fn a_wish_that_is_repeated_at_once_makes_one_order() {
    let bank = Bank::new();
    let wishes: Vec<_> = (0..16)
        .map(|_| {
            let orders = bank.orders.clone();
            tokio::spawn(async move { orders.create(&shop(), &new_order("R-1", 100)).await.unwrap().order })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for wish in wishes {
        ids.insert(wish.await.unwrap().id().clone());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(bank.orders.list(&shop(), 100, "").await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn terms_are_kept() {
    let bank = Bank::new();
    assert!(matches!(bank.orders.create(&shop(), &new_order("R-1", 100_001)).await, Err(Error::MerchantLimit)));
    let mut elsewhere = new_order("R-2", 1);
    elsewhere.return_url = "https://evil.example/done".parse().unwrap();
    let refused = bank.orders.create(&shop(), &elsewhere).await;
    assert!(matches!(&refused, Err(Error::Invalid(invalid)) if invalid.violations[0].path == "return_url"));
    let stranger = "shop-none".parse().unwrap();
    assert!(matches!(bank.orders.create(&stranger, &new_order("R-1", 1)).await, Err(Error::MerchantUnknown)));
}

#[tokio::test]
async fn an_order_is_its_shops_alone() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let id = OrderName::Id(order.id().clone());
    assert_eq!(bank.orders.find(&shop(), &id).await.unwrap(), order);
    let by_reference = OrderName::Reference("R-1".parse().unwrap());
    assert_eq!(bank.orders.find(&shop(), &by_reference).await.unwrap(), order);
    for name in [id, by_reference, OrderName::Id(some_order())] {
        let theirs = bank.orders.find(&other_shop(), &name).await;
        assert!(matches!(theirs, Err(Error::OrderNotFound)), "{theirs:?}");
    }
    let cancelled = bank.orders.cancel(&other_shop(), order.id()).await;
    assert!(matches!(cancelled, Err(Error::OrderNotFound)));
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
}

#[tokio::test]
async fn a_list_comes_page_by_page_oldest_first() {
    let bank = Bank::new();
    for number in 0..7 {
        bank.order(&format!("R-{number}"), 100).await;
        bank.clock.advance(Duration::from_millis(1));
    }
    bank.orders.create(&other_shop(), &new_order("T-1", 100)).await.unwrap();
    let mut found = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let (orders, next) = bank.orders.list(&shop(), 3, &token).await.unwrap();
        found.extend(orders.into_iter().map(|order| order.reference.to_string()));
        pages += 1;
        if next.is_empty() {
            break;
        }
        let stolen = bank.orders.list(&other_shop(), 3, &next).await;
        assert!(matches!(stolen, Err(Error::Invalid(_))), "a token is its merchant's");
        token = next;
    }
    assert_eq!((found, pages), ((0..7).map(|number| format!("R-{number}")).collect(), 3));
    assert!(matches!(bank.orders.list(&shop(), 3, "nonsense").await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn an_order_expires_for_whoever_looks() {
    let bank = Bank::new();
    let (seen, listed, swept) = (bank.order("R-1", 1).await, bank.order("R-2", 1).await, bank.order("R-3", 1).await);
    bank.clock.set(seen.signed.order.expires_at);
    assert_eq!(bank.orders.expire_due().await.unwrap(), 0, "the deadline itself is in time");
    bank.clock.advance(Duration::from_millis(1));
    assert_eq!(bank.state(&seen).await.name(), OrderState::Expired);
    let (list, _) = bank.orders.list(&shop(), 10, "").await.unwrap();
    assert!(list.iter().all(|order| order.state.name() == OrderState::Expired && order.sealing_key.is_none()));
    assert_eq!(bank.orders.expire_due().await.unwrap(), 0, "the list has expired them all");
    let events = bank.events(&shop()).await;
    assert_eq!(events.len(), 3);
    for order in [&seen, &listed, &swept] {
        let event = events.iter().find(|event| event.order == *order.id()).unwrap();
        assert_eq!((event.state, event.authorization.clone()), (OrderState::Expired, None));
    }
}

#[tokio::test]
async fn more_orders_than_a_page_expire_in_one_sweep() {
    let bank = Bank::new();
    for number in 0..150 {
        bank.order(&format!("R-{number}"), 1).await;
    }
    bank.clock.advance(Duration::from_secs(24 * 60 * 60));
    let (one, two) = tokio::join!(bank.orders.expire_due(), bank.orders.expire_due());
    assert_eq!(one.unwrap() + two.unwrap(), 150, "two sweeps expire each order once");
    assert_eq!(bank.events(&shop()).await.len(), 150);
}

#[tokio::test]
async fn a_cancel_has_five_answers() {
    let bank = Bank::new();
    let cancelled = bank.order("R-1", 1).await;
    let cancel = async |order: &acquirer::records::KeptOrder| bank.orders.cancel(&shop(), order.id()).await.unwrap();
    assert_eq!(cancel(&cancelled).await.0, Cancelling::Cancelled);
    assert_eq!(cancel(&cancelled).await.0, Cancelling::Cancelled, "again");
    assert_eq!(bank.find(&cancelled).await.sealing_key, None);

    let paid = bank.order("R-2", 1).await;
    bank.authorize(&bank.a.request(&paid, 2, bank.clock.now())).await.unwrap();
    assert_eq!(cancel(&paid).await.0, Cancelling::TooLate);

    let failed = bank.order("R-3", 1).await;
    bank.network.next([Answer::Decline(DeclineReason::LostCard); 5]);
    for number in 30..35 {
        bank.authorize(&bank.a.request(&failed, number, bank.clock.now())).await.unwrap();
    }
    assert_eq!(cancel(&failed).await.0, Cancelling::AlreadyFailed);

    let busy = bank.order("R-4", 1).await;
    bank.network.next([Answer::DeclineWhenReleased]);
    let work = bank.spawn(&bank.a.request(&busy, 4, bank.clock.now()));
    bank.network.asked_times(7).await;
    let (answer, order) = cancel(&busy).await;
    assert_eq!((answer, order.state.cancel_requested()), (Cancelling::Pending, true));
    assert_eq!(cancel(&busy).await.0, Cancelling::Pending, "again");
    bank.network.release();
    work.await.unwrap().unwrap();
    assert_eq!(cancel(&busy).await.0, Cancelling::Cancelled, "by itself");

    let late = bank.order("R-5", 1).await;
    bank.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(cancel(&late).await.0, Cancelling::AlreadyExpired);
}

#[tokio::test]
async fn a_pending_cancel_becomes_too_late_where_the_network_approves() {
    let bank = Bank::new();
    let order = bank.order("R-1", 1).await;
    bank.network.next([Answer::ApproveWhenReleased]);
    let work = bank.spawn(&bank.a.request(&order, 1, bank.clock.now()));
    bank.network.asked_times(1).await;
    assert_eq!(bank.orders.cancel(&shop(), order.id()).await.unwrap().0, Cancelling::Pending);
    bank.network.release();
    work.await.unwrap().unwrap();
    assert_eq!(bank.orders.cancel(&shop(), order.id()).await.unwrap().0, Cancelling::TooLate);
    assert!(matches!(bank.state(&order).await, State::Approved(_)));
    assert_eq!(bank.events(&shop()).await.len(), 1, "one event, which is result and end");
}

#[tokio::test]
async fn a_signed_order_holds_what_was_asked_for() {
    let bank = Bank::new();
    let order = bank.order("R-1", 12_345).await;
    let signed = &order.signed.order;
    assert_eq!((signed.amount, &signed.merchant.id), (twd(12_345), &shop()));
    assert_eq!(signed.expires_at.duration_since(signed.created_at).unwrap(), Duration::from_secs(900));
    let directory = bank.context.directory.current();
    let acquirer = directory.acquirer(&signed.acquirer).unwrap();
    acquirer.verify::<proto::pb::Order>(&order.signed.signed, signed.created_at).unwrap();
}

#[tokio::test]
async fn a_cursor_from_the_future_is_refused() {
    let (bank, ahead) = (Bank::new(), Bank::new());
    for number in 0..9 {
        let order = ahead.order(&format!("R-{number}"), 1).await;
        ahead.orders.cancel(&shop(), order.id()).await.unwrap();
    }
    let page = ahead.orders.events_after(&shop(), Seq::START).await.unwrap();
    let (cursor, _) = page.events.last().unwrap();
    assert_eq!(ahead.orders.place_of_cursor(&shop(), cursor).unwrap(), page.next);
    // As after a store was put back from an older copy: reading on from there would skip what comes.
    let refused = bank.orders.place_of_cursor(&shop(), cursor);
    assert!(matches!(&refused, Err(Error::Invalid(invalid)) if invalid.violations[0].path == "cursor"), "{refused:?}");
    assert_eq!(bank.orders.place_of_cursor(&shop(), "").unwrap(), Seq::START);
}

/// A token with this place, made as the acquirer makes its own: the check is no secret.
fn forged_page_token(place: &[u8]) -> String {
    let check = Digest::of_parts([b"order page\0", shop().as_str().as_bytes(), &[0], place]);
    data_encoding::BASE64URL_NOPAD.encode(&[&check.as_bytes()[..8], place].concat())
}

#[tokio::test]
async fn a_forged_page_token_shows_nothing_but_the_merchants_own_orders() {
    let bank = Bank::new();
    let own = bank.order("R-1", 100).await;
    bank.orders.create(&other_shop(), &new_order("T-1", 100)).await.unwrap();
    for place in [&b""[..], b"\0", b"shop-a", b"shop-books", b"shop-tea", b"shop-tea\0\xff", &[0xff; 400]] {
        let (orders, next) = bank.orders.list(&shop(), 10, &forged_page_token(place)).await.unwrap();
        assert!(orders.is_empty() || orders == [own.clone()], "{place:?}");
        assert_eq!(next, "", "{place:?}");
    }
    let longer_than_any = bank.orders.list(&shop(), 10, &forged_page_token(&[0xff; CURSOR_BYTES_MAX + 1])).await;
    assert!(matches!(longer_than_any, Err(Error::Invalid(_))), "{longer_than_any:?}");
}

#[tokio::test]
async fn an_event_is_queued_with_its_order_for_a_shop_that_has_an_endpoint() {
    let bank = Bank::new();
    let order = bank.order("R-1", 1).await;
    let theirs = bank.orders.create(&other_shop(), &new_order("T-1", 1)).await.unwrap().order;
    bank.orders.cancel(&shop(), order.id()).await.unwrap();
    bank.orders.cancel(&other_shop(), theirs.id()).await.unwrap();
    let page = bank.context.repository.store().scan(outbox::DUE, KeyRange::all(), PageRequest::first(10)).await;
    let queued: Vec<_> = page.unwrap().items.into_iter().map(|item| Delivery::decode(item.record.body)).collect();
    let [Ok(delivery)] = queued.as_slice() else { panic!("one delivery: {queued:?}") };
    assert_eq!((&delivery.merchant, &delivery.order, delivery.position), (&shop(), order.id(), 1));
    let events = bank.orders.events_after(&shop(), Seq::START).await.unwrap().events;
    assert_eq!(delivery.event, events[0].1.to_pb(), "byte for byte what a watcher gets");
    assert_eq!(bank.events(&other_shop()).await.len(), 1, "who has none finds it by watching");
}
