//! What the operator does to notifications that were given up.

use std::time::{Duration, SystemTime};

use acquirer::{
    context::Context,
    error::Error,
    operations,
    outbox::{Delivery, Replay, Replayed, State},
};
use mesh::store::{Commit, Transition, Version};
use proto::{
    ids::{MerchantId, OrderId},
    pb,
};

use super::bank::Bank;

/// More than one call does.
const PARKED: u16 = 300;

fn order(number: u16) -> OrderId {
    let mut random = [7; 16];
    random[..2].copy_from_slice(&number.to_be_bytes());
    OrderId::from_random(random)
}

/// An event of an order that is removed by now, of a shop that has left.
async fn park(context: &Context, merchant: &MerchantId, number: u16, at: SystemTime) {
    let delivery = Delivery {
        merchant: merchant.clone(),
        order: order(number),
        position: 1,
        event: pb::Signed::default(),
        first_try: Some(at),
        tries: 80,
        last_failure: None,
        state: State::Parked { at },
    };
    let put = Transition::new().put(delivery.id(), Version::ABSENT, delivery.encode(), delivery.indexes());
    let commit = context.repository.store().commit(put).await;
    assert!(matches!(commit, Commit::Committed { .. }), "{commit:?}");
}

#[tokio::test]
async fn a_long_backlog_is_replayed_in_parts_and_a_call_too_many_does_no_harm() {
    let bank = Bank::new();
    let shop: MerchantId = "shop-gone".parse().unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    for number in 0..PARKED {
        park(&bank.context, &shop, number, at).await;
    }
    let mut parts = Vec::new();
    for _ in 0..3 {
        let done = operations::replay(&bank.context, &Replay::Merchant(shop.clone())).await.unwrap();
        assert_eq!(done.orders, done.events);
        parts.push((done.events, done.has_more));
    }
    assert_eq!(parts, [(250, true), (50, false), (0, false)]);

    // The same for an order: it is not known any more, but what was replayed of it still waits.
    let nothing = Replayed { orders: 0, events: 0, has_more: false };
    assert_eq!(operations::replay(&bank.context, &Replay::Order(order(1))).await.unwrap(), nothing);
    let unknown = operations::replay(&bank.context, &Replay::Order(order(PARKED))).await;
    assert!(matches!(unknown, Err(Error::OrderNotKept)), "{unknown:?}");
    let unknown = operations::replay(&bank.context, &Replay::Merchant("shop-none".parse().unwrap())).await;
    assert!(matches!(unknown, Err(Error::MerchantNotKept)), "{unknown:?}");
}
