//! Identity verification: each credential, each combination that the banks' policies allow, and what they
//! refuse.
//!
//! | bank | its policy |
//! |---|---|
//! | bank-aurora | two of three kinds, as PSD2 has it; one is enough for small payments |
//! | bank-basalt | a table by amount and merchant category |
//! | bank-nimbus | any one factor; sessions are bound to the device that proved itself |

mod combinations;
mod consents;
mod demands;
mod evidence;
mod locked;
mod registering;
mod sessions;
mod stepping_up;
mod strict;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::authorization::Factor;
use proto::pb;

use super::relayed::{BASALT, NIMBUS};
use super::stage::{Bank, Stage, card_that, ending, reason};
use crate::device::app::{any_of, charge_request};
use crate::device::{BankApp, Checkouts, Reached, Wallet};
use crate::sample::customers::VERIFIED_PLACE;
use crate::shop::Placed;
use crate::topology::{Customer, NextHop};

/// Every part.
///
/// # Errors
/// The network lacks one of the sample banks.
pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut visitors = Visitors::of(stage)?;
    let Visitors { aurora, basalt, nimbus } = &mut visitors;
    for visitor in [&mut *aurora, &mut *basalt, &mut *nimbus] {
        let bind = async |stage: &mut Stage<'_>| registering::play(stage, visitor).await;
        stage.part("Identity: a device, a face and passkeys", bind).await;
    }
    stage.part("Identity: a bank that wants two kinds to let anybody in", strict::play).await;
    let two = async |stage: &mut Stage<'_>| combinations::two_of_three(stage, aurora).await;
    stage.part("Identity: two of three kinds", two).await;
    let sums = async |stage: &mut Stage<'_>| combinations::small_sums(stage, aurora).await;
    stage.part("Identity: small payments in a row", sums).await;
    let table = async |stage: &mut Stage<'_>| combinations::table(stage, basalt).await;
    stage.part("Identity: a table by amount, category and device", table).await;
    let any = async |stage: &mut Stage<'_>| combinations::any_one(stage, nimbus).await;
    stage.part("Identity: any one factor", any).await;
    let step_up = async |stage: &mut Stage<'_>| stepping_up::play(stage, aurora, basalt).await;
    stage.part("Identity: step-up in the middle of a charge", step_up).await;
    stage.part("Identity: passwords that somebody has locked", locked::play).await;
    let bound = async |stage: &mut Stage<'_>| sessions::play(stage, nimbus).await;
    stage.part("Identity: sessions bound to a device", bound).await;
    let consents = async |stage: &mut Stage<'_>| consents::play(stage, aurora).await;
    stage.part("Identity: the cardholder's consent", consents).await;
    let demands = async |stage: &mut Stage<'_>| demands::play(stage, aurora, basalt).await;
    stage.part("Identity: an acquirer that demands more", demands).await;
    stage.part("Identity: the banks' audit trails", evidence::play).await;
    Ok(())
}

/// The bank that calls acquirers directly.
pub(super) const AURORA: &str = "bank-aurora";

/// The customers who try every credential, one of each bank.
pub(super) struct Visitors<'a> {
    pub(super) aurora: Visitor<'a>,
    pub(super) basalt: Visitor<'a>,
    pub(super) nimbus: Visitor<'a>,
}

/// One customer with everything to prove with.
pub(super) struct Visitor<'a> {
    pub(super) bank: Bank<'a>,
    pub(super) customer: &'a Customer,
    pub(super) wallet: Wallet,
}

/// A sign-in for an order.
pub(super) struct Visit {
    pub(super) placed: Placed,
    pub(super) ticket: Bytes,
    pub(super) reached: Reached,
}

impl<'a> Visitors<'a> {
    pub(super) fn of(stage: &Stage<'a>) -> Result<Self> {
        let visitor = |bank| Visitor::of(stage, bank, VERIFIED_PLACE);
        Ok(Self { aurora: visitor(AURORA)?, basalt: visitor(BASALT)?, nimbus: visitor(NIMBUS)? })
    }
}

impl<'a> Visitor<'a> {
    /// The customer at a place in a bank's list.
    pub(super) fn of(stage: &Stage<'a>, bank: &str, place: usize) -> Result<Self> {
        let bank = stage.bank(bank)?;
        let customer = bank.issuer.customers.get(place).context("the bank has too few customers")?;
        let wallet = Wallet::of(customer, &bank.app, &stage.network.secrets);
        Ok(Self { bank, customer, wallet })
    }

    /// The bank's name.
    pub(super) fn bank_id(&self) -> &'a str {
        &self.bank.issuer.id
    }

    /// The app on the customer's device.
    pub(super) fn app(&self) -> BankApp {
        self.wallet.app()
    }

    /// Goes from a shop's order to a sign-in with these factors.
    pub(super) async fn visit(
        &mut self,
        stage: &Stage<'_>,
        shop: usize,
        minor_units: i64,
        factors: &[Factor],
    ) -> Result<Visit> {
        let placed = stage.shop(shop)?.shop.place(minor_units).await?;
        let ticket = match self.bank.issuer.next_hop {
            NextHop::Acquirer => Bytes::new(),
            NextHop::Platform => {
                let order = placed.signed.signed.to_pb();
                Checkouts::of(stage.topology())?.ticket(order, self.bank_id()).await.context("SelectBank")?
            }
        };
        let reached = self.wallet.sign_in(Some(&placed.signed), factors).await;
        let reached = reached.with_context(|| format!("the sign-in at {} with {factors:?}", self.bank_id()))?;
        Ok(Visit { placed, ticket, reached })
    }

    /// A charge of the order with the customer's plain card, with a consent where a device proved itself.
    pub(super) async fn charge(&self, visit: &Visit) -> Result<pb::SubmitChargeRequest> {
        let session = visit.session()?;
        let card = card_that(self.customer, "approves")?;
        let options = self.app().card_options(session.session_token.clone()).await.context("ListCardOptions")?;
        let option = card.among(&options).with_context(|| format!("the bank does not show \"{}\"", card.label))?;
        let order = visit.placed.signed.signed.to_pb();
        let mut charge = charge_request(&session.session_token, order, &option.card_option_id)?;
        charge.ticket = visit.ticket.clone();
        self.sign(&mut charge, visit)?;
        Ok(charge)
    }

    /// Signs the consent to a charge where a device proved itself in the session.
    pub(super) fn sign(&self, charge: &mut pb::SubmitChargeRequest, visit: &Visit) -> Result<()> {
        let session = visit.session()?;
        let by_device = session
            .factors()
            .any(|factor| matches!(factor, pb::AuthenticationFactor::Possession | pb::AuthenticationFactor::Inherence));
        if by_device {
            charge.consent = Some(self.wallet.consent(charge, &visit.placed.signed, visit.reached.challenge)?);
        }
        Ok(())
    }

    /// Visits a shop with these factors and pays: how it ended, in a word.
    pub(super) async fn pay(
        &mut self,
        stage: &Stage<'_>,
        shop: usize,
        minor_units: i64,
        factors: &[Factor],
    ) -> Result<String> {
        let visit = self.visit(stage, shop, minor_units, factors).await?;
        if visit.reached.session.is_none() {
            return Ok(format!("no session, missing {}", names(&visit.reached.missing)));
        }
        let charge = self.charge(&visit).await?;
        Ok(paid(&self.app(), charge).await)
    }
}

impl Visit {
    /// The session.
    pub(super) fn session(&self) -> Result<&pb::Session> {
        let missing = || format!("no session: {} is missing", names(&self.reached.missing));
        self.reached.session.as_ref().with_context(missing)
    }

    /// The session's token.
    pub(super) fn token(&self) -> Result<Bytes> {
        Ok(self.session()?.session_token.clone())
    }
}

/// How a payment ended: "APPROVED", a decline, or a refusal with what would help.
pub(super) async fn paid(app: &BankApp, charge: pb::SubmitChargeRequest) -> String {
    match app.pay(charge).await {
        Err(status) => match any_of(&status) {
            Some(any_of) => format!("{}, any of {any_of}", reason(&status)),
            None => reason(&status),
        },
        Ok(paid) => ending(Ok(paid)),
    }
}

/// Factors by their names in the contracts, as `any_of` gives them.
pub(super) fn names(factors: &[Factor]) -> String {
    let name = |factor: &Factor| match factor {
        Factor::Knowledge => "KNOWLEDGE",
        Factor::Inherence => "INHERENCE",
        Factor::Possession => "POSSESSION",
        Factor::Passkey => "PASSKEY",
    };
    factors.iter().map(name).collect::<Vec<_>>().join(",")
}

/// The same in lower case with plus signs, for a line of the report.
pub(super) fn together(factors: &[Factor]) -> String {
    names(factors).to_lowercase().replace(',', " + ")
}
