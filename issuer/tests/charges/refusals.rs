//! What is refused before anything moves.

use std::time::Duration;

use issuer::error::Error;
use mesh::{clock::Clock, directory::Member};
use proto::{
    directory::{Head, MemberStatus},
    order::SignedOrder,
};

use super::{
    acquirer::{Reply, sign},
    world::{Card, Run, World},
};

async fn refused(world: &World, run: &Run, order: &SignedOrder, card: Card) -> Error {
    let commits = run.store.commits();
    let error = run.submit(1, order, card).await.expect_err("this must be refused");
    assert_eq!(run.store.commits(), commits, "a refused charge writes nothing");
    assert!(world.acquirer.received().is_empty());
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    error
}

#[tokio::test]
async fn cards_that_cannot_pay() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 5_001);
    type Expected = fn(&Error) -> bool;
    let cases: [(Card, Expected); 5] = [
        (Card::OfWu, |error| matches!(error, Error::CardOptionNotFound)),
        (Card::Blocked, |error| matches!(error, Error::CardNotUsable)),
        (Card::Expired, |error| matches!(error, Error::CardNotUsable)),
        (Card::Dollars, |error| matches!(error, Error::CardNotUsable)),
        (Card::Debit, |error| matches!(error, Error::InsufficientFunds)),
    ];
    for (card, expected) in cases {
        let error = refused(&world, &run, &order, card).await;
        assert!(expected(&error), "{card:?}: {error}");
    }
}

#[tokio::test]
async fn orders_that_must_not_be_paid() {
    let (world, run) = World::new().await;
    let good = world.acquirer.order("TWD", 100);

    let mut altered = good.clone();
    altered.order.amount = world.acquirer.order("TWD", 1).order.amount;
    let altered = SignedOrder::parse(proto::pb::Signed {
        body: prost::Message::encode_to_vec(&altered.order.to_pb()).into(),
        ..good.signed.to_pb()
    });
    // Signed by a bank that is a member, but not the one that the order names.
    let foreign = SignedOrder::parse(sign(&world.other.signer, &good.order.to_pb()).to_pb());
    for order in [altered.unwrap(), foreign.unwrap()] {
        let error = refused(&world, &run, &order, Card::First).await;
        assert!(matches!(error, Error::OrderSignatureInvalid), "{error}");
    }

    let unknown = world.acquirer.order_with("TWD", 100, |order| order.acquirer = "bank-nowhere".parse().unwrap());
    let error = refused(&world, &run, &unknown, Card::First).await;
    assert!(matches!(error, Error::AcquirerUnknown), "{error}");

    let later = world.acquirer.order_with("TWD", 100, |order| {
        order.created_at += Duration::from_secs(61);
        order.expires_at += Duration::from_secs(61);
    });
    let error = refused(&world, &run, &later, Card::First).await;
    assert!(matches!(error, Error::OrderSignatureInvalid), "an order from the future: {error}");
}

#[tokio::test]
async fn an_order_is_over_a_minute_after_its_time() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 100);
    world.clock.advance(Duration::from_secs(900 + 61));
    let error = refused(&world, &run, &order, Card::First).await;
    assert!(matches!(error, Error::OrderExpired), "{error}");
    world.clock.set(order.order.expires_at + Duration::from_secs(60));
    assert!(run.submit(1, &order, Card::First).await.is_ok(), "clocks may differ by a minute");
}

#[tokio::test]
async fn an_acquirer_that_may_not_take_part() {
    for (status, suspended) in [(MemberStatus::Suspended, true), (MemberStatus::Removed, false)] {
        let (world, run) = World::new().await;
        world.publish(&world.trust, |[acquirer, _]| acquirer.status = status);
        let error = refused(&world, &run, &world.acquirer.order("TWD", 100), Card::First).await;
        let expected =
            if suspended { matches!(error, Error::AcquirerSuspended) } else { matches!(error, Error::AcquirerUnknown) };
        assert!(expected, "{status:?}: {error}");
    }
}

#[tokio::test]
async fn a_stale_directory_starts_nothing_and_lets_end_what_is_under_way() {
    let (world, run) = World::new().await;
    world.acquirer.then(Reply::ApproveUnheard);
    run.submit(1, &world.acquirer.order("TWD", 100), Card::First).await.unwrap();
    run.until_unknown(1).await;
    let head = Head {
        directory_version: 2,
        entry_count: 2,
        entries_digest: world.directory.current().digest(),
        signed_at: world.clock.now(),
    };
    let vouched_for = world.directory.current().with::<Member>([]).unwrap().with_head(head).unwrap();
    world.directory.replace(vouched_for);
    world.clock.advance(Duration::from_secs(3_600));
    assert!(run.submit(2, &world.acquirer.order("TWD", 100), Card::Second).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    let stale = run.submit(3, &world.acquirer.order("TWD", 100), Card::First).await;
    assert!(matches!(stale, Err(Error::DirectoryStale)), "{stale:?}");
    run.ask();
    assert!(run.until_final(1).await.state.is_final());
}
