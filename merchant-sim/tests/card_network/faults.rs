//! Every fault that the network can be told to have, all at once.

use std::time::Duration;

use acquirer::network::Behaviour;
use proto::authorization::{Decision, DeclineReason};
use proto::pb::card_network_fault::What;
use proto::pb::{CardNetworkCall, CardNetworkFailure, CardNetworkFault, CardNetworkState};

use super::payer::unavailable;
use super::site::{Site, until};

fn after(seconds: u64) -> prost_types::Duration {
    proto::time::duration_to_pb(Duration::from_secs(seconds))
}

/// A fault of the requests over this amount.
pub(super) fn of_request(amount: i64, what: What) -> CardNetworkFault {
    let calls = vec![CardNetworkCall::Authorize.into()];
    CardNetworkFault { calls, amount_minor_units: amount, what: Some(what), ..Default::default() }
}

pub(super) fn failure(failure: CardNetworkFailure) -> What {
    What::Failure(failure.into())
}

/// Plays them all over this line. The acquirer gives the network 2 s, and its inquiry 1 s.
async fn play(is_mutual: bool) {
    let site = Site::new(is_mutual);
    let (_network, _acquirer) = (site.start_network().await, site.start_acquirer().await);
    let faults = [
        (102, What::AnswersAfter(proto::time::duration_to_pb(Duration::from_millis(300)))),
        (103, failure(CardNetworkFailure::Twice)),
        (104, What::Declines(proto::pb::DeclineReason::LostCard.into())),
        (105, failure(CardNetworkFailure::Silent)),
        (106, failure(CardNetworkFailure::Lost)),
        (107, failure(CardNetworkFailure::Unavailable)),
        (108, What::DecidesAfter(after(5))),
        (109, What::ArrivesAfter(after(6))),
        (110, What::AnswersAfter(after(8))),
    ];
    let mut faults: Vec<CardNetworkFault> = faults.into_iter().map(|(amount, what)| of_request(amount, what)).collect();
    // The first reversals are lost on their way, too.
    faults.push(CardNetworkFault {
        calls: vec![CardNetworkCall::Reverse.into()],
        times: 3,
        what: Some(failure(CardNetworkFailure::Lost)),
        ..Default::default()
    });
    site.fail(faults).await;
    let mut payments = Vec::new();
    for amount in 101..=110 {
        payments.push(site.pay(amount, Behaviour::Approve).await);
    }
    payments.push(site.pay(111, Behaviour::Silent).await);
    payments.push(site.pay(112, Behaviour::Late).await);
    site.reconcile(&mut payments).await;

    let lost_card = Decision::Declined(DeclineReason::LostCard);
    let expected = [
        (101, None, CardNetworkState::Approved),
        (102, None, CardNetworkState::Approved),
        (103, None, CardNetworkState::Approved),
        (104, Some(lost_card), CardNetworkState::Declined),
        // It has decided and tells whoever inquires.
        (105, None, CardNetworkState::Approved),
        (106, Some(unavailable()), CardNetworkState::Reversed),
        (107, Some(unavailable()), CardNetworkState::Reversed),
        (108, Some(unavailable()), CardNetworkState::Reversed),
        (109, Some(unavailable()), CardNetworkState::Reversed),
        (110, None, CardNetworkState::Approved),
        (111, Some(unavailable()), CardNetworkState::Reversed),
        (112, Some(unavailable()), CardNetworkState::Reversed),
    ];
    for (payment, (amount, declined, state)) in payments.iter_mut().zip(expected) {
        let decision = site.result(payment).await;
        assert_eq!((payment.amount, Some(decision).filter(|one| !one.is_approved())), (amount, declined));
        until("the network's word", async || site.entry(payment).await.is_some_and(|one| one.state() == state)).await;
    }
    let twice = site.entry(&payments[2]).await.unwrap();
    assert_eq!((twice.requests, twice.reversals), (2, 0), "worked on twice, charged once");
    // The request that was on its way for so long arrives after its reversal, and is declined.
    until("the late request", async || site.entry(&payments[8]).await.is_some_and(|one| one.requests == 1)).await;
    let late = site.entry(&payments[8]).await.unwrap();
    assert_eq!((late.state(), late.approval_code.as_str()), (CardNetworkState::Reversed, ""), "it never was approved");
    site.reconcile(&mut payments).await;
    assert_eq!(site.domain(), "pay.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_on_a_plain_line_both_books_agree() {
    play(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_over_mutual_tls_both_books_agree() {
    play(true).await;
}
