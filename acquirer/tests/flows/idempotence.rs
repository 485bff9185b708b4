//! The same call again: the same answer, byte for byte, for as long as the order exists.

use std::time::Duration;

use acquirer::service::{AuthorizationService, OrdersService};
use mesh::{clock::Clock as _, status::reason_of};
use prost::Message as _;
use proto::{
    authorization::DeclineReason,
    pb::{
        self, authorization_client::AuthorizationClient, authorization_server::AuthorizationServer,
        order_service_client::OrderServiceClient, order_service_server::OrderServiceServer,
    },
};

use super::{
    bank::{Bank, approved, declined},
    network::Answer,
    service::{by, wish},
};

type Orders = OrderServiceClient<OrderServiceServer<OrdersService>>;

fn orders(bank: &Bank) -> Orders {
    OrderServiceClient::new(OrdersService::server(bank.orders.clone()))
}

async fn create(orders: &mut Orders, reference: &str) -> pb::CreateOrderResponse {
    orders.create_order(by("merchant", "shop-books", wish(reference))).await.unwrap().into_inner()
}

async fn cancel(orders: &mut Orders, order_id: &str) -> pb::CancelOrderResponse {
    let request = pb::CancelOrderRequest { order_id: order_id.to_owned() };
    orders.cancel_order(by("merchant", "shop-books", request)).await.unwrap().into_inner()
}

async fn look(orders: &mut Orders, order_id: &str) -> pb::GetOrderResponse {
    let order = Some(pb::get_order_request::Order::OrderId(order_id.to_owned()));
    orders.get_order(by("merchant", "shop-books", pb::GetOrderRequest { order })).await.unwrap().into_inner()
}

fn seconds(timestamp: Option<&prost_types::Timestamp>) -> i64 {
    timestamp.unwrap().seconds
}

#[tokio::test]
async fn a_wish_gets_its_first_answer_whatever_became_of_the_order() {
    let bank = Bank::new();
    let mut client = orders(&bank);
    let first = create(&mut client, "R-1").await.encode_to_vec();
    let order = bank.order("R-1", 100).await;
    bank.network.next([Answer::Decline(DeclineReason::LostCard)]);
    bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    assert_eq!(create(&mut client, "R-1").await.encode_to_vec(), first, "after a decline");
    assert!(approved(&bank.authorize(&bank.a.request(&order, 2, bank.clock.now())).await.unwrap()));
    assert_eq!(create(&mut client, "R-1").await.encode_to_vec(), first, "after the payment");
    bank.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(create(&mut orders(&bank.restarted()), "R-1").await.encode_to_vec(), first, "a day and a start later");
    let mut dearer = wish("R-1");
    dearer.delivery_hint = "T** · Taipei".into();
    let reused = client.create_order(by("merchant", "shop-books", dearer)).await.unwrap_err();
    assert_eq!(reason_of(&reused).as_deref(), Some("REFERENCE_REUSED"));
    let looked = look(&mut client, order.id().as_str()).await.order.unwrap();
    assert_eq!((looked.state(), looked.attempts), (pb::OrderState::Approved, 1), "how it stands is asked for");
}

#[tokio::test]
async fn a_final_cancel_is_answered_the_same_for_ever() {
    let bank = Bank::new();
    let mut client = orders(&bank);
    let order = bank.order("R-1", 100).await;
    let first = cancel(&mut client, order.id().as_str()).await;
    assert_eq!(first.outcome(), pb::CancelOutcome::Cancelled);
    // A late authorization is refused, which its shop hears of, and changes nothing of the answer.
    let late = bank.authorize(&bank.a.request(&order, 1, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&late), Some(DeclineReason::OrderCancelled));
    bank.clock.advance(Duration::from_secs(24 * 60 * 60));
    let again = cancel(&mut orders(&bank.restarted()), order.id().as_str()).await;
    assert_eq!(again.encode_to_vec(), first.encode_to_vec());

    let paid = bank.order("R-2", 100).await;
    assert!(approved(&bank.authorize(&bank.a.request(&paid, 2, bank.clock.now())).await.unwrap()));
    let first = cancel(&mut client, paid.id().as_str()).await;
    assert_eq!(first.outcome(), pb::CancelOutcome::TooLate);
    let refused = bank.authorize(&bank.a.request(&paid, 3, bank.clock.now())).await.unwrap();
    assert_eq!(declined(&refused), Some(DeclineReason::OrderAlreadyApproved));
    assert_eq!(cancel(&mut client, paid.id().as_str()).await.encode_to_vec(), first.encode_to_vec());
}

#[tokio::test]
async fn whoever_asks_is_told_who_owes_the_next_message_and_by_when() {
    let bank = Bank::new();
    let mut client = orders(&bank);
    let order = bank.order("R-1", 100).await;
    let id = order.id().as_str();
    let (now, expiry) = (seconds(Some(&proto::time::to_pb(bank.clock.now()))), 900);
    let awaited = |summary: &pb::OrderSummary| {
        let awaiting = summary.awaiting.as_ref().unwrap();
        (awaiting.party(), seconds(awaiting.by.as_ref()) - now, seconds(summary.final_by.as_ref()) - now)
    };
    let open = look(&mut client, id).await.order.unwrap();
    assert_eq!(awaited(&open), (pb::AwaitedParty::Cardholder, expiry, expiry + 33));

    bank.network.next([Answer::Silent]);
    let sent = bank.a.request(&order, 1, bank.clock.now());
    let paying = bank.spawn(&sent);
    bank.network.asked_times(1).await;
    let asking = look(&mut client, id).await.order.unwrap();
    assert_eq!(awaited(&asking), (pb::AwaitedParty::CardNetwork, 5, expiry + 33));
    let list = client.list_orders(by("merchant", "shop-books", pb::ListOrdersRequest::default())).await;
    assert_eq!(list.unwrap().into_inner().orders, [asking], "the list says the same");

    // The network and its inquiry are silent: from the deadline on it is the acquirer's turn.
    bank.network.die();
    bank.clock.advance(Duration::from_millis(5_001));
    let settling = look(&mut client, id).await.order.unwrap();
    assert_eq!(awaited(&settling), (pb::AwaitedParty::Acquirer, 32, expiry + 33));
    let question = bank.question(&sent);
    let pending = resolve(&bank, &sent, question).await;
    assert_eq!(pending.awaiting.unwrap().party(), pb::AwaitedParty::Acquirer);
    assert_eq!(seconds(pending.decided_by.as_ref()) - now, 32);
    while bank.network.inquired().is_empty() {
        tokio::task::yield_now().await;
    }
    bank.clock.advance(Duration::from_secs(2));
    paying.await.unwrap().unwrap();
    bank.orders.cancel(&super::bank::shop(), order.id()).await.unwrap();
    let over = look(&mut client, id).await.order.unwrap();
    assert_eq!((over.state(), over.awaiting, over.final_by), (pb::OrderState::Cancelled, None, None));
}

/// Asks as an issuer does, over the edge, and expects to be told to wait.
async fn resolve(
    bank: &Bank,
    sent: &super::bank::Sent,
    question: proto::authorization::Question,
) -> pb::AuthorizationPending {
    type Client = AuthorizationClient<AuthorizationServer<AuthorizationService>>;
    let mut client: Client = AuthorizationClient::new(AuthorizationService::server(bank.authorizer.clone()));
    let request = pb::ResolveAuthorizationRequest {
        route: Some(sent.route.to_pb()),
        request: Some(bank.a.sign_question(&question).to_pb()),
    };
    let answer = client.resolve_authorization(by("issuer", "bank-a", request)).await.unwrap().into_inner();
    match answer.outcome {
        Some(pb::resolve_authorization_response::Outcome::Pending(pending)) => pending,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_shop_sees_what_it_has_not_acknowledged() {
    let bank = Bank::new();
    let mut client = orders(&bank);
    let order = bank.order("R-1", 100).await;
    let nothing = look(&mut client, order.id().as_str()).await.notifications.unwrap();
    assert_eq!(nothing, pb::NotificationStatus::default());
    bank.orders.cancel(&super::bank::shop(), order.id()).await.unwrap();
    let one = look(&mut client, order.id().as_str()).await.notifications.unwrap();
    assert_eq!((one.waiting, one.parked), (1, 0));
    assert_eq!(one.next_try_at, Some(proto::time::to_pb(bank.clock.now())));
}
