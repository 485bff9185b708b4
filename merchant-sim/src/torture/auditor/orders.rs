//! The acquirer's orders, authorizations and totals, among themselves.

use std::collections::BTreeMap;

use proto::pb;

use super::{Findings, Kind, is_final};
use crate::torture::evidence::{AcquirerBooks, Attempt, AttemptKey, Evidence, Order};

pub(super) fn audit(evidence: &Evidence, findings: &mut Findings) {
    let books = &evidence.acquirer;
    for unfinished in &books.unfinished {
        findings.add(Kind::Unfinished, None, unfinished.clone());
    }
    let mut attempts: BTreeMap<&str, Vec<(&AttemptKey, &Attempt)>> = BTreeMap::new();
    for (key, attempt) in &books.attempts {
        let undecided = || format!("the authorization {} of {} has no result", key.1, key.0);
        findings.check(attempt.result.is_some(), Kind::Unfinished, attempt.order.as_deref(), undecided);
        let order = attempt.order.as_deref();
        findings.check(attempt.is_its_own, Kind::Contradiction, order, || {
            format!("the result of {} is about another request, order or amount", key.1)
        });
        if let Some(order) = &attempt.order {
            attempts.entry(order).or_default().push((key, attempt));
        }
    }
    for (id, order) in &books.orders {
        let own = attempts.remove(id.as_str()).unwrap_or_default();
        one(id, order, &own, findings);
    }
    for (order, _) in attempts {
        findings.add(Kind::Lost, Some(order), "an authorization names this order, which is not in the books");
    }
    totals(books, findings);
}

fn one(id: &str, order: &Order, attempts: &[(&AttemptKey, &Attempt)], findings: &mut Findings) {
    let state = order.state.as_str_name();
    findings.check(is_final(order.state), Kind::Unfinished, Some(id), || format!("it is still {state}"));
    findings.check(!order.has_key, Kind::Unfinished, Some(id), || "its sealing key was not destroyed".to_owned());
    let approvals: Vec<&AttemptKey> = attempts
        .iter()
        .filter(|(_, attempt)| attempt.result.as_ref().is_some_and(|(_, verdict)| verdict.is_approved()))
        .map(|(key, _)| *key)
        .collect();
    findings.check(approvals.len() <= 1, Kind::Doubled, Some(id), || {
        let names: Vec<String> = approvals.iter().map(|(issuer, id)| format!("{id} of {issuer}")).collect();
        format!("it has {} approvals: {}", approvals.len(), names.join(", "))
    });
    let approved = order.state == pb::OrderState::Approved;
    findings.check(!approved || !approvals.is_empty(), Kind::Lost, Some(id), || {
        "it is approved, and no authorization of it is".to_owned()
    });
    findings.check(approved || approvals.is_empty(), Kind::Contradiction, Some(id), || {
        format!("one of its authorizations is approved, and the order is {state}")
    });
    if let Some((key, verdict)) = &order.last {
        let kept = attempts.iter().find(|(own, _)| *own == key).and_then(|(_, attempt)| attempt.result.as_ref());
        findings.check(kept.is_some_and(|(_, kept)| kept == verdict), Kind::Contradiction, Some(id), || {
            format!("its last result is {verdict:?} of {}, and the authorization says {kept:?}", key.1)
        });
        findings.check(approved == verdict.is_approved(), Kind::Contradiction, Some(id), || {
            format!("it is {state}, and its last result is {verdict:?}")
        });
    } else {
        findings.check(!approved, Kind::Lost, Some(id), || "it is approved, and holds no result".to_owned());
    }
    for (key, attempt) in attempts {
        let same = attempt.digest == order.digest && attempt.amount == order.amount;
        findings.check(same || declined(attempt), Kind::Contradiction, Some(id), || {
            format!("the authorization {} was for another content of the order", key.1)
        });
    }
}

fn declined(attempt: &Attempt) -> bool {
    attempt.result.as_ref().is_some_and(|(_, verdict)| !verdict.is_approved())
}

/// What a shop has taken by its daily totals is what its approved orders come to.
fn totals(books: &AcquirerBooks, findings: &mut Findings) {
    let mut sums: BTreeMap<&str, i64> = books.taken.keys().map(|merchant| (merchant.as_str(), 0)).collect();
    for order in books.orders.values().filter(|order| order.state == pb::OrderState::Approved) {
        *sums.entry(&order.merchant).or_default() += order.amount;
    }
    for (merchant, sum) in sums {
        let taken = books.taken.get(merchant).copied().unwrap_or_default();
        let kind = if taken > sum { Kind::Doubled } else { Kind::Lost };
        findings.check(taken == sum, kind, None, || {
            format!("the approved orders of {merchant} come to {sum}, and its daily totals to {taken}")
        });
    }
}
