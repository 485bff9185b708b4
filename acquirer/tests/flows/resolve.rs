//! What became of an authorization.

use acquirer::{
    authorize::{Pending, Resolution},
    bounds::{Awaited, Party},
    domain::authorization::Refusal,
    error::Error,
};
use mesh::clock::Clock as _;
use proto::{
    authorization::{AuthorizationResult, Carried, DeclineReason, Question},
    event::OrderState,
    pb,
};
use std::time::Duration;

use super::{
    bank::{Bank, approved, declined, shop, twd},
    network::Answer,
};

fn result(resolution: Resolution) -> Carried<AuthorizationResult> {
    match resolution {
        Resolution::Result(signed) => Carried::<AuthorizationResult>::parse(signed.to_pb()).unwrap(),
        Resolution::Pending(_) => panic!("still pending"),
    }
}

#[tokio::test]
async fn a_result_is_found_by_asking() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::ApproveWhenReleased]);
    let call = bank.spawn(&request);
    bank.network.asked_times(1).await;
    let pending = bank.resolve(&bank.a, bank.question(&request)).await.unwrap();
    let deadline = bank.clock.now() + Duration::from_secs(5);
    let expected = |party, by| Pending {
        retry_after: Duration::from_millis(200),
        awaited: Awaited { party, by },
        decided_by: deadline + Duration::from_secs(27),
    };
    assert_eq!(pending, Resolution::Pending(expected(Party::CardNetwork, deadline)));
    bank.network.release();
    let answered = call.await.unwrap().unwrap();
    let found = result(bank.resolve(&bank.a, bank.question(&request)).await.unwrap());
    bank.check(&request, &found);
    assert!(approved(&found));
    assert_eq!(found.signed, answered);
}

#[tokio::test]
async fn a_question_that_comes_first_declines_for_ever() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    let tombstone = result(bank.resolve(&bank.a, bank.question(&request)).await.unwrap());
    bank.check(&request, &tombstone);
    assert_eq!(declined(&tombstone), Some(DeclineReason::NeverReceived));
    let late = bank.authorize(&request).await.unwrap();
    assert_eq!(late.signed, tombstone.signed, "byte for byte");
    assert_eq!(result(bank.resolve(&bank.a, bank.question(&request)).await.unwrap()).signed, tombstone.signed);
    assert_eq!(bank.network.asked(), []);
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
    assert_eq!(bank.events(&shop()).await, [], "no order took part in it");
    assert!(approved(&bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap()));
}

#[tokio::test]
async fn question_and_request_at_once_agree() {
    for number in 0..40 {
        let bank = Bank::new();
        let order = bank.order("R-1", 100).await;
        let request = bank.a.request(&order, number, bank.clock.now());
        let (asked, answered) = tokio::join!(bank.resolve(&bank.a, bank.question(&request)), bank.authorize(&request));
        let answered = answered.unwrap();
        match asked.unwrap() {
            Resolution::Result(signed) => assert_eq!(signed, answered.signed),
            Resolution::Pending(_) => assert!(approved(&answered)),
        }
    }
}

#[tokio::test]
async fn certainty_is_for_the_issuer_itself_even_a_suspended_one() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.authorize(&request).await.unwrap();
    for status in [pb::MemberStatus::Suspended, pb::MemberStatus::Removed] {
        bank.set_status_of_a(status);
        assert!(approved(&result(bank.resolve(&bank.a, bank.question(&request)).await.unwrap())));
    }
    bank.set_status_of_a(pb::MemberStatus::Active);
    let refusal = |outcome: Result<Resolution, Error>| match outcome {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    let asks = async |issuer, question| refusal(bank.resolve(issuer, question).await);
    assert_eq!(asks(&bank.b, bank.question(&request)).await, Refusal::IssuerMismatch);
    let other = Question { request_digest: proto::digest::Digest::of(b"other"), ..bank.question(&request) };
    assert_eq!(asks(&bank.a, other).await, Refusal::AuthorizationIdReused);
    // The digest alone does not make it the same question.
    let dearer = Question { amount: twd(101), ..bank.question(&request) };
    assert_eq!(asks(&bank.a, dearer).await, Refusal::AuthorizationIdReused);
    let other_order = Question { order_digest: proto::digest::Digest::of(b"other"), ..bank.question(&request) };
    assert_eq!(asks(&bank.a, other_order).await, Refusal::AuthorizationIdReused);
}
