//! What a charge demands, and a step-up in the middle of it.

use issuer::{
    auth::missing_to_pay,
    charges::{self, Submission},
    domain::charge::State,
    error::Error,
};
use proto::{
    authorization::Factor::{self, Inherence, Knowledge, Passkey, Possession},
    order::SignedOrder,
};

use super::{
    faults::Fault,
    world::{Card, Run, World, policy, session, settle_down, submission},
};

fn with_factors(order: &SignedOrder, charge: u8, factors: &[Factor]) -> Submission {
    Submission { session: session("lin", order, factors), ..submission("lin", charge, order, Card::First) }
}

async fn submit(run: &Run, submission: Submission) -> Result<charges::Charge, Error> {
    charges::submit(&run.ctx, submission).await
}

/// The factors that a refusal says would help.
fn any_of(refused: Result<charges::Charge, Error>) -> Vec<Factor> {
    match refused {
        Err(Error::FactorsInsufficient(any_of)) => any_of,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn too_few_factors_move_nothing_and_the_same_charge_passes_after_a_step_up() {
    let (world, run) = World::with_policy(policy("profile = \"two_of_three\"")).await;
    let order = world.acquirer.order("TWD", 30_000);
    let commits = run.store.commits();
    for (proved, helps) in [
        (vec![], vec![Knowledge, Possession, Passkey, Inherence]),
        (vec![Knowledge], vec![Possession, Passkey, Inherence]),
        (vec![Inherence], vec![Knowledge, Possession, Passkey]),
    ] {
        assert_eq!(any_of(submit(&run, with_factors(&order, 1, &proved)).await), helps, "{proved:?}");
        assert_eq!(missing_to_pay(&run.ctx, &session("lin", &order, &proved)).await.unwrap(), helps, "{proved:?}");
    }
    assert_eq!(run.store.commits(), commits, "a refused charge writes nothing");
    assert_eq!((world.claim(&order).await, world.account("credit-lin").await), (None, (100_000, 0, 0)));

    let stepped_up = [Knowledge, Passkey];
    assert!(missing_to_pay(&run.ctx, &session("lin", &order, &stepped_up)).await.unwrap().is_empty());
    submit(&run, with_factors(&order, 1, &stepped_up)).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    let [(request, _)] = world.acquirer.received().try_into().unwrap();
    assert_eq!((request.factors.as_slice(), request.consent_digest), (stepped_up.as_slice(), None));
}

#[tokio::test]
async fn a_charge_that_was_taken_is_found_again_whatever_is_proved_now() {
    let (world, run) = World::with_policy(policy("profile = \"two_of_three\"")).await;
    let order = world.acquirer.order("TWD", 30_000);
    submit(&run, with_factors(&order, 1, &[Passkey])).await.unwrap();
    let paid = run.until_final(1).await;
    for proved in [vec![], vec![Knowledge], vec![Knowledge, Inherence]] {
        assert_eq!(submit(&run, with_factors(&order, 1, &proved)).await.unwrap(), paid, "{proved:?}");
    }
    let other_card = Submission { card: Card::Second.id(), ..with_factors(&order, 1, &[]) };
    assert!(matches!(submit(&run, other_card).await, Err(Error::ChargeIdReused)), "other content is no repeat");
    assert_eq!(world.acquirer.received().len(), 1);
}

#[tokio::test]
async fn a_step_up_after_a_lost_answer_finds_the_same_charge() {
    // The commit is durable and its answer is lost; or the process dies before it could give one.
    for fault in [Fault::LostAfter, Fault::LandsLate, Fault::DieAfter] {
        let (world, run) = World::with_policy(policy("profile = \"two_of_three\"")).await;
        let order = world.acquirer.order("TWD", 30_000);
        any_of(submit(&run, with_factors(&order, 1, &[Knowledge])).await);
        run.store.fail(0, fault);
        let (ctx, stepped_up) = (run.ctx.clone(), with_factors(&order, 1, &[Knowledge, Passkey]));
        tokio::spawn(async move { charges::submit(&ctx, stepped_up).await });
        settle_down().await;
        let next = if run.store.is_dead() { world.start(2).await } else { run };
        let again = submit(&next, with_factors(&order, 1, &[Knowledge])).await.unwrap();
        assert_eq!(again.factors, [Knowledge, Passkey], "{fault:?}");
        issuer::tasks::recovery::recover(&next.ctx).await.unwrap();
        let state = next.until_final(1).await.state;
        assert!(matches!(state, State::Approved { .. } | State::Abandoned), "{fault:?}: {state:?}");
    }
}

#[tokio::test]
async fn amount_and_category_decide() {
    let table = r#"
        [[rules]]
        category_codes = ["7995"]
        one_of = [["passkey"]]
        [[rules]]
        amount_up_to = [{ currency = "TWD", minor_units = 1000 }]
        kinds = 1
        [[rules]]
        kinds = 2
    "#;
    let (world, run) = World::with_policy(policy(table)).await;
    let category = |code: &'static str, units| {
        world.acquirer.order_with("TWD", units, |order| order.merchant.category = code.parse().unwrap())
    };
    let cases = [
        (category("5942", 1_000), vec![Knowledge], vec![]),
        (category("5942", 1_001), vec![Knowledge], vec![Possession, Passkey, Inherence]),
        (category("5942", 1_001), vec![Passkey], vec![]),
        (category("7995", 1), vec![Knowledge, Inherence], vec![Passkey]),
        (category("7995", 1), vec![Passkey], vec![]),
    ];
    for (number, (order, proved, missing)) in (1..).zip(cases) {
        let session = session("lin", &order, &proved);
        assert_eq!(missing_to_pay(&run.ctx, &session).await.unwrap(), missing, "{number}");
        let submitted = submit(&run, with_factors(&order, number, &proved)).await;
        if missing.is_empty() {
            submitted.unwrap();
        } else {
            assert_eq!(any_of(submitted), missing, "{number}");
        }
    }
}

#[tokio::test]
async fn a_session_without_an_order_is_not_missing_anything_to_pay() {
    let (world, run) = World::with_policy(policy("")).await;
    let session =
        issuer::auth::SignedIn { order: None, ..session("lin", &world.acquirer.order("TWD", 1), &[Knowledge]) };
    assert!(missing_to_pay(&run.ctx, &session).await.unwrap().is_empty());
}
