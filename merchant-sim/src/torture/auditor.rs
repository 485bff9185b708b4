//! The auditor: reconciles everybody's books with each other, and with what the outside was told, to the last
//! unit. It judges plain values and asks nobody.
//!
//! | of "what always holds" | where |
//! |---|---|
//! | 1, one approval for an order | [`orders`], [`money`] |
//! | 2, a result is found again | [`money`]: issuer and acquirer hold the same bytes; [`notices`] |
//! | 3, the same call moves nothing twice | [`answers`], [`money`] |
//! | 4, every hold ends | [`money`] |
//! | 5, a cancel keeps its word | [`answers`] |
//! | 6, the shop hears everything | [`notices`] |
//! | 7, nobody acts for another | [`answers`] |
//! | 8, no secret lies about | the offences of the evidence |
//! | 9, what was approved is what is authorized | [`money`] |

use std::collections::BTreeSet;
use std::fmt;

use proto::pb;

use super::evidence::{Account, Attempt, Entry, Evidence};
use super::follower::is_final;

mod answers;
pub(super) mod awake;
mod money;
mod notices;
mod orders;
#[cfg(test)]
mod tests;

/// What kind of wrong something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Somebody knows of it and somebody who must doesn't.
    Lost,
    /// It happened, or counts, more than once.
    Doubled,
    /// It has not come to its end.
    Unfinished,
    /// Two say different things.
    Contradiction,
    /// Something that is wrong by itself.
    Offence,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// What kind of wrong.
    pub(super) kind: Kind,
    /// About which order, where it is about one.
    pub(super) order: Option<String>,
    /// What exactly.
    pub(super) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.order.as_deref().unwrap_or("no single order");
        write!(f, "{:?}: {order}: {}", self.kind, self.what)
    }
}

/// Where findings are collected.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, kind: Kind, order: Option<&str>, what: impl Into<String>) {
        self.0.push(Finding { kind, order: order.map(ToOwned::to_owned), what: what.into() });
    }

    /// Adds a finding unless something is as it must be.
    fn check(&mut self, holds: bool, kind: Kind, order: Option<&str>, what: impl FnOnce() -> String) {
        if !holds {
            self.add(kind, order, what());
        }
    }
}

/// What the payments came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Orders altogether.
    pub(super) payments: usize,
    /// Paid.
    pub(super) approved: usize,
    /// Not paid, after at least one decline.
    pub(super) declined: usize,
    /// Cancelled by the shop, without a decline.
    pub(super) cancelled: usize,
    /// Expired, without a decline.
    pub(super) expired: usize,
    /// Given up by whoever wanted to pay, and closed when the run was over.
    pub(super) abandoned: usize,
    /// Orders with which nothing is wrong.
    pub(super) reconciled: usize,
    /// Charges that were compared.
    pub(super) charges: usize,
    /// Events that were compared.
    pub(super) events: usize,
    /// What the shops have taken, by their daily totals, in minor units.
    pub(super) taken: i64,
    /// What the banks' accounts have spent.
    pub(super) spent: i64,
    /// What stands at the card network.
    pub(super) standing: i64,
    /// Findings of something lost.
    pub(super) lost: usize,
    /// Findings of something doubled.
    pub(super) doubled: usize,
}

/// Finds everything that is wrong, the worst first.
pub(super) fn audit(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Findings::default();
    orders::audit(evidence, &mut findings);
    money::audit(evidence, &mut findings);
    notices::audit(evidence, &mut findings);
    answers::audit(evidence, &mut findings);
    for offence in &evidence.offences {
        findings.add(Kind::Offence, None, offence.clone());
    }
    findings.0.sort();
    findings.0
}

/// Counts what the payments came to.
pub(super) fn sums(evidence: &Evidence, findings: &[Finding]) -> Sums {
    let mut sums = Sums { payments: evidence.acquirer.orders.len(), ..Sums::default() };
    let wrong: BTreeSet<&str> = findings.iter().filter_map(|finding| finding.order.as_deref()).collect();
    // An order that its shop never got an answer about is nobody's wish any more.
    let wanted: BTreeSet<&str> =
        evidence.tales.iter().filter(|tale| !tale.closed).map(|tale| tale.id.as_str()).collect();
    let is_declined = |attempt: &&Attempt| attempt.result.as_ref().is_some_and(|(_, said)| !said.is_approved());
    let declined: BTreeSet<&str> = evidence
        .acquirer
        .attempts
        .values()
        .filter(is_declined)
        .filter_map(|attempt| attempt.order.as_deref())
        .collect();
    for (id, order) in &evidence.acquirer.orders {
        let (had_declines, closed) = (declined.contains(id.as_str()), !wanted.contains(id.as_str()));
        match order.state {
            pb::OrderState::Approved => sums.approved += 1,
            pb::OrderState::Failed => sums.declined += 1,
            pb::OrderState::Cancelled | pb::OrderState::Expired if had_declines => sums.declined += 1,
            pb::OrderState::Cancelled if closed => sums.abandoned += 1,
            pb::OrderState::Cancelled => sums.cancelled += 1,
            pb::OrderState::Expired => sums.expired += 1,
            pb::OrderState::Open | pb::OrderState::Authorizing | pb::OrderState::Unspecified => sums.abandoned += 1,
        }
        sums.reconciled += usize::from(!wrong.contains(id.as_str()));
    }
    sums.charges = evidence.issuers.iter().map(|issuer| issuer.charges.len()).sum();
    sums.events = evidence.acquirer.events.values().map(Vec::len).sum();
    sums.taken = evidence.acquirer.taken.values().sum();
    sums.spent = evidence.issuers.iter().flat_map(|issuer| issuer.accounts.values()).map(Account::moved).sum();
    sums.standing = evidence.ledger.values().map(Entry::amount).sum();
    sums.lost = findings.iter().filter(|finding| finding.kind == Kind::Lost).count();
    sums.doubled = findings.iter().filter(|finding| finding.kind == Kind::Doubled).count();
    sums
}
