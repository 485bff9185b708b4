//! The checkers: one for each thing that always holds, fed by what becomes durable and by what travels.
//!
//! | checker | what always holds |
//! |---|---|
//! | `one-approval` | at most one approval per order, ever, and a final state keeps its meaning |
//! | `found-again` | a result that was sent, and everything acknowledged, is found again after any crash, byte for byte |
//! | `same-answer` | the same id with the same content gives the same answer; with other content it is refused |
//! | `holds` | every hold ends, confirmed exactly where the acquirer approved; no credit line goes below zero |
//! | `cancel` | CANCELLED means no approval ever, TOO_LATE approved, PENDING becomes one of them |
//! | `merchant-hears` | the shop hears of every result and every final state, in order for each order |
//! | `nobody-for-another` | nobody acts for another |
//! | `secrets` | no card number or CVV in a message, a record or a line of the log |
//! | `approved-is-authorized` | what the cardholder approved is what the acquirer authorizes |
//!
//! Beside them `final-in-time` sees to the published bound, `money` reconciles the books of all parties to the last
//! unit, and `panic` notices one.

use std::{collections::BTreeMap, sync::LazyLock};

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use mesh::store::{Change, RecordId, Store as _, Transition, memory::MemoryStore};
use proto::{digest::Digest, event::OrderEvent, pb};

use crate::{disk::at_once, parties::issuer::cards, party::Party};

mod acquirer;
mod end;
mod issuer;
mod shop;

pub use acquirer::{Order, Verdict};
pub use end::Others;
pub use issuer::{Account, Charge};

/// What a checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which one.
    pub checker: &'static str,
    /// What it found.
    pub why: String,
}

/// What the checkers have seen.
#[derive(Debug, Default)]
pub struct Watch {
    failure: Option<Failure>,
    numbers: Numbers,
    orders: BTreeMap<String, Order>,
    verdicts: BTreeMap<String, Verdict>,
    approvals: BTreeMap<String, String>,
    events: BTreeMap<String, Vec<OrderEvent>>,
    accounts: BTreeMap<(Party, String), Account>,
    charges: BTreeMap<(Party, String, String), Charge>,
    heard: BTreeMap<String, u32>,
    promised: BTreeMap<String, pb::CancelOutcome>,
    last_records: BTreeMap<(Party, RecordId), Option<Bytes>>,
    requests: BTreeMap<u64, (Party, Bytes)>,
}

/// Which order something is about.
#[derive(Debug, Default)]
struct Numbers {
    orders: BTreeMap<[u8; 32], u64>,
    authorizations: BTreeMap<String, u64>,
}

impl Watch {
    /// The first thing that a checker found.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// A checker has found something. The first one counts.
    pub fn fail(&mut self, checker: &'static str, why: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(Failure { checker, why: why() });
        }
    }

    /// The order's number; zero for none of the run's.
    #[must_use]
    pub fn number_of_order(&self, digest: &Digest) -> u64 {
        self.numbers.orders.get(digest.as_bytes()).copied().unwrap_or_default()
    }

    /// The order's number; zero for none of the run's.
    #[must_use]
    pub fn number_of_authorization(&self, authorization: &str) -> u64 {
        self.numbers.authorizations.get(authorization).copied().unwrap_or_default()
    }

    /// The order's number; zero for none of the run's.
    #[must_use]
    pub fn number_of_reference(&self, reference: &str) -> u64 {
        reference.strip_prefix("R-").and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// The last authorization request about an order, and whose it is.
    #[must_use]
    pub fn request_about(&self, number: u64) -> Option<(Party, Bytes)> {
        self.requests.get(&number).cloned()
    }

    /// How many charges there were.
    #[must_use]
    pub fn payments(&self) -> u64 {
        u64::try_from(self.charges.len()).unwrap_or_default()
    }

    /// A message travels.
    pub fn message(&mut self, from: Party, to: Party, bytes: &Bytes) {
        self.scan(bytes, || format!("a message of {from} to {to}"));
    }

    /// A request of an issuer's leaves it.
    pub fn requested(&mut self, issuer: Party, number: u64, bytes: &Bytes) {
        self.requests.insert(number, (issuer, bytes.clone()));
    }

    /// A line of the log.
    pub fn logged(&mut self, line: &str) {
        self.scan(line.as_bytes(), || "a line of the log".to_owned());
    }

    /// A transition is durable.
    pub fn durable(&mut self, party: Party, transition: &Transition) {
        for write in &transition.writes {
            let body = match &write.change {
                Change::Put { body, .. } => Some(body.clone()),
                Change::Remove => None,
            };
            if let Some(body) = &body {
                self.scan(body, || format!("a record of {party}, {}", write.id.kind));
            }
            self.last_records.insert((party, write.id.clone()), body);
        }
        for event in &transition.events {
            self.scan(&event.body, || format!("an event of {party}"));
        }
        match party {
            Party::Acquirer => self.at_acquirer(transition),
            Party::North | Party::South => self.at_issuer(party, transition),
            Party::Platform | Party::CardNetwork | Party::Books | Party::Tea | Party::Phones => {}
        }
    }

    /// A store after a crash: everything that was acknowledged must be there, as it was.
    pub fn look_again(&mut self, party: Party, durable: &MemoryStore) {
        let mut lost = None;
        for ((of, id), body) in &self.last_records {
            if *of == party && at_once(durable.get(id)).ok().flatten().map(|record| record.body) != *body {
                lost = Some(id.kind);
                break;
            }
        }
        if let Some(kind) = lost {
            self.fail("found-again", || format!("{party} has not the {kind} any more that was acknowledged"));
        }
    }

    fn scan(&mut self, bytes: &[u8], place: impl FnOnce() -> String) {
        static NEEDLES: LazyLock<AhoCorasick> = LazyLock::new(|| {
            let needles = cards().flat_map(|card| {
                let cvv = card.cvv.as_ref().map(|cvv| cvv.expose().to_owned()).unwrap_or_default();
                // Three digits may stand anywhere by chance; the field of the card data that holds them may not.
                let cvv = [&[0x22, 3], cvv.as_bytes()].concat();
                [card.pan.expose().as_bytes().to_vec(), cvv]
            });
            AhoCorasick::new(needles).expect("invariant: a few short needles")
        });
        if NEEDLES.is_match(bytes) {
            self.fail("secrets", || format!("a card number or CVV stands in {}", place()));
        }
    }
}
