//! Charges that nobody works on any more while the process lives on: a task has failed, hangs, or never began.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use issuer::{
    domain::charge::State,
    tasks::recovery,
    vault::{CardVerification, VerificationError},
};
use mesh::clock::Clock as _;
use proto::{
    authorization::DeclineReason,
    card::{CardData, Cvv},
};
use tokio::sync::Notify;

use super::{
    acquirer::{Reply, approved},
    faults::Fault,
    world::{Card, Run, World, eventually, settle_down},
};

/// An HSM that never answers.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl CardVerification for Hanging {
    async fn value(&self, _: &CardData) -> Result<Option<Cvv>, VerificationError> {
        std::future::pending().await
    }
}

/// An HSM that answers when told.
#[derive(Debug)]
struct Slow(Arc<Notify>);

#[async_trait]
impl CardVerification for Slow {
    async fn value(&self, _: &CardData) -> Result<Option<Cvv>, VerificationError> {
        self.0.notified().await;
        Ok(None)
    }
}

/// Longer than anything may stand still.
async fn let_time_pass(world: &World, run: &Run) {
    tokio::spawn(recovery::run(Arc::clone(&run.ctx)));
    run.ask();
    for _ in 0..30 {
        settle_down().await;
        world.clock.advance(Duration::from_secs(5));
    }
    settle_down().await;
}

#[tokio::test]
async fn a_sent_charge_whose_task_has_failed_is_asked_about() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Panic);
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.unwrap();
    let_time_pass(&world, &run).await;
    let ended = run.charge(1).await;
    assert!(matches!(ended.state, State::Declined { reason: DeclineReason::NeverReceived, .. }), "{:?}", ended.state);
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
    assert_eq!(run.ctx.numbers.lost.value(), 1);
}

#[tokio::test]
async fn a_held_charge_whose_task_hangs_is_given_up() {
    let (world, mut run) = World::new().await;
    Arc::get_mut(&mut run.ctx).unwrap().verification = Box::new(Hanging);
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.unwrap();
    let_time_pass(&world, &run).await;
    assert_eq!(run.charge(1).await.state, State::Abandoned);
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
}

#[tokio::test]
async fn a_charge_that_was_given_up_is_not_sent_by_a_task_that_comes_back() {
    let (world, mut run) = World::new().await;
    let told = Arc::new(Notify::new());
    Arc::get_mut(&mut run.ctx).unwrap().verification = Box::new(Slow(Arc::clone(&told)));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    let_time_pass(&world, &run).await;
    told.notify_one();
    settle_down().await;
    assert_eq!(run.charge(1).await.state, State::Abandoned);
    assert!(world.acquirer.received().is_empty());
}

#[tokio::test]
async fn what_is_under_way_is_left_alone() {
    let (world, run) = World::new().await;
    tokio::spawn(recovery::run(Arc::clone(&run.ctx)));
    settle_down().await;
    world.clock.advance(Duration::from_secs(25));
    let told = Arc::new(Notify::new());
    world.acquirer.then(Reply::Wait(Arc::clone(&told), approved()));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    eventually(async || world.acquirer.received().len() == 1).await;
    settle_down().await;
    // By the wall clock, which was set forward, the charge is a minute old when it is looked at.
    world.clock.set(world.clock.now() + Duration::from_secs(55));
    world.clock.advance(Duration::from_secs(5));
    settle_down().await;
    assert!(matches!(run.charge(1).await.state, State::Sent(_)));
    told.notify_one();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

#[tokio::test]
async fn a_commit_that_comes_through_late_is_still_this_calls_charge() {
    let (world, run) = World::new().await;
    run.store.fail(0, Fault::LandsLate);
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.expect("its own claim is nobody else's charge");
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    assert_eq!(world.acquirer.received().len(), 1);
}
