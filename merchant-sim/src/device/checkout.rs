//! The platform as a device calls it: server TLS, and no certificate of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::channel::{MeshChannel, device_channel, within};
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::order::SignedOrder;
use proto::pb;
use proto::pb::checkout_client::CheckoutClient;
use proto::pb::select_bank_request::Order;
use tonic::Status;

use crate::topology::Topology;

/// How long a device waits for the platform: nothing there takes more than a commit.
const CALL_TIME: Duration = Duration::from_secs(10);

/// The client of a bank's app.
#[derive(Clone, Debug)]
pub struct Checkouts {
    client: CheckoutClient<MeshChannel>,
}

/// What a bank's app takes from the platform.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The acquirer's signed order.
    pub order: SignedOrder,
    /// The platform's ticket.
    pub ticket: Bytes,
}

impl Checkouts {
    /// Calls the platform of a network, with a connection of its own.
    ///
    /// # Errors
    /// The address or the authority's file can't be used.
    pub fn of(topology: &Topology) -> Result<Self> {
        let channel = device_channel(&topology.platform.devices, &topology.authority)?;
        Ok(Self { client: CheckoutClient::new(channel) })
    }

    /// A checkout with its bank options.
    ///
    /// # Errors
    /// The platform's status.
    pub async fn look(&self, checkout_id: &str) -> Result<pb::GetCheckoutResponse, Status> {
        let request = pb::GetCheckoutRequest { checkout_id: checkout_id.to_owned() };
        Ok(self.client.clone().get_checkout(within(request, CALL_TIME)).await?.into_inner())
    }

    /// Picks a bank for a checkout; returns the link into its app.
    ///
    /// # Errors
    /// The platform's status.
    pub async fn pick(&self, checkout_id: &str, bank_id: &str) -> Result<String, Status> {
        Ok(self.select(Order::CheckoutId(checkout_id.to_owned()), bank_id).await?.app_link)
    }

    /// Gets a ticket for an order that the app has from its QR code.
    ///
    /// # Errors
    /// The platform's status.
    pub async fn ticket(&self, order: pb::Signed, bank_id: &str) -> Result<Bytes, Status> {
        Ok(self.select(Order::SignedOrder(order), bank_id).await?.ticket)
    }

    /// Takes the order and the ticket for a code.
    ///
    /// # Errors
    /// The platform's status.
    pub async fn redeem(&self, code: &str, device_nonce: [u8; 16]) -> Result<pb::RedeemCodeResponse, Status> {
        let device_nonce = Bytes::copy_from_slice(&device_nonce);
        let request = pb::RedeemCodeRequest { code: code.to_owned(), device_nonce };
        Ok(self.client.clone().redeem_code(within(request, CALL_TIME)).await?.into_inner())
    }

    /// The same on a fresh device, with the order read.
    ///
    /// # Errors
    /// The platform refuses, or answers with no order.
    pub async fn take(&self, code: &str) -> Result<Taken> {
        let answer = self.redeem(code, SystemEntropy::new().id()?).await.context("RedeemCode")?;
        let order = answer.signed_order.context("RedeemCode answered without an order")?;
        Ok(Taken { order: SignedOrder::parse(order).context("the order")?, ticket: answer.ticket })
    }

    async fn select(&self, order: Order, bank_id: &str) -> Result<pb::SelectBankResponse, Status> {
        let request = pb::SelectBankRequest { order: Some(order), bank_id: bank_id.to_owned() };
        Ok(self.client.clone().select_bank(within(request, CALL_TIME)).await?.into_inner())
    }
}
