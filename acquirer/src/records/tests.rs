#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use proto::{
    authorization::{Decision, DeclineReason, Factor},
    digest::Digest,
    event::Outcome,
    ids::{AuthorizationId, OrderId},
    link::WebAddress,
    money::Money,
    order::{Merchant, ORDER_LINES_MAX, Order, OrderLine, SignedOrder},
    signed::Signed,
};

use super::*;
use crate::{
    domain::{
        attempt::{self, AttemptId},
        merchant::{Day, Totals},
        order::{Course, State, Underway},
    },
    repository::Entity,
};

fn time() -> SystemTime {
    from_millis(1_800_000_000_123)
}

fn twd(units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), units).unwrap()
}

/// An order whose every text is as long as it may be.
fn largest_order() -> KeptOrder {
    let long_url = format!("https://shop.example/{}", "r".repeat(139));
    let order = Order {
        id: OrderId::from_random([1; 16]),
        acquirer: "a".repeat(40).parse().unwrap(),
        merchant: Merchant {
            id: "s".repeat(40).parse().unwrap(),
            display_name: "名".repeat(20),
            domain: "d".repeat(64),
            category: "5942".parse().unwrap(),
        },
        amount: twd(1_000_000_000_000),
        lines_digest: Digest::of(b"lines"),
        created_at: time(),
        expires_at: time() + Duration::from_secs(900),
        return_url: long_url.parse::<WebAddress>().unwrap(),
        sealing_key: [7; 32],
        delivery_hint: "h".repeat(60),
        device_check_url: None,
    };
    let signed = signed(order.to_pb().encode_to_vec());
    KeptOrder {
        signed: SignedOrder::parse(signed.to_pb()).unwrap(),
        reference: "R".repeat(64).parse().unwrap(),
        sealing_key: Some(Bytes::from(vec![9; 150])),
        state: State::new(order.expires_at),
    }
}

fn signed(body: Vec<u8>) -> Signed {
    Signed { body: body.into(), key_id: "0".repeat(32).parse().unwrap(), signature: [1; 64] }
}

fn attempt_id() -> AttemptId {
    AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) }
}

fn course() -> Course {
    let AttemptId { issuer, authorization } = attempt_id();
    let decision = Decision::Declined(DeclineReason::LostCard);
    let last = Some(Outcome { authorization, issuer, decision });
    Course { expires_at: largest_order().signed.order.expires_at, declines: 2, position: 3, last }
}

fn round_trip<E: Entity + PartialEq + std::fmt::Debug>(entity: &E) {
    assert_eq!(E::from_bytes(&entity.key(), entity.to_bytes().into()).as_ref(), Ok(entity));
}

#[test]
fn an_order_is_read_back_in_every_state() {
    let underway = |cancel_requested, taken_from| Underway { attempt: attempt_id(), cancel_requested, taken_from };
    for state in [
        State::Open(course()),
        State::Authorizing(course(), underway(true, Some(Day(20_000)))),
        State::Authorizing(course(), underway(false, None)),
        State::Approved(course()),
        State::Expired(course()),
        State::Failed(course()),
        State::Cancelled(course()),
    ] {
        let sealing_key = (!state.is_final()).then(|| Bytes::from_static(b"wrapped"));
        let is_open = matches!(state, State::Open(_));
        let order = KeptOrder { state, sealing_key, ..largest_order() };
        round_trip(&order);
        let expires = order.indexes().iter().any(|entry| entry.index == OPEN_ORDERS_BY_EXPIRY);
        assert_eq!(expires, is_open, "only an open order may expire");
    }
}

#[test]
fn an_attempt_is_read_back_in_both_states() {
    let deciding = attempt::State::Deciding { since: time(), deadline: time() + Duration::from_secs(5) };
    let decided = attempt::State::Decided(signed(b"result".to_vec()));
    for (state, index, is_known) in [(deciding, ATTEMPTS_DECIDING, true), (decided, ATTEMPTS_DECIDED, false)] {
        let attempt = Attempt {
            id: attempt_id(),
            request_digest: Digest::of(b"request"),
            order_digest: Digest::of(b"order"),
            amount: twd(1),
            signed_at: time(),
            order: is_known.then(|| OrderId::from_random([1; 16])),
            factors: vec![Factor::Knowledge, Factor::Possession],
            consent_digest: (!is_known).then(|| Digest::of(b"consent")),
            state,
        };
        round_trip(&attempt);
        let found: Vec<Index> = attempt.indexes().iter().map(|entry| entry.index).collect();
        assert_eq!(found, [index]);
    }
}

#[test]
fn the_smaller_records_are_read_back() {
    let usd = Money::new("USD".parse().unwrap(), 5).unwrap();
    let totals: Totals = [twd(7), usd].into_iter().collect();
    round_trip(&MerchantDay { merchant: "shop-1".parse().unwrap(), day: Day(20_000), totals });
    round_trip(&Reversal { attempt: attempt_id(), since: time(), due: time(), tries: 3 });
    round_trip(&PageBrowser { order: OrderId::from_random([1; 16]), cookie: Digest::of(b"cookie") });
    round_trip(&DeviceKey { encrypted: Bytes::from_static(b"encrypted") });
}

#[test]
fn the_largest_records_fit_the_store() {
    let order = largest_order();
    assert!(order.to_bytes().len() + 200 < mesh::store::limits::VALUE_BYTES_MAX);
    let line = OrderLine { description: "d".repeat(120), quantity: 10_000, unit_price: twd(1_000_000_000_000) };
    let lines = Lines { order: order.id().clone(), lines: vec![line; ORDER_LINES_MAX] };
    assert!(lines.to_bytes().len() < mesh::store::limits::VALUE_BYTES_MAX);
    round_trip(&lines);
}

#[test]
fn one_merchants_orders_do_not_lie_among_anothers() {
    let prefix = KeptOrder::merchant_prefix(&"shop-1".parse().unwrap());
    let other = KeptOrder::merchant_prefix(&"shop-11".parse().unwrap());
    assert!(!other.starts_with(&prefix));
}

#[test]
fn a_state_that_does_not_fit_its_data_is_damage() {
    let order = KeptOrder { state: State::Approved(course()), ..largest_order() };
    let mut bytes = order.to_bytes();
    // The state is field 4, a varint: approved (3) becomes authorizing (2), which needs an authorization.
    let place = bytes.windows(2).rposition(|pair| pair == [0x20, 3]).unwrap();
    bytes[place + 1] = 2;
    assert_eq!(KeptOrder::from_bytes(&order.key(), bytes.into()), Err(crate::repository::Damaged("an order's state")));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (key, body) = (bytes.clone(), Bytes::from(bytes));
        let _ = KeptOrder::from_bytes(&key, body.clone());
        let _ = Attempt::from_bytes(&key, body.clone());
        let _ = MerchantDay::from_bytes(&key, body.clone());
        let _ = Lines::from_bytes(&key, body.clone());
        let _ = PageBrowser::from_bytes(&key, body.clone());
        let _ = DeviceKey::from_bytes(&key, body.clone());
        let _ = Reversal::from_bytes(&key, body);
    }
}
