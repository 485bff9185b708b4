//! What is removed after its period, and what is said of it then.

use std::{sync::Arc, time::Duration};

use acquirer::{
    authorize::Resolution,
    domain::{authorization::Refusal, merchant::Day, retention::Periods},
    error::Error,
    outbox::{self, Delivery, State as Waits},
    records::{
        ATTEMPTS_DECIDED, KeptOrder, Lines, MerchantDay, ORDERS_BY_MERCHANT, PageBrowser, REMOVED_ORDERS_BY_TIME,
    },
    repository::Changes,
    tasks::{Removed, Retention},
};
use mesh::{
    clock::Clock as _,
    store::{Commit, Index, KeyRange, PageRequest, Seq, Transition},
    telemetry::Metrics,
};
use proto::{
    authorization::{AuthorizationResult, Carried, DeclineReason},
    digest::Digest,
    event::OrderState,
};
use tokio_util::sync::CancellationToken;

use super::{
    authorize::reversals,
    bank::{Bank, Sent, approved, declined, new_order, shop, twd},
    network::Answer,
};

mod clocks;
mod crash;
mod histories;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Short enough that certificates outlive them.
fn periods() -> Periods {
    Periods { orders: DAY * 6, results: DAY * 30, events: DAY * 6, parked: DAY * 9 }
}

fn retention(bank: &Bank) -> Retention {
    let clock = Arc::clone(&bank.context.clock);
    Retention::new(bank.context.repository.clone(), clock, periods(), None, &Metrics::new())
}

async fn run(bank: &Bank) -> Removed {
    retention(bank).run_once(Duration::ZERO, &CancellationToken::new()).await.unwrap()
}

/// Lets days go by, as a process does that lives through them.
async fn days(bank: &Bank, count: u32) -> Removed {
    let mut removed = Removed::default();
    for _ in 0..count {
        bank.clock.advance(DAY);
        bank.orders.expire_due().await.unwrap();
        let left = removed.left;
        removed += run(bank).await;
        removed.left -= left;
    }
    removed
}

/// A bank whose marks were made, as its role does before it serves.
async fn prepared() -> Bank {
    let bank = Bank::new();
    retention(&bank).prepare().await.unwrap();
    bank
}

async fn count(bank: &Bank, index: Index) -> usize {
    let store = bank.context.repository.store();
    store.scan(index, KeyRange::all(), PageRequest::first(500)).await.unwrap().items.len()
}

/// The merchants acknowledge everything.
async fn acknowledge(bank: &Bank) {
    change_deliveries(bank, |_, transition, _| transition).await;
}

/// Everything that waits is given up now.
async fn park(bank: &Bank) {
    let now = bank.clock.now();
    change_deliveries(bank, |delivery, _, version| {
        let parked = Delivery { state: Waits::Parked { at: now }, ..delivery };
        Transition::new().put(parked.id(), version, parked.encode(), parked.indexes())
    })
    .await;
}

async fn change_deliveries(bank: &Bank, change: impl Fn(Delivery, Transition, mesh::store::Version) -> Transition) {
    let store = bank.context.repository.store();
    for item in store.scan(outbox::DUE, KeyRange::all(), PageRequest::first(500)).await.unwrap().items {
        let (version, delivery) = (item.record.version, Delivery::decode(item.record.body).unwrap());
        let change = change(delivery, Transition::new().remove(item.id, version), version);
        assert!(matches!(store.commit(change).await, Commit::Committed { .. }));
    }
}

async fn is_kept(bank: &Bank, order: &KeptOrder) -> bool {
    bank.context.repository.load::<KeptOrder>(order.id().as_str().as_bytes()).await.unwrap().is_some()
}

fn outside<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Refused(Refusal::OutsideRetention))), "{outcome:?}");
}

/// A paid order with its request and result.
async fn paid(bank: &Bank, reference: &str, number: u8) -> (KeptOrder, Sent, Carried<AuthorizationResult>) {
    let order = bank.order(reference, 100).await;
    let request = bank.a.request(&order, number, bank.clock.now());
    let result = bank.authorize(&request).await.unwrap();
    assert!(approved(&result));
    (order, request, result)
}

#[tokio::test]
async fn with_an_order_goes_the_browser_of_its_page() {
    let bank = Bank::checking_devices(vec![twd(500)]);
    retention(&bank).prepare().await.unwrap();
    let order = bank.order("R-1", 501).await;
    let browser = PageBrowser { order: order.id().clone(), cookie: Digest::of(b"a cookie") };
    let _ = bank.context.repository.commit(Changes::new().create(&browser)).await.unwrap();
    let kept = async || bank.context.repository.load::<PageBrowser>(order.id().as_str().as_bytes()).await.unwrap();
    assert!(kept().await.is_some());
    days(&bank, 1).await;
    acknowledge(&bank).await;
    assert_eq!(days(&bank, 7).await.orders, 1);
    assert_eq!(kept().await, None);
}

#[tokio::test]
async fn an_order_goes_then_its_trace_then_its_results() {
    let bank = prepared().await;
    let (order, request, result) = paid(&bank, "R-1", 1).await;
    let (today, id) = (Day::of(bank.clock.now()), order.id().as_str().as_bytes());
    acknowledge(&bank).await;
    assert_eq!(days(&bank, 6).await, Removed::default(), "it is kept for its days");
    let removed = days(&bank, 1).await;
    assert_eq!(removed, Removed { orders: 1, events: 1, days: 1, ..Removed::default() });
    assert!(!is_kept(&bank, &order).await);
    assert_eq!(bank.context.repository.load::<Lines>(id).await.unwrap(), None);
    assert_eq!(bank.context.repository.load::<MerchantDay>(&MerchantDay::key_of(&shop(), today)).await.unwrap(), None);

    // As long as the trace is there, everybody gets the answer of before, or a clear one.
    assert_eq!(bank.authorize(&request).await.unwrap().signed, result.signed, "byte for byte");
    let Resolution::Result(again) = bank.resolve(&bank.a, bank.question(&request)).await.unwrap() else { panic!() };
    assert_eq!(again, result.signed);
    let name = acquirer::orders::OrderName::Reference("R-1".parse().unwrap());
    assert!(matches!(bank.orders.find(&shop(), &name).await, Err(Error::OrderNotFound)));
    assert!(matches!(bank.orders.cancel(&shop(), order.id()).await, Err(Error::OrderNotFound)));
    let same = bank.orders.create(&shop(), &new_order("R-1", 100)).await;
    assert!(matches!(same, Err(Error::OrderRemoved)), "{same:?}");
    let other = bank.orders.create(&shop(), &new_order("R-1", 101)).await;
    assert!(matches!(other, Err(Error::ReferenceReused)), "{other:?}");
    let late = bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&late), Some(DeclineReason::OrderUnknown), "nobody pays it a second time");

    assert_eq!(days(&bank, 29).await, Removed::default());
    let removed = days(&bank, 2).await;
    assert_eq!(removed, Removed { traces: 1, results: 1, ..Removed::default() });
    outside(bank.authorize(&request).await);
    outside(bank.resolve(&bank.a, bank.question(&request)).await);
    let fresh = bank.order("R-1", 100).await;
    assert_ne!(fresh.id(), order.id(), "the reference may be used again");
    assert_eq!(bank.network.asked().len(), 1, "the card was charged once");
}

#[tokio::test]
async fn what_is_not_finished_or_not_heard_of_stays() {
    let bank = prepared().await;
    let (heard, ..) = paid(&bank, "R-1", 1).await;
    acknowledge(&bank).await;
    let (unheard, ..) = paid(&bank, "R-2", 2).await;
    let open = bank.order("R-3", 1).await;
    bank.network.next([Answer::Silent, Answer::Unreachable]);
    let authorizing = bank.order("R-4", 1).await;
    bank.spawn(&bank.a.request(&authorizing, 3, bank.clock.now()));
    bank.network.asked_times(3).await;
    let reversed = bank.order("R-5", 1).await;
    bank.authorize(&bank.a.request(&reversed, 4, bank.clock.now())).await.unwrap();
    assert_eq!(reversals(&bank).await, 1);

    // Only retention works in all that time: nothing expires, settles, reverses or delivers.
    for _ in 0..60 {
        bank.clock.set(bank.clock.now() + DAY);
        run(&bank).await;
    }
    assert!(!is_kept(&bank, &heard).await);
    for order in [&unheard, &open, &authorizing, &reversed] {
        assert!(is_kept(&bank, order).await, "{:?}", order.reference);
    }
    assert_eq!((reversals(&bank).await, count(&bank, acquirer::records::ATTEMPTS_DECIDING).await), (1, 1));
    assert_eq!(count(&bank, ATTEMPTS_DECIDED).await, 2, "what nobody has heard of and what must be reversed");

    // The other tasks have done their work: all of it goes.
    bank.restarted().authorizer.recover(acquirer::authorize::Recovery::Everything).await.unwrap();
    bank.clock.set(bank.clock.now() + Duration::from_secs(60));
    while reversals(&bank).await > 0 {
        bank.authorizer.send_reversals().await.unwrap();
    }
    bank.orders.expire_due().await.unwrap();
    acknowledge(&bank).await;
    days(&bank, 60).await;
    for index in [ORDERS_BY_MERCHANT, REMOVED_ORDERS_BY_TIME, ATTEMPTS_DECIDED] {
        assert_eq!(count(&bank, index).await, 0, "{index:?}");
    }
}

#[tokio::test]
async fn a_parked_notification_holds_its_order_for_its_own_period() {
    let bank = prepared().await;
    let (order, ..) = paid(&bank, "R-1", 1).await;
    days(&bank, 3).await;
    park(&bank).await;
    days(&bank, 8).await;
    assert!(is_kept(&bank, &order).await, "an operator may still have it delivered");
    assert_eq!((days(&bank, 2).await.parked, is_kept(&bank, &order).await), (1, false));
}

#[tokio::test]
async fn an_old_cursor_is_refused_and_never_skips() {
    let bank = prepared().await;
    let mut cursors = Vec::new();
    for (number, reference) in (1u8..).zip(["R-1", "R-2", "R-3"]) {
        paid(&bank, reference, number).await;
        let page = bank.orders.events_after(&shop(), Seq::START).await.unwrap();
        cursors.push(page.events.last().unwrap().0.clone());
        days(&bank, 2).await;
    }
    let place = |place: usize| bank.orders.place_of_cursor(&shop(), &cursors[place]).unwrap();
    // The first two events are gone. Whoever has read the second misses nothing.
    assert_eq!(days(&bank, 3).await.events, 2);
    let refused = bank.orders.events_after(&shop(), place(0)).await;
    assert!(matches!(refused, Err(Error::EventsRemoved)), "{refused:?}");
    let rest = bank.orders.events_after(&shop(), place(1)).await.unwrap();
    assert_eq!(rest.events.iter().map(|event| &event.0).collect::<Vec<_>>(), [&cursors[2]]);
    let oldest = bank.orders.events_after(&shop(), Seq::START).await.unwrap();
    assert_eq!(oldest, rest, "without a cursor one begins at the oldest that is kept");
    // What its merchant has not acknowledged is delivered all the same, from the notification's own copy.
    assert_eq!(count(&bank, outbox::DUE).await, 3);
    assert_eq!(days(&bank, 2).await.events, 1);
    assert!(bank.orders.events_after(&shop(), place(1)).await.is_err());
    assert_eq!(bank.orders.events_after(&shop(), place(2)).await.unwrap().events, []);
}

#[tokio::test]
async fn a_late_refusal_keeps_the_order_until_its_shop_has_heard_of_it() {
    let bank = prepared().await;
    let (order, ..) = paid(&bank, "R-1", 1).await;
    acknowledge(&bank).await;
    days(&bank, 6).await;
    let late = bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&late), Some(DeclineReason::OrderAlreadyApproved));
    days(&bank, 3).await;
    assert_eq!(bank.state(&order).await.name(), OrderState::Approved);
    acknowledge(&bank).await;
    days(&bank, 1).await;
    assert!(!is_kept(&bank, &order).await);
    let again = bank.restarted().authorize(&bank.a.request(&order, 2, bank.clock.now())).await;
    assert!(matches!(again, Err(Error::Refused(Refusal::AuthorizationIdReused))), "{again:?}");
}
