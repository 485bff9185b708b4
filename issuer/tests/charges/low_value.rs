//! Small payments with one kind of proof: counted with the hold, given back with a decline, never more than allowed.

use std::sync::Arc;

use issuer::{
    auth::missing_to_pay,
    charges::{self, Charge, Submission},
    domain::{charge::State, policy::Policy},
    error::Error,
};
use proptest::prelude::*;
use proto::{
    authorization::{
        DeclineReason,
        Factor::{self, Inherence, Knowledge, Passkey},
    },
    order::SignedOrder,
};
use tokio::sync::Notify;

use super::{
    acquirer::Reply,
    faults::Fault,
    world::{Card, Run, World, eventually, policy, session, settle_down, submission},
};

/// Up to 20.00 each, 80.00 together, five times.
fn small() -> Policy {
    policy(
        r#"
        profile = "psd2"
        [[low_value]]
        currency = "TWD"
        amount_max_minor_units = 2000
        sum_max_minor_units = 8000
        count_max = 5
        "#,
    )
}

async fn pay(run: &Run, charge: u8, order: &SignedOrder, factors: &[Factor]) -> Result<Charge, Error> {
    let session = session("lin", order, factors);
    charges::submit(&run.ctx, Submission { session, ..submission("lin", charge, order, Card::First) }).await
}

fn is_insufficient(outcome: &Result<Charge, Error>) -> bool {
    matches!(outcome, Err(Error::FactorsInsufficient(_)))
}

/// How many payments and how much a customer's tally counts.
async fn counted(world: &World) -> (u32, i64) {
    let tally = world.tally("lin").await;
    (tally.payments(), tally.sums().map(|sum| sum.minor_units()).sum())
}

#[tokio::test]
async fn the_bounds_are_kept_to_the_minor_unit_and_two_kinds_begin_anew() {
    let (world, run) = World::with_policy(small()).await;
    let mut number = 0;
    let mut pay_next = async |units, factors: &'static [Factor]| {
        number += 1;
        let order = world.acquirer.order("TWD", units);
        let can_pay = missing_to_pay(&run.ctx, &session("lin", &order, factors)).await.unwrap().is_empty();
        let outcome = pay(&run, number, &order, factors).await;
        assert_eq!(outcome.is_ok(), can_pay, "the session said so before");
        if outcome.is_ok() {
            run.until_final(number).await;
        }
        (outcome, counted(&world).await)
    };
    assert!(is_insufficient(&pay_next(2_001, &[Knowledge]).await.0), "too large");
    assert_eq!(pay_next(2_000, &[Knowledge]).await.1, (1, 2_000));
    assert_eq!(pay_next(2_000, &[Inherence]).await.1, (2, 4_000), "any one kind will do");
    assert_eq!(pay_next(2_000, &[Knowledge]).await.1, (3, 6_000));
    let (over, left) = pay_next(2_000, &[Knowledge]).await;
    assert_eq!((over.is_ok(), left), (true, (4, 8_000)), "the sum is reached");
    let (over, left) = pay_next(1, &[Knowledge]).await;
    assert_eq!((is_insufficient(&over), left), (true, (4, 8_000)), "and not exceeded");
    assert_eq!(pay_next(1, &[Passkey]).await.1, (0, 0), "two kinds end the tally, however small the payment is");
    for count in 1..=5 {
        assert_eq!(pay_next(1, &[Knowledge]).await.1, (count, i64::from(count)));
    }
    assert!(is_insufficient(&pay_next(1, &[Knowledge]).await.0), "the sixth in a row");
    assert_eq!(pay_next(5_000, &[Knowledge, Inherence]).await.1, (0, 0));
    assert_eq!(pay_next(1, &[Knowledge]).await.1, (1, 1));
}

#[tokio::test]
async fn what_ends_without_approval_is_given_back() {
    let (world, run) = World::with_policy(small()).await;
    world.acquirer.then(Reply::Decline(DeclineReason::DoNotHonor));
    let order = world.acquirer.order("TWD", 2_000);
    pay(&run, 1, &order, &[Knowledge]).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Declined { .. }));
    assert_eq!(counted(&world).await, (0, 0));

    // What is not known yet still counts, and is given back once the acquirer says that it never came.
    world.acquirer.then(Reply::Fail(issuer::client::Unanswered::TooLate));
    pay(&run, 2, &order, &[Knowledge]).await.unwrap();
    run.until_unknown(2).await;
    assert_eq!(counted(&world).await, (1, 2_000));
    run.ask();
    world.clock.advance(std::time::Duration::from_secs(1));
    run.until_final(2).await;
    assert_eq!(counted(&world).await, (0, 0));
}

#[tokio::test]
async fn a_late_decline_gives_nothing_back_into_the_next_tally() {
    let (world, run) = World::with_policy(small()).await;
    let (now, decision) = (Arc::new(Notify::new()), DeclineReason::DoNotHonor);
    world.acquirer.then(Reply::Wait(Arc::clone(&now), proto::authorization::Decision::Declined(decision)));
    pay(&run, 1, &world.acquirer.order("TWD", 2_000), &[Knowledge]).await.unwrap();
    run.until(1, |state| matches!(state, State::Sent(_))).await;
    settle_down().await;
    pay(&run, 2, &world.acquirer.order("TWD", 100), &[Passkey]).await.unwrap();
    pay(&run, 3, &world.acquirer.order("TWD", 500), &[Knowledge]).await.unwrap();
    assert_eq!(counted(&world).await, (1, 500));
    now.notify_one();
    assert!(matches!(run.until_final(1).await.state, State::Declined { .. }));
    assert_eq!(counted(&world).await, (1, 500), "it was counted before the payment with two kinds");
}

#[tokio::test]
async fn a_refused_charge_counts_nothing_and_a_repeat_counts_once() {
    let (world, run) = World::with_policy(small()).await;
    let order = world.acquirer.order("TWD", 2_000);
    let blocked = Submission { card: Card::Blocked.id(), ..submission("lin", 1, &order, Card::First) };
    assert!(matches!(charges::submit(&run.ctx, blocked).await, Err(Error::CardNotUsable)));
    assert_eq!(counted(&world).await, (0, 0));
    for _ in 0..3 {
        pay(&run, 1, &order, &[Knowledge]).await.unwrap();
    }
    run.until_final(1).await;
    pay(&run, 1, &order, &[Passkey]).await.unwrap();
    assert_eq!(counted(&world).await, (1, 2_000), "a repeat with two kinds is no payment with two kinds");
}

#[tokio::test]
async fn a_lost_commit_counts_once() {
    for fault in [Fault::Conflict, Fault::LostBefore, Fault::LostAfter, Fault::LandsLate] {
        let (world, run) = World::with_policy(small()).await;
        run.store.fail(0, fault);
        pay(&run, 1, &world.acquirer.order("TWD", 2_000), &[Knowledge]).await.unwrap();
        run.until_final(1).await;
        assert_eq!(counted(&world).await, (1, 2_000), "{fault:?}");
    }
}

#[tokio::test]
async fn each_customer_has_a_tally_of_their_own() {
    let (world, run) = World::with_policy(small()).await;
    for number in 1..=4 {
        pay(&run, number, &world.acquirer.order("TWD", 2_000), &[Knowledge]).await.unwrap();
    }
    let order = world.acquirer.order("TWD", 2_000);
    assert!(is_insufficient(&pay(&run, 5, &order, &[Knowledge]).await));
    charges::submit(&run.ctx, submission("wu", 1, &order, Card::OfWu)).await.unwrap();
    let tally = world.tally("wu").await;
    assert_eq!((tally.payments(), counted(&world).await), (1, (4, 8_000)));
}

/// Twelve charges at once, of so much each. How many are taken.
async fn rush(units: i64) -> (World, usize) {
    let (world, run) = World::with_policy(small()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=12 {
        let (ctx, order) = (run.ctx.clone(), world.acquirer.order("TWD", units));
        // Two accounts, so that it is not the account's record that keeps them apart.
        let card = if number % 6 == 0 { Card::Debit } else { Card::First };
        tasks.spawn(async move { charges::submit(&ctx, submission("lin", number, &order, card)).await });
    }
    let outcomes = tasks.join_all().await;
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(outcomes.iter().filter(|outcome| is_insufficient(outcome)).count(), 12 - taken, "{outcomes:?}");
    (world, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn charges_at_once_never_go_over_the_sum_or_the_count() {
    let (world, taken) = rush(2_000).await;
    assert_eq!((taken, counted(&world).await), (4, (4, 8_000)));
    let (world, taken) = rush(7).await;
    assert_eq!((taken, counted(&world).await), (5, (5, 35)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Weak(i64),
    Strong(i64),
    WeakDeclined(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1i64..2_500).prop_map(Step::Weak),
        1 => (1i64..2_500).prop_map(Step::Strong),
        2 => (1i64..2_500).prop_map(Step::WeakDeclined),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a customer pays one after the other, the charges that are taken are those of a plain reckoning.
    #[test]
    fn a_course_of_charges_is_as_reckoned(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (world, run) = World::with_policy(small()).await;
            let mut small: Vec<i64> = Vec::new();
            for (number, step) in (1..).zip(steps) {
                let (units, factors, declined) = match step {
                    Step::Weak(units) => (units, [Knowledge].as_slice(), false),
                    Step::Strong(units) => (units, [Passkey].as_slice(), false),
                    Step::WeakDeclined(units) => (units, [Knowledge].as_slice(), true),
                };
                let is_strong = factors == [Passkey];
                let sum: i64 = small.iter().sum();
                let expected = is_strong || (units <= 2_000 && sum + units <= 8_000 && small.len() < 5);
                let order = world.acquirer.order("TWD", units);
                if declined && expected {
                    world.acquirer.then(Reply::Decline(DeclineReason::DoNotHonor));
                }
                let outcome = pay(&run, number, &order, factors).await;
                assert_eq!(outcome.is_ok(), expected, "{step:?} after {small:?}");
                if expected {
                    eventually(async || run.charge(number).await.state.is_final()).await;
                }
                match (expected, is_strong, declined) {
                    (true, true, _) => small.clear(),
                    (true, false, false) => small.push(units),
                    (true, false, true) | (false, ..) => {}
                }
                assert_eq!(counted(&world).await, (u32::try_from(small.len()).unwrap(), small.iter().sum()));
            }
        });
    }
}
