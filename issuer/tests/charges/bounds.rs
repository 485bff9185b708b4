//! Who owes the next message about a charge, and by when it is final.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use issuer::{
    charges::{Awaited, Party, final_within},
    client::Unanswered,
    domain::charge::{Inquiry, State},
};
use mesh::clock::Clock as _;

use tokio::sync::Notify;

use super::{
    acquirer::{Reply, approved},
    world::{Card, Run, World, eventually, settle_down},
};

const WAIT: Duration = Duration::from_secs(10);

async fn awaited(world: &World, run: &Run) -> Option<(Party, Option<SystemTime>)> {
    let charge = run.charge(1).await;
    let asked_at = run.ctx.bells.question_since(&charge.customer, &charge.id);
    let awaited = charge.awaited(&run.ctx.charge_limits, asked_at, world.clock.now());
    let by = awaited.and_then(|awaited| awaited.by);
    assert!(by <= charge.final_by(&run.ctx.charge_limits), "nobody owes anything for longer: {awaited:?}");
    awaited.map(|Awaited { party, by }| (party, by))
}

#[tokio::test]
async fn the_party_that_owes_follows_the_charge_to_its_end() {
    let (world, run) = World::new().await;
    let limits = run.ctx.charge_limits;
    world.acquirer.then(Reply::ApproveUnheard);
    let submitted = run.submit(1, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    let made = submitted.created_at;
    let stuck = made + WAIT + Duration::from_secs(90);
    let held = submitted.awaited(&limits, None, made);
    assert_eq!(held, Some(Awaited { party: Party::Issuer, by: Some(stuck) }), "the issuer sends it");
    let final_by = Some(made + Duration::from_secs(110));
    assert_eq!(submitted.final_by(&limits), final_by);
    assert!(Some(stuck) <= final_by, "what the issuer owes does not come after the end");

    // The acquirer's word got lost: the issuer asks, and the question is the acquirer's to answer.
    run.until_unknown(1).await;
    let State::Unknown { next: Inquiry::At(next), .. } = run.charge(1).await.state else { panic!("not unknown") };
    assert_eq!(awaited(&world, &run).await, Some((Party::Issuer, Some(next))));
    world.clock.set(next + Duration::from_millis(1));
    let overdue = Some((Party::Issuer, Some(next)));
    assert_eq!(awaited(&world, &run).await, overdue, "as long as no question is under way, it is the issuer's");
    assert_eq!(run.charge(1).await.final_by(&limits), final_by, "what was promised stands");

    // A day of silence: only people can go on.
    world.clock.advance(Duration::from_secs(86_400));
    world.acquirer.then_answer(Reply::Fail(Unanswered::Connection("refused".into())));
    run.ask();
    run.until(1, |state| matches!(state, State::Unknown { next: Inquiry::Parked, .. })).await;
    assert_eq!(awaited(&world, &run).await, Some((Party::Operator, None)));
    assert_eq!(run.charge(1).await.final_by(&limits), None);

    let ended = issuer::operations::resolve(&run.ctx, &submitted.customer, &submitted.id).await.unwrap();
    assert!(matches!(ended.state, State::Approved { .. }), "{:?}", ended.state);
    assert_eq!((awaited(&world, &run).await, ended.final_by(&limits)), (None, None));
}

#[tokio::test]
async fn the_acquirer_owes_the_result_while_it_is_waited_for_and_the_issuer_a_question_from_then_on() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Silence);
    run.submit(1, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    run.until(1, |state| matches!(state, State::Sent(_))).await;
    let sent = run.charge(1).await;
    let at = |now| sent.awaited(&run.ctx.charge_limits, None, now).unwrap();
    let waited = sent.updated_at + WAIT;
    assert_eq!(at(waited), Awaited { party: Party::Acquirer, by: Some(waited) });
    let stuck = waited + Duration::from_secs(90);
    assert_eq!(at(waited + Duration::from_millis(1)), Awaited { party: Party::Issuer, by: Some(stuck) });
}

/// The promise holds where nothing is broken but the answer to the request.
#[tokio::test]
async fn a_lost_answer_is_final_long_before_the_promise() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    let submitted = run.submit(1, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    run.until_unknown(1).await;
    let State::Unknown { next: Inquiry::At(next), .. } = run.charge(1).await.state else { panic!("not unknown") };
    world.clock.set(next);
    run.ask();
    run.until_final(1).await;
    let took = run.charge(1).await.updated_at.duration_since(submitted.created_at).unwrap();
    assert!(took < final_within(&run.ctx.charge_limits), "{took:?}");
}

/// The request arrives at its last moment, the acquirer decides at its own, and every answer takes its whole time.
#[tokio::test]
async fn a_decision_at_the_last_moment_with_slow_answers_is_final_by_the_promise() {
    let (world, run) = World::new().await;
    let (slow, longest) = (WAIT - Duration::from_millis(10), Duration::from_secs(30));
    world.acquirer.then(Reply::Silence);
    let submitted = run.submit(1, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
    run.until(1, |state| matches!(state, State::Sent(_))).await;
    let at = |seconds: f64| submitted.created_at + Duration::from_secs_f64(seconds);
    let go_to = |time: SystemTime| world.clock.advance(time.duration_since(world.clock.now()).unwrap());
    settle_down().await;
    go_to(at(10.001));
    run.until_unknown(1).await;

    // Nothing is decided before 43 s, and the question that leaves just before then hears so just before 53 s.
    let told = Arc::new(Notify::new());
    world.acquirer.then_answer(Reply::PendingWhenTold(Arc::clone(&told), longest));
    world.acquirer.then_answer(Reply::PendingWhenTold(Arc::clone(&told), longest));
    world.acquirer.then_answer(Reply::Wait(Arc::clone(&told), approved()));
    run.ask();
    for (question, leaves) in [(1, 10.5), (2, 42.991), (3, 82.982)] {
        go_to(at(leaves));
        eventually(async || world.acquirer.questions().len() == question).await;
        assert_eq!(awaited(&world, &run).await, Some((Party::Acquirer, Some(at(leaves) + WAIT))), "{question}");
        go_to(if question == 1 { at(12.99) } else { at(leaves) + slow });
        assert!(awaited(&world, &run).await.is_some());
        told.notify_one();
        if question < 3 {
            let asked = u32::try_from(question).unwrap();
            run.until(1, |state| matches!(state, State::Unknown { questions, .. } if *questions == asked)).await;
            let State::Unknown { next: Inquiry::At(next), .. } = run.charge(1).await.state else { panic!("parked") };
            assert_eq!(awaited(&world, &run).await, Some((Party::Issuer, Some(next))), "{question}");
        }
    }
    let ended = run.until_final(1).await;
    let took = ended.updated_at.duration_since(submitted.created_at).unwrap();
    assert!(took > Duration::from_secs(92) && took <= Duration::from_secs(93), "{took:?}");
    assert!(took < final_within(&run.ctx.charge_limits));
}
