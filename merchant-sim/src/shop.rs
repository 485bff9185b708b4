//! A shop's server: the mutual-TLS client of `OrderService`, and the receiver of notifications.

pub mod inbox;
pub mod notifications;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh::channel::{MeshChannel, within};
use mesh::clock::{Entropy as _, SystemEntropy};
use mesh::config::TlsFiles;
use mesh::directory::Directory;
use mesh::identity::Role;
use mesh::signing::SigningTrust;
use mesh::tls::{ExpectedServer, TlsIdentity};
use proto::ids::{MerchantReference, OrderId};
use proto::order::SignedOrder;
use proto::pb;
use proto::pb::order_service_client::OrderServiceClient;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tonic::Status;

use crate::topology::{KeyPair, Merchant, Topology};

pub use inbox::Inbox;

/// How long a shop waits for its acquirer: an order is one commit, so this is generous.
const CALL_TIME: Duration = Duration::from_secs(10);

/// A shop that can make and follow orders.
#[derive(Clone, Debug)]
pub struct Shop {
    merchant: Merchant,
    client: OrderServiceClient<MeshChannel>,
}

/// An order that was made, with what the shop shows and keeps.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The order as the acquirer signed it.
    pub signed: SignedOrder,
    /// Where the shopper is sent.
    pub payment_url: String,
    /// The order's id.
    pub id: OrderId,
}

impl Shop {
    /// The shop with its own certificate.
    ///
    /// # Errors
    /// Its files can't be used.
    pub fn new(topology: &Topology, merchant: &Merchant) -> Result<Self> {
        Self::presenting(topology, merchant, &merchant.tls)
    }

    /// The shop's calls under any certificate, to see what becomes of them.
    ///
    /// # Errors
    /// The files can't be used.
    pub fn presenting(topology: &Topology, merchant: &Merchant, files: &KeyPair) -> Result<Self> {
        let identity = identity(topology, files)?;
        let channel = acquirer_channel(topology, merchant, identity)?;
        Ok(Self { merchant: merchant.clone(), client: OrderServiceClient::new(channel) })
    }

    /// Who it is.
    #[must_use]
    pub fn merchant(&self) -> &Merchant {
        &self.merchant
    }

    /// A good request for an order over this amount, with a reference that was never used.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn request(&self, minor_units: i64) -> Result<pb::CreateOrderRequest> {
        let random = data_encoding::BASE32_NOPAD.encode(&SystemEntropy::new().id()?);
        let amount = pb::Money { currency_code: self.merchant.currency.clone(), minor_units };
        Ok(pb::CreateOrderRequest {
            merchant_reference: format!("cart-{random}"),
            amount: Some(amount.clone()),
            lines: vec![pb::OrderLine {
                description: format!("A basket of {}", self.merchant.display_name),
                quantity: 1,
                unit_price: Some(amount),
            }],
            return_url: self.merchant.return_url.clone(),
            expires_after: None,
            delivery_hint: "W*** L** · Taipei".to_owned(),
        })
    }

    /// Makes an order over this amount.
    ///
    /// # Errors
    /// The acquirer refuses it, or answers with something that is not the order.
    pub async fn place(&self, minor_units: i64) -> Result<Placed> {
        let request = self.request(minor_units)?;
        let reference: MerchantReference = request.merchant_reference.parse().context("our own reference")?;
        let answer = self.create(request).await.context("CreateOrder was refused")?;
        let placed = Placed::parse(answer)?;
        let said = placed.signed.order.amount;
        ensure!(
            said.minor_units() == minor_units && said.currency().code() == self.merchant.currency,
            "the acquirer signed {said} for our reference {reference}, which is not what we asked for"
        );
        Ok(placed)
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// The acquirer's status.
    pub async fn create(&self, request: pb::CreateOrderRequest) -> Result<pb::CreateOrderResponse, Status> {
        Ok(self.client.clone().create_order(within(request, CALL_TIME)).await?.into_inner())
    }

    /// The order as it stands.
    ///
    /// # Errors
    /// The acquirer's status.
    pub async fn order(&self, id: &str) -> Result<pb::OrderSummary, Status> {
        let order = Some(pb::get_order_request::Order::OrderId(id.to_owned()));
        let answer = self.client.clone().get_order(within(pb::GetOrderRequest { order }, CALL_TIME)).await?;
        answer.into_inner().order.ok_or_else(|| Status::data_loss("an answer without an order"))
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// The acquirer's status.
    pub async fn cancel(&self, id: &str) -> Result<pb::CancelOutcome, Status> {
        let request = within(pb::CancelOrderRequest { order_id: id.to_owned() }, CALL_TIME);
        let answer = self.client.clone().cancel_order(request).await?;
        Ok(answer.into_inner().outcome())
    }
}

impl Placed {
    /// Reads the acquirer's answer.
    ///
    /// # Errors
    /// It holds no well-formed order.
    pub fn parse(answer: pb::CreateOrderResponse) -> Result<Self> {
        let signed = answer.signed_order.context("CreateOrder answered without an order")?;
        let signed = SignedOrder::parse(signed).context("CreateOrder answered with a malformed order")?;
        let id = signed.order.id.clone();
        Ok(Self { signed, payment_url: answer.payment_url, id })
    }
}

/// A member's TLS identity from files.
///
/// # Errors
/// The files can't be used.
pub fn identity(topology: &Topology, files: &KeyPair) -> Result<Arc<TlsIdentity>> {
    let files = TlsFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        authority: topology.authority.clone(),
        revocations: Some(topology.revocations.clone()),
    };
    Ok(TlsIdentity::load(&files, topology.trust_domain.parse()?)?)
}

/// A channel to a shop's acquirer.
///
/// # Errors
/// The address or the identity can't be used.
pub fn acquirer_channel(topology: &Topology, merchant: &Merchant, identity: Arc<TlsIdentity>) -> Result<MeshChannel> {
    let acquirer = topology.acquirer_of(merchant)?;
    let expected = ExpectedServer::member(Role::Acquirer, acquirer.id.parse()?);
    Ok(MeshChannel::new(&acquirer.endpoint, identity, expected)?)
}

/// The bank directory, with every signature in it verified.
///
/// # Errors
/// A file can't be read, or something in the directory doesn't count.
pub fn directory(topology: &Topology) -> Result<Directory> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let authority = CertificateDer::from_pem_slice(&read(&topology.authority)?)
        .with_context(|| format!("{} is no certificate", topology.authority.display()))?;
    let trust = SigningTrust::new([authority])?;
    Ok(Directory::from_file(&read(&topology.directory)?, &trust, &topology.trust_domain.parse()?)?)
}
