//! The process dies at every commit, right before it and right after it, and starts again. Whatever
//! happened, every hold ends, confirmed if and only if the acquirer has approved.

use std::time::Duration;

use issuer::{domain::charge::State, tasks::recovery::recover};
use proto::authorization::DeclineReason;

use super::{
    acquirer::Reply,
    faults::Fault,
    world::{Card, Run, World, charge_id, policy, settle_down},
};

/// How the acquirer behaves in one life of a charge.
#[derive(Clone, Copy, Debug)]
enum Life {
    Approved,
    Declined,
    ApprovedUnheard,
    ApprovedAndSentAgain,
    NeverArrived,
}

impl Life {
    fn reply(self) -> Reply {
        match self {
            Self::Approved => Reply::Approve,
            Self::Declined => Reply::Decline(DeclineReason::DoNotHonor),
            Self::ApprovedUnheard => Reply::ApproveUnheard,
            Self::ApprovedAndSentAgain => Reply::ApproveAndBreak,
            Self::NeverArrived => Reply::Fail(issuer::client::Unanswered::TooLate),
        }
    }
}

/// Lets a run do all it can while time goes by, or die.
async fn live(world: &World, run: &Run) {
    for _ in 0..20 {
        settle_down().await;
        if run.store.is_dead() {
            return;
        }
        world.clock.advance(Duration::from_secs(1));
    }
}

/// Whether the charge is there at all: the customer's app would submit it again if it isn't.
async fn is_taken(run: &Run) -> bool {
    issuer::charges::load(&run.ctx, &"lin".parse().unwrap(), &charge_id(1)).await.is_ok()
}

#[tokio::test]
async fn a_death_at_any_commit_of_an_approved_charge() {
    die_everywhere(Life::Approved).await;
}

#[tokio::test]
async fn a_death_at_any_commit_of_a_declined_charge() {
    die_everywhere(Life::Declined).await;
}

#[tokio::test]
async fn a_death_at_any_commit_of_a_charge_whose_approval_was_lost() {
    die_everywhere(Life::ApprovedUnheard).await;
}

#[tokio::test]
async fn a_death_at_any_commit_of_a_charge_that_is_sent_again() {
    die_everywhere(Life::ApprovedAndSentAgain).await;
}

#[tokio::test]
async fn a_death_at_any_commit_of_a_charge_that_never_arrived() {
    die_everywhere(Life::NeverArrived).await;
}

/// The charge is a small payment, so that each life of it also counts and gives back.
const SMALL: &str = r#"
profile = "psd2"
low_value = [{ currency = "TWD", amount_max_minor_units = 30000, sum_max_minor_units = 60000, count_max = 2 }]
"#;

/// A charge's commits: held, sent, lost, ended.
const COMMITS: usize = 4;

async fn die_everywhere(life: Life) {
    for fault in [Fault::DieBefore, Fault::DieAfter] {
        for at in 0..COMMITS {
            let (world, run) = World::with_policy(policy(SMALL)).await;
            let order = world.acquirer.order("TWD", 30_000);
            world.acquirer.then(life.reply());
            run.store.fail(at, fault);
            let ctx = std::sync::Arc::clone(&run.ctx);
            let submission = super::world::submission("lin", 1, &order, Card::First);
            tokio::spawn(async move { issuer::charges::submit(&ctx, submission).await });
            run.ask();
            live(&world, &run).await;

            // The second run may die as well, while it puts things right.
            for (number, second) in [(2, Some((0, fault))), (3, Some((1, fault))), (4, None)] {
                let next = world.start(number).await;
                if let Some((at, fault)) = second {
                    next.store.fail(at, fault);
                }
                let recovering = std::sync::Arc::clone(&next.ctx);
                tokio::spawn(async move {
                    recover(&recovering).await.unwrap();
                    issuer::tasks::resolve::run(recovering).await;
                });
                live(&world, &next).await;
            }
            let last = world.start(5).await;
            check(&world, &last, &order, &format!("{life:?}, {fault:?} at {at}")).await;
        }
    }
}

async fn check(world: &World, run: &Run, order: &proto::order::SignedOrder, story: &str) {
    let tally = world.tally("lin").await;
    let counted: (u32, Vec<i64>) = (tally.payments(), tally.sums().map(|sum| sum.minor_units()).collect());
    if !is_taken(run).await {
        assert!(tally.is_empty(), "{story}: {counted:?} counted without a charge");
        assert_eq!(world.account("credit-lin").await, (100_000, 0, 0), "{story}");
        assert!(world.acquirer.received().is_empty(), "{story}: sent without a charge");
        return;
    }
    let charge = run.charge(1).await;
    let approved = world.acquirer.has_approved(&charge.authorization);
    let account = world.account("credit-lin").await;
    match charge.state {
        State::Approved { .. } => {
            assert!(approved && account == (70_000, 0, 30_000), "{story}: {account:?}");
            assert_eq!(counted, (1, vec![30_000]), "{story}");
        }
        State::Declined { .. } | State::Abandoned => {
            assert!(tally.is_empty(), "{story}: {counted:?} was not given back");
            assert!(!approved && account == (100_000, 0, 0), "{story}: {account:?}");
            assert_eq!(world.claim(order).await, None, "{story}: the order can be paid by another card");
        }
        State::Held | State::Sent(_) | State::Unknown { .. } => panic!("{story}: {:?} has no end", charge.state),
    }
    assert!(!world.request_is_stored(&charge).await, "{story}");
    let received = world.acquirer.received();
    assert!(received.iter().all(|other| *other == received[0]), "{story}: other bytes were sent");
    let at_most = if story.starts_with("ApprovedAndSentAgain") { 2 } else { 1 };
    assert!(received.len() <= at_most, "{story}: sent {} times", received.len());
}
