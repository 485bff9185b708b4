//! Servers that are killed at random moments of a payment, and started again.
//!
//! In each round one shop, one cardholder of one of the banks, and one of the servers that the payment
//! passes are picked. While the cardholder pays, the
//! server is killed with SIGKILL at a moment that the seed chooses, and started again. The shop and
//! the device do what real ones do: they repeat what got no answer, with the same ids. In the end
//! everybody must say the same, and the credit line must agree to the cent.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mesh::clock::{Entropy as _, SeededEntropy};
use mesh::status::reason_of;
use proto::pb;
use serde::Serialize;
use tonic::{Code, Status};

use crate::console::Console;
use crate::device::app::charge_request;
use crate::device::{BankApp, Checkouts, Credentials};
use crate::network::Network;
use crate::shop::{Inbox, Placed, Shop};
use crate::topology::{Card, NextHop};

/// What each payment is over, in minor units: so little that no customer ever reaches a limit.
const AMOUNT: i64 = 123;
/// The latest moment of the kill after the payment's begin: a payment takes about a quarter of this in
/// an unoptimised build, so that kills before, in and after it all happen.
const KILL_AFTER_MAX: Duration = Duration::from_millis(600);
/// How long a payment may take to come to its end, two restarts included.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause before what got no answer is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// How many rounds, and which.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// How many payments, each with one kill.
    pub rounds: u32,
    /// The same seed picks the same servers and moments.
    pub seed: u64,
}

/// What the rounds came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survived {
    /// Payments that ended approved.
    pub approved: u32,
    /// Payments that ended declined, because the killed acquirer could not learn what its card network
    /// had been about to say.
    pub declined: u32,
    /// Kills of the acquirer.
    pub acquirer_kills: u32,
    /// Kills of an issuer.
    pub issuer_kills: u32,
    /// Kills of the platform, which relayed for the payment.
    pub platform_kills: u32,
    /// Where two parties disagreed, or a payment did not end.
    pub problems: Vec<String>,
}

impl Survived {
    /// One line that sums it up.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} kills of the acquirer, {} of an issuer, {} of the platform: {} approved, {} declined, {} problems",
            self.acquirer_kills,
            self.issuer_kills,
            self.platform_kills,
            self.approved,
            self.declined,
            self.problems.len()
        )
    }
}

/// Plays the rounds.
///
/// # Errors
/// A server does not come up again, or the network has nobody to pay with.
pub async fn run(network: &mut Network, wishes: Wishes, console: &Console) -> Result<Survived> {
    let chance = SeededEntropy::new(wishes.seed);
    let mut survived = Survived::default();
    for round in 0..wishes.rounds {
        let payer = Payer::of(network, round, number(&chance)?)?;
        let victim = survived.victim(network, &payer, number(&chance)?)?;
        let micros = u64::try_from(KILL_AFTER_MAX.as_micros()).unwrap_or(u64::MAX);
        let moment = Duration::from_micros(number(&chance)? % micros);
        console.working(format!("round {}: {victim} is killed after {} ms", round + 1, moment.as_millis()));
        let killing = async {
            tokio::time::sleep(moment).await;
            network.kill_and_restart(&victim, console).await
        };
        let (ended, killed) = tokio::join!(tokio::time::timeout(PATIENCE, payer.pay()), killing);
        killed?;
        let problem = match ended {
            Err(_) => Err(anyhow::anyhow!("the payment did not end within {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => Err(error),
            Ok(Ok(ending)) => payer.agree(&ending).await.map(|()| ending.charge.state()),
        };
        match problem {
            Ok(pb::ChargeState::Approved) => survived.approved += 1,
            Ok(_) => survived.declined += 1,
            Err(error) => {
                let what = format!("round {}, {victim} killed after {} µs", round + 1, moment.as_micros());
                survived.problems.push(format!("{what}: {error:#}"));
            }
        }
    }
    console.done();
    Ok(survived)
}

impl Survived {
    /// Picks one of the servers that the payment passes, and counts it.
    fn victim(&mut self, network: &Network, payer: &Payer, chance: u64) -> Result<String> {
        let topology = &network.topology;
        let among = if payer.checkouts.is_some() { 3 } else { 2 };
        match chance % among {
            0 => {
                self.acquirer_kills += 1;
                Ok(topology.acquirers.first().context("the network has no acquirer")?.id.clone())
            }
            1 => {
                self.issuer_kills += 1;
                Ok(payer.bank.clone())
            }
            _ => {
                self.platform_kills += 1;
                Ok(topology.platform.id.clone())
            }
        }
    }
}

/// A shop and a cardholder who do not give up.
struct Payer {
    shop: Shop,
    inbox: Inbox,
    app: BankApp,
    bank: String,
    /// Set where the platform relays for the bank.
    checkouts: Option<Checkouts>,
    credentials: Credentials,
    card: Card,
}

/// How a payment ended.
struct Ending {
    placed: Placed,
    charge: pb::Charge,
    token: Bytes,
    before: i64,
}

impl Payer {
    fn of(network: &Network, round: u32, chance: u64) -> Result<Self> {
        let topology = &network.topology;
        let open = network.shops.first().context("the network has no shop")?;
        let bank = usize::try_from(chance % topology.issuers.len().max(1) as u64).unwrap_or_default();
        let issuer = topology.issuers.get(bank).context("the network has no issuer")?;
        let checkouts = match issuer.next_hop {
            NextHop::Acquirer => None,
            NextHop::Platform => Some(Checkouts::of(topology)?),
        };
        let count = issuer.load_customers.len().max(1);
        let customer =
            issuer.load_customers.get(round as usize % count).context("the bank has no customer for load")?;
        Ok(Self {
            shop: open.shop.clone(),
            inbox: open.inbox.clone(),
            app: BankApp::of(issuer, &topology.authority)?,
            bank: issuer.id.clone(),
            checkouts,
            credentials: Credentials::from(customer),
            card: customer.cards().next().context("the customer has no card")?.clone(),
        })
    }

    async fn pay(&self) -> Result<Ending> {
        let request = self.shop.request(AMOUNT)?;
        let placed = persist(|| self.shop.create(request.clone())).await.context("CreateOrder")?;
        let placed = Placed::parse(placed)?;
        let order = placed.signed.signed.to_pb();
        let ticket = match &self.checkouts {
            Some(checkouts) => persist(|| checkouts.ticket(order.clone(), &self.bank)).await.context("SelectBank")?,
            None => Bytes::new(),
        };
        let mut token = self.sign_in(&order).await?;
        let options = self.options(&mut token, &order).await?;
        let before = self.available(&options)?;
        let option = self.card.among(&options).context("the bank does not show the card")?.card_option_id.clone();
        let fresh = |token: &Bytes| -> Result<pb::SubmitChargeRequest> {
            let request = charge_request(token, order.clone(), &option)?;
            Ok(pb::SubmitChargeRequest { ticket: ticket.clone(), ..request })
        };
        let mut charge = fresh(&token)?;
        loop {
            match persist(|| self.app.submit(charge.clone())).await {
                Ok(_) => {}
                Err(status) if is(&status, "SESSION_INVALID") => {
                    token = self.sign_in(&order).await?;
                    charge.session_token = token.clone();
                    continue;
                }
                Err(status) => return Err(status).context("SubmitCharge"),
            }
            let paid = persist(|| self.app.watch(token.clone(), &charge.charge_id)).await.context("WatchCharge")?;
            // Nothing was sent, or nothing arrived and now never will: a new charge is a new try.
            let try_again = match paid.charge.state() {
                pb::ChargeState::Abandoned => true,
                pb::ChargeState::Declined => paid.charge.decline_reason() == pb::DeclineReason::NeverReceived,
                pb::ChargeState::Unspecified
                | pb::ChargeState::Held
                | pb::ChargeState::Sent
                | pb::ChargeState::Unknown
                | pb::ChargeState::Approved => false,
            };
            if !try_again {
                return Ok(Ending { placed, charge: paid.charge, token, before });
            }
            self.nothing_happened(&placed, before, &mut token).await?;
            charge = fresh(&token)?;
        }
    }

    async fn sign_in(&self, order: &pb::Signed) -> Result<Bytes> {
        loop {
            match persist(|| self.app.sign_in(Some(order.clone()), &self.credentials)).await {
                Ok(session) => return Ok(session.session_token),
                // The bank was killed between the challenge and the answer to it.
                Err(status) if is(&status, "CHALLENGE_NOT_FOUND") => {}
                Err(status) => return Err(status).context("sign-in"),
            }
        }
    }

    async fn options(&self, token: &mut Bytes, order: &pb::Signed) -> Result<Vec<pb::CardOption>> {
        match persist(|| self.app.card_options(token.clone())).await {
            Err(status) if is(&status, "SESSION_INVALID") => {
                *token = self.sign_in(order).await?;
                persist(|| self.app.card_options(token.clone())).await.context("ListCardOptions")
            }
            answer => answer.context("ListCardOptions"),
        }
    }

    fn available(&self, options: &[pb::CardOption]) -> Result<i64> {
        let option = self.card.among(options).context("the bank does not show the card")?;
        Ok(option.available.as_ref().context("a card without an amount")?.minor_units)
    }

    /// A charge that never reached the acquirer must have left nothing: no authorization, no hold.
    async fn nothing_happened(&self, placed: &Placed, before: i64, token: &mut Bytes) -> Result<()> {
        let order = persist(|| self.shop.order(placed.id.as_str())).await.context("GetOrder")?;
        ensure!(order.state() == pb::OrderState::Open, "the order is {}", order.state().as_str_name());
        ensure!(order.last_authorization.is_none(), "the acquirer knows of an authorization that never arrived");
        let options = self.options(token, &placed.signed.signed.to_pb()).await?;
        ensure!(self.available(&options)? == before, "a charge that never arrived still holds funds");
        Ok(())
    }

    /// Everybody must say what the charge says.
    async fn agree(&self, ending: &Ending) -> Result<()> {
        let approved = ending.charge.state() == pb::ChargeState::Approved;
        let order = persist(|| self.shop.order(ending.placed.id.as_str())).await.context("GetOrder")?;
        let known = order.last_authorization.as_ref().context("the acquirer knows of no authorization")?;
        ensure!(known.authorization_id == ending.charge.authorization_id, "the acquirer names another authorization");
        ensure!(approved == (known.decision() == pb::Decision::Approved), "the acquirer decided otherwise");
        ensure!(
            approved == (order.state() == pb::OrderState::Approved),
            "the order is {}",
            order.state().as_str_name()
        );
        ensure!(known.approval_code == ending.charge.approval_code, "the approval codes differ");
        let told = self.inbox.wait_for(&ending.placed.id, PATIENCE, |event| event.authorization.is_some()).await;
        let told = told.context("the shop was not told")?;
        ensure!(
            told.authorization.is_some_and(|o| o.decision.is_approved()) == approved,
            "the shop was told otherwise"
        );
        let mut token = ending.token.clone();
        let options = self.options(&mut token, &ending.placed.signed.signed.to_pb()).await?;
        let moved = ending.before - self.available(&options)?;
        let expected = if approved { AMOUNT } else { 0 };
        ensure!(moved == expected, "the credit line moved by {moved}, not by {expected}");
        Ok(())
    }
}

/// Repeats a call for as long as it gets no answer. The caller bounds it by its own patience.
async fn persist<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, Status> {
    let begin = Instant::now();
    loop {
        match call().await {
            Err(status) if is_no_answer(&status) && begin.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

/// Whether a status leaves open what happened: no connection, a lost one, or a server that stops. A bank
/// that was killed can't be picked until the platform has reached it again.
fn is_no_answer(status: &Status) -> bool {
    mesh::status::is_transport(status)
        || is(status, "BANK_UNAVAILABLE")
        || matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::DataLoss
                | Code::Internal
        )
}

fn is(status: &Status, reason: &str) -> bool {
    reason_of(status).as_deref() == Some(reason)
}

fn number(chance: &SeededEntropy) -> Result<u64> {
    let mut bytes = [0; 8];
    chance.fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
