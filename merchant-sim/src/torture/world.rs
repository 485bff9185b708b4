//! The outside of a network: shops that make and cancel orders, and bank apps, each at the end of a line, and how
//! they bear it when nobody answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh::status::reason_of;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::tale::Journal;
use crate::device::{BankApp, Checkouts, Credentials};
use crate::secrets::Secrets;
use crate::shop::Shop;
use crate::topology::{Customer, Issuer, NextHop, Topology};

/// How many connections the payers of one bank share.
const CONNECTIONS: usize = 6;

/// The first and the longest pause before what got no answer is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// Everybody outside.
#[derive(Debug)]
pub(super) struct World {
    /// The shops.
    pub(super) shops: Vec<Shop>,
    /// The banks.
    pub(super) banks: Vec<Bank>,
    /// The platform, as devices call it.
    checkouts: Vec<Checkouts>,
    /// What everybody was told.
    pub(super) journal: Journal,
    /// The session tokens that came up.
    pub(super) secrets: Secrets,
    /// No new payment begins after this.
    pub(super) closing: CancellationToken,
    /// Whoever still waits then gives up.
    pub(super) give_up: CancellationToken,
    /// Which answers were none, and how often.
    silence: Mutex<BTreeMap<String, u64>>,
}

/// A bank's apps and customers.
#[derive(Debug)]
pub(super) struct Bank {
    /// Which bank.
    pub(super) id: String,
    /// Its customers.
    pub(super) customers: Vec<Customer>,
    /// Whether its requests need a ticket of the platform's.
    pub(super) is_relayed: bool,
    apps: Vec<BankApp>,
}

impl World {
    /// Everybody outside of this network.
    ///
    /// # Errors
    /// A file or an address can't be used.
    pub(super) fn of(seen: &Topology) -> Result<Self> {
        let secrets = Secrets::default();
        let bank = |issuer: &Issuer| -> Result<Bank> {
            let app = || Ok(BankApp::of(issuer, &seen.authority)?.noting(&secrets));
            Ok(Bank {
                id: issuer.id.clone(),
                customers: issuer.customers.clone(),
                is_relayed: issuer.next_hop == NextHop::Platform,
                apps: (0..CONNECTIONS).map(|_| app()).collect::<Result<_>>()?,
            })
        };
        Ok(Self {
            shops: seen.merchants.iter().map(|merchant| Shop::new(seen, merchant)).collect::<Result<_>>()?,
            banks: seen.issuers.iter().map(bank).collect::<Result<_>>()?,
            checkouts: (0..CONNECTIONS).map(|_| Checkouts::of(seen)).collect::<Result<_>>()?,
            journal: Journal::default(),
            secrets,
            closing: CancellationToken::new(),
            give_up: CancellationToken::new(),
            silence: Mutex::default(),
        })
    }

    /// The platform, on the connection of this number.
    ///
    /// # Errors
    /// There is no connection.
    pub(super) fn checkouts(&self, number: usize) -> Result<&Checkouts> {
        self.checkouts.get(number % CONNECTIONS).context("no connection to the platform")
    }

    /// Repeats a call for as long as it gets no answer.
    ///
    /// # Errors
    /// The answer, or `CANCELLED` for one that was waited for until everybody gave up.
    pub(super) async fn persist<T, F>(&self, call: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut pause = PAUSE.0;
        loop {
            let answer = tokio::select! {
                answer = call() => answer,
                () = self.give_up.cancelled() => return Err(given_up()),
            };
            match answer {
                Err(status) if is_no_answer(&status) => self.note(&status),
                answer => return answer,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.give_up.cancelled() => return Err(given_up()),
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Which answers were none, and how often.
    pub(super) fn silences(&self) -> BTreeMap<String, u64> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, status: &Status) {
        let reason = reason_of(status).unwrap_or_else(|| format!("{:?}", status.code()));
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }
}

impl Bank {
    /// The app, on the connection of this number.
    ///
    /// # Errors
    /// There is no connection.
    pub(super) fn app(&self, number: usize) -> Result<&BankApp> {
        self.apps.get(number % CONNECTIONS).context("no connection to the bank")
    }

    /// What a customer types in.
    ///
    /// # Errors
    /// There is no such customer.
    pub(super) fn credentials(&self, customer: &str) -> Result<Credentials> {
        let customer = self.customers.iter().find(|own| own.id == customer);
        Ok(Credentials::from(customer.context("there is no such customer")?))
    }
}

/// Whether a status is for this reason.
pub(super) fn is(status: &Status, reason: &str) -> bool {
    reason_of(status).as_deref() == Some(reason)
}

/// What a status says, in few words.
pub(super) fn says(status: &Status) -> String {
    reason_of(status).unwrap_or_else(|| format!("{:?}: {}", status.code(), status.message()))
}

/// Whether whoever waited gave up.
pub(super) fn is_given_up(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == GIVEN_UP
}

const GIVEN_UP: &str = "everybody gave up";

fn given_up() -> Status {
    Status::cancelled(GIVEN_UP)
}

/// Whether a status leaves open what happened: no connection, a lost one, a server that stops, has too much to do
/// or no room on its disk. A bank that was killed can't be picked until the platform has reached it again.
fn is_no_answer(status: &Status) -> bool {
    mesh::status::is_transport(status)
        || is(status, "BANK_UNAVAILABLE")
        || match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::DataLoss
            | Code::Internal
            | Code::Aborted
            | Code::ResourceExhausted => true,
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => false,
        }
}
