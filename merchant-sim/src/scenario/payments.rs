//! Cardholders of all banks who pay one after another while something else happens.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use mesh::status::reason_of;
use proto::pb;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stage::{ending, sign_in};
use crate::device::{BankApp, Checkouts};
use crate::metrics::Numbers;
use crate::network::Network;
use crate::shop::Shop;
use crate::topology::{Card, Customer, NextHop, Topology};

/// What each payment is over, in minor units.
const AMOUNT: i64 = 1_000;

/// How many payments must pass the relay after a change.
const PASSED_AFTER: i64 = 20;

/// How long that may take, and how often is looked.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One cardholder of each bank.
pub(super) struct Payers(Vec<Payer>);

/// How it went.
pub(super) struct Ended {
    /// Payments that were approved at the first try, without a question.
    pub(super) approved: usize,
    /// What went wrong, in one text.
    pub(super) problems: String,
}

#[derive(Clone)]
struct Payer {
    shop: Shop,
    app: BankApp,
    customer: Customer,
    card: Card,
    /// Set where the bank's requests need a ticket.
    checkouts: Option<Checkouts>,
    bank: String,
}

impl Payers {
    pub(super) fn of(network: &Network) -> Result<Self> {
        let topology = &network.topology;
        let shop = &network.shops.first().context("the network has no shop")?.shop;
        let payers = topology.issuers.iter().map(|issuer| {
            let customer = issuer.customers.first().context("the bank has no customer")?;
            let card = super::stage::card_that(customer, "approves")?.clone();
            let checkouts = match issuer.next_hop {
                NextHop::Acquirer => None,
                NextHop::Platform => Some(Checkouts::of(topology)?),
            };
            let app = BankApp::of(issuer, &topology.authority)?;
            let (shop, customer, bank) = (shop.clone(), customer.clone(), issuer.id.clone());
            Ok(Payer { shop, app, customer, card, checkouts, bank })
        });
        Ok(Self(payers.collect::<Result<_>>()?))
    }
}

/// Lets everybody pay until `stop`; payments under way are finished.
pub(super) async fn run(payers: Payers, stop: CancellationToken) -> Result<Ended> {
    let mut tasks = JoinSet::new();
    for payer in payers.0 {
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut ended = Ended { approved: 0, problems: String::new() };
            while !stop.is_cancelled() {
                match payer.pay().await {
                    Ok(()) => ended.approved += 1,
                    Err(error) => ended.problems.push_str(&format!("{}: {error:#}; ", payer.bank)),
                }
            }
            ended
        });
    }
    let mut all = Ended { approved: 0, problems: String::new() };
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a payer panicked")?;
        all.approved += ended.approved;
        all.problems.push_str(&ended.problems);
    }
    Ok(all)
}

/// Waits until the relay has handed back some more results.
pub(super) async fn let_pass(topology: &Topology) -> Result<()> {
    let passing = async {
        let before = Numbers::of(&topology.platform).await?.relayed();
        while Numbers::of(&topology.platform).await?.relayed() < before + PASSED_AFTER {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, passing).await.context("no payment passes the relay any more")?
}

impl Payer {
    /// One payment, which must be approved without anything being asked for twice.
    async fn pay(&self) -> Result<()> {
        let placed = self.shop.place(AMOUNT).await?;
        let ticket = match &self.checkouts {
            Some(checkouts) => {
                checkouts.ticket(placed.signed.signed.to_pb(), &self.bank).await.context("SelectBank")?
            }
            None => Bytes::new(),
        };
        let signed_in = sign_in(&self.app, &self.customer, placed, ticket).await?;
        let paid = self.app.pay(signed_in.charge(&self.card)?).await;
        match paid {
            Ok(paid) if paid.charge.state() != pb::ChargeState::Approved => bail!("{}", ending(Ok(paid))),
            Ok(paid) if paid.states.contains(&pb::ChargeState::Unknown) => bail!("its result had to be asked for"),
            Ok(_) => Ok(()),
            Err(status) => bail!("{}", reason_of(&status).unwrap_or_else(|| status.to_string())),
        }
    }
}
