//! What every part of a scenario works with: the shops, the devices, and the report.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use mesh::status::{is_transport, reason_of};
use proto::pb;
use tonic::Status;

use crate::console::Console;
use crate::device::app::charge_request;
use crate::device::{BankApp, Browser, Credentials, Paid};
use crate::metrics::Numbers;
use crate::network::{Network, OpenShop};
use crate::report::{Report, Step};
use crate::shop::{Placed, Shop};
use crate::topology::{Card, Customer, Issuer, Topology};

/// How long a shop may have to wait for a notification: a first delivery that fails comes again after
/// a second.
pub(super) const TOLD_TIME: Duration = Duration::from_secs(20);

/// How long to wait before the same question is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// The stage of a scenario.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The servers.
    pub network: &'a Network,
    /// The cardholder's browser.
    pub browser: Browser,
    /// The first bank's app.
    pub app: BankApp,
    console: &'a Console,
    report: Report,
    group: &'static str,
    /// Checks that are shown after the steps that they are about; `None` where they are shown at once.
    held: Option<Vec<Held>>,
}

/// A check that waits to be shown.
#[derive(Debug)]
struct Held {
    name: String,
    expected: String,
    got: String,
    refusal: bool,
}

/// A customer who is signed in for one order.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The order.
    pub placed: Placed,
    /// The session's token.
    pub token: Bytes,
    /// The cards that the bank shows.
    pub options: Vec<pb::CardOption>,
    /// The platform's ticket; empty where the bank calls the acquirer directly.
    pub ticket: Bytes,
}

/// A bank with its app.
#[derive(Clone, Debug)]
pub struct Bank<'a> {
    /// The bank.
    pub issuer: &'a Issuer,
    /// Its app.
    pub app: BankApp,
}

impl<'a> Stage<'a> {
    /// A stage on a running network.
    ///
    /// # Errors
    /// The network has no issuer, or its authority can't be read.
    pub fn new(network: &'a Network, console: &'a Console) -> Result<Self> {
        let topology = &network.topology;
        let issuer = topology.issuers.first().context("the network has no issuer")?;
        Ok(Self {
            network,
            browser: Browser::trusting(&topology.authority)?,
            app: BankApp::of(issuer, &topology.authority)?.noting(&network.secrets),
            console,
            report: Report::default(),
            group: "",
            held: None,
        })
    }

    /// A stage on which the report goes on.
    ///
    /// # Errors
    /// As [`Stage::new`].
    pub fn resume(network: &'a Network, console: &'a Console, report: Report) -> Result<Self> {
        Ok(Self { report, ..Self::new(network, console)? })
    }

    /// Plays one part. Where it can't be played to its end, that is a failed check.
    pub async fn part(&mut self, group: &'static str, play: impl AsyncFnOnce(&mut Self) -> Result<()>) {
        self.console.heading(group);
        self.again(group, play).await;
    }

    /// Goes on with a part that was interrupted.
    pub async fn again(&mut self, group: &'static str, play: impl AsyncFnOnce(&mut Self) -> Result<()>) {
        self.group = group;
        if let Err(error) = play(self).await {
            self.check("could be played to its end", "yes", &format!("{error:#}"));
        }
        self.show_checks();
    }

    /// The report so far.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// What runs, and where.
    #[must_use]
    pub fn topology(&self) -> &'a Topology {
        &self.network.topology
    }

    /// One of the shops.
    ///
    /// # Errors
    /// There are fewer.
    pub fn shop(&self, number: usize) -> Result<&'a OpenShop> {
        self.network.shops.get(number).with_context(|| format!("the network has no shop {number}"))
    }

    /// The first bank.
    ///
    /// # Errors
    /// There is none.
    pub fn issuer(&self) -> Result<&'a Issuer> {
        self.network.topology.issuers.first().context("the network has no issuer")
    }

    /// A customer of the first bank.
    ///
    /// # Errors
    /// There is none with that id.
    pub fn customer(&self, id: &str) -> Result<&'a Customer> {
        let customers = &self.issuer()?.customers;
        customers.iter().find(|customer| customer.id == id).with_context(|| format!("no customer {id}"))
    }

    /// Notes a step.
    pub fn step(&mut self, step: Step) {
        self.report.step(self.console, step);
    }

    /// From now on, checks wait for [`Stage::show_checks`] or the part's end.
    pub fn hold_checks(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Shows the checks that were held.
    pub fn show_checks(&mut self) {
        for Held { name, expected, got, refusal } in self.held.take().unwrap_or_default() {
            self.note(&name, &expected, &got, refusal);
        }
    }

    /// Notes a check.
    pub fn check(&mut self, name: &str, expected: &str, got: &str) {
        self.note(name, expected, got, false);
    }

    /// Notes an attempt that had to be refused.
    pub fn refusal(&mut self, name: &str, expected: &str, got: &str) {
        self.note(name, expected, got, true);
    }

    fn note(&mut self, name: &str, expected: &str, got: &str, refusal: bool) {
        if let Some(held) = &mut self.held {
            let [name, expected, got] = [name, expected, got].map(str::to_owned);
            held.push(Held { name, expected, got, refusal });
        } else if refusal {
            self.report.refusal(self.console, self.group, name, expected, got);
        } else {
            self.report.check(self.console, self.group, name, expected, got);
        }
    }

    /// Notes a condition; `detail` explains where it doesn't hold.
    pub fn ensure(&mut self, name: &str, holds: bool, detail: &str) {
        self.check(name, "yes", if holds { "yes" } else { detail });
    }

    /// Notes how a call ended that had to be refused, by its stable reason.
    pub fn refused<T>(&mut self, name: &str, expected: &str, answer: Result<T, Status>) {
        let is_refusal = expected != ACCEPTED;
        self.note(name, expected, &outcome(answer), is_refusal);
    }

    /// Shows that a part takes its time.
    pub fn working(&self, what: &str) {
        self.console.working(what);
    }

    /// The end of [`Stage::working`].
    pub fn done(&self) {
        self.console.done();
    }

    /// An order at the first shop.
    ///
    /// # Errors
    /// The acquirer refuses it.
    pub async fn order(&self, minor_units: i64) -> Result<Placed> {
        self.shop(0)?.shop.place(minor_units).await
    }

    /// Signs a customer in for an order, and lists the cards.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn sign_in(&self, customer: &Customer, placed: Placed) -> Result<SignedIn> {
        sign_in(&self.app, customer, placed, Bytes::new()).await
    }

    /// One of the banks.
    ///
    /// # Errors
    /// There is none with that id.
    pub fn bank(&self, id: &str) -> Result<Bank<'a>> {
        let topology = self.topology();
        let issuer = topology.issuer(id)?;
        let app = BankApp::of(issuer, &topology.authority)?.noting(&self.network.secrets);
        Ok(Bank { issuer, app })
    }

    /// The platform's numbers now.
    ///
    /// # Errors
    /// It doesn't tell them.
    pub async fn numbers(&self) -> Result<Numbers> {
        Numbers::of(&self.topology().platform).await
    }
}

impl<'a> Bank<'a> {
    /// The customer with every test card.
    ///
    /// # Errors
    /// The bank has no customer.
    pub fn everyday(&self) -> Result<&'a Customer> {
        self.issuer.customers.first().with_context(|| format!("{} has no customer", self.issuer.id))
    }

    /// Signs that customer in for an order, with the platform's ticket.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn sign_in(&self, placed: Placed, ticket: Bytes) -> Result<SignedIn> {
        sign_in(&self.app, self.everyday()?, placed, ticket).await
    }
}

/// Signs a customer in at a bank for an order, and lists the cards.
///
/// # Errors
/// The bank refuses.
pub(super) async fn sign_in(app: &BankApp, customer: &Customer, placed: Placed, ticket: Bytes) -> Result<SignedIn> {
    let order = placed.signed.signed.to_pb();
    let session = app.sign_in(Some(order), &Credentials::from(customer)).await.context("sign-in")?;
    let token = session.session_token;
    let options = app.card_options(token.clone()).await.context("card options")?;
    Ok(SignedIn { placed, token, options, ticket })
}

impl SignedIn {
    /// A charge request of the order with one of the cards.
    ///
    /// # Errors
    /// The bank doesn't show the card.
    pub fn charge(&self, card: &Card) -> Result<pb::SubmitChargeRequest> {
        let option = card.among(&self.options).with_context(|| format!("the bank does not show \"{}\"", card.label))?;
        let request = charge_request(&self.token, self.placed.signed.signed.to_pb(), &option.card_option_id)?;
        Ok(pb::SubmitChargeRequest { ticket: self.ticket.clone(), ..request })
    }
}

/// A card of the customer that does this when it pays.
///
/// # Errors
/// The customer has none.
pub(super) fn card_that<'c>(customer: &'c Customer, behaviour: &str) -> Result<&'c Card> {
    let mut cards = customer.cards();
    cards.find(|card| card.behaviour == behaviour).with_context(|| format!("{} has no card: {behaviour}", customer.id))
}

/// Waits until the acquirer has asked the card network for an order.
pub(super) async fn wait_until_authorizing(shop: &Shop, order: &str) -> Result<()> {
    wait_for_state(shop, order, pb::OrderState::Authorizing, TOLD_TIME).await
}

/// Asks for an order until it is in a state.
pub(super) async fn wait_for_state(shop: &Shop, order: &str, state: pb::OrderState, patience: Duration) -> Result<()> {
    let asking = async {
        while shop.order(order).await.context("GetOrder")?.state() != state {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(())
    };
    let name = state.as_str_name();
    tokio::time::timeout(patience, asking).await.with_context(|| format!("the order was never {name}"))?
}

/// A call that was not refused.
const ACCEPTED: &str = "accepted";

/// How a call ended: "accepted", or the stable reason, or what stands for one.
pub(super) fn outcome<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => ACCEPTED.to_owned(),
        Err(status) => reason(&status),
    }
}

/// The stable reason of a status, or what stands for one.
pub(super) fn reason(status: &Status) -> String {
    match reason_of(status) {
        Some(reason) => reason,
        None if is_transport(status) => "CONNECTION_REFUSED".to_owned(),
        None => format!("{:?} without a reason: {}", status.code(), status.message()),
    }
}

/// How a charge ended: "APPROVED", the decline reason, or another state.
pub(super) fn ending(answer: Result<Paid, Status>) -> String {
    let paid = match answer {
        Ok(paid) => paid,
        Err(status) => return reason(&status),
    };
    match paid.charge.state() {
        pb::ChargeState::Declined => short(paid.charge.decline_reason().as_str_name(), "DECLINE_REASON_"),
        state @ (pb::ChargeState::Unspecified
        | pb::ChargeState::Held
        | pb::ChargeState::Sent
        | pb::ChargeState::Unknown
        | pb::ChargeState::Approved
        | pb::ChargeState::Abandoned) => short(state.as_str_name(), "CHARGE_STATE_"),
    }
}

/// An enum's name without what all of them begin with.
pub(super) fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// The time since then, in microseconds.
pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
