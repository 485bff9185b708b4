//! By way of a platform: the ticket goes along as it came, and what the relay refuses is asked about.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use issuer::{
    charges::{self, Charge},
    client::Unanswered,
    domain::charge::State,
    error::Error,
    tasks::recovery::recover,
};
use prost::Message as _;
use proto::{
    authorization::{DeclineReason, TICKET_BYTES_MAX},
    order::SignedOrder,
    pb,
};
use tokio::sync::Notify;
use tonic::Code;

use super::{
    acquirer::{Reply, approved},
    world::{Card, Run, World, eventually, settle_down, submission},
};

/// Every byte value, at the largest size of a ticket.
fn ticket(first: u8) -> Bytes {
    (0..TICKET_BYTES_MAX).map(|place| (place as u8).wrapping_add(first)).collect()
}

async fn by_platform() -> (World, Run) {
    let (world, run) = World::new().await;
    world.hop.relays.store(true, Ordering::Relaxed);
    (world, run)
}

async fn submit(run: &Run, charge: u8, order: &SignedOrder, ticket: Bytes) -> Result<Charge, Error> {
    let submission = charges::Submission { ticket, ..submission("lin", charge, order, Card::First) };
    charges::submit(&run.ctx, submission).await
}

fn tickets(world: &World) -> Vec<Bytes> {
    let requests = world.hop.requests.lock().unwrap();
    requests.iter().map(|request| request.route.as_ref().unwrap().ticket.clone()).collect()
}

#[tokio::test]
async fn without_a_ticket_nothing_is_held() {
    let (world, run) = by_platform().await;
    let order = world.acquirer.order("TWD", 30_000);
    let refused = run.submit(1, &order, Card::First).await;
    assert!(matches!(refused, Err(Error::TicketMissing)), "{refused:?}");
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
    // The same charge id with a ticket is a new try, not another content.
    submit(&run, 1, &order, ticket(0)).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    assert_eq!(tickets(&world), [ticket(0)]);
}

#[tokio::test]
async fn what_is_wrong_with_the_order_is_said_before_a_ticket_is_asked_for() {
    let (world, run) = by_platform().await;
    let order = world.other.order_with("TWD", 100, |order| order.acquirer = world.acquirer.id.clone());
    let refused = run.submit(1, &order, Card::First).await;
    assert!(matches!(refused, Err(Error::OrderSignatureInvalid)), "{refused:?}");
}

#[tokio::test]
async fn a_directly_called_acquirer_needs_no_ticket() {
    let (world, run) = World::new().await;
    run.submit(1, &world.acquirer.order("TWD", 100), Card::First).await.unwrap();
    assert!(matches!(run.until_final(1).await.state, State::Approved { .. }));
    assert_eq!(tickets(&world), [Bytes::new()]);
}

#[tokio::test]
async fn the_ticket_is_stored_with_the_request_that_would_be_sent_again() {
    let (world, run) = by_platform().await;
    world.acquirer.then(Reply::Wait(Arc::new(Notify::new()), approved()));
    let charge = submit(&run, 1, &world.acquirer.order("TWD", 30_000), ticket(7)).await.unwrap();
    eventually(async || !world.hop.requests.lock().unwrap().is_empty()).await;
    let sent = world.hop.requests.lock().unwrap()[0].clone();
    assert_eq!(sent.route.as_ref().unwrap().ticket, ticket(7), "byte for byte");
    let stored = world.stored_request(&charge).await.unwrap();
    assert_eq!(pb::AuthorizeRequest::decode(stored.clone()).unwrap(), sent);
    run.ctx.stop.cancel();

    // It is still there after a restart, as long as the charge is unknown.
    let next = world.start(2).await;
    assert_eq!(recover(&next.ctx).await.unwrap().unknown, 1);
    assert_eq!(world.stored_request(&charge).await.unwrap(), stored);
}

#[tokio::test]
async fn a_request_that_is_sent_again_carries_its_ticket() {
    for refusal in ["RATE_LIMIT", "OVERLOADED"] {
        let (world, run) = by_platform().await;
        let busy = Unanswered::Refused { code: Code::ResourceExhausted, reason: refusal.into() };
        world.acquirer.then(Reply::Fail(busy));
        submit(&run, 1, &world.acquirer.order("TWD", 30_000), ticket(9)).await.unwrap();
        eventually(async || tickets(&world).len() == 1 && world.clock.sleepers() > 0).await;
        settle_down().await;
        world.clock.advance(Duration::from_millis(200));
        assert!(matches!(run.until_final(1).await.state, State::Approved { .. }), "{refusal}");
        assert_eq!(tickets(&world), [ticket(9), ticket(9)], "{refusal}");
    }
}

#[tokio::test]
async fn a_renewed_ticket_is_the_same_charge_and_the_first_one_travels() {
    let (world, run) = by_platform().await;
    let order = world.acquirer.order("TWD", 30_000);
    let told = Arc::new(Notify::new());
    world.acquirer.then(Reply::Wait(Arc::clone(&told), approved()));
    let first = submit(&run, 1, &order, ticket(0)).await.unwrap();
    for again in [ticket(0), ticket(1), Bytes::new()] {
        assert_eq!(submit(&run, 1, &order, again).await.unwrap().authorization, first.authorization);
    }
    told.notify_one();
    run.until_final(1).await;
    assert_eq!(submit(&run, 1, &order, Bytes::new()).await.unwrap().authorization, first.authorization);
    assert_eq!(tickets(&world), [ticket(0)]);
    assert_eq!(world.account("credit-lin").await, (70_000, 0, 30_000));
    // Another order under the same id stays another content, whatever the ticket.
    let other = submit(&run, 1, &world.acquirer.order("TWD", 30_000), ticket(0)).await;
    assert!(matches!(other, Err(Error::ChargeIdReused)), "{other:?}");
}

#[tokio::test]
async fn a_refusal_of_the_relay_ends_as_never_received_by_asking() {
    use Code::{FailedPrecondition, NotFound, PermissionDenied};
    for (code, reason) in [
        (PermissionDenied, "MEMBER_SUSPENDED"),
        (PermissionDenied, "MEMBER_UNKNOWN"),
        (PermissionDenied, "ISSUER_MISMATCH"),
        (NotFound, "ACQUIRER_UNKNOWN"),
        (FailedPrecondition, "ACQUIRER_SUSPENDED"),
        (PermissionDenied, "TICKET_MISSING"),
        (PermissionDenied, "TICKET_INVALID"),
        (PermissionDenied, "TICKET_EXPIRED"),
        (PermissionDenied, "TICKET_OF_OTHER_BANK"),
        (PermissionDenied, "TICKET_OF_OTHER_ORDER"),
        (FailedPrecondition, "AMOUNT_LIMIT"),
    ] {
        let (world, run) = by_platform().await;
        let order = world.acquirer.order("TWD", 30_000);
        world.acquirer.then(Reply::Fail(Unanswered::Refused { code, reason: reason.into() }));
        submit(&run, 1, &order, ticket(0)).await.unwrap();
        run.until_unknown(1).await;
        // Nobody but the acquirer may say that nothing will come of it.
        assert_eq!(world.account("credit-lin").await, (70_000, 30_000, 0), "{reason}");
        run.ask();
        world.clock.advance(Duration::from_millis(200));
        let ended = run.until_final(1).await;
        assert!(matches!(ended.state, State::Declined { reason: DeclineReason::NeverReceived, .. }), "{reason}");
        assert_eq!(world.account("credit-lin").await, (100_000, 0, 0), "{reason}");
        assert_eq!(*world.hop.tickets_of_questions.lock().unwrap(), [Bytes::new()], "a question needs no ticket");
        // The order is free for another try, with a fresh ticket.
        submit(&run, 2, &order, ticket(1)).await.unwrap();
        assert!(matches!(run.until_final(2).await.state, State::Approved { .. }), "{reason}");
    }
}
