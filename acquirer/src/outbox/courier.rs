//! Carrying one event to one merchant, over mutual TLS.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use mesh::{
    channel::{self, MeshChannel, within},
    identity::{IdentityError, Role},
    serve::MESSAGE_BYTES_MAX,
    tls::{ExpectedServer, TlsIdentity},
};
use proto::{
    ids::MerchantId,
    pb::{self, merchant_notification_client::MerchantNotificationClient},
};
use tonic::Code;

/// How long a merchant may take for one event. The contracts promise it as much.
pub const DELIVERY_TIME_MAX: Duration = Duration::from_secs(10);

/// Why an event did not arrive, as far as is known: a merchant that took the event and answered too late
/// looks the same, and hears of it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The configuration names no endpoint for the merchant (any more).
    #[error("the merchant has no notification endpoint")]
    NoEndpoint,
    /// The call failed. What the merchant said beside the code stays unread: it may be anything.
    #[error("the merchant's server answered {0:?}, or could not be reached")]
    Refused(Code),
    /// There was no answer within [`DELIVERY_TIME_MAX`].
    #[error("the merchant's server did not answer in time")]
    TimedOut,
}

/// Whoever carries events to merchants.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync {
    /// Carries one event and returns once the merchant has acknowledged it.
    ///
    /// # Errors
    /// [`DeliveryError`]; the event is then carried again later.
    async fn deliver(&self, merchant: &MerchantId, event: pb::Signed) -> Result<(), DeliveryError>;
}

/// Why a courier can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// A merchant's id is no member's id.
    #[error("merchant {merchant}: {source}")]
    Member {
        /// The merchant.
        merchant: MerchantId,
        /// What is wrong with its id.
        source: IdentityError,
    },
    /// A merchant's endpoint can't be used.
    #[error("merchant {merchant}: {source}")]
    Endpoint {
        /// The merchant.
        merchant: MerchantId,
        /// What is wrong with its endpoint.
        source: channel::Error,
    },
}

/// Calls `MerchantNotification` at each merchant's endpoint. The server there must show the merchant's own
/// certificate, `spiffe://<trust domain>/merchant/<id>`.
pub struct MeshCourier {
    clients: BTreeMap<MerchantId, MerchantNotificationClient<MeshChannel>>,
}

impl MeshCourier {
    /// A courier to these merchants at these addresses, `https://host:port`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CourierError`], which names the merchant.
    pub fn new(
        endpoints: impl IntoIterator<Item = (MerchantId, String)>,
        identity: &Arc<TlsIdentity>,
    ) -> Result<Self, CourierError> {
        let client = |(merchant, address): (MerchantId, String)| {
            let member = match merchant.as_str().parse() {
                Ok(member) => member,
                Err(source) => return Err(CourierError::Member { merchant, source }),
            };
            let expected = ExpectedServer::member(Role::Merchant, member);
            match MeshChannel::new(&address, Arc::clone(identity), expected) {
                Ok(channel) => {
                    let client = MerchantNotificationClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    Ok((merchant, client))
                }
                Err(source) => Err(CourierError::Endpoint { merchant, source }),
            }
        };
        Ok(Self { clients: endpoints.into_iter().map(client).collect::<Result<_, _>>()? })
    }
}

#[async_trait]
impl Courier for MeshCourier {
    async fn deliver(&self, merchant: &MerchantId, event: pb::Signed) -> Result<(), DeliveryError> {
        let mut client = self.clients.get(merchant).ok_or(DeliveryError::NoEndpoint)?.clone();
        let request = within(pb::NotifyOrderEventRequest { event: Some(event) }, DELIVERY_TIME_MAX);
        match client.notify_order_event(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::DeadlineExceeded => Err(DeliveryError::TimedOut),
            Err(status) => Err(DeliveryError::Refused(status.code())),
        }
    }
}

impl fmt::Debug for MeshCourier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshCourier").field("merchants", &self.clients.len()).finish()
    }
}

#[cfg(test)]
mod tests;
