//! Authorizations: every answer, once and for ever.

use std::time::Duration;

use acquirer::{
    domain::authorization::{Caller, Refusal},
    domain::order::State,
    error::Error,
    network::Inquiry,
    records::REVERSALS_DUE,
};
use mesh::{
    clock::Clock as _,
    store::{KeyRange, PageRequest},
};
use proto::{
    authorization::{Carried, DeclineReason},
    event::OrderState,
    pb,
};

use super::{
    bank::{Bank, PAN, approved, card, declined, opened_card, shop, twd},
    network::{Answer, CODE},
};

pub(crate) async fn reversals(bank: &Bank) -> usize {
    let store = bank.context.repository.store();
    store.scan(REVERSALS_DUE, KeyRange::all(), PageRequest::first(100)).await.unwrap().items.len()
}

#[tokio::test]
async fn a_payment_is_approved_once_and_its_result_found_again_byte_for_byte() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    let first = bank.authorize(&request).await.unwrap();
    assert_eq!(first.says.decision, proto::authorization::Decision::Approved(CODE.parse().unwrap()));
    bank.clock.advance(Duration::from_secs(3600));
    assert_eq!(bank.authorize(&request).await.unwrap().signed, first.signed);
    assert_eq!(bank.restarted().authorize(&request).await.unwrap().signed, first.signed);
    assert_eq!(bank.network.asked(), [request.network_id()]);
    let kept = bank.find(&order).await;
    assert_eq!((kept.state.name(), kept.sealing_key), (OrderState::Approved, None));
    let again = bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&again), Some(DeclineReason::OrderAlreadyApproved));
    let events = bank.events(&shop()).await;
    assert_eq!(events.iter().map(|event| event.state).collect::<Vec<_>>(), [OrderState::Approved; 2]);
}

#[tokio::test]
async fn the_same_request_at_once_is_one_payment() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::ApproveWhenReleased]);
    let calls: Vec<_> = (0..16).map(|_| bank.spawn(&request)).collect();
    bank.network.asked_times(1).await;
    bank.network.release();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap().unwrap());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(bank.network.asked().len(), 1);
    assert_eq!(bank.events(&shop()).await.len(), 1);
}

#[tokio::test]
async fn two_issuers_at_once_make_one_approval() {
    for round in 0..20 {
        let bank = Bank::new();
        let order = bank.order("R-1", 100).await;
        let sealed = card("5200000000000007");
        let one = bank.a.request(&order, 1, bank.clock.now());
        let two = bank.b.request_with(&order, round, bank.clock.now(), &sealed, |_| {});
        let (one, two) = tokio::join!(bank.authorize(&one), bank.authorize(&two));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(u8::from(approved(&one)) + u8::from(approved(&two)), 1);
        let loser = declined(&one).or(declined(&two));
        let reasons = [DeclineReason::OrderBusy, DeclineReason::OrderAlreadyApproved];
        assert!(loser.is_some_and(|reason| reasons.contains(&reason)), "{loser:?}");
        assert_eq!(bank.events(&shop()).await.len(), 2);
    }
}

#[tokio::test]
async fn a_busy_order_declines_uncounted_and_for_ever() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.network.next([Answer::DeclineWhenReleased]);
    let work = bank.spawn(&bank.a.request(&order, 1, bank.clock.now()));
    bank.network.asked_times(1).await;
    let second = bank.a.request(&order, 2, bank.clock.now());
    let busy = bank.authorize(&second).await.unwrap();
    assert_eq!(declined(&busy), Some(DeclineReason::OrderBusy));
    bank.network.release();
    work.await.unwrap().unwrap();
    let state = bank.state(&order).await;
    assert_eq!((state.name(), state.course().declines), (OrderState::Open, 1));
    assert_eq!(bank.authorize(&second).await.unwrap().signed, busy.signed, "final for its id");
    let events = bank.events(&shop()).await;
    assert_eq!(events.iter().map(|event| event.state).collect::<Vec<_>>(), [OrderState::Authorizing, OrderState::Open]);
    assert!(approved(&bank.authorize(&bank.a.request(&order, 3, bank.clock.now())).await.unwrap()));
}

#[tokio::test]
async fn the_fifth_decline_fails_the_order() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.network.next([Answer::Decline(DeclineReason::InsufficientFunds); 5]);
    for number in 1..=5 {
        let result = bank.authorize(&bank.a.request(&order, number, bank.clock.now())).await.unwrap();
        assert_eq!(declined(&result), Some(DeclineReason::InsufficientFunds));
    }
    let sixth = bank.authorize(&bank.a.request(&order, 6, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&sixth), Some(DeclineReason::OrderFailed));
    let states: Vec<_> = bank.events(&shop()).await.iter().map(|event| event.state).collect();
    use OrderState::{Failed, Open};
    assert_eq!(states, [Open, Open, Open, Open, Failed, Failed]);
}

#[tokio::test]
async fn what_is_wrong_with_the_order_or_the_card_is_a_signed_decline() {
    let bank = Bank::new();
    let now = bank.clock.now();
    let order = bank.order("R-1", 100).await;
    let mut unknown = order.clone();
    unknown.signed.order.id = super::bank::some_order();
    unknown.signed.signed = bank.context.seal.sign(&unknown.signed.order.to_pb());
    unknown.signed.digest = unknown.signed.signed.digest();
    let mut altered = order.clone();
    altered.signed.order.amount = twd(1);
    altered.signed.signed = bank.context.seal.sign(&altered.signed.order.to_pb());
    altered.signed.digest = altered.signed.signed.digest();
    let expired = pb::CardData { expiry_year: 2026, expiry_month: 8, ..card(PAN) };
    let cases = [
        (bank.a.request(&unknown, 1, now), DeclineReason::OrderUnknown, false),
        (bank.a.request(&altered, 2, now), DeclineReason::OrderAltered, false),
        (bank.a.request_with(&order, 3, now, &card(PAN), |r| r.amount = twd(99)), DeclineReason::AmountMismatch, true),
        (
            bank.a.request_with(&order, 4, now, &card(PAN), |r| r.sealed_card = vec![1; 100].into()),
            DeclineReason::CardUnreadable,
            true,
        ),
        (bank.a.request_with(&order, 5, now, &card("4000000000000003"), |_| {}), DeclineReason::CardInvalid, true),
        (bank.a.request_with(&order, 6, now, &expired, |_| {}), DeclineReason::CardExpired, true),
        (bank.b.request(&order, 7, now), DeclineReason::BinNotOfIssuer, true),
    ];
    let mut heard = 0;
    for (request, reason, is_heard) in cases {
        let result = bank.authorize(&request).await.unwrap();
        assert_eq!(declined(&result), Some(reason));
        heard += usize::from(is_heard);
        assert_eq!(bank.events(&shop()).await.len(), heard, "{reason:?}");
    }
    assert_eq!(bank.state(&order).await.name(), OrderState::Failed, "five of them count");
    assert_eq!(bank.network.asked(), []);
}

#[tokio::test]
async fn an_order_past_its_deadline_never_starts() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.clock.set(order.signed.order.expires_at + Duration::from_millis(1));
    let result = bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::OrderExpired));
    let events = bank.events(&shop()).await;
    assert_eq!(events.len(), 2, "the end, and the result");
    assert_eq!((events[0].authorization.clone(), events[1].authorization.is_some()), (None, true));
}

#[tokio::test]
async fn an_authorization_under_way_outlives_the_deadline() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.clock.set(order.signed.order.expires_at);
    bank.network.next([Answer::ApproveWhenReleased]);
    let work = bank.spawn(&bank.a.request(&order, 1, bank.clock.now()));
    bank.network.asked_times(1).await;
    bank.clock.advance(Duration::from_secs(1));
    assert_eq!(bank.orders.expire_due().await.unwrap(), 0);
    bank.network.release();
    work.await.unwrap().unwrap();
    assert_eq!(bank.state(&order).await.name(), OrderState::Approved);
}

#[tokio::test]
async fn a_decline_past_the_deadline_expires_the_order() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.clock.set(order.signed.order.expires_at);
    bank.network.next([Answer::DeclineWhenReleased]);
    let work = bank.spawn(&bank.a.request(&order, 1, bank.clock.now()));
    bank.network.asked_times(1).await;
    bank.clock.advance(Duration::from_secs(1));
    bank.network.release();
    work.await.unwrap().unwrap();
    let events = bank.events(&shop()).await;
    assert_eq!(events.iter().map(|event| event.state).collect::<Vec<_>>(), [OrderState::Expired]);
}

#[tokio::test]
async fn whoever_may_not_speak_is_refused_and_nothing_is_recorded() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    let call = async |caller: &Caller, request: &super::bank::Sent| {
        bank.authorizer.authorize(caller, &request.route, request.request.clone()).await
    };
    let a = Caller::Issuer(bank.a.id.clone());
    let refused = |outcome: Result<_, Error>| match outcome {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    let mut rerouted = request.clone();
    rerouted.route.amount = twd(1);
    assert_eq!(refused(call(&a, &rerouted).await), Refusal::RouteMismatch);
    assert_eq!(refused(call(&Caller::Issuer(bank.b.id.clone()), &request).await), Refusal::IssuerMismatch);
    let other = bank.a.request_with(&order, 1, bank.clock.now(), &card(PAN), |request| {
        request.acquirer = "acquirer-two".parse().unwrap();
    });
    assert_eq!(refused(call(&a, &other).await), Refusal::AcquirerMismatch);
    // Bank b signs in bank a's name.
    let forged =
        bank.b.request_with(&order, 1, bank.clock.now(), &card(PAN), |request| request.issuer = bank.a.id.clone());
    assert_eq!(refused(call(&a, &forged).await), Refusal::SignatureInvalid);
    let ahead = bank.a.request(&order, 1, bank.clock.now() + Duration::from_secs(61));
    assert_eq!(refused(call(&a, &ahead).await), Refusal::SignedAhead);
    bank.set_status_of_a(pb::MemberStatus::Suspended);
    assert_eq!(refused(call(&a, &request).await), Refusal::MemberSuspended);
    bank.set_status_of_a(pb::MemberStatus::Active);
    assert_eq!(bank.events(&shop()).await, []);
    let result = call(&Caller::Platform, &request).await.unwrap();
    bank.check(&request, &Carried::<proto::authorization::AuthorizationResult>::parse(result.to_pb()).unwrap());
}

#[tokio::test]
async fn an_id_stands_for_one_request() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    bank.network.next([Answer::ApproveWhenReleased]);
    let first = bank.a.request(&order, 1, bank.clock.now());
    let other = bank.a.request(&order, 1, bank.clock.now());
    let work = bank.spawn(&first);
    bank.network.asked_times(1).await;
    let reused = |outcome: Result<_, Error>| matches!(outcome, Err(Error::Refused(Refusal::AuthorizationIdReused)));
    assert!(reused(bank.authorize(&other).await), "while it is decided");
    bank.network.release();
    work.await.unwrap().unwrap();
    assert!(reused(bank.authorize(&other).await), "and afterwards");
    // Ids are unique per issuer alone: bank b has its own number 1.
    let theirs = bank.b.request(&order, 1, bank.clock.now());
    assert_eq!(declined(&bank.authorize(&theirs).await.unwrap()), Some(DeclineReason::OrderAlreadyApproved));
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nothing() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::ApproveWhenReleased]);
    let call = bank.spawn(&request);
    bank.network.asked_times(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    bank.network.release();
    assert!(approved(&bank.authorize(&request).await.unwrap()));
    assert_eq!(bank.network.asked().len(), 1);
    bank.authorizer.drain().await;
}

#[tokio::test]
async fn a_silent_network_means_a_decline_and_a_reversal_that_is_repeated() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::Silent]);
    bank.network.fail_reversals(2);
    let call = bank.spawn(&request);
    bank.network.asked_times(1).await;
    bank.advance_a_sleeper(Duration::from_secs(5)).await;
    call.await.unwrap().unwrap();
    let result = bank.authorize(&request).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
    assert_eq!(bank.network.inquired(), [request.network_id()]);
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);

    assert_eq!((bank.authorizer.send_reversals().await.unwrap(), reversals(&bank).await), (0, 1));
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0, "not due yet");
    bank.clock.advance(Duration::from_secs(1));
    assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0, "it fails again");
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!((bank.authorizer.send_reversals().await.unwrap(), reversals(&bank).await), (1, 0));
    assert_eq!(bank.network.reversed().len(), 3);
}

#[tokio::test]
async fn an_inquiry_finds_what_the_silence_hid() {
    for (inquiry, state) in [
        (Inquiry::Approved(CODE.parse().unwrap()), OrderState::Approved),
        (Inquiry::Declined(DeclineReason::StolenCard), OrderState::Open),
    ] {
        let bank = Bank::new();
        let order = bank.order("R-1", 100).await;
        let request = bank.a.request(&order, 1, bank.clock.now());
        bank.network.knows(request.network_id(), inquiry);
        bank.network.next([Answer::Unreachable]);
        bank.authorize(&request).await.unwrap();
        assert_eq!(bank.state(&order).await.name(), state);
        assert_eq!(reversals(&bank).await, 0);
    }
}

#[tokio::test]
async fn cancelling_and_approving_at_once_agree() {
    use acquirer::orders::Cancelling;

    for number in 0..40 {
        let bank = Bank::new();
        let order = bank.order("R-1", 100).await;
        let request = bank.a.request(&order, number, bank.clock.now());
        let call = bank.spawn(&request);
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let (answer, _) = bank.orders.cancel(&shop(), order.id()).await.unwrap();
        call.await.unwrap().unwrap();
        let result = bank.authorize(&request).await.unwrap();
        let state = bank.state(&order).await;
        match answer {
            Cancelling::Cancelled => assert!(!approved(&result) && matches!(state, State::Cancelled(_))),
            Cancelling::TooLate | Cancelling::Pending => {
                assert!(approved(&result) && matches!(state, State::Approved(_)));
            }
            Cancelling::AlreadyExpired | Cancelling::AlreadyFailed => panic!("{answer:?}"),
        }
    }
}

#[test]
fn the_opened_card_prints_nothing() {
    let printed = format!("{:?}", opened_card());
    assert!(!printed.contains(PAN) && !printed.contains("123"), "{printed}");
}
