//! Whole payments at one bank: signing in, choosing a card, and the charge to its end, for orders that were
//! made before the load begins.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use proto::pb;
use tonic::Status;

use super::authorize::ended;
use super::direct_bank;
use super::drive::{Work, drive};
use super::generator::UNDER_WAY_MAX;
use super::outcome::{Ended, Order, Outcome};
use super::pool::{self, Pool};
use crate::device::app::charge_request;
use crate::device::{BankApp, Credentials};
use crate::shop::{Placed, Shop};
use crate::topology::{Card, Topology};

/// The cardholders of one bank.
#[derive(Debug)]
pub(super) struct Payments {
    shop: Shop,
    payers: Vec<Rc<Payer>>,
    ready: Pool<Placed>,
}

/// A cardholder with a device of their own, which has one connection.
#[derive(Debug)]
struct Payer {
    app: BankApp,
    credentials: Credentials,
    card: Card,
}

impl Payments {
    pub(super) fn new(topology: &Topology) -> Result<Self> {
        let issuer = direct_bank(topology)?;
        let payers = issuer.load_customers.iter().map(|customer| {
            let card = customer.cards().next().with_context(|| format!("{} has no card", customer.id))?.clone();
            let app = BankApp::of(issuer, &topology.authority)?;
            Ok(Rc::new(Payer { app, credentials: Credentials::from(customer), card }))
        });
        let payers = payers.collect::<Result<Vec<_>>>()?;
        ensure!(!payers.is_empty(), "the bank has no customers for load");
        Ok(Self { shop: pool::shop(topology)?, payers, ready: Pool::new() })
    }

    pub(super) async fn prepare(&mut self, count: usize) -> Result<()> {
        pool::fill(&mut self.ready, count, &self.shop, Ok).await
    }

    pub(super) async fn run(&mut self, order: Order) -> Result<Outcome> {
        let work = Crowd { shop: self.shop.clone(), payers: self.payers.clone(), next: Cell::new(0) };
        drive(work, &mut self.ready, order).await
    }
}

/// Everybody who pays in one run.
struct Crowd {
    shop: Shop,
    payers: Vec<Rc<Payer>>,
    next: Cell<usize>,
}

impl Work for Crowd {
    type Unit = Placed;

    fn room(&self) -> u64 {
        UNDER_WAY_MAX
    }

    async fn make(self: Rc<Self>) -> Option<Placed> {
        pool::place_once(&self.shop).await.ok()
    }

    async fn go(self: Rc<Self>, placed: Placed) -> (Ended, Option<Placed>) {
        let payer = Rc::clone(&self.payers[self.next.replace(self.next.get() + 1) % self.payers.len()]);
        match payer.pay(&placed).await {
            Ok(()) => (Ended::Good, None),
            // Before the charge nothing has happened to the order.
            Err(Failed::BeforeCharge(ended)) => (ended, Some(placed)),
            Err(Failed::InCharge(ended)) => (ended, None),
        }
    }
}

/// Why a payment was not made, and how far it was.
enum Failed {
    BeforeCharge(Ended),
    InCharge(Ended),
}

fn before(status: Status) -> Failed {
    Failed::BeforeCharge(ended(&status))
}

impl Payer {
    async fn pay(&self, placed: &Placed) -> Result<(), Failed> {
        let in_words = |words: &str| Failed::BeforeCharge(Ended::Failed(words.to_owned()));
        let order = placed.signed.signed.to_pb();
        let session = self.app.sign_in(Some(order.clone()), &self.credentials).await.map_err(before)?;
        let options = self.app.card_options(session.session_token.clone()).await.map_err(before)?;
        let option = self.card.among(&options).ok_or_else(|| in_words("the card is not offered"))?;
        let charge = charge_request(&session.session_token, order, &option.card_option_id);
        let charge = charge.map_err(|error| in_words(&format!("{error:#}")))?;
        let paid = self.app.pay(charge).await.map_err(|status| Failed::InCharge(ended(&status)))?;
        match paid.charge.state() {
            pb::ChargeState::Approved => Ok(()),
            other @ (pb::ChargeState::Unspecified
            | pb::ChargeState::Held
            | pb::ChargeState::Sent
            | pb::ChargeState::Unknown
            | pb::ChargeState::Declined
            | pb::ChargeState::Abandoned) => {
                let words = format!("{} {}", other.as_str_name(), paid.charge.decline_reason().as_str_name());
                Err(Failed::InCharge(Ended::Failed(words)))
            }
        }
    }
}
