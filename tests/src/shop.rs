//! A shop's server: it makes orders, looks at them, and hears what became of them.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use mesh::{
    channel::{MeshChannel, within},
    identity::Role,
};
use prost::Message as _;
use proto::{
    order::SignedOrder,
    pb::{self, order_service_client::OrderServiceClient},
};

use crate::{
    network::{Network, twd},
    roles::SHOP,
    wait::{PATIENCE, soon},
};

/// The shop at one acquirer.
#[derive(Debug)]
pub struct Shop {
    client: OrderServiceClient<MeshChannel>,
    orders: AtomicU32,
}

impl Shop {
    /// Joins the network as the shop that the acquirer has taken on.
    #[must_use]
    pub fn join(network: &Network, acquirer: &str, at: SocketAddr) -> Self {
        network.join(Role::Merchant, SHOP);
        Self::new(network, acquirer, at)
    }

    /// The shop at another acquirer, once it has joined.
    #[must_use]
    pub fn new(network: &Network, acquirer: &str, at: SocketAddr) -> Self {
        let channel = network.channel((Role::Merchant, SHOP), (Role::Acquirer, acquirer), at);
        Self { client: OrderServiceClient::new(channel), orders: AtomicU32::new(0) }
    }

    /// Makes an order over this amount.
    pub async fn place(&self, minor_units: i64) -> SignedOrder {
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let price = Some(twd(minor_units).to_pb());
        let request = pb::CreateOrderRequest {
            merchant_reference: format!("R-{number}"),
            amount: price.clone(),
            lines: vec![pb::OrderLine { description: "A book".into(), quantity: 1, unit_price: price }],
            return_url: "https://books.example/checkout/1".into(),
            expires_after: None,
            delivery_hint: String::new(),
        };
        let made = self.client.clone().create_order(within(request, PATIENCE)).await.unwrap().into_inner();
        SignedOrder::parse(made.signed_order.unwrap()).unwrap()
    }

    /// An order as it stands.
    pub async fn look(&self, order: &SignedOrder) -> pb::OrderSummary {
        let order = Some(pb::get_order_request::Order::OrderId(order.order.id.to_string()));
        let found = self.client.clone().get_order(within(pb::GetOrderRequest { order }, PATIENCE)).await;
        found.unwrap().into_inner().order.unwrap()
    }

    /// Every order as it stands, the newest first.
    pub async fn look_at_all(&self) -> Vec<pb::OrderSummary> {
        let mut orders = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListOrdersRequest { page_size: 0, page_token };
            let page = self.client.clone().list_orders(within(request, PATIENCE)).await.unwrap().into_inner();
            orders.extend(page.orders);
            if page.next_page_token.is_empty() {
                return orders;
            }
            page_token = page.next_page_token;
        }
    }

    /// Every event so far, as the acquirer signed it. To know that there is no other, it cancels an order
    /// and waits for that event, which is the last in the shop's one stream and is left out.
    pub async fn events(&self) -> Vec<(pb::Signed, pb::OrderEvent)> {
        let last = self.place(1).await.order.id.to_string();
        let cancel = pb::CancelOrderRequest { order_id: last.clone() };
        self.client.clone().cancel_order(within(cancel, PATIENCE)).await.unwrap();
        let watch = tonic::Request::new(pb::WatchOrdersRequest::default());
        let mut stream = soon("the events", self.client.clone().watch_orders(watch)).await.unwrap().into_inner();
        let mut events = Vec::new();
        loop {
            let signed = soon("an event", stream.message()).await.unwrap().unwrap().event.unwrap();
            let event = pb::OrderEvent::decode(signed.body.clone()).unwrap();
            if event.order_id == last {
                return events;
            }
            events.push((signed, event));
        }
    }
}
