//! The shop's own server: `MerchantNotification` over mutual TLS, for acquirers alone.

use std::sync::Arc;

use anyhow::Result;
use mesh::access::{AccessTable, Rule};
use mesh::identity::{Peer, Role};
use mesh::serve::{Limits, MESSAGE_BYTES_MAX, Server};
use mesh::status::Refusal;
use mesh::tls::{ServerTls, TlsIdentity};
use proto::pb;
use proto::pb::merchant_notification_server::{MerchantNotification, MerchantNotificationServer};
use proto::reason::Reason;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::inbox::{Inbox, Refused};

/// Serves until `stop`.
///
/// # Errors
/// The identity can't be used for a server.
pub async fn serve(
    listener: TcpListener,
    identity: Arc<TlsIdentity>,
    inbox: Inbox,
    acquirer: String,
    reflection: bool,
    stop: CancellationToken,
) -> Result<()> {
    let table =
        AccessTable::new([Rule::roles("/bankside.v1.MerchantNotification/NotifyOrderEvent", &[Role::Acquirer])]);
    let service =
        MerchantNotificationServer::new(Receiver { inbox, acquirer }).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let routes = tonic::service::Routes::new(service);
    let server = Server::grpc("notifications", listener, ServerTls::mutual(identity)?, table, routes);
    // Nothing that a shop is in the middle of outlasts its process, so there is nothing to drain.
    let limits = Limits { drain: mesh::config::Period::new(std::time::Duration::from_secs(1)), ..Limits::default() };
    let server = server.limits(limits);
    let server = if reflection { server.reflection(proto::FILE_DESCRIPTOR_SET)? } else { server };
    server.serve(stop).await;
    Ok(())
}

#[derive(Debug)]
struct Receiver {
    inbox: Inbox,
    acquirer: String,
}

#[tonic::async_trait]
impl MerchantNotification for Receiver {
    async fn notify_order_event(
        &self,
        request: Request<pb::NotifyOrderEventRequest>,
    ) -> Result<Response<pb::NotifyOrderEventResponse>, Status> {
        let peer = request.extensions().get::<Arc<Peer>>();
        if peer.is_none_or(|peer| peer.id.member().as_str() != self.acquirer) {
            return Err(refusal(Code::PermissionDenied, Reason::RoleNotAllowed, "this shop has another acquirer"));
        }
        let Some(event) = request.into_inner().event else {
            return Err(Refusal::fields([("event", "must be set")]).into_status());
        };
        match self.inbox.take(event) {
            Ok(_) => Ok(Response::new(pb::NotifyOrderEventResponse {})),
            Err(refused) => {
                tracing::warn!(%refused, "an event was refused");
                Err(status(&refused))
            }
        }
    }
}

fn status(refused: &Refused) -> Status {
    let message = refused.to_string();
    match refused {
        Refused::Malformed(invalid) => {
            let violations = invalid.violations.iter().map(|v| (format!("event.{}", v.path), v.description.clone()));
            Refusal::fields(violations).into_status()
        }
        Refused::Signature => refusal(Code::Unauthenticated, Reason::SignatureInvalid, &message),
        Refused::OtherMerchant => refusal(Code::NotFound, Reason::OrderNotFound, &message),
        Refused::Contradiction => refusal(Code::AlreadyExists, Reason::ReferenceReused, &message),
        Refused::Gap(_) => refusal(Code::FailedPrecondition, Reason::Unavailable, &message),
    }
}

fn refusal(code: Code, reason: Reason, message: &str) -> Status {
    Refusal::new(code, reason, message).into_status()
}
