//! The way to the acquirer: what gets lost, what can't be made, and what the store does meanwhile.

use std::{sync::Arc, time::Duration};

use issuer::{client::Unanswered, domain::charge::State, error::Error};
use proto::{authorization::DeclineReason, pb};
use tokio::sync::Notify;
use tonic::Code;

use super::{
    acquirer::{Reply, approved},
    faults::Fault,
    world::{Card, World, eventually, settle_down},
};

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_leaves_the_charge_unknown() {
    let refused = |code, reason: &str| Unanswered::Refused { code, reason: reason.into() };
    for failure in [
        Unanswered::NoWay("no entry".into()),
        Unanswered::TooLate,
        Unanswered::OtherAuthorization,
        refused(Code::InvalidArgument, "INVALID_FIELD"),
        refused(Code::Unauthenticated, "SIGNATURE_INVALID"),
        refused(Code::PermissionDenied, "MEMBER_SUSPENDED"),
        refused(Code::Internal, ""),
    ] {
        let (world, run) = World::new().await;
        world.acquirer.then(Reply::Fail(failure.clone()));
        run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
        run.until_unknown(1).await;
        assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0), "{failure}");
        // It never arrived there; asking makes sure that it never will.
        run.ask();
        world.clock.advance(Duration::from_millis(200));
        let ended = run.until_final(1).await;
        assert!(matches!(ended.state, State::Declined { reason: DeclineReason::NeverReceived, .. }), "{failure}");
        assert_eq!(world.account("credit-lin").await, (100_000, 0, 0), "{failure}");
    }
}

#[tokio::test]
async fn an_approval_that_is_lost_on_the_way_is_found_by_asking() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    run.until_unknown(1).await;
    run.ask();
    world.clock.advance(Duration::from_millis(200));
    let paid = run.until_final(1).await;
    assert!(matches!(paid.state, State::Approved { .. }));
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    assert_eq!(world.acquirer.received().len(), 1, "asking is not sending");
}

/// What the same request may get over in a moment.
fn passing() -> [Unanswered; 4] {
    let refused = |code, reason: &str| Unanswered::Refused { code, reason: reason.into() };
    [
        Unanswered::Connection("refused".into()),
        refused(Code::Unavailable, "UNAVAILABLE"),
        refused(Code::Unavailable, "ACQUIRER_UNREACHABLE"),
        refused(Code::ResourceExhausted, "OVERLOADED"),
    ]
}

fn sent(world: &World) -> Vec<pb::AuthorizeRequest> {
    world.hop.requests.lock().unwrap().clone()
}

#[tokio::test]
async fn what_passes_in_a_moment_costs_nobody_a_payment() {
    for failure in passing() {
        let (world, run) = World::new().await;
        (0..2).for_each(|_| world.acquirer.then(Reply::Fail(failure.clone())));
        run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
        for (count, pause) in [(1, 200), (2, 400)] {
            eventually(async || sent(&world).len() == count && world.clock.sleepers() > 0).await;
            settle_down().await;
            world.clock.advance(Duration::from_millis(pause - 1));
            settle_down().await;
            assert_eq!(sent(&world).len(), count, "{failure}: sent again after {pause} ms and not before");
            world.clock.advance(Duration::from_millis(1));
        }
        assert!(matches!(run.until_final(1).await.state, State::Approved { .. }), "{failure}");
        let sent = sent(&world);
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|other| *other == sent[0]), "the very same request");
        assert_eq!(run.ctx.numbers.resent.value(), 2);
        assert!(world.acquirer.questions().is_empty(), "a question would have made it a decline");
        assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    }
}

#[tokio::test]
async fn a_request_that_was_decided_before_the_connection_broke_is_paid_once() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveAndBreak);
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    eventually(async || sent(&world).len() == 1).await;
    settle_down().await;
    world.clock.advance(Duration::from_millis(200));
    let paid = run.until_final(1).await;
    assert_eq!(paid.result, world.acquirer.decided(&paid.authorization), "the recorded result");
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn after_the_wait_nothing_is_sent_any_more_and_the_acquirer_is_asked() {
    for failure in passing() {
        let (world, run) = World::new().await;
        (0..100).for_each(|_| world.acquirer.then(Reply::Fail(failure.clone())));
        run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
        for _ in 0..100 {
            settle_down().await;
            world.clock.advance(Duration::from_millis(100));
        }
        run.until_unknown(1).await;
        let times = sent(&world).len();
        assert_eq!(times, 6, "after 0, 0.2, 0.6, 1.4, 3.0 and 6.2 s");
        run.ask();
        let ended = loop {
            settle_down().await;
            world.clock.advance(Duration::from_millis(200));
            let now = run.charge(1).await;
            if now.state.is_final() {
                break now;
            }
        };
        assert!(matches!(ended.state, State::Declined { reason: DeclineReason::NeverReceived, .. }), "{failure}");
        assert_eq!(sent(&world).len(), times, "nothing is sent once the acquirer was asked");
        assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    }
}

#[tokio::test]
async fn a_server_that_stops_sends_nothing_again() {
    let (world, run) = World::new().await;
    (0..100).for_each(|_| world.acquirer.then(Reply::Fail(Unanswered::Connection("refused".into()))));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    eventually(async || sent(&world).len() == 1).await;
    run.ctx.stop.cancel();
    run.ctx.tasks.close();
    super::world::within_patience(run.ctx.tasks.wait()).await;
    assert!(matches!(run.charge(1).await.state, State::Unknown { .. }));
    assert_eq!(sent(&world).len(), 1);
}

#[tokio::test]
async fn a_result_is_waited_for_ten_seconds() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Wait(Arc::new(Notify::new()), approved()));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    eventually(async || world.acquirer.received().len() == 1 && world.clock.sleepers() > 0).await;
    world.clock.advance(Duration::from_millis(9_999));
    settle_down().await;
    assert!(matches!(run.charge(1).await.state, State::Sent(_)));
    world.clock.advance(Duration::from_millis(1));
    run.until_unknown(1).await;
}

#[tokio::test]
async fn a_result_within_its_time_is_taken() {
    let (world, run) = World::new().await;
    let told = Arc::new(Notify::new());
    world.acquirer.then(Reply::Wait(Arc::clone(&told), approved()));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    eventually(async || world.acquirer.received().len() == 1).await;
    world.clock.advance(Duration::from_secs(9));
    told.notify_one();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

#[tokio::test]
async fn a_request_that_cannot_be_made_gives_everything_back() {
    let (world, run) = World::new().await;
    // A point of low order: no key pair has it, and nothing can be sealed to it.
    let order = world.acquirer.order_with("TWD", 30_000, |order| order.sealing_key = [0; 32]);
    run.submit(1, &order, Card::First).await.unwrap();
    assert_eq!(run.until_final(1).await.state, State::Abandoned);
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
    assert!(world.acquirer.received().is_empty());
}

/// A charge takes three commits: held, sent, ended.
const COMMITS: usize = 3;

#[tokio::test]
async fn lost_races_and_lost_answers_at_any_commit_change_nothing() {
    for fault in [Fault::Conflict, Fault::LostBefore, Fault::LostAfter] {
        for at in 0..COMMITS {
            let (world, run) = World::new().await;
            run.store.fail(at, fault);
            run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
            let paid = run.until_final(1).await;
            assert!(matches!(paid.state, State::Approved { .. }), "{fault:?} at {at}: {:?}", paid.state);
            settle_down().await;
            assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000), "{fault:?} at {at}");
            assert_eq!(world.acquirer.received().len(), 1, "{fault:?} at {at}");
            assert!(!world.request_is_stored(&paid).await);
        }
    }
}

#[tokio::test]
async fn many_lost_races_end_in_an_answer_to_come_back() {
    let (world, run) = World::new().await;
    (0..1000).for_each(|at| run.store.fail(at, Fault::Conflict));
    let refused = run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await;
    assert!(matches!(refused, Err(Error::Contended)), "{refused:?}");
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
}

#[tokio::test]
async fn a_store_that_fails_for_good_sends_nothing() {
    let (world, run) = World::new().await;
    run.store.fail(0, Fault::Fatal);
    let refused = run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await;
    assert!(matches!(refused, Err(Error::Repository(_))), "{refused:?}");

    // The charge is held; the commit before the sending fails, again and again.
    let (world, run) = World::new().await;
    (1..1000).for_each(|at| run.store.fail(at, Fault::Fatal));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    for _ in 0..5 {
        settle_down().await;
        world.clock.advance(Duration::from_secs(5));
    }
    assert!(run.store.commits() > 3, "it keeps trying");
    assert!(world.acquirer.received().is_empty(), "nothing leaves before it is durable");
    run.ctx.stop.cancel();
    run.ctx.tasks.close();
    super::world::within_patience(run.ctx.tasks.wait()).await;

    // The restart gives it up.
    let next = world.start(2).await;
    let recovered = issuer::tasks::recovery::recover(&next.ctx).await.unwrap();
    assert_eq!((recovered.abandoned, recovered.unknown, recovered.failed), (1, 0, 0));
    assert_eq!(next.charge(1).await.state, State::Abandoned);
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
}

#[tokio::test]
async fn a_result_that_the_store_can_not_take_is_kept_until_it_can() {
    let (world, run) = World::new().await;
    (2..5).for_each(|at| run.store.fail(at, Fault::Fatal));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    for _ in 0..5 {
        settle_down().await;
        world.clock.advance(Duration::from_secs(5));
    }
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    assert!(world.acquirer.questions().is_empty());
}
