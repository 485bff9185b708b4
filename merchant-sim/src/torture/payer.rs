//! One cardholder with one order: signs in, picks a card, pays, and doesn't let go before the bank has said how it
//! ended. Whatever is shown is written down.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::pb;
use tonic::Status;

use super::people::Temper;
use super::tale::{ChargeTale, Page};
use super::world::{Bank, World, is, is_given_up, says};
use crate::device::app::charge_request;
use crate::device::{BankApp, Credentials};
use crate::topology::Customer;

/// An order that can be paid.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// The shop, by its place.
    pub(super) shop: usize,
    /// The acquirer's id.
    pub(super) id: String,
    /// As the acquirer signed it.
    pub(super) order: pb::Signed,
    /// Where its tale is written.
    pub(super) page: Page,
}

/// A cardholder at a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payer<'w> {
    world: &'w World,
    bank: &'w Bank,
    customer: &'w Customer,
    app: &'w BankApp,
    /// Which connections the device uses.
    number: usize,
}

/// How a cardholder pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Once.
    Plain,
    /// Presses the button twice, and then again with another card.
    Twice,
}

impl<'w> Payer<'w> {
    /// A customer of a bank, both by their places, on the connections of this number.
    ///
    /// # Errors
    /// There is no such customer.
    pub(super) fn of(world: &'w World, bank: usize, customer: usize, number: usize) -> Result<Self> {
        let bank = world.banks.get(bank % world.banks.len().max(1)).context("there is no bank")?;
        let customer = bank.customers.get(customer % bank.customers.len().max(1)).context("there is no customer")?;
        Ok(Self { world, bank, customer, app: bank.app(number)?, number })
    }

    /// Pays with a card, and says how the charge ended. `None` where the bank didn't take it, or nobody said.
    ///
    /// # Errors
    /// Something that can't happen to a device: no card, no randomness.
    pub(super) async fn pay(&self, placed: &Placed, temper: Temper, manner: Manner) -> Result<Option<pb::Charge>> {
        let card = temper.card(self.customer)?;
        let Some(ticket) = self.ticket(placed).await? else { return Ok(None) };
        let Some(mut token) = self.sign_in(&placed.order).await else { return Ok(None) };
        let Some(options) = self.options(&mut token, &placed.order).await else { return Ok(None) };
        let option =
            |card| -> Option<String> { Some(crate::topology::Card::among(card, &options)?.card_option_id.clone()) };
        let Some(chosen) = option(card) else {
            placed.page.write(|tale| tale.liberties.push("the bank does not show a customer's card".to_owned()));
            return Ok(None);
        };
        let request = charge_request(&token, placed.order.clone(), &chosen)?;
        let mut request = pb::SubmitChargeRequest { ticket, ..request };
        let charge = ChargeTale {
            bank: self.bank.id.clone(),
            customer: self.customer.id.clone(),
            id: request.charge_id.clone(),
            card: card.pan.chars().skip(card.pan.len().saturating_sub(4)).collect(),
            ..ChargeTale::default()
        };
        placed.page.write(|tale| tale.charges.push(charge));
        if !self.submit(placed, &mut request, manner).await {
            return Ok(None);
        }
        if manner == Manner::Twice {
            let other = if temper == Temper::Plain { Temper::Debit } else { Temper::Plain };
            let other = option(other.card(self.customer)?).unwrap_or_default();
            self.submit_otherwise(placed, &request, other).await;
        }
        Ok(self.follow(placed, request).await)
    }

    /// The platform's ticket; empty where none is needed.
    async fn ticket(&self, placed: &Placed) -> Result<Option<Bytes>> {
        if !self.bank.is_relayed {
            return Ok(Some(Bytes::new()));
        }
        let checkouts = self.world.checkouts(self.number)?;
        Ok(self.world.persist(|| checkouts.ticket(placed.order.clone(), &self.bank.id)).await.ok())
    }

    async fn sign_in(&self, order: &pb::Signed) -> Option<Bytes> {
        let credentials = Credentials::from(self.customer);
        sign_in(self.world, self.app, Some(order), &credentials).await
    }

    async fn options(&self, token: &mut Bytes, order: &pb::Signed) -> Option<Vec<pb::CardOption>> {
        loop {
            match self.world.persist(|| self.app.card_options(token.clone())).await {
                Ok(options) => return Some(options),
                Err(status) if is(&status, "SESSION_INVALID") => *token = self.sign_in(order).await?,
                Err(_) => return None,
            }
        }
    }

    /// Submits the charge; `false` where it wasn't taken.
    async fn submit(&self, placed: &Placed, request: &mut pb::SubmitChargeRequest, manner: Manner) -> bool {
        loop {
            let send = || self.world.persist(|| self.app.submit(request.clone()));
            let answers: Vec<Result<pb::Charge, Status>> = match manner {
                Manner::Plain => vec![send().await],
                Manner::Twice => {
                    let (one, two) = tokio::join!(send(), send());
                    vec![one, two]
                }
            };
            let mut is_taken = false;
            let mut has_expired = false;
            for answer in answers {
                match answer {
                    Ok(charge) => {
                        is_taken = true;
                        placed.page.charge(&request.charge_id, |tale| tale.shown.push(charge));
                    }
                    Err(status) if is(&status, "SESSION_INVALID") => has_expired = true,
                    Err(status) if is_given_up(&status) => {}
                    Err(status) => {
                        placed.page.charge(&request.charge_id, |tale| tale.refused = Some(says(&status)));
                    }
                }
            }
            if is_taken || !has_expired {
                return is_taken;
            }
            let Some(token) = self.sign_in(&placed.order).await else { return false };
            request.session_token = token;
        }
    }

    /// The same id with another card must be refused once the first was taken.
    async fn submit_otherwise(&self, placed: &Placed, request: &pb::SubmitChargeRequest, card_option_id: String) {
        let other = pb::SubmitChargeRequest { card_option_id, ..request.clone() };
        let answer = self.world.persist(|| self.app.submit(other.clone())).await;
        if answer.is_ok() {
            let what = format!("the bank took the charge {} a second time, with another card", request.charge_id);
            placed.page.write(|tale| tale.liberties.push(what));
        }
    }

    /// Follows the charge until the bank says how it ended.
    async fn follow(&self, placed: &Placed, request: pb::SubmitChargeRequest) -> Option<pb::Charge> {
        let mut token = request.session_token;
        loop {
            match self.world.persist(|| self.app.watch(token.clone(), &request.charge_id)).await {
                Ok(paid) => {
                    placed.page.charge(&request.charge_id, |tale| tale.shown.push(paid.charge.clone()));
                    return Some(paid.charge);
                }
                Err(status) if is(&status, "SESSION_INVALID") => token = self.sign_in(&placed.order).await?,
                Err(status) if is_given_up(&status) => return None,
                Err(status) => {
                    let what = format!("the bank took {} and then said {}", request.charge_id, says(&status));
                    placed.page.write(|tale| tale.liberties.push(what));
                    return None;
                }
            }
        }
    }
}

/// Signs in, for an order or to look. A bank that is killed between the challenge and the answer to it knows
/// nothing of it afterwards. `None` where it can't be.
pub(super) async fn sign_in(
    world: &World,
    app: &BankApp,
    order: Option<&pb::Signed>,
    typed: &Credentials,
) -> Option<Bytes> {
    loop {
        match world.persist(|| app.sign_in(order.cloned(), typed)).await {
            Ok(session) => return Some(session.session_token),
            Err(status) if is(&status, "CHALLENGE_NOT_FOUND") || is(&status, "CHALLENGE_EXPIRED") => {}
            Err(_) => return None,
        }
    }
}
