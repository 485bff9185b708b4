#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn delivery() -> Delivery {
    Delivery {
        merchant: "shop-lantern".parse().unwrap(),
        order: OrderId::from_random([1; 16]),
        position: 12,
        event: pb::Signed { body: Bytes::from_static(b"event"), key_id: "0".repeat(32), signature: vec![1; 64].into() },
        first_try: None,
        tries: 0,
        last_failure: None,
        state: State::Waiting { due: start() },
    }
}

#[test]
fn every_delivery_survives_the_store() {
    for first_try in [None, Some(start())] {
        for state in [State::Waiting { due: start() }, State::Parked { at: start() }] {
            let last_failure = first_try.map(|_| "the merchant's server answered Unavailable".to_owned());
            let delivery = Delivery { first_try, tries: 3, last_failure, state, ..delivery() };
            assert_eq!(Delivery::decode(delivery.encode()), Ok(delivery));
        }
    }
    assert_eq!(Delivery::decode(Bytes::from_static(&[0xff])), Err(Damaged("not a message")));
    assert_eq!(Delivery::decode(Bytes::new()), Err(Damaged("merchant_id")));
}

#[test]
fn the_waits_double_from_a_second_to_an_hour_less_a_quarter_at_most() {
    let waits: Vec<u64> = (0..14).map(|tries| back_off(tries, 0).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]);
    assert_eq!(back_off(2, u16::MAX), Duration::from_secs(3));
    assert_eq!(back_off(u32::MAX, 0), BACK_OFF_MAX);
}

#[test]
fn the_last_failure_is_kept_as_far_as_it_is_of_use() {
    let failed = delivery().failed(start(), start(), 0, "refused");
    assert_eq!(failed.last_failure.as_deref(), Some("refused"));
    // Two bytes a letter, and an odd one in front.
    let endless = format!("x{}", "é".repeat(1_000));
    let failed = failed.failed(start(), start(), 0, &endless);
    assert_eq!(failed.last_failure.as_ref().map(String::len), Some(199), "no letter is cut in two");
    assert_eq!(failed.replayed(start()).last_failure, None, "a replay begins anew");
}

#[test]
fn a_dead_merchants_event_is_tried_for_exactly_its_time() {
    let mut delivery = delivery();
    let mut now = start();
    loop {
        delivery = delivery.failed(now, now, 0, "refused");
        match delivery.state {
            State::Waiting { due } => {
                assert!(due > now && due <= start() + TRY_FOR);
                now = due;
            }
            State::Parked { at } => {
                assert_eq!(at, start() + TRY_FOR);
                break;
            }
        }
    }
    // Twelve doublings take 4095 s, and the hours behind them the rest of the three days.
    assert_eq!(delivery.tries, 12 + 71 + 1);
}

#[test]
fn the_successor_of_a_parked_event_takes_over_its_time_and_gets_one_try() {
    let parked = Delivery { first_try: Some(start()), state: State::Parked { at: start() + TRY_FOR }, ..delivery() };
    let now = start() + TRY_FOR;
    let next = Delivery { position: 13, state: State::Waiting { due: now + BACK_OFF_MAX }, ..delivery() };
    let next = next.promoted(now, Some(&parked));
    assert_eq!(next.state, State::Waiting { due: now });
    assert_eq!(next.failed(now, now, 0, "refused").state, State::Parked { at: now });
}

#[test]
fn a_parked_event_is_in_no_index_that_is_worked_on() {
    let names = |state| Delivery { state, ..delivery() }.indexes().iter().map(|entry| entry.index).collect::<Vec<_>>();
    assert_eq!(names(State::Waiting { due: start() }), [DUE, HEADS]);
    assert_eq!(names(State::Parked { at: start() }), [PARKED, PARKED_ORDERS, PARKED_SINCE]);
}

proptest! {
    #[test]
    fn whatever_fails_when_it_is_later_or_parked_and_counted(
        tries in 0u32..100,
        first in proptest::option::of(0u64..400_000),
        late in 0u64..20,
        jitter: u16,
    ) {
        let first_try = first.map(|seconds| start() - Duration::from_secs(seconds));
        let before = Delivery { first_try, tries, ..delivery() };
        let now = start() + Duration::from_secs(late);
        let after = before.clone().failed(start(), now, jitter, "refused");
        prop_assert_eq!(after.first_try, Some(first_try.unwrap_or(start())));
        prop_assert_eq!(after.tries, tries + 1);
        prop_assert_eq!(after.last_failure.as_deref(), Some("refused"));
        let end = first_try.unwrap_or(start()) + TRY_FOR;
        match after.state {
            State::Waiting { due } => prop_assert!(now < end && due > now && due <= end && due <= now + BACK_OFF_MAX),
            State::Parked { at } => prop_assert!(at == now && now >= end),
        }
        prop_assert_eq!(Delivery { first_try, tries, last_failure: None, state: before.state, ..after }, before);
    }

    #[test]
    fn a_due_key_sorts_by_merchant_and_time_and_is_read_back(
        a in "[a-z0-9]{3,8}", b in "[a-z0-9]{3,8}", x in 0u64..4_000_000_000_000, y in 0u64..4_000_000_000_000,
    ) {
        let (left, right) = (key(a.as_bytes(), from_millis(x)), key(b.as_bytes(), from_millis(y)));
        prop_assert_eq!(left.cmp(&right), (&a, x).cmp(&(&b, y)));
        prop_assert_eq!(split_due_key(&left), Some((a.as_bytes(), from_millis(x))));
        prop_assert!(merchant_start(a.as_bytes()) < left && left < merchant_end(a.as_bytes()));
    }
}
