//! Whether the auditor is awake: mistakes are put into copies of the very books that were found sound, and each
//! must be reported as what it is. Books that can't be read would otherwise look sound, too.

use std::collections::BTreeMap;

use proto::pb;

use super::{Kind, audit};
use crate::torture::evidence::{Account, Attempt, Charge, Entry, Evidence, Standing, Verdict};

/// A mistake, what kind of wrong it is, and its making: `None` where these books offer no place for it.
struct Mistake {
    name: &'static str,
    kind: Kind,
    make: fn(&mut Evidence) -> Option<()>,
}

/// How many mistakes were made in copies of the books, and noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::torture) struct Noticed {
    /// All of which were noticed.
    pub(in crate::torture) made: usize,
    /// How many kinds of mistakes there are; some found no place in these books.
    pub(in crate::torture) known: usize,
}

/// What one order, one payment that was approved and one account offer a place for. Any run has these, unless it
/// is so short that it proves nothing, and so each of these must be made and noticed in every run.
const CORE: [Mistake; 19] = [
    Mistake { name: "an event that a shop never heard", kind: Kind::Lost, make: never_heard },
    Mistake { name: "an event that a follower was shown twice", kind: Kind::Doubled, make: shown_twice },
    Mistake { name: "an event that a follower was not shown", kind: Kind::Lost, make: not_shown },
    Mistake {
        name: "an event that is off the record",
        kind: Kind::Lost,
        make: |evidence| some(&mut evidence.acquirer.events, |events| !events.is_empty())?.pop().map(drop),
    },
    Mistake {
        name: "one unit more that was spent",
        kind: Kind::Doubled,
        make: |evidence| accounts(evidence).next().map(|account| account.spent += 1),
    },
    Mistake {
        name: "one unit that stays held",
        kind: Kind::Unfinished,
        make: |evidence| accounts(evidence).next().map(|account| account.held += 1),
    },
    Mistake {
        name: "one unit less that a shop has taken",
        kind: Kind::Lost,
        make: |evidence| evidence.acquirer.taken.values_mut().next().map(|taken| *taken -= 1),
    },
    Mistake {
        name: "one unit more at the card network",
        kind: Kind::Contradiction,
        make: |evidence| standing(evidence).map(|standing| standing.amount += 1),
    },
    Mistake {
        name: "an approval at the card network for another shop",
        kind: Kind::Contradiction,
        make: |evidence| standing(evidence).map(|standing| standing.merchant.push('x')),
    },
    Mistake {
        name: "an approval that the card network has lost",
        kind: Kind::Lost,
        make: |evidence| {
            let mut entries = evidence.ledger.values_mut();
            entries.find(|entry| matches!(entry, Entry::Approved(_))).map(|entry| *entry = Entry::NotApproved)
        },
    },
    Mistake { name: "a flipped outcome", kind: Kind::Contradiction, make: flipped },
    Mistake {
        name: "a result that differs in one byte",
        kind: Kind::Contradiction,
        make: |evidence| {
            let mut results = charges(evidence).filter_map(|charge| charge.result.as_mut());
            results.next()?.last_mut().map(|byte| *byte ^= 1)
        },
    },
    Mistake {
        name: "an authorization that the acquirer has lost",
        kind: Kind::Lost,
        make: |evidence| {
            let decided = |attempt: &Attempt| attempt.result.is_some();
            let key = evidence.acquirer.attempts.iter().find(|(_, attempt)| decided(attempt))?.0.clone();
            evidence.acquirer.attempts.remove(&key).map(drop)
        },
    },
    Mistake { name: "a second approval of an order", kind: Kind::Doubled, make: second_approval },
    Mistake { name: "a charge that is gone", kind: Kind::Lost, make: charge_gone },
    Mistake {
        name: "an order that is gone",
        kind: Kind::Lost,
        make: |evidence| {
            let id = evidence.tales.first()?.id.clone();
            evidence.acquirer.orders.remove(&id).map(drop)
        },
    },
    Mistake {
        name: "a cancel that was none",
        kind: Kind::Contradiction,
        make: |evidence| {
            let orders = &evidence.acquirer.orders;
            let is_paid = |id: &String| orders.get(id).is_some_and(|order| order.state == pb::OrderState::Approved);
            let mut tales = evidence.tales.iter_mut();
            tales.find(|tale| is_paid(&tale.id)).map(|tale| tale.cancels.push(pb::CancelOutcome::Cancelled))
        },
    },
    Mistake {
        name: "a payment that the audit trail does not know",
        kind: Kind::Lost,
        make: |evidence| {
            let issuer = evidence.issuers.iter_mut().find(|issuer| !issuer.charges.is_empty())?;
            let (_, id) = issuer.charges.keys().next()?;
            issuer.trail.submitted.remove(id).map(drop)
        },
    },
    Mistake {
        name: "a secret in a file",
        kind: Kind::Offence,
        make: |evidence| {
            evidence.offences.push("a secret lies about".to_owned());
            Some(())
        },
    },
];

/// What takes something that a run needn't have: this, a payment that the card network has not approved.
const MORE: [Mistake; 1] =
    [Mistake { name: "an approval that stands at the card network", kind: Kind::Doubled, make: left_standing }];

/// Why the auditor has not shown that it is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::torture) enum Asleep {
    /// It does not notice a mistake.
    #[error("the auditor is blind: it does not notice {0}")]
    Blind(&'static str),
    /// A mistake of the core could not even be made.
    #[error(
        "the auditor proves nothing: these books have no place for {0}; either they were not read, or the run was too \
         short and had too few payers"
    )]
    NoPlace(&'static str),
}

/// Puts each mistake into a copy of sound books, and says how many were reported as what they are.
///
/// # Errors
/// A mistake that was not, or one of the core for which there is no place.
pub(in crate::torture) fn prove(evidence: &Evidence) -> Result<Noticed, Asleep> {
    let mut noticed = Noticed { made: 0, known: CORE.len() + MORE.len() };
    for mistake in &CORE {
        if !mistake.is_noticed(evidence)? {
            return Err(Asleep::NoPlace(mistake.name));
        }
        noticed.made += 1;
    }
    for mistake in &MORE {
        noticed.made += usize::from(mistake.is_noticed(evidence)?);
    }
    Ok(noticed)
}

impl Mistake {
    /// Makes it in a copy of sound books; false where they offer no place for it.
    fn is_noticed(&self, evidence: &Evidence) -> Result<bool, Asleep> {
        let mut spoiled = evidence.clone();
        if (self.make)(&mut spoiled).is_none() {
            return Ok(false);
        }
        let is_noticed = audit(&spoiled).iter().any(|finding| finding.kind == self.kind);
        if is_noticed { Ok(true) } else { Err(Asleep::Blind(self.name)) }
    }
}

fn some<T>(of_shops: &mut BTreeMap<String, T>, fits: impl Fn(&T) -> bool) -> Option<&mut T> {
    of_shops.values_mut().find(|of_shop| fits(of_shop))
}

fn accounts(evidence: &mut Evidence) -> impl Iterator<Item = &mut Account> {
    let accounts = evidence.issuers.iter_mut().flat_map(|issuer| issuer.accounts.values_mut());
    accounts.filter(|account| account.is_credit)
}

fn charges(evidence: &mut Evidence) -> impl Iterator<Item = &mut Charge> {
    evidence.issuers.iter_mut().flat_map(|issuer| issuer.charges.values_mut())
}

fn standing(evidence: &mut Evidence) -> Option<&mut Standing> {
    evidence.ledger.values_mut().find_map(|entry| match entry {
        Entry::Approved(standing) => Some(standing),
        Entry::NotApproved | Entry::Unknown => None,
    })
}

fn never_heard(evidence: &mut Evidence) -> Option<()> {
    let heard = some(&mut evidence.heard, |heard| !heard.is_empty())?;
    let last = heard.last()?.bytes.clone();
    heard.retain(|note| note.bytes != last);
    Some(())
}

fn shown_twice(evidence: &mut Evidence) -> Option<()> {
    let watched = some(&mut evidence.watched, |watched| !watched.is_empty())?;
    let last = watched.last()?.clone();
    watched.push(last);
    Some(())
}

fn not_shown(evidence: &mut Evidence) -> Option<()> {
    some(&mut evidence.watched, |watched| !watched.is_empty())?.pop().map(drop)
}

fn left_standing(evidence: &mut Evidence) -> Option<()> {
    let entry = evidence.ledger.values_mut().find(|entry| **entry == Entry::NotApproved)?;
    *entry = Entry::Approved(Standing { code: "AAAAAA".to_owned(), merchant: String::new(), amount: 1 });
    Some(())
}

fn flipped(evidence: &mut Evidence) -> Option<()> {
    let mut results = evidence.acquirer.attempts.values_mut().filter_map(|attempt| attempt.result.as_mut());
    let (_, verdict) = results.next()?;
    *verdict = match verdict {
        Verdict::Approved(_) => Verdict::Declined(pb::DeclineReason::DoNotHonor.as_str_name().to_owned()),
        Verdict::Declined(_) => Verdict::Approved("AAAAAA".to_owned()),
    };
    Some(())
}

fn second_approval(evidence: &mut Evidence) -> Option<()> {
    let approved = |attempt: &Attempt| attempt.result.as_ref().is_some_and(|(_, verdict)| verdict.is_approved());
    let (key, first) = evidence.acquirer.attempts.iter().find(|(_, attempt)| approved(attempt))?;
    let (issuer, second) = (key.0.clone(), first.clone());
    evidence.acquirer.attempts.insert((issuer, "a-second-one".to_owned()), second);
    Some(())
}

/// One of which its cardholder was told, so that it must be missed.
fn charge_gone(evidence: &mut Evidence) -> Option<()> {
    let told = evidence.tales.iter().flat_map(|tale| &tale.charges).filter(|told| told.was_taken());
    let (bank, key) = told.map(|told| (told.bank.clone(), (told.customer.clone(), told.id.clone()))).next()?;
    let issuer = evidence.issuers.iter_mut().find(|issuer| issuer.id == bank)?;
    issuer.charges.remove(&key).map(drop)
}
