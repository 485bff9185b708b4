//! One cardholder who pays again and again.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use mesh::status::reason_of;
use proto::pb;
use tonic::Status;

use super::figures::{Figures, Phase};
use crate::device::app::charge_request;
use crate::device::{self, BankApp, Browser, Checkouts, Credentials};
use crate::shop::{Inbox, Shop};
use crate::topology::Card;

/// What each payment is over, in minor units: the least, so that limits last for millions of them.
const AMOUNT: i64 = 1;

/// How long a shop waits to be told of a payment that the device has seen approved.
const TOLD_TIME: Duration = Duration::from_secs(30);

/// A payer with a shop, a card and a device of their own.
#[derive(Clone, Debug)]
pub(super) struct Payer {
    pub(super) shop: Shop,
    /// The shop's events, where its server runs here.
    pub(super) inbox: Option<Inbox>,
    pub(super) app: BankApp,
    pub(super) bank: String,
    /// Set where the bank's requests need a ticket of the platform's.
    pub(super) checkouts: Option<Checkouts>,
    pub(super) credentials: Credentials,
    pub(super) card: Card,
    /// Set where the payment page is opened and its QR code read.
    pub(super) browser: Option<Browser>,
}

/// Why one payment didn't end well: the stable reason, or a few words.
#[derive(Debug)]
struct Failed(String);

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self(reason_of(&status).unwrap_or_else(|| format!("{:?}", status.code())))
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        // What a server refused carries its reason further down.
        let status = error.chain().find_map(|cause| cause.downcast_ref::<Status>());
        status.map_or_else(|| Self(format!("{error:#}")), |status| Self::from(status.clone()))
    }
}

impl Payer {
    /// Makes one payment and takes its times.
    pub(super) async fn pay(&self, figures: &mut Figures) {
        if let Err(Failed(reason)) = self.try_to_pay(figures).await {
            figures.fail(reason);
        }
    }

    async fn try_to_pay(&self, figures: &mut Figures) -> Result<(), Failed> {
        let begin = Instant::now();
        let placed = self.shop.place(AMOUNT).await?;
        let created = Instant::now();
        let order = match &self.browser {
            Some(browser) => device::scan(browser, &placed.payment_url).await?.order,
            None => placed.signed,
        };
        let scanned = Instant::now();
        let order_pb = order.signed.to_pb();
        let ticket = match &self.checkouts {
            Some(checkouts) => checkouts.ticket(order_pb.clone(), &self.bank).await?,
            None => Bytes::new(),
        };
        let ticketed = Instant::now();
        let session = self.app.sign_in(Some(order_pb.clone()), &self.credentials).await?;
        let signed_in = Instant::now();
        let options = self.app.card_options(session.session_token.clone()).await?;
        let option = self.card.among(&options).ok_or_else(|| Failed("the card is not offered".to_owned()))?;
        let chosen = Instant::now();
        let request = charge_request(&session.session_token, order_pb, &option.card_option_id)?;
        let paid = self.app.pay(pb::SubmitChargeRequest { ticket, ..request }).await?;
        let end = Instant::now();
        if paid.charge.state() != pb::ChargeState::Approved {
            return Err(Failed(paid.charge.decline_reason().as_str_name().to_owned()));
        }
        if let Some(inbox) = &self.inbox {
            if inbox.paid(&placed.id, TOLD_TIME).await.is_none() {
                return Err(Failed("the shop was not told".to_owned()));
            }
            figures.record(Phase::Told, end.elapsed());
        }
        figures.record(Phase::Create, created - begin);
        if self.browser.is_some() {
            figures.record(Phase::Scan, scanned - created);
        }
        if self.checkouts.is_some() {
            figures.record(Phase::Ticket, ticketed - scanned);
        }
        figures.record(Phase::SignIn, signed_in - ticketed);
        figures.record(Phase::Cards, chosen - signed_in);
        figures.record(Phase::Charge, end - chosen);
        figures.record(Phase::Whole, end - begin);
        Ok(())
    }
}
