//! Following a charge: the final state is never missed, and then the stream ends.

use std::time::Duration;

use issuer::{
    charges::{self, Charge},
    domain::charge::State,
    error::Error,
};
use mesh::clock::Clock as _;
use proto::authorization::DeclineReason;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{
    acquirer::Reply,
    world::{Card, Run, World, charge_id, settle_down, within_patience},
};

/// What is left of the watching session.
const SESSION: Duration = Duration::from_secs(600);

async fn watch(
    world: &World,
    run: &Run,
    customer: &str,
    charge: u8,
) -> Result<ReceiverStream<Result<Charge, Error>>, Error> {
    charges::watch(&run.ctx, customer.parse().unwrap(), charge_id(charge), world.clock.now() + SESSION).await
}

#[tokio::test]
async fn a_watcher_sees_the_charge_to_its_end() {
    for started_late in [0, 1, 5, 10, 20, 40, 80] {
        let (world, run) = World::new().await;
        run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
        for _ in 0..started_late {
            tokio::task::yield_now().await;
        }
        let stream = watch(&world, &run, "lin", 1).await.unwrap();
        let seen: Vec<_> = within_patience(stream.collect::<Vec<_>>()).await;
        let states: Vec<State> = seen.into_iter().map(|charge| charge.unwrap().state).collect();
        assert!(matches!(states.last(), Some(State::Approved { .. })), "{states:?}");
        let finals = states.iter().filter(|state| state.is_final()).count();
        assert_eq!(finals, 1);
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{states:?}");
    }
}

#[tokio::test]
async fn many_watchers_all_see_the_end() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Decline(DeclineReason::LostCard));
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let stream = watch(&world, &run, "lin", 1).await.unwrap();
        tasks.spawn(stream.collect::<Vec<_>>());
    }
    for seen in within_patience(tasks.join_all()).await {
        let last = seen.into_iter().next_back().unwrap().unwrap();
        assert!(matches!(last.state, State::Declined { reason: DeclineReason::LostCard, .. }));
    }
}

#[tokio::test]
async fn a_charge_that_is_not_the_customers_is_not_found() {
    let (world, run) = World::new().await;
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    let of_wu = watch(&world, &run, "wu", 1).await;
    assert!(matches!(of_wu, Err(Error::ChargeNotFound)));
    let unknown = watch(&world, &run, "lin", 2).await;
    assert!(matches!(unknown, Err(Error::ChargeNotFound)));
}

#[tokio::test]
async fn a_server_that_stops_tells_its_watchers() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::Silence);
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    run.until(1, |state| matches!(state, State::Sent(_))).await;
    let mut stream = watch(&world, &run, "lin", 1).await.unwrap();
    assert!(within_patience(stream.next()).await.unwrap().is_ok());
    run.ctx.stop.cancel();
    assert!(matches!(within_patience(stream.next()).await, Some(Err(Error::Stopping))));
    assert!(within_patience(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_the_charge_goes_on() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &world.acquirer.order("TWD", 30_000), Card::First).await.unwrap();
    run.until_unknown(1).await;
    let mut stream = watch(&world, &run, "lin", 1).await.unwrap();
    assert!(within_patience(stream.next()).await.unwrap().is_ok());
    settle_down().await;
    world.clock.advance(SESSION - Duration::from_millis(1));
    settle_down().await;
    assert!(is_silent(&mut stream).await, "the session still lives");
    world.clock.advance(Duration::from_millis(1));
    assert!(matches!(within_patience(stream.next()).await, Some(Err(Error::SessionInvalid))));
    assert!(within_patience(stream.next()).await.is_none());
    run.ask();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
}

/// Whether a stream has nothing to say now.
async fn is_silent(stream: &mut ReceiverStream<Result<Charge, Error>>) -> bool {
    std::future::poll_fn(|context| {
        let next = std::pin::pin!(stream.next());
        std::task::Poll::Ready(next.poll(context).is_pending())
    })
    .await
}
