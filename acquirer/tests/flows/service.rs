//! The gRPC edges: messages in, messages out, and the stream of events.

use std::{collections::BTreeSet, sync::Arc, time::Duration, time::UNIX_EPOCH};

use acquirer::service::{AuthorizationService, OrdersService};
use mesh::{
    clock::Clock as _,
    identity::{CertificateSerial, Fingerprint, Peer},
    status::{reason_of, violations_of},
};
use proto::{
    authorization::Carried,
    event::OrderEvent,
    pb::{
        self, authorization_client::AuthorizationClient, authorization_server::AuthorizationServer,
        order_service_client::OrderServiceClient, order_service_server::OrderServiceServer,
        resolve_authorization_response::Outcome,
    },
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use super::{
    bank::{Bank, DOMAIN, shop},
    network::Answer,
};

/// The servers are called in this process; the certificate is what `mesh` would have put there.
struct Edges {
    bank: Bank,
    orders: OrderServiceClient<OrderServiceServer<OrdersService>>,
    authorization: AuthorizationClient<AuthorizationServer<AuthorizationService>>,
}

fn edges() -> Edges {
    let bank = Bank::new();
    let orders = OrderServiceClient::new(OrdersService::server(bank.orders.clone()));
    let authorization = AuthorizationClient::new(AuthorizationService::server(Arc::clone(&bank.authorizer)));
    Edges { bank, orders, authorization }
}

pub(crate) fn by<T>(role: &str, member: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(Peer {
        id: format!("spiffe://{DOMAIN}/{role}/{member}").parse().unwrap(),
        fingerprint: Fingerprint::of(b"certificate"),
        not_after: UNIX_EPOCH,
        serial: CertificateSerial::from_bytes(&[1]),
        remote_addr: "127.0.0.1:1".parse().unwrap(),
    }));
    request
}

pub(crate) fn wish(reference: &str) -> pb::CreateOrderRequest {
    let price = Some(pb::Money { currency_code: "TWD".into(), minor_units: 100 });
    pb::CreateOrderRequest {
        merchant_reference: reference.into(),
        amount: price.clone(),
        lines: vec![pb::OrderLine { description: "A book".into(), quantity: 1, unit_price: price }],
        return_url: "https://shop.example/done".into(),
        expires_after: None,
        delivery_hint: String::new(),
    }
}

#[tokio::test]
async fn a_payment_from_the_wish_to_the_result() {
    let mut edges = edges();
    let made = edges.orders.create_order(by("merchant", "shop-books", wish("R-1"))).await.unwrap().into_inner();
    let summary = made.order.unwrap();
    assert_eq!(made.payment_url, format!("https://pay.example/pay/{}", summary.order_id));
    assert_eq!((summary.state(), summary.attempts), (pb::OrderState::Open, 0));

    let name = pb::get_order_request::Order::MerchantReference("R-1".into());
    let get = || by("merchant", "shop-books", pb::GetOrderRequest { order: Some(name.clone()) });
    let got = edges.orders.get_order(get()).await.unwrap().into_inner();
    assert_eq!((got.order, got.signed_order), (Some(summary), made.signed_order));

    let order = edges.bank.order("R-1", 100).await;
    let sent = edges.bank.a.request(&order, 1, edges.bank.clock.now());
    let message =
        || pb::AuthorizeRequest { route: Some(sent.route.to_pb()), request: Some(sent.request.signed.to_pb()) };
    let answer = edges.authorization.authorize(by("issuer", "bank-a", message())).await.unwrap().into_inner();
    let again = edges.authorization.authorize(by("platform", "platform-one", message())).await.unwrap().into_inner();
    assert_eq!(answer, again, "byte for byte, also through a platform");
    assert_eq!(answer.authorization_id, sent.request.says.id.to_string());

    let question = edges.bank.question(&sent);
    let signed = pb::ResolveAuthorizationRequest { route: Some(sent.route.to_pb()), request: None };
    let refused = edges.authorization.resolve_authorization(by("issuer", "bank-a", signed)).await.unwrap_err();
    assert_eq!(violations_of(&refused)[0].0, "request");
    let resolved = edges.bank.resolve(&edges.bank.a, question).await.unwrap();
    let acquirer::authorize::Resolution::Result(signed) = resolved else { panic!("{resolved:?}") };
    assert_eq!(Some(Outcome::Result(signed.to_pb())), answer.result.map(Outcome::Result));

    let paid = edges.orders.get_order(get()).await.unwrap().into_inner().order.unwrap();
    let last = paid.last_authorization.clone().unwrap();
    assert_eq!((paid.state(), last.decision()), (pb::OrderState::Approved, pb::Decision::Approved));
    let cancel = pb::CancelOrderRequest { order_id: paid.order_id };
    let cancelled = edges.orders.cancel_order(by("merchant", "shop-books", cancel)).await.unwrap().into_inner();
    assert_eq!(cancelled.outcome(), pb::CancelOutcome::TooLate);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let mut edges = edges();
    let mut wrong = wish("R 1");
    wrong.lines[0].quantity = 2;
    wrong.lines.push(pb::OrderLine::default());
    wrong.return_url = "ftp://shop.example".into();
    wrong.expires_after = Some(prost_types::Duration { seconds: 59, nanos: 0 });
    let status = edges.orders.create_order(by("merchant", "shop-books", wrong)).await.unwrap_err();
    assert_eq!(reason_of(&status).as_deref(), Some("INVALID_FIELD"));
    let paths: BTreeSet<String> = violations_of(&status).into_iter().map(|(path, _)| path).collect();
    for path in ["merchant_reference", "return_url", "expires_after", "lines[1].description", "lines[1].unit_price"] {
        assert!(paths.contains(path), "{path} in {paths:?}");
    }
    let mut short = wish("R-1");
    short.lines[0].quantity = 2;
    let status = edges.orders.create_order(by("merchant", "shop-books", short)).await.unwrap_err();
    assert_eq!(violations_of(&status)[0].0, "lines", "lines must add up");

    let unknown = edges.orders.create_order(by("merchant", "shop-none", wish("R-1"))).await.unwrap_err();
    assert_eq!(reason_of(&unknown).as_deref(), Some("MERCHANT_UNKNOWN"));
    let anonymous = edges.orders.create_order(Request::new(wish("R-1"))).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated);
    let cursor = pb::WatchOrdersRequest { cursor: "nonsense".into() };
    let refused = edges.orders.watch_orders(by("merchant", "shop-books", cursor)).await.unwrap_err();
    assert_eq!(violations_of(&refused)[0].0, "cursor");
}

/// Reads events from a cursor until there are `count`, and returns the last cursor.
async fn watch(edges: &mut Edges, cursor: String, count: usize, seen: &mut Vec<String>) -> String {
    let request = by("merchant", "shop-books", pb::WatchOrdersRequest { cursor: cursor.clone() });
    let mut stream = edges.orders.watch_orders(request).await.unwrap().into_inner();
    let mut last = cursor;
    for _ in 0..count {
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        let response = next.expect("an event in time").unwrap().unwrap();
        let event = Carried::<OrderEvent>::parse(response.event.unwrap()).unwrap();
        seen.push(event.says.id());
        last = response.cursor;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_resumes_without_a_gap_or_a_repeat_while_events_come() {
    const ORDERS: u8 = 150;
    let mut edges = edges();
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        orders.push(edges.bank.order(&format!("R-{number}"), 100).await);
    }
    edges.bank.network.next([Answer::Decline(proto::authorization::DeclineReason::LostCard); 20]);
    let now = edges.bank.clock.now();
    let calls: Vec<_> = (0..ORDERS)
        .zip(&orders)
        .map(|(number, order)| edges.bank.spawn(&edges.bank.a.request(order, number, now)))
        .collect();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    // Looks of differing length, begun while the payments run; the longest reads more than a page.
    for count in [1, 0, 7, 2, 140] {
        cursor = watch(&mut edges, cursor, count, &mut seen).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let expected: Vec<String> = edges.bank.events(&shop()).await.iter().map(OrderEvent::id).collect();
    assert_eq!(expected.len(), usize::from(ORDERS));
    assert_eq!(seen, expected, "the order of the commits, each once");

    let theirs = by("merchant", "shop-tea", pb::WatchOrdersRequest { cursor });
    assert!(edges.orders.watch_orders(theirs).await.is_err(), "a cursor is its merchant's");
}
