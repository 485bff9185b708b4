//! `bankside.v1.OrderService`.

use mesh::serve::MESSAGE_BYTES_MAX;
use proto::{
    event::Outcome,
    fields::{Fields, Invalid},
    ids::OrderId,
    pb::{self, get_order_request, order_service_server},
    require, time,
};
use tonic::{Request, Response, Status};

use super::{
    awaiting, merchant_of,
    watch::{EventStream, follow},
};
use crate::{
    bounds::{Awaited, Party},
    domain::order::State,
    error::Error,
    orders::{Cancelling, Made, NewOrder, OrderName, Orders},
    outbox::Unacknowledged,
    records::KeptOrder,
};

/// How many orders a page has where the merchant names no number, and at most.
const PAGE_SIZE_DEFAULT: u32 = 50;
/// At most: a hundred summaries fit into one message.
const PAGE_SIZE_MAX: u32 = 100;

/// The service over the orders.
#[derive(Clone, Debug)]
pub struct OrdersService {
    orders: Orders,
}

impl OrdersService {
    /// The service, ready to be mounted.
    #[must_use]
    pub fn server(orders: Orders) -> order_service_server::OrderServiceServer<Self> {
        order_service_server::OrderServiceServer::new(Self { orders }).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// An order as it stands.
    async fn summary(&self, order: &KeptOrder) -> Result<pb::OrderSummary, Error> {
        let awaited = self.orders.awaited(order).await?;
        Ok(self.describe(order, awaited, self.orders.context().payment_url(order.id())))
    }

    /// An order as it stood when it was made: a repeat of the wish gets what the first one got.
    fn summary_when_made(&self, made: &Made) -> pb::OrderSummary {
        let expires_at = made.order.signed.order.expires_at;
        let order = KeptOrder { state: State::new(expires_at), ..made.order.clone() };
        let awaited = Awaited { party: Party::Cardholder, by: expires_at };
        self.describe(&order, Some(awaited), made.payment_url.clone())
    }

    fn describe(&self, order: &KeptOrder, awaited: Option<Awaited>, payment_url: String) -> pb::OrderSummary {
        let signed = &order.signed.order;
        let final_by = signed.expires_at + self.orders.context().bounds().final_within();
        pb::OrderSummary {
            order_id: signed.id.to_string(),
            merchant_reference: order.reference.to_string(),
            state: order.state.name().into(),
            amount: Some(signed.amount.to_pb()),
            created_at: Some(time::to_pb(signed.created_at)),
            expires_at: Some(time::to_pb(signed.expires_at)),
            attempts: order.state.course().declines,
            last_authorization: order.state.course().last.as_ref().map(Outcome::to_pb),
            cancel_requested: order.state.cancel_requested(),
            payment_url,
            order_digest: order.signed.digest.to_bytes(),
            awaiting: awaited.map(awaiting),
            final_by: (!order.state.is_final()).then(|| time::to_pb(final_by)),
        }
    }
}

#[tonic::async_trait]
impl order_service_server::OrderService for OrdersService {
    type WatchOrdersStream = EventStream;

    async fn create_order(
        &self,
        request: Request<pb::CreateOrderRequest>,
    ) -> Result<Response<pb::CreateOrderResponse>, Status> {
        let merchant = merchant_of(&request)?;
        let new = NewOrder::parse(request.into_inner()).map_err(Error::from)?;
        let made = self.orders.create(&merchant, &new).await?;
        tracing::Span::current().record("order_id", tracing::field::display(made.order.id()));
        tracing::info!("order made");
        let order = Some(self.summary_when_made(&made));
        let signed_order = Some(made.order.signed.signed.to_pb());
        Ok(Response::new(pb::CreateOrderResponse { signed_order, payment_url: made.payment_url, order }))
    }

    async fn get_order(&self, request: Request<pb::GetOrderRequest>) -> Result<Response<pb::GetOrderResponse>, Status> {
        let merchant = merchant_of(&request)?;
        let name = parse_name(request.into_inner()).map_err(Error::from)?;
        let order = self.orders.find(&merchant, &name).await?;
        let unacknowledged = self.orders.unacknowledged(order.id()).await?;
        Ok(Response::new(pb::GetOrderResponse {
            order: Some(self.summary(&order).await?),
            signed_order: Some(order.signed.signed.to_pb()),
            notifications: Some(notifications(unacknowledged)),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        let merchant = merchant_of(&request)?;
        let pb::ListOrdersRequest { page_size, page_token } = request.into_inner();
        let size = parse_page_size(page_size).map_err(Error::from)?;
        let (orders, next_page_token) = self.orders.list(&merchant, size, &page_token).await?;
        let mut summaries = Vec::with_capacity(orders.len());
        for order in &orders {
            summaries.push(self.summary(order).await?);
        }
        Ok(Response::new(pb::ListOrdersResponse { orders: summaries, next_page_token }))
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        let merchant = merchant_of(&request)?;
        let id = parse_id(&request.into_inner()).map_err(Error::from)?;
        tracing::Span::current().record("order_id", tracing::field::display(&id));
        let (answer, order) = self.orders.cancel(&merchant, &id).await?;
        let outcome = match answer {
            Cancelling::Cancelled => pb::CancelOutcome::Cancelled,
            Cancelling::TooLate => pb::CancelOutcome::TooLate,
            Cancelling::Pending => pb::CancelOutcome::Pending,
            Cancelling::AlreadyExpired => pb::CancelOutcome::AlreadyExpired,
            Cancelling::AlreadyFailed => pb::CancelOutcome::AlreadyFailed,
        };
        let order = Some(self.summary(&order).await?);
        Ok(Response::new(pb::CancelOrderResponse { outcome: outcome.into(), order }))
    }

    async fn watch_orders(&self, request: Request<pb::WatchOrdersRequest>) -> Result<Response<EventStream>, Status> {
        let merchant = merchant_of(&request)?;
        let after = self.orders.place_of_cursor(&merchant, &request.into_inner().cursor)?;
        Ok(Response::new(follow(self.orders.clone(), merchant, after)))
    }
}

fn notifications(unacknowledged: Unacknowledged) -> pb::NotificationStatus {
    // Each is counted up to a hundred.
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    pb::NotificationStatus {
        waiting: count(unacknowledged.waiting),
        next_try_at: unacknowledged.next_try.map(time::to_pb),
        parked: count(unacknowledged.parked),
    }
}

fn parse_name(pb: pb::GetOrderRequest) -> Result<OrderName, Invalid> {
    let mut fields = Fields::new();
    let name = match pb.order {
        Some(get_order_request::Order::OrderId(id)) => fields.text("order_id", &id).map(OrderName::Id),
        Some(get_order_request::Order::MerchantReference(reference)) => {
            fields.text("merchant_reference", &reference).map(OrderName::Reference)
        }
        None => {
            fields.wrong("order_id", "must be set, or merchant_reference instead");
            None
        }
    };
    require!(fields; name);
    Ok(name)
}

fn parse_id(pb: &pb::CancelOrderRequest) -> Result<OrderId, Invalid> {
    let mut fields = Fields::new();
    let id = fields.text("order_id", &pb.order_id);
    require!(fields; id);
    Ok(id)
}

fn parse_page_size(size: u32) -> Result<usize, Invalid> {
    let size = if size == 0 { PAGE_SIZE_DEFAULT } else { size };
    let wrong = || Invalid::field("page_size", "must be 1 to 100, or zero for 50");
    if size > PAGE_SIZE_MAX { Err(wrong()) } else { usize::try_from(size).map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_size_has_a_default_and_an_end() {
        assert_eq!(parse_page_size(0), Ok(50));
        assert_eq!(parse_page_size(100), Ok(100));
        assert!(parse_page_size(101).is_err());
    }

    #[test]
    fn an_order_must_be_named() {
        let wrong = |order| parse_name(pb::GetOrderRequest { order }).map_err(|invalid| invalid.violations.len());
        assert_eq!(wrong(None), Err(1));
        assert_eq!(wrong(Some(get_order_request::Order::OrderId("x".into()))), Err(1));
    }
}
