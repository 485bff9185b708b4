//! Orders that are paid on the device that opened the payment page: what shows it goes along, and is no content.

use issuer::{
    charges::{self, Submission},
    error::Error,
};
use proto::{confirmation::DeviceConfirmation, order::SignedOrder};

use super::{
    acquirer::Reply,
    world::{Card, World, submission, within_patience},
};

fn checked(world: &World) -> SignedOrder {
    let url = "https://pay.acquirer.example/device".parse().unwrap();
    world.acquirer.order_with("TWD", 30_000, |order| order.device_check_url = Some(url))
}

fn confirmed(order: &SignedOrder, token: &'static [u8]) -> Submission {
    let confirmation = DeviceConfirmation { state: [7; 32], token: bytes::Bytes::from_static(token) };
    Submission { device_confirmation: Some(confirmation), ..submission("lin", 1, order, Card::First) }
}

#[tokio::test]
async fn without_a_confirmation_nothing_is_held() {
    let (world, run) = World::new().await;
    let order = checked(&world);
    let refused = run.submit(1, &order, Card::First).await;
    assert!(matches!(refused, Err(Error::DeviceConfirmationRequired)), "{refused:?}");
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert_eq!(world.claim(&order).await, None);
    // The same charge id with a confirmation is a new try, not another content.
    charges::submit(&run.ctx, confirmed(&order, b"token")).await.unwrap();
    run.until_final(1).await;
    let received = world.acquirer.received();
    assert_eq!(received[0].0.device_confirmation, confirmed(&order, b"token").device_confirmation);
}

#[tokio::test]
async fn what_is_sent_again_carries_the_first_confirmation() {
    let (world, run) = World::new().await;
    let order = checked(&world);
    world.acquirer.then(Reply::ApproveAndBreak);
    let first = charges::submit(&run.ctx, confirmed(&order, b"first")).await.unwrap();
    let again = charges::submit(&run.ctx, confirmed(&order, b"second")).await.unwrap();
    assert_eq!(first.authorization, again.authorization, "another confirmation is no other content");
    let bare = run.submit(1, &order, Card::First).await.unwrap();
    assert_eq!(first.authorization, bare.authorization, "nor is none");
    within_patience(async {
        while world.hop.requests.lock().unwrap().len() < 2 {
            world.clock.advance(std::time::Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
    })
    .await;
    run.until_final(1).await;
    let sent = world.hop.requests.lock().unwrap().clone();
    assert_eq!(sent[0], sent[1], "the same bytes");
    assert_eq!(world.acquirer.received()[0].0.device_confirmation, confirmed(&order, b"first").device_confirmation);
}

#[tokio::test]
async fn an_order_without_a_check_needs_none_and_passes_one_on() {
    let (world, run) = World::new().await;
    let order = world.acquirer.order("TWD", 30_000);
    charges::submit(&run.ctx, confirmed(&order, b"token")).await.unwrap();
    run.until_final(1).await;
    assert!(world.acquirer.received()[0].0.device_confirmation.is_some());
}
