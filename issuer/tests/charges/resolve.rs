//! Asking about what is not known: when, how often, and until when.

use std::{sync::Arc, time::Duration};

use issuer::{
    charges::{Settled, bring_result},
    client::Unanswered,
    config::ChargeLimits,
    domain::charge::{Inquiry, State},
    records::{self, INDEX_CHARGE_PARKED},
    tasks::recovery::{Recovered, recover},
};
use mesh::{
    clock::Clock,
    store::{KeyRange, PageRequest},
};
use tokio::sync::Notify;

use super::{
    acquirer::{Reply, approved},
    world::{Card, Run, World, charge_id, eventually, settle_down},
};

fn unreachable() -> Reply {
    Reply::Fail(Unanswered::Connection("refused".into()))
}

async fn lost(world: &World, run: &Run, charge: u8, reply: Reply) {
    world.acquirer.then(reply);
    run.submit(charge, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    run.until_unknown(charge).await;
}

fn next_of(state: State) -> std::time::SystemTime {
    let State::Unknown { next: Inquiry::At(next), .. } = state else { panic!("{state:?}") };
    next
}

#[tokio::test]
async fn the_acquirer_is_asked_when_it_is_time_and_not_before() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    world.acquirer.then_answer(unreachable());
    world.acquirer.then_answer(Reply::Pending(Duration::from_secs(7)));
    run.ask();

    settle_down().await;
    world.clock.advance(Duration::from_millis(199));
    settle_down().await;
    assert_eq!(world.acquirer.questions().len(), 0);
    world.clock.advance(Duration::from_millis(1));
    let asked = run.until(1, |state| matches!(state, State::Unknown { questions: 1, .. })).await;

    // The second question comes after 200 to 400 ms; the acquirer then asks for seven seconds.
    let wait = next_of(asked.state).duration_since(world.clock.now()).unwrap();
    assert!((200..=400).contains(&wait.as_millis()), "{wait:?}");
    world.clock.advance(wait);
    let pending = run.until(1, |state| matches!(state, State::Unknown { questions: 2, .. })).await;
    assert_eq!(next_of(pending.state), world.clock.now() + Duration::from_secs(7));
    settle_down().await;
    world.clock.advance(Duration::from_millis(6_999));
    settle_down().await;
    assert_eq!(world.acquirer.questions().len(), 2);
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    assert_eq!(world.acquirer.questions().len(), 3);
}

#[tokio::test]
async fn a_charge_has_one_question_under_way_at_most() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    let told = Arc::new(Notify::new());
    world.acquirer.then_answer(Reply::Wait(Arc::clone(&told), approved()));
    run.ask();
    world.clock.advance(Duration::from_secs(1));
    eventually(async || world.acquirer.questions().len() == 1).await;
    for _ in 0..5 {
        run.ctx.bells.inquiry().notify_one();
        world.clock.advance(Duration::from_millis(100));
        settle_down().await;
    }
    assert_eq!(world.acquirer.questions().len(), 1);
    told.notify_one();
    run.until_final(1).await;
    settle_down().await;
    assert_eq!(world.acquirer.questions().len(), 1);
}

#[tokio::test]
async fn a_question_without_an_answer_is_given_up_and_repeated() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    world.acquirer.then_answer(Reply::Silence);
    run.ask();
    world.clock.advance(Duration::from_millis(200));
    eventually(async || world.acquirer.questions().len() == 1).await;
    settle_down().await;
    world.clock.advance(Duration::from_secs(10));
    run.until(1, |state| matches!(state, State::Unknown { questions: 1, .. })).await;
    settle_down().await;
    world.clock.advance(Duration::from_millis(400));
    run.until_final(1).await;
}

#[tokio::test]
async fn a_dead_acquirer_leaves_places_for_the_others() {
    let (world, _) = World::new().await;
    let limits = ChargeLimits { inquiries_max: 4, ..ChargeLimits::default() };
    let run = world.start_with(2, limits).await;
    for charge in 1..=6 {
        world.acquirer.then_answer(Reply::Silence);
        lost(&world, &run, charge, Reply::ApproveUnheard).await;
    }
    world.other.then(Reply::ApproveUnheard);
    run.submit(7, &world.other.order("TWD", 1_000), Card::First).await.unwrap();
    run.until_unknown(7).await;
    run.ask();
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(run.until_final(7).await.state, State::Approved { .. }));
    assert_eq!(world.acquirer.questions().len(), 1, "a quarter of the places");
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_questions_off() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    run.ask();
    settle_down().await;
    // By the wall clock the question is now more than a minute away.
    world.clock.set(world.clock.now() - Duration::from_secs(70));
    world.clock.advance(Duration::from_millis(29_999));
    settle_down().await;
    assert_eq!(world.acquirer.questions().len(), 0);
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

#[tokio::test]
async fn after_a_day_the_charge_is_parked_and_a_signed_result_still_ends_it() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    let sent_at = run.charge(1).await.created_at;
    // The bank was away for a day; the one question afterwards brings nothing.
    world.clock.advance(Duration::from_secs(86_400));
    world.acquirer.then_answer(unreachable());
    run.ask();
    let parked =
        run.until(1, |state| matches!(state, State::Unknown { next: Inquiry::Parked, questions: 1, .. })).await;
    assert_eq!(run.ctx.numbers.parked.value(), 1);
    let range = || (KeyRange::all(), PageRequest::first(10));
    let found = run.ctx.repository.page::<records::Charge>(INDEX_CHARGE_PARKED, range().0, range().1).await.unwrap();
    let listed: Vec<_> = found.items.iter().map(|stored| stored.value.charge_id.clone()).collect();
    assert_eq!(listed, [charge_id(1).to_string()]);

    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(3_600));
        settle_down().await;
    }
    assert_eq!(world.acquirer.questions().len(), 1, "nobody asks any more");
    assert!(sent_at < world.clock.now());

    // Every start asks once more, which is what an operator does when the acquirer is back.
    let next = world.start(2).await;
    assert_eq!(recover(&next.ctx).await.unwrap(), Recovered { unparked: 1, ..Recovered::default() });
    world.acquirer.then_answer(unreachable());
    next.ask();
    next.until(1, |state| matches!(state, State::Unknown { next: Inquiry::Parked, questions: 2, .. })).await;
    assert_eq!(world.acquirer.questions().len(), 2);

    let signed = world.acquirer.decided(&parked.authorization).unwrap();
    let brought = bring_result(&run.ctx, &"lin".parse().unwrap(), &charge_id(1), &signed).await.unwrap();
    assert!(matches!(brought, Settled::Final(charge) if matches!(charge.state, State::Approved { .. })));
    assert_eq!(world.account("credit-lin").await, (99_000, 0, 1_000));
}

#[tokio::test]
async fn a_start_learns_the_result_of_a_parked_charge() {
    let (world, run) = World::new().await;
    lost(&world, &run, 1, Reply::ApproveUnheard).await;
    world.clock.advance(Duration::from_secs(86_400));
    world.acquirer.then_answer(unreachable());
    run.ask();
    run.until(1, |state| matches!(state, State::Unknown { next: Inquiry::Parked, .. })).await;
    let next = world.start(2).await;
    recover(&next.ctx).await.unwrap();
    next.ask();
    assert!(matches!(next.until_final(1).await.state, State::Approved { .. }));
    assert_eq!(world.account("credit-lin").await, (99_000, 0, 1_000));
}

#[tokio::test]
async fn a_restart_gives_up_what_was_held_and_asks_about_what_was_sent() {
    let (world, run) = World::new().await;
    // One charge whose sender never got to its commit, one whose answer is still awaited.
    run.store.fail(1, super::faults::Fault::DieBefore);
    let held = world.acquirer.order("TWD", 1_000);
    run.submit(1, &held, Card::First).await.unwrap();
    eventually(async || run.store.is_dead()).await;
    let run = world.start(2).await;
    world.acquirer.then(Reply::Wait(Arc::new(Notify::new()), approved()));
    run.submit(2, &world.acquirer.order("TWD", 2_000), Card::First).await.unwrap();
    eventually(async || world.acquirer.received().len() == 1).await;
    assert_eq!(world.account("credit-lin").await, (97_000, 3_000, 0));

    let next = world.start(3).await;
    let recovered = recover(&next.ctx).await.unwrap();
    assert_eq!(recovered, Recovered { abandoned: 1, unknown: 1, ..Recovered::default() });
    assert_eq!(recover(&next.ctx).await.unwrap(), Recovered::default(), "once is enough");
    assert_eq!(next.charge(1).await.state, State::Abandoned);
    assert_eq!(next_of(next.charge(2).await.state), world.clock.now(), "it is asked about at once");
    assert_eq!(world.claim(&held).await, None);
    next.ask();
    next.until_final(2).await;
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
}

#[tokio::test]
async fn many_charges_are_recovered_and_resolved() {
    let (world, run) = World::new().await;
    for charge in 1..=40 {
        world.acquirer.then(Reply::ApproveUnheard);
        run.submit(charge, &world.acquirer.order("TWD", 100), Card::First).await.unwrap();
    }
    settle_down().await;
    drop(run);
    let next = world.start(2).await;
    recover(&next.ctx).await.unwrap();
    next.ask();
    for charge in 1..=40 {
        while !next.charge(charge).await.state.is_final() {
            world.clock.advance(Duration::from_secs(1));
            settle_down().await;
        }
    }
    assert_eq!(world.account("credit-lin").await, (96_000, 0, 4_000));
    assert_eq!(world.acquirer.received().len(), 40);
}
