//! The issuers' charges, holds and spending, against the acquirer's results and the card network's ledger.

use std::collections::BTreeMap;

use proto::pb;

use super::{Findings, Kind};
use crate::torture::evidence::{Attempt, Charge, ChargeState, Entry, Evidence, IssuerBooks, Verdict};

pub(super) fn audit(evidence: &Evidence, findings: &mut Findings) {
    for issuer in &evidence.issuers {
        for unfinished in &issuer.unfinished {
            findings.add(Kind::Unfinished, None, format!("{}: {unfinished}", issuer.id));
        }
        for ((customer, id), charge) in &issuer.charges {
            let name = format!("the charge {id} of {customer} at {}", issuer.id);
            let attempt = evidence.acquirer.attempts.get(&(issuer.id.clone(), charge.authorization.clone()));
            one(&name, charge, attempt, findings);
            in_the_trail(&name, id, charge, issuer, findings);
        }
        accounts(issuer, findings);
        if let Some(broken) = &issuer.trail.broken {
            findings.add(Kind::Offence, None, format!("the audit trail of {} is broken: {broken}", issuer.id));
        }
    }
    senders(evidence, findings);
    approvals(evidence, findings);
    ledger(evidence, findings);
}

/// Every authorization was sent for exactly one charge: its bank commits the charge before the first byte leaves.
fn senders(evidence: &Evidence, findings: &mut Findings) {
    let mut senders: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for issuer in &evidence.issuers {
        for charge in issuer.charges.values() {
            *senders.entry((&issuer.id, &charge.authorization)).or_default() += 1;
        }
    }
    for ((issuer, authorization), attempt) in &evidence.acquirer.attempts {
        let charges = senders.get(&(issuer.as_str(), authorization.as_str())).copied().unwrap_or_default();
        let kind = if charges > 1 { Kind::Doubled } else { Kind::Lost };
        findings.check(charges == 1, kind, attempt.order.as_deref(), || {
            format!("{charges} charges at {issuer} name the authorization {authorization}, which the acquirer has")
        });
    }
}

/// A charge and its authorization say the same, and leave nothing behind.
fn one(name: &str, charge: &Charge, attempt: Option<&Attempt>, findings: &mut Findings) {
    let order = Some(charge.order.as_str());
    let result = attempt.and_then(|attempt| attempt.result.as_ref());
    match (&charge.state, result) {
        (ChargeState::Open(state), _) => findings.add(Kind::Unfinished, order, format!("{name} is still {state}")),
        (ChargeState::Abandoned, None) => {}
        (ChargeState::Abandoned, Some((_, verdict))) => {
            findings.add(Kind::Contradiction, order, format!("{name} was given up unsent, and decided: {verdict:?}"));
        }
        (ChargeState::Decided(verdict), None) => {
            findings.add(Kind::Lost, order, format!("{name} is {verdict:?}, and the acquirer knows of no result"));
        }
        (ChargeState::Decided(verdict), Some((bytes, decided))) => {
            findings.check(verdict == decided, Kind::Contradiction, order, || {
                format!("{name} is {verdict:?}, and the acquirer has decided {decided:?}")
            });
            findings.check(charge.result.as_ref() == Some(bytes), Kind::Contradiction, order, || {
                format!("{name} keeps another result than the acquirer, byte for byte")
            });
        }
    }
    if let Some(attempt) = attempt {
        let same = attempt.digest == charge.digest && attempt.amount == charge.amount;
        let same_order = attempt.order.as_ref().is_none_or(|of| *of == charge.order);
        findings.check(same && same_order, Kind::Contradiction, order, || {
            format!("{name}: what the cardholder approved is not what was authorized")
        });
    }
    let ended = !matches!(charge.state, ChargeState::Open(_));
    findings.check(!(ended && charge.has_request), Kind::Unfinished, order, || {
        format!("{name} has ended, and its stored request was not removed")
    });
    let paid = matches!(charge.state, ChargeState::Decided(Verdict::Approved(_)));
    findings.check(!ended || charge.claim == paid.then_some(true), Kind::Contradiction, order, || {
        format!("{name} is {:?}, and the order's claim at its bank says {:?}", charge.state, charge.claim)
    });
}

/// The trail tells of every charge that it was taken, once, and how it ended, once.
fn in_the_trail(name: &str, id: &str, charge: &Charge, issuer: &IssuerBooks, findings: &mut Findings) {
    let order = Some(charge.order.as_str());
    let submitted = issuer.trail.submitted.get(id).copied().unwrap_or_default();
    let kind = if submitted > 1 { Kind::Doubled } else { Kind::Lost };
    findings.check(submitted == 1, kind, order, || format!("the audit trail says {submitted} times that {name} came"));
    let expected = match &charge.state {
        ChargeState::Open(_) => return,
        ChargeState::Abandoned => "abandoned",
        ChargeState::Decided(Verdict::Approved(_)) => "approved",
        ChargeState::Decided(Verdict::Declined(_)) => "declined",
    };
    let told = issuer.trail.ended.get(id).map(Vec::as_slice).unwrap_or_default();
    let kind = if told.len() > 1 { Kind::Doubled } else { Kind::Lost };
    findings.check(told == [expected.to_owned()], kind, order, || {
        format!("{name} ended {expected}, and the audit trail says {told:?}")
    });
}

/// Nothing is held any more, and what is spent is what the approved charges come to.
fn accounts(issuer: &IssuerBooks, findings: &mut Findings) {
    let (mut spent, mut held): (BTreeMap<&str, i64>, BTreeMap<&str, i64>) = Default::default();
    for charge in issuer.charges.values() {
        let sums = match charge.state {
            ChargeState::Decided(Verdict::Approved(_)) => &mut spent,
            ChargeState::Open(_) => &mut held,
            ChargeState::Decided(Verdict::Declined(_)) | ChargeState::Abandoned => continue,
        };
        *sums.entry(&charge.account).or_default() += charge.amount;
    }
    for (id, account) in &issuer.accounts {
        let expected = spent.remove(id.as_str()).unwrap_or_default();
        let moved = account.moved();
        let kind = if moved > expected { Kind::Doubled } else { Kind::Lost };
        findings.check(moved == expected, kind, None, || {
            format!("{}: account {id} has spent {moved}, and its approved charges come to {expected}", issuer.id)
        });
        let open = held.remove(id.as_str()).unwrap_or_default();
        let kind = if account.held > open { Kind::Unfinished } else { Kind::Lost };
        findings.check(account.held == open, kind, None, || {
            format!("{}: account {id} holds {}, and its open charges come to {open}", issuer.id, account.held)
        });
        let same_line = !account.is_credit || account.funds == account.before;
        findings.check(same_line, Kind::Contradiction, None, || {
            format!("{}: the line of account {id} moved from {} to {}", issuer.id, account.before, account.funds)
        });
        let left = if account.is_credit { account.funds - account.spent } else { account.funds };
        findings
            .check(left >= 0, Kind::Doubled, None, || format!("{}: account {id} is overdrawn by {}", issuer.id, -left));
    }
    for (id, sum) in spent.into_iter().chain(held) {
        findings.add(Kind::Lost, None, format!("{}: charges of {sum} name account {id}, which is gone", issuer.id));
    }
}

/// Every paid order was paid by exactly one charge.
fn approvals(evidence: &Evidence, findings: &mut Findings) {
    let mut paid: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for issuer in &evidence.issuers {
        for ((customer, id), charge) in &issuer.charges {
            if matches!(charge.state, ChargeState::Decided(Verdict::Approved(_))) {
                paid.entry(&charge.order).or_default().push(format!("{id} of {customer} at {}", issuer.id));
            }
        }
    }
    for (id, order) in &evidence.acquirer.orders {
        let charges = paid.remove(id.as_str()).unwrap_or_default();
        findings.check(charges.len() <= 1, Kind::Doubled, Some(id), || {
            format!("{} charges paid it: {}", charges.len(), charges.join(", "))
        });
        let approved = order.state == pb::OrderState::Approved;
        findings.check(!approved || !charges.is_empty(), Kind::Lost, Some(id), || {
            "it is approved, and no bank has a charge that paid it".to_owned()
        });
        findings.check(approved || charges.is_empty(), Kind::Contradiction, Some(id), || {
            format!("it is {}, and was paid by {}", order.state.as_str_name(), charges.join(", "))
        });
    }
    for (id, charges) in paid {
        let what = format!("it was paid by {}, and is not in the acquirer's books", charges.join(", "));
        findings.add(Kind::Lost, Some(id), what);
    }
}

/// The card network has an approval standing for each approved authorization, and for nothing else.
fn ledger(evidence: &Evidence, findings: &mut Findings) {
    for (key, attempt) in &evidence.acquirer.attempts {
        let entry = evidence.ledger.get(key).unwrap_or(&Entry::Unknown);
        let order = attempt.order.as_deref();
        match (&attempt.result, entry) {
            (Some((_, Verdict::Approved(code))), Entry::Approved(standing)) => {
                let merchant = order.and_then(|id| evidence.acquirer.orders.get(id)).map(|order| &order.merchant);
                let named = (Some(&standing.merchant), standing.amount, &standing.code);
                findings.check(named == (merchant, attempt.amount, code), Kind::Contradiction, order, || {
                    format!("{} is approved with the code {code}, at the card network it is {standing:?}", key.1)
                });
            }
            (Some((_, Verdict::Approved(_))), Entry::NotApproved | Entry::Unknown) => {
                findings.add(Kind::Lost, order, format!("{} is approved, at the card network {entry:?}", key.1));
            }
            (Some((_, Verdict::Declined(_))) | None, Entry::Approved(_)) => {
                let what = format!("{} is not approved, and the card stays charged at the network", key.1);
                findings.add(Kind::Doubled, order, what);
            }
            (Some((_, Verdict::Declined(_))) | None, Entry::NotApproved | Entry::Unknown) => {}
        }
    }
    let unknown = evidence.ledger.iter().filter(|(key, _)| !evidence.acquirer.attempts.contains_key(*key));
    for (key, entry) in unknown.filter(|(_, entry)| matches!(entry, Entry::Approved(_))) {
        let what = format!("the card network has charged {} of {} ({entry:?}), of which nobody knows", key.1, key.0);
        findings.add(Kind::Doubled, None, what);
    }
}
