#![allow(clippy::unwrap_used)]

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use proto::{
    card::Expiry,
    digest::Digest,
    ids::{AuthorizationId, OrderId},
    order::{Merchant, Order},
    signed::Signed,
};

use super::*;
use crate::domain::{
    attempt::AttemptId,
    order::{Course, Underway},
};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

struct Case {
    route_agrees: bool,
    acquirer: &'static str,
    caller: Caller,
    standing: Standing,
    signature_counts: bool,
    signed_at: SystemTime,
    request_signed_at: SystemTime,
}

fn good() -> Case {
    Case {
        route_agrees: true,
        acquirer: "acquirer-one",
        caller: Caller::Issuer("bank-a".parse().unwrap()),
        standing: Standing::Active,
        signature_counts: true,
        signed_at: now(),
        request_signed_at: now(),
    }
}

fn judge(case: &Case, purpose: Purpose) -> Result<(), Refusal> {
    let (issuer, acquirer) = ("bank-a".parse().unwrap(), case.acquirer.parse().unwrap());
    let claim = Claim {
        purpose,
        route_agrees: case.route_agrees,
        issuer: &issuer,
        acquirer: &acquirer,
        signed_at: case.signed_at,
        request_signed_at: case.request_signed_at,
    };
    let own = "acquirer-one".parse().unwrap();
    admit(&claim, &own, &case.caller, case.standing, || case.signature_counts, now())
}

#[test]
fn every_fault_has_its_refusal() {
    let ahead = now() + CLOCK_SKEW_MAX + Duration::from_millis(1);
    let other = Caller::Issuer("bank-b".parse().unwrap());
    let cases = [
        (good(), Ok(()), Ok(())),
        (Case { caller: Caller::Platform, ..good() }, Ok(()), Ok(())),
        (Case { signed_at: now() + CLOCK_SKEW_MAX, ..good() }, Ok(()), Ok(())),
        (Case { request_signed_at: now() - RETENTION * 2, ..good() }, Ok(()), Ok(())),
        (Case { route_agrees: false, ..good() }, Err(Refusal::RouteMismatch), Err(Refusal::RouteMismatch)),
        (Case { acquirer: "acquirer-two", ..good() }, Err(Refusal::AcquirerMismatch), Err(Refusal::AcquirerMismatch)),
        (Case { caller: other, ..good() }, Err(Refusal::IssuerMismatch), Err(Refusal::IssuerMismatch)),
        (Case { standing: Standing::Unknown, ..good() }, Err(Refusal::MemberUnknown), Err(Refusal::MemberUnknown)),
        (Case { standing: Standing::Removed, ..good() }, Err(Refusal::MemberUnknown), Ok(())),
        (Case { standing: Standing::Suspended, ..good() }, Err(Refusal::MemberSuspended), Ok(())),
        (Case { signature_counts: false, ..good() }, Err(Refusal::SignatureInvalid), Err(Refusal::SignatureInvalid)),
        (Case { signed_at: ahead, ..good() }, Err(Refusal::SignedAhead), Err(Refusal::SignedAhead)),
        (Case { request_signed_at: ahead, ..good() }, Err(Refusal::SignedAhead), Err(Refusal::SignedAhead)),
    ];
    for (place, (case, authorize, resolve)) in cases.into_iter().enumerate() {
        assert_eq!(judge(&case, Purpose::Authorize), authorize, "case {place}");
        assert_eq!(judge(&case, Purpose::Resolve), resolve, "case {place}");
    }
}

#[test]
fn the_checks_come_in_their_order() {
    let mut case = Case {
        route_agrees: false,
        acquirer: "acquirer-two",
        caller: Caller::Issuer("bank-b".parse().unwrap()),
        standing: Standing::Suspended,
        signature_counts: false,
        signed_at: now() + CLOCK_SKEW_MAX * 2,
        request_signed_at: now() - RETENTION * 2,
    };
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::RouteMismatch));
    case.route_agrees = true;
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::AcquirerMismatch));
    case.acquirer = "acquirer-one";
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::IssuerMismatch));
    case.caller = Caller::Platform;
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::MemberSuspended));
    case.standing = Standing::Active;
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::SignatureInvalid));
    case.signature_counts = true;
    assert_eq!(judge(&case, Purpose::Authorize), Err(Refusal::SignedAhead));
    case.signed_at = now();
    assert_eq!(judge(&case, Purpose::Authorize), Ok(()));
}

#[test]
fn what_was_signed_before_the_horizon_is_out_of_reach() {
    assert_eq!(within_reach(now(), now()), Ok(()));
    let before = now() - Duration::from_millis(1);
    assert_eq!(within_reach(before, now()), Err(Refusal::OutsideRetention));
    assert_eq!(within_reach(UNIX_EPOCH, UNIX_EPOCH), Ok(()), "nothing was removed yet");
}

fn signed_order(body: &'static [u8]) -> SignedOrder {
    let body = Bytes::from_static(body);
    let order = Order {
        id: OrderId::from_random([1; 16]),
        acquirer: "acquirer-one".parse().unwrap(),
        merchant: Merchant {
            id: "shop-1".parse().unwrap(),
            display_name: "Shop".into(),
            domain: "shop.example".into(),
            category: "5942".parse().unwrap(),
        },
        amount: twd(100),
        lines_digest: Digest::of(b""),
        created_at: now(),
        expires_at: now() + Duration::from_secs(900),
        return_url: "https://shop.example/".parse().unwrap(),
        sealing_key: [1; 32],
        delivery_hint: String::new(),
        device_check_url: None,
    };
    let signed = Signed { body, key_id: "0".repeat(32).parse().unwrap(), signature: [1; 64] };
    SignedOrder { digest: signed.digest(), signed, order }
}

fn twd(units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), units).unwrap()
}

#[test]
fn the_order_has_its_say_by_where_it_stands() {
    let course = || Course { expires_at: now(), declines: 0, position: 0, last: None };
    let attempt = AttemptId { issuer: "bank-a".parse().unwrap(), authorization: AuthorizationId::from_random([1; 16]) };
    let underway = Underway { attempt, cancel_requested: false, taken_from: None };
    let late = now() + Duration::from_millis(1);
    let cases = [
        (State::Open(course()), twd(100), now(), OrderFinding::Payable),
        (State::Open(course()), twd(99), now(), OrderFinding::Declined(DeclineReason::AmountMismatch)),
        (State::Open(course()), twd(99), late, OrderFinding::Lapsed),
        (State::Authorizing(course(), underway), twd(100), late, OrderFinding::Refused(DeclineReason::OrderBusy)),
        (State::Approved(course()), twd(100), now(), OrderFinding::Refused(DeclineReason::OrderAlreadyApproved)),
        (State::Expired(course()), twd(100), now(), OrderFinding::Refused(DeclineReason::OrderExpired)),
        (State::Failed(course()), twd(100), now(), OrderFinding::Refused(DeclineReason::OrderFailed)),
        (State::Cancelled(course()), twd(100), now(), OrderFinding::Refused(DeclineReason::OrderCancelled)),
    ];
    let order = signed_order(b"order");
    for (state, amount, now, finding) in cases {
        assert_eq!(judge_order(Some((&order, &state)), &order, amount, now), finding, "{state:?}");
        // An altered order is none of ours, wherever the true one stands.
        let altered = OrderFinding::NotOurs(DeclineReason::OrderAltered);
        assert_eq!(judge_order(Some((&order, &state)), &signed_order(b"other"), amount, now), altered);
    }
    let unknown = OrderFinding::NotOurs(DeclineReason::OrderUnknown);
    assert_eq!(judge_order(None, &order, twd(100), now()), unknown);
}

#[test]
fn a_changed_signature_alters_the_order_too() {
    let (kept, mut presented) = (signed_order(b"order"), signed_order(b"order"));
    presented.signed.signature[0] ^= 1;
    let state = State::new(now());
    let altered = OrderFinding::NotOurs(DeclineReason::OrderAltered);
    assert_eq!(judge_order(Some((&kept, &state)), &presented, twd(100), now()), altered);
}

#[test]
fn a_card_must_be_good_and_the_issuers() {
    let card =
        |year| CardData { pan: "4000000000000002".parse().unwrap(), expiry: Expiry::new(year, 1).unwrap(), cvv: None };
    assert_eq!(judge_card(&card(2099), true, now()), Ok(()));
    assert_eq!(judge_card(&card(2020), false, now()), Err(DeclineReason::CardExpired));
    assert_eq!(judge_card(&card(2099), false, now()), Err(DeclineReason::BinNotOfIssuer));
}
