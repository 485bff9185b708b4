//! `bankside.v1.AcquirerOperations`: what the acquirer's own people do.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use mesh::{operate, serve::MESSAGE_BYTES_MAX};
use proto::{
    fields::Invalid,
    pb::{self, acquirer_operations_server, replay_notifications_request::Of},
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    context::Context,
    error::Error,
    operations,
    outbox::{ParkedOrder, Replay, Replayed},
};

/// The service over the acquirer's means.
#[derive(Clone, Debug)]
pub struct OperationsService {
    context: Arc<Context>,
}

impl OperationsService {
    /// The service, ready to be mounted.
    #[must_use]
    pub fn server(context: Arc<Context>) -> acquirer_operations_server::AcquirerOperationsServer<Self> {
        acquirer_operations_server::AcquirerOperationsServer::new(Self { context })
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl acquirer_operations_server::AcquirerOperations for OperationsService {
    async fn list_parked_notifications(
        &self,
        request: Request<pb::ListParkedNotificationsRequest>,
    ) -> Result<Response<pb::ListParkedNotificationsResponse>, Status> {
        let pb::ListParkedNotificationsRequest { page_size, page_token } = request.into_inner();
        let page = operate::page(page_size, &page_token).map_err(Error::from)?;
        let found = operations::parked_notifications(&self.context, page).await?;
        Ok(Response::new(pb::ListParkedNotificationsResponse {
            notifications: found.orders.into_iter().map(parked_pb).collect(),
            unreadable_event_ids: found.unreadable,
            next_page_token: found.next.map(|next| BASE64URL_NOPAD.encode(next.as_bytes())).unwrap_or_default(),
        }))
    }

    async fn replay_notifications(
        &self,
        request: Request<pb::ReplayNotificationsRequest>,
    ) -> Result<Response<pb::ReplayNotificationsResponse>, Status> {
        let what = parse_what(request.into_inner()).map_err(Error::from)?;
        let Replayed { orders, events: _, has_more } = operations::replay(&self.context, &what).await?;
        let orders = u32::try_from(orders).unwrap_or(u32::MAX);
        Ok(Response::new(pb::ReplayNotificationsResponse { orders, has_more }))
    }
}

fn parse_what(pb: pb::ReplayNotificationsRequest) -> Result<Replay, Invalid> {
    let wrong = |field, error: &dyn std::fmt::Display| Invalid::field(field, error.to_string());
    match pb.of {
        Some(Of::OrderId(id)) => id.parse().map(Replay::Order).map_err(|error| wrong("order_id", &error)),
        Some(Of::MerchantId(id)) => id.parse().map(Replay::Merchant).map_err(|error| wrong("merchant_id", &error)),
        None => Err(Invalid::field("order_id", "must be set, or merchant_id instead")),
    }
}

fn parked_pb(order: ParkedOrder) -> pb::ParkedNotification {
    pb::ParkedNotification {
        order_id: order.order.to_string(),
        merchant_id: order.merchant.to_string(),
        position: order.position,
        occurred_at: Some(time::to_pb(order.occurred_at)),
        parked_at: Some(time::to_pb(order.parked_at)),
        event_id: order.event_id(),
        state: order.state.into(),
        tries: order.tries,
        last_failure: order.last_failure.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replayed_must_be_named() {
        let field = |of| parse_what(pb::ReplayNotificationsRequest { of }).map_err(|it| it.violations[0].path.clone());
        assert_eq!(field(None), Err("order_id".to_owned()));
        assert_eq!(field(Some(Of::OrderId("x".into()))), Err("order_id".to_owned()));
        assert_eq!(field(Some(Of::MerchantId("The Shop".into()))), Err("merchant_id".to_owned()));
        assert!(matches!(field(Some(Of::MerchantId("shop-books".into()))), Ok(Replay::Merchant(_))));
    }
}
