//! What shops and cardholders were told, against how it ended.

use proto::pb;

use super::{Findings, Kind, is_final};
use crate::torture::evidence::{Charge, ChargeState, Evidence, Order, Verdict};
use crate::torture::tale::{ChargeTale, OrderTale};

pub(super) fn audit(evidence: &Evidence, findings: &mut Findings) {
    for tale in &evidence.tales {
        let Some(order) = evidence.acquirer.orders.get(&tale.id) else {
            findings.add(Kind::Lost, Some(&tale.id), format!("{} was given it, and it is gone", tale.merchant));
            continue;
        };
        one(tale, order, findings);
        for told in &tale.charges {
            let issuer = evidence.issuers.iter().find(|issuer| issuer.id == told.bank);
            let key = (told.customer.clone(), told.id.clone());
            charge(tale, told, issuer.and_then(|issuer| issuer.charges.get(&key)), findings);
        }
    }
}

fn one(tale: &OrderTale, order: &Order, findings: &mut Findings) {
    let (id, state) = (Some(tale.id.as_str()), order.state);
    findings.check(tale.merchant == order.merchant && tale.amount == order.amount, Kind::Contradiction, id, || {
        format!("it was given to {} over {}, and is another in the books", tale.merchant, tale.amount)
    });
    let same = tale.created.windows(2).all(|pair| pair[0] == pair[1]);
    findings.check(same, Kind::Contradiction, id, || "the same CreateOrder had two answers".to_owned());
    for (place, told) in tale.cancels.iter().enumerate() {
        findings.check(is_kept(*told, state), Kind::Contradiction, id, || {
            format!("answer {} to a cancel was {}, and it ended {}", place + 1, told.as_str_name(), state.as_str_name())
        });
        // Only "pending" may be followed by something else, and then by what it said would become of it.
        let before = place.checked_sub(1).and_then(|before| tale.cancels.get(before));
        let changed = before.is_some_and(|before| before != told && *before != pb::CancelOutcome::Pending);
        findings.check(!changed, Kind::Contradiction, id, || {
            format!(
                "cancels were answered {:?}",
                tale.cancels.iter().map(|told| told.as_str_name()).collect::<Vec<_>>()
            )
        });
    }
    for told in &tale.ends {
        findings.check(*told == state, Kind::Contradiction, id, || {
            format!("the shop was shown {}, and it ended {}", told.as_str_name(), state.as_str_name())
        });
    }
    for liberty in &tale.liberties {
        findings.add(Kind::Offence, id, liberty.clone());
    }
}

/// Whether an answer to a cancel is true of an order that ended like this.
fn is_kept(told: pb::CancelOutcome, state: pb::OrderState) -> bool {
    match told {
        pb::CancelOutcome::Cancelled => state == pb::OrderState::Cancelled,
        pb::CancelOutcome::TooLate => state == pb::OrderState::Approved,
        pb::CancelOutcome::Pending => {
            matches!(state, pb::OrderState::Approved | pb::OrderState::Cancelled) || !is_final(state)
        }
        pb::CancelOutcome::AlreadyExpired => state == pb::OrderState::Expired,
        pb::CancelOutcome::AlreadyFailed => state == pb::OrderState::Failed,
        pb::CancelOutcome::Unspecified => false,
    }
}

fn charge(tale: &OrderTale, told: &ChargeTale, kept: Option<&Charge>, findings: &mut Findings) {
    let (id, name) = (Some(tale.id.as_str()), format!("the charge {} of {} at {}", told.id, told.customer, told.bank));
    let Some(kept) = kept else {
        findings.check(!told.was_taken(), Kind::Lost, id, || format!("{name} was taken, and is gone"));
        return;
    };
    findings.check(kept.order == tale.id && kept.amount == tale.amount, Kind::Contradiction, id, || {
        format!("{name} is for another order in its bank's books")
    });
    for shown in &told.shown {
        findings.check(shown.authorization_id == kept.authorization, Kind::Doubled, id, || {
            format!(
                "{name} was shown with the authorization {}, kept is {}",
                shown.authorization_id, kept.authorization
            )
        });
        let is_true = match shown.state() {
            pb::ChargeState::Approved => {
                kept.state == ChargeState::Decided(Verdict::Approved(shown.approval_code.clone()))
            }
            pb::ChargeState::Declined => {
                let reason = shown.decline_reason().as_str_name().to_owned();
                kept.state == ChargeState::Decided(Verdict::Declined(reason))
            }
            pb::ChargeState::Abandoned => kept.state == ChargeState::Abandoned,
            pb::ChargeState::Held | pb::ChargeState::Sent | pb::ChargeState::Unknown => true,
            pb::ChargeState::Unspecified => false,
        };
        findings.check(is_true, Kind::Contradiction, id, || {
            format!("{name} was shown {}, and is {:?}", shown.state().as_str_name(), kept.state)
        });
    }
}
