//! The platform as a bank's app calls it: it gives the order for a code, and the ticket for an order.
//!
//! A bank that calls the acquirers itself needs no ticket, but its customers pick it at the platform, too, and
//! come with a code.

use std::time::Duration;

use bytes::Bytes;
use mesh::channel::{self, MeshChannel, device_channel, within};
use proto::{
    ids::IssuerId,
    pb::{self, checkout_client::CheckoutClient, select_bank_request::Order},
};

use super::bank::Refused;
use crate::config::AppPlatformConfig;

/// How long the platform is waited for: nothing there takes more than a commit.
const CALL_TIME: Duration = Duration::from_secs(5);

/// The platform's port for devices.
#[derive(Clone, Debug)]
pub struct Platform {
    client: CheckoutClient<MeshChannel>,
    /// Whether the bank pays by way of it.
    relays: bool,
}

impl Platform {
    /// The platform of this configuration, with a connection of its own. `relays` says whether the bank pays by way
    /// of it, and so needs its tickets.
    ///
    /// # Errors
    /// The address or the authority's file can't be used.
    pub fn new(config: &AppPlatformConfig, relays: bool) -> Result<Self, channel::Error> {
        Ok(Self { client: CheckoutClient::new(device_channel(&config.endpoint, &config.authority)?), relays })
    }

    /// The order and the ticket for a code.
    pub(super) async fn redeem(&self, code: &str, nonce: [u8; 16]) -> Result<(Option<pb::Signed>, Bytes), Refused> {
        let request = pb::RedeemCodeRequest { code: code.to_owned(), device_nonce: Bytes::copy_from_slice(&nonce) };
        let answer = self.client.clone().redeem_code(within(request, CALL_TIME)).await?.into_inner();
        let ticket = if self.relays { answer.ticket } else { Bytes::new() };
        Ok((answer.signed_order, ticket))
    }

    /// The ticket for an order; empty where the bank needs none.
    pub(super) async fn ticket(&self, order: pb::Signed, bank: &IssuerId) -> Result<Bytes, Refused> {
        if !self.relays {
            return Ok(Bytes::new());
        }
        let request = pb::SelectBankRequest { order: Some(Order::SignedOrder(order)), bank_id: bank.to_string() };
        Ok(self.client.clone().select_bank(within(request, CALL_TIME)).await?.into_inner().ticket)
    }
}
