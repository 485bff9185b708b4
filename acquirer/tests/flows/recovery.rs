//! A process that ends in the middle, and the next one.

use std::{sync::Arc, time::Duration};

use acquirer::{authorize::Recovery, network::Inquiry, tasks};
use mesh::clock::Clock as _;
use proto::{authorization::DeclineReason, event::OrderState};
use tokio_util::sync::CancellationToken;

use super::{
    authorize::reversals,
    bank::{Bank, approved, declined, shop},
    network::{Answer, CODE},
};

#[tokio::test]
async fn what_was_under_way_is_settled_by_inquiry_and_never_asked_again() {
    let before = Bank::new();
    let verdicts = [
        (Inquiry::Approved(CODE.parse().unwrap()), OrderState::Approved, 0),
        (Inquiry::Declined(DeclineReason::LostCard), OrderState::Open, 0),
        (Inquiry::Unknown, OrderState::Open, 1),
    ];
    let mut cases = Vec::new();
    for (number, (inquiry, state, reversed)) in (1u8..).zip(verdicts) {
        let order = before.order(&format!("R-{number}"), 100).await;
        let request = before.a.request(&order, number, before.clock.now());
        before.network.next([Answer::Silent]);
        before.network.knows(request.network_id(), inquiry);
        // The process ends while the network is silent: its tasks are never heard of again.
        before.spawn(&request);
        before.network.asked_times(usize::from(number)).await;
        cases.push((order, request, state, reversed));
    }
    let bank = before.restarted();
    assert_eq!(bank.authorizer.recover(Recovery::Overdue).await.unwrap(), 0, "another process may be at work");
    assert_eq!(bank.authorizer.recover(Recovery::Everything).await.unwrap(), 3);
    assert_eq!(bank.authorizer.recover(Recovery::Everything).await.unwrap(), 0);
    let mut expected_reversals = 0;
    for (order, request, state, reversed) in cases {
        assert_eq!(bank.state(&order).await.name(), state);
        let result = bank.authorize(&request).await.unwrap();
        assert_eq!(approved(&result), state == OrderState::Approved);
        expected_reversals += reversed;
    }
    assert_eq!(reversals(&bank).await, expected_reversals);
    assert_eq!(bank.network.asked().len(), 3, "nobody was asked twice");
    assert_eq!(bank.events(&shop()).await.len(), 3);

    // The worker of the first process wakes up after all: what is on record stands.
    let results = bank.events(&shop()).await;
    before.clock.advance(Duration::from_secs(60));
    before.authorizer.drain().await;
    assert_eq!(bank.events(&shop()).await, results);
}

#[tokio::test]
async fn a_request_that_finds_itself_under_way_waits_out_the_deadline_and_settles() {
    let before = Bank::new();
    let order = before.order("R-1", 100).await;
    let request = before.a.request(&order, 1, before.clock.now());
    before.network.next([Answer::Panic]);
    assert!(before.spawn(&request).await.unwrap().is_err(), "the worker panics");
    let bank = before.restarted();
    let again = bank.spawn(&request);
    bank.advance_a_sleeper(Duration::from_secs(5)).await;
    again.await.unwrap().unwrap();
    let result = bank.authorize(&request).await.unwrap();
    assert_eq!(declined(&result), Some(DeclineReason::NetworkUnavailable));
    assert_eq!((bank.network.asked().len(), reversals(&bank).await), (1, 1));
}

#[tokio::test]
async fn more_than_a_page_is_recovered_and_what_has_a_worker_is_left_alone() {
    let before = Bank::new();
    before.network.next([Answer::Silent; 150]);
    for number in 0..150 {
        let order = before.order(&format!("R-{number}"), 1).await;
        before.spawn(&before.a.request(&order, number, before.clock.now()));
    }
    before.network.asked_times(150).await;
    before.clock.advance(Duration::from_secs(4));
    assert_eq!(before.authorizer.recover(Recovery::Everything).await.unwrap(), 0, "all of them have workers");
    let bank = before.restarted();
    assert_eq!(bank.authorizer.recover(Recovery::Everything).await.unwrap(), 150);
    assert_eq!(reversals(&bank).await, 100, "a page of them");
    while bank.authorizer.send_reversals().await.unwrap() > 0 {}
    assert_eq!((reversals(&bank).await, bank.network.reversed().len()), (0, 150));
}

#[tokio::test]
async fn what_is_overdue_is_recovered_while_the_process_lives() {
    let bank = Bank::new();
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    bank.network.next([Answer::Panic]);
    assert!(bank.spawn(&request).await.unwrap().is_err());
    bank.clock.advance(Duration::from_secs(15));
    assert_eq!(bank.authorizer.recover(Recovery::Overdue).await.unwrap(), 0, "its time is just over");
    bank.clock.advance(Duration::from_millis(1));
    assert_eq!(bank.authorizer.recover(Recovery::Overdue).await.unwrap(), 1);
    assert_eq!(bank.state(&order).await.name(), OrderState::Open);
}

#[tokio::test]
async fn a_dead_network_does_not_keep_the_process_from_stopping() {
    let before = Bank::new();
    for (number, answer) in [(1, Answer::Unreachable), (2, Answer::Silent)] {
        let order = before.order(&format!("R-{number}"), 1).await;
        before.network.next([answer]);
        before.spawn(&before.a.request(&order, number, before.clock.now()));
        before.network.asked_times(usize::from(number)).await;
    }
    let bank = before.restarted();
    while reversals(&bank).await == 0 {
        tokio::task::yield_now().await;
    }
    bank.network.die();
    let inquired = bank.network.inquired().len();
    let stop = CancellationToken::new();
    let authorizer = || Arc::clone(&bank.authorizer);
    let reversing = tokio::spawn(tasks::send_reversals(authorizer(), Arc::clone(&bank.context), stop.clone()));
    let clock = Arc::clone(&bank.context.clock);
    let recovering = tokio::spawn(tasks::recover_authorizations(authorizer(), clock, stop.clone()));
    while bank.network.reversed().is_empty() || bank.network.inquired().len() == inquired {
        tokio::task::yield_now().await;
    }
    // Nobody moves the clock, so that neither of the two comes to the deadline of its question.
    stop.cancel();
    for task in [reversing, recovering] {
        tokio::time::timeout(Duration::from_secs(30), task).await.expect("an end in time").unwrap();
    }
    assert_eq!(reversals(&bank).await, 1, "it is sent again after the next start");
}

#[tokio::test]
async fn a_reversal_is_sent_at_once() {
    let bank = Bank::new();
    let stop = CancellationToken::new();
    let (authorizer, context) = (Arc::clone(&bank.authorizer), Arc::clone(&bank.context));
    let task = tokio::spawn(tasks::send_reversals(authorizer, context, stop.clone()));
    while bank.clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    let order = bank.order("R-1", 1).await;
    bank.network.next([Answer::Unreachable]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    // Nobody moves the clock, so that the task's next look would never come.
    let sent = async {
        while reversals(&bank).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("a reversal in time");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_network_that_comes_back_hears_of_a_reversal_within_a_minute() {
    let bank = Bank::new();
    let order = bank.order("R-1", 1).await;
    bank.network.next([Answer::Unreachable]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    bank.network.fail_reversals(20);
    for tries in 1..=20 {
        assert_eq!(bank.authorizer.send_reversals().await.unwrap(), 0);
        assert_eq!(bank.network.reversed().len(), tries);
        bank.clock.advance(Duration::from_secs(60));
    }
    assert_eq!((bank.authorizer.send_reversals().await.unwrap(), reversals(&bank).await), (1, 0));
}

#[tokio::test]
async fn silence_is_no_acknowledgement() {
    let bank = Bank::new();
    let order = bank.order("R-1", 1).await;
    bank.network.next([Answer::Unreachable]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    bank.network.die();
    let authorizer = Arc::clone(&bank.authorizer);
    let sending = tokio::spawn(async move { authorizer.send_reversals().await.unwrap() });
    bank.advance_a_sleeper(Duration::from_secs(2)).await;
    assert_eq!((sending.await.unwrap(), reversals(&bank).await), (0, 1));
}
