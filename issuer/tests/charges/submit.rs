//! Taking charge requests: what is held, what is the same, and who was first.

use issuer::{domain::charge::State, error::Error};
use proto::authorization::{DeclineReason, Factor};

use super::{
    acquirer::Reply,
    world::{Card, PAN, World, charge_id, settle_down, submission},
};

#[tokio::test]
async fn a_charge_is_held_then_sent_then_approved() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    let held = run.submit(1, &order, Card::First).await.unwrap();
    assert_eq!((held.state, held.order.digest), (State::Held, order.digest));
    assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0));

    let paid = run.until_final(1).await;
    assert!(matches!(paid.state, State::Approved { .. }), "{:?}", paid.state);
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    assert!(world.claim(&order).await.unwrap().paid);
    assert!(!world.request_is_stored(&paid).await, "the stored request goes with the result");
    assert_eq!(paid.result, world.acquirer.decided(&paid.authorization), "the evidence is kept as it was signed");

    let [(request, card)] = world.acquirer.received().try_into().unwrap();
    assert_eq!((card.pan.expose(), card.cvv.unwrap().expose()), (PAN, "123"));
    assert_eq!(request.factors, [Factor::Knowledge]);
    assert_eq!((request.id, request.order), (paid.authorization, order));
}

#[tokio::test]
async fn a_debit_card_draws_on_its_balance() {
    let (world, run) = World::new().await;
    run.submit(1, &world.acquirer.order("TWD", 2_000), Card::Debit).await.unwrap();
    run.until_final(1).await;
    assert_eq!(world.account("debit-lin").await, (3_000, 0, 2_000));
    let refused = run.submit(2, &world.acquirer.order("TWD", 3_001), Card::Debit).await;
    assert!(matches!(refused, Err(Error::InsufficientFunds)), "{refused:?}");
}

#[tokio::test]
async fn a_decline_gives_everything_back_and_another_card_may_try() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(Reply::Decline(DeclineReason::DoNotHonor));
    run.submit(1, &order, Card::First).await.unwrap();
    let declined = run.until_final(1).await;
    assert!(matches!(declined.state, State::Declined { reason: DeclineReason::DoNotHonor, .. }));
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
    assert!(!world.request_is_stored(&declined).await);

    // The declined charge is what it was; another one is a new charge with an authorization of its own.
    assert_eq!(run.submit(1, &order, Card::First).await.unwrap(), declined);
    run.submit(2, &order, Card::Second).await.unwrap();
    let paid = run.until_final(2).await;
    assert!(matches!(paid.state, State::Approved { .. }));
    assert_ne!(paid.authorization, declined.authorization);
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn the_same_charge_again_moves_nothing_and_other_content_is_refused() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(Reply::Silence);
    run.submit(1, &order, Card::First).await.unwrap();
    let sent = run.until(1, |state| matches!(state, State::Sent(_))).await;
    assert_eq!(run.submit(1, &order, Card::First).await.unwrap(), sent);

    let other_card = run.submit(1, &order, Card::Second).await;
    let other_order = run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await;
    for refused in [other_card, other_order] {
        assert!(matches!(refused, Err(Error::ChargeIdReused)), "{refused:?}");
    }
    assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0));
    assert_eq!(world.acquirer.received().len(), 1);
}

#[tokio::test]
async fn a_repeat_after_the_orders_time_still_finds_its_charge() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.unwrap();
    let paid = run.until_final(1).await;
    world.clock.advance(std::time::Duration::from_secs(3_600));
    assert_eq!(run.submit(1, &order, Card::First).await.unwrap(), paid);
}

#[tokio::test]
async fn another_customer_may_use_the_same_charge_id() {
    let (world, run) = World::new().await;
    run.submit(1, &world.acquirer.order("TWD", 100), Card::First).await.unwrap();
    let order = world.acquirer.order("TWD", 200);
    let of_wu = issuer::charges::submit(&run.ctx, submission("wu", 1, &order, Card::OfWu)).await.unwrap();
    assert_eq!((of_wu.amount().minor_units(), of_wu.id), (200, charge_id(1)));
    assert_eq!(run.charge(1).await.amount().minor_units(), 100);
}

#[tokio::test]
async fn the_same_charge_twice_at_once_is_one_charge() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    let (one, other) = tokio::join!(run.submit(1, &order, Card::First), run.submit(1, &order, Card::First));
    assert_eq!(one.unwrap().authorization, other.unwrap().authorization);
    run.until_final(1).await;
    settle_down().await;
    assert_eq!(world.acquirer.received().len(), 1, "it is sent once");
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
}

#[tokio::test]
async fn two_charges_for_one_order_at_once_leave_one() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    let of_wu = issuer::charges::submit(&run.ctx, submission("wu", 1, &order, Card::OfWu));
    let outcomes: [_; 3] =
        tokio::join!(run.submit(1, &order, Card::First), run.submit(2, &order, Card::Second), of_wu).into();
    let (held, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(held.len(), 1);
    for refused in refused {
        assert!(matches!(refused, Err(Error::ChargeInProgress(_) | Error::OrderAlreadyCharged(_))), "{refused:?}");
    }
    settle_down().await;
    assert_eq!(world.acquirer.received().len(), 1);
}

#[tokio::test]
async fn an_order_that_is_paid_or_being_paid_is_not_charged_again() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &order, Card::First).await.unwrap();
    run.until_unknown(1).await;
    let in_progress = run.submit(2, &order, Card::Second).await;
    assert!(matches!(in_progress, Err(Error::ChargeInProgress(Some(_)))), "{in_progress:?}");

    run.ask();
    world.clock.advance(std::time::Duration::from_secs(1));
    run.until_final(1).await;
    let of_lin = run.submit(3, &order, Card::Second).await;
    let of_wu = issuer::charges::submit(&run.ctx, submission("wu", 1, &order, Card::OfWu)).await;
    // Which charge it was, only its own customer is told.
    assert!(matches!(&of_lin, Err(Error::OrderAlreadyCharged(Some(paid))) if *paid == charge_id(1)), "{of_lin:?}");
    assert!(matches!(of_wu, Err(Error::OrderAlreadyCharged(None))), "{of_wu:?}");
}

#[tokio::test]
async fn cards_that_share_a_line_never_go_over_it_together() {
    let (world, run) = World::new().await;
    // Twelve orders of a tenth of the line each, on both cards, all at once.
    let orders: Vec<_> = (0..12).map(|_| world.acquirer.order("TWD", 10_000)).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, order) in (1u8..).zip(orders) {
        let ctx = run.ctx.clone();
        let card = if number % 2 == 0 { Card::First } else { Card::Second };
        tasks.spawn(async move { issuer::charges::submit(&ctx, submission("lin", number, &order, card)).await });
    }
    let outcomes = tasks.join_all().await;
    let held = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let short = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::InsufficientFunds))).count();
    assert_eq!((held, short), (10, 2));
    settle_down().await;
    super::world::eventually(async || world.account("credit-lin").await == (0, 0, 100_000)).await;
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_stop_the_charge() {
    // The caller is gone after so many steps: before, within and after the commit.
    for steps in 0..12 {
        let (world, run) = World::new().await;
        let order = world.acquirer.order("TWD", 30_000);
        {
            let mut caller = std::pin::pin!(run.submit(1, &order, Card::First));
            for _ in 0..=steps {
                let step = std::future::poll_fn(|cx| std::task::Poll::Ready(caller.as_mut().poll(cx).is_ready()));
                if step.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        run.ctx.tasks.close();
        super::world::within_patience(run.ctx.tasks.wait()).await;
        assert!(matches!(run.charge(1).await.state, State::Approved { .. }), "gone after {steps} steps");
    }
}
