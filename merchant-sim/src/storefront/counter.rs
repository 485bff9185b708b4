//! One demo shop at work: it makes orders, knows how they stand, and cancels them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh::status::reason_of;
use mesh::web::Language;
use proto::event::OrderState;
use proto::ids::OrderId;
use proto::money::{Currency, Money};
use proto::pb::{self, CancelOutcome};
use proto::reason::Reason;
use tokio::sync::watch;
use tonic::Status;

use super::basket::Basket;
use super::catalogue::Stall;
use super::ledger::{Bought, Entry, Ledger};
use crate::network::OpenShop;
use crate::shop::{Inbox, Placed, Shop};

/// How many orders a shopper is shown.
const ORDERS_SHOWN: usize = 20;

/// A demo shop.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) stall: &'static Stall,
    pub(super) currency: Currency,
    shop: Shop,
    inbox: Inbox,
    ledger: Arc<Ledger>,
    /// What the acquirer last answered to each wish to cancel.
    answers: Mutex<HashMap<String, CancelOutcome>>,
}

/// What a shopper says at the checkout.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// How long there is to pay.
    pub(super) time_to_pay: Duration,
    /// Masked recipient and city.
    pub(super) delivery: String,
    /// In which the order's lines are named.
    pub(super) language: Language,
}

/// How an order stands, as its shop knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It can be paid, or is being paid.
    Open {
        /// Whether the latest attempt was declined.
        declined: bool,
    },
    /// It is paid.
    Paid,
    /// It was cancelled; there is no payment.
    Cancelled,
    /// Its time is over; there is no payment.
    Expired,
    /// Its attempts are used up; there is no payment.
    Failed,
}

/// Why a shopper does not get what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The same basket was ordered before, with other things in it.
    #[error("this basket was ordered before")]
    Ordered,
    /// It is more than this shop may take.
    #[error("the order is larger than this shop may take")]
    TooLarge,
    /// The acquirer does not answer as it should.
    #[error("the acquirer cannot be asked: {0}")]
    Acquirer(Status),
    /// Something here does not work.
    #[error(transparent)]
    Own(#[from] anyhow::Error),
}

impl Counter {
    pub(super) fn new(stall: &'static Stall, open: &OpenShop, ledger: Arc<Ledger>) -> Result<Self> {
        Ok(Self {
            stall,
            currency: open.shop.merchant().currency.parse()?,
            shop: open.shop.clone(),
            inbox: open.inbox.clone(),
            ledger,
            answers: Mutex::default(),
        })
    }

    /// The merchant's id.
    pub(super) fn merchant(&self) -> &str {
        self.stall.merchant
    }

    /// An amount of the shop's currency.
    ///
    /// # Errors
    /// It is out of range.
    pub(super) fn money(&self, minor_units: i64) -> Result<Money> {
        Ok(Money::new(self.currency, minor_units)?)
    }

    /// Makes the order of a basket, or finds the one that was made of it: the basket's number is the order's
    /// `merchant_reference`, under which the acquirer makes one order, however often it is asked.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) async fn check_out(&self, basket: &Basket, owner: &str, wish: &Wish) -> Result<Entry, Trouble> {
        if let Some(earlier) = self.find(basket.number.as_str()) {
            return Ok(earlier);
        }
        let answer = self.shop.create(self.request(basket, wish)?).await.map_err(|status| trouble(&status))?;
        let placed = Placed::parse(answer)?;
        let lines = basket.lines.iter();
        let lines = lines.map(|line| Bought { sku: line.product.sku.to_owned(), quantity: line.quantity });
        Ok(self.ledger.keep(Entry {
            merchant: self.merchant().to_owned(),
            number: basket.number.to_string(),
            order_id: placed.id.to_string(),
            payment_url: placed.payment_url,
            owner: owner.to_owned(),
            lines: lines.collect(),
            minor_units: basket.total(),
        })?)
    }

    /// An order of this shop by its number.
    pub(super) fn find(&self, number: &str) -> Option<Entry> {
        self.ledger.find(self.merchant(), number)
    }

    /// The latest orders of a shopper, the newest first.
    pub(super) fn of(&self, owner: &str) -> Vec<Entry> {
        self.ledger.of(self.merchant(), owner, ORDERS_SHOWN)
    }

    /// How an order stands: by the notifications of this run, and by a question where there was none yet.
    ///
    /// # Errors
    /// [`Trouble::Acquirer`], [`Trouble::Own`].
    pub(super) async fn standing(&self, entry: &Entry) -> Result<Standing, Trouble> {
        if let Some(event) = self.inbox.of(&order_id(entry)?).last() {
            return Ok(Standing::of(event.state, event.authorization.is_some()));
        }
        let order = self.shop.order(&entry.order_id).await.map_err(Trouble::Acquirer)?;
        Ok(Standing::of(order.state(), order.last_authorization.is_some()))
    }

    /// How many notifications there were about an order.
    ///
    /// # Errors
    /// The ledger holds no order id.
    pub(super) fn heard(&self, entry: &Entry) -> Result<usize> {
        Ok(self.inbox.of(&order_id(entry)?).len())
    }

    /// Changes with every notification to the shop.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.inbox.news()
    }

    /// Asks the acquirer to cancel an order, and keeps its answer for the order's page.
    ///
    /// # Errors
    /// [`Trouble::Acquirer`].
    pub(super) async fn cancel(&self, entry: &Entry) -> Result<(), Trouble> {
        let outcome = self.shop.cancel(&entry.order_id).await.map_err(Trouble::Acquirer)?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(entry.number.clone(), outcome);
        Ok(())
    }

    /// What the acquirer last answered to a wish to cancel this order.
    pub(super) fn answer(&self, entry: &Entry) -> Option<CancelOutcome> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&entry.number).copied()
    }

    fn request(&self, basket: &Basket, wish: &Wish) -> Result<pb::CreateOrderRequest> {
        let money = |minor_units| pb::Money { currency_code: self.currency.to_string(), minor_units };
        let lines = basket.lines.iter().map(|line| pb::OrderLine {
            description: line.product.name.of(wish.language).to_owned(),
            quantity: line.quantity,
            unit_price: Some(money(line.product.price)),
        });
        Ok(pb::CreateOrderRequest {
            merchant_reference: basket.number.to_string(),
            amount: Some(money(basket.total())),
            lines: lines.collect(),
            return_url: format!("{}{}", self.shop.merchant().return_url, basket.number),
            expires_after: Some(prost_types::Duration::try_from(wish.time_to_pay).context("a time to pay")?),
            delivery_hint: wish.delivery.clone(),
        })
    }
}

impl Standing {
    fn of(state: OrderState, tried: bool) -> Self {
        match state {
            OrderState::Unspecified | OrderState::Open | OrderState::Authorizing => Self::Open { declined: tried },
            OrderState::Approved => Self::Paid,
            OrderState::Expired => Self::Expired,
            OrderState::Failed => Self::Failed,
            OrderState::Cancelled => Self::Cancelled,
        }
    }

    /// Its name in the pages, for programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

fn order_id(entry: &Entry) -> Result<OrderId> {
    entry.order_id.parse().context("the ledger holds an order id that is none")
}

fn trouble(status: &Status) -> Trouble {
    match reason_of(status).and_then(|reason| Reason::from_wire(&reason)) {
        Some(Reason::ReferenceReused) => Trouble::Ordered,
        Some(Reason::MerchantLimit) => Trouble::TooLarge,
        Some(_) | None => Trouble::Acquirer(status.clone()),
    }
}
