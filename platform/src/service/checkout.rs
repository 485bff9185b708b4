//! `Checkout`: from the acquirer's order to the ticket in the bank's app.

use std::sync::Arc;

use mesh::access::peer_of;
use prost::Message as _;
use proto::{
    fields::{Fields, Invalid},
    link::WebAddress,
    order::SignedOrder,
    pb::{self, checkout_server::Checkout, select_bank_request},
    require, time,
};
use tonic::{Request, Response, Status};

use super::{LIST_BYTES_MAX, member_of};
use crate::{
    checkouts::{self, BankOption},
    context::Context,
    error::Error,
};

/// The longest address of a payment page.
const PAYMENT_URL_BYTES_MAX: usize = 256;

/// The edge of checkouts.
#[derive(Clone, Debug)]
pub struct CheckoutService(Arc<Context>);

impl CheckoutService {
    /// Serves this platform's checkouts.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }
}

#[tonic::async_trait]
impl Checkout for CheckoutService {
    async fn publish_order(
        &self,
        request: Request<pb::PublishOrderRequest>,
    ) -> Result<Response<pb::PublishOrderResponse>, Status> {
        let caller = member_of(&peer_of(&request)?)?;
        let request = request.into_inner();
        let payment_url = payment_url(&request.payment_url).map_err(Error::from)?;
        let order = signed_order("order", request.order)?;
        tracing::Span::current().record("order_id", order.order.id.as_str());
        let checkout = checkouts::publish(&self.0, &caller, order, payment_url).await?;
        Ok(Response::new(pb::PublishOrderResponse {
            checkout_id: checkout.id.to_string(),
            checkout_url: self.0.checkout_url(&checkout.id),
            expires_at: Some(time::to_pb(checkout.order.order.expires_at)),
        }))
    }

    async fn get_checkout(
        &self,
        request: Request<pb::GetCheckoutRequest>,
    ) -> Result<Response<pb::GetCheckoutResponse>, Status> {
        let checkout = checkouts::find(&self.0, &request.into_inner().checkout_id).await?;
        let order = &checkout.order.order;
        Ok(Response::new(pb::GetCheckoutResponse {
            merchant: Some(order.merchant.to_pb()),
            amount: Some(order.amount.to_pb()),
            expires_at: Some(time::to_pb(order.expires_at)),
            bank_options: fitting(&checkouts::bank_options(&self.0)),
        }))
    }

    async fn select_bank(
        &self,
        request: Request<pb::SelectBankRequest>,
    ) -> Result<Response<pb::SelectBankResponse>, Status> {
        let pb::SelectBankRequest { order, bank_id } = request.into_inner();
        let answer = match order {
            None => return Err(Error::from(Invalid::field("order", "must be set")).into()),
            Some(select_bank_request::Order::CheckoutId(checkout)) => {
                let picked = checkouts::pick(&self.0, &checkout, &bank_id).await?;
                let expires_at = Some(time::to_pb(picked.expires_at));
                pb::SelectBankResponse { app_link: picked.link, expires_at, ..Default::default() }
            }
            Some(select_bank_request::Order::SignedOrder(order)) => {
                let order = signed_order("signed_order", Some(order))?;
                let ticketed = checkouts::pick_with_order(&self.0, &order, &bank_id)?;
                let expires_at = Some(time::to_pb(ticketed.expires_at));
                pb::SelectBankResponse { ticket: ticketed.ticket, expires_at, ..Default::default() }
            }
        };
        Ok(Response::new(answer))
    }

    async fn redeem_code(
        &self,
        request: Request<pb::RedeemCodeRequest>,
    ) -> Result<Response<pb::RedeemCodeResponse>, Status> {
        let request = request.into_inner();
        let nonce = device_nonce(&request).map_err(Error::from)?;
        let ticketed = checkouts::redeem(&self.0, &request.code, &nonce).await?;
        Ok(Response::new(pb::RedeemCodeResponse {
            signed_order: Some(ticketed.order),
            ticket: ticketed.ticket,
            expires_at: Some(time::to_pb(ticketed.expires_at)),
        }))
    }
}

fn signed_order(path: &str, order: Option<pb::Signed>) -> Result<SignedOrder, Error> {
    let order = order.ok_or_else(|| Invalid::field(path, "must be set"))?;
    Ok(SignedOrder::parse(order).map_err(|invalid| invalid.under(path))?)
}

fn payment_url(text: &str) -> Result<Option<WebAddress>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields::new();
    let address = fields.text("payment_url", text);
    fields.check("payment_url", text.len() <= PAYMENT_URL_BYTES_MAX, "must be at most 256 bytes");
    require!(fields; address);
    Ok(Some(address))
}

fn device_nonce(request: &pb::RedeemCodeRequest) -> Result<[u8; 16], Invalid> {
    let mut fields = Fields::new();
    let nonce = fields.bytes::<16>("device_nonce", &request.device_nonce);
    require!(fields; nonce);
    Ok(nonce)
}

/// The options as they fit into one message: with their logos, else without them, else as many as fit.
/// With more banks than that a device searches `ListBanks`; any bank can be picked by its id.
fn fitting(options: &[BankOption]) -> Vec<pb::BankOption> {
    let all = |with_logos: bool| options.iter().map(move |option| listed(option, with_logos));
    let size = |options: &[pb::BankOption]| options.iter().map(|option| option.encoded_len() + 4).sum::<usize>();
    let complete: Vec<_> = all(true).collect();
    if size(&complete) <= LIST_BYTES_MAX {
        return complete;
    }
    let mut bytes = 0;
    let fits = |option: &pb::BankOption| {
        bytes += option.encoded_len() + 4;
        bytes <= LIST_BYTES_MAX
    };
    all(false).take_while(fits).collect()
}

fn listed(option: &BankOption, with_logo: bool) -> pb::BankOption {
    let entry = option.bank.entry();
    pb::BankOption {
        bank_id: entry.member.to_string(),
        name_zh_tw: entry.name_zh_tw.clone(),
        name_en: entry.name_en.clone(),
        logo_svg: if with_logo { entry.logo_svg.clone() } else { String::new() },
        unavailable_reason: option.availability.to_pb().into(),
    }
}
