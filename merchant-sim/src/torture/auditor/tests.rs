//! The test of the test: sound books are found sound, and each of these mistakes in them is reported.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proto::pb;

use super::awake::{Asleep, Noticed};
use super::*;
use crate::torture::evidence::{
    Account, AcquirerBooks, Attempt, Charge, ChargeState, Entry, IssuerBooks, Note, Order, Standing, Trail, Verdict,
};
use crate::torture::tale::{ChargeTale, OrderTale};

const BANK: &str = "bank-one";
const SHOP: &str = "shop-one";
const PAID: &str = "ord_paid";
const UNPAID: &str = "ord_unpaid";
const CUSTOMER: &str = "customer";

fn approved() -> Verdict {
    Verdict::Approved("A1B2C3".to_owned())
}

fn declined() -> Verdict {
    Verdict::Declined(pb::DeclineReason::LostCard.as_str_name().to_owned())
}

fn key(authorization: &str) -> (String, String) {
    (BANK.to_owned(), authorization.to_owned())
}

fn order(amount: i64, state: pb::OrderState, last: (&str, Verdict), position: u32) -> Order {
    Order {
        merchant: SHOP.to_owned(),
        amount,
        digest: [u8::try_from(amount).unwrap(); 32],
        state,
        last: Some((key(last.0), last.1)),
        position,
        has_key: false,
    }
}

fn attempt(order: &str, amount: i64, verdict: Verdict) -> Attempt {
    Attempt {
        order: Some(order.to_owned()),
        digest: [u8::try_from(amount).unwrap(); 32],
        amount,
        is_its_own: true,
        result: Some((result_of(order), verdict)),
    }
}

fn result_of(order: &str) -> Vec<u8> {
    format!("the result of {order}").into_bytes()
}

fn standing(code: &str, amount: i64) -> Entry {
    Entry::Approved(Standing { code: code.to_owned(), merchant: SHOP.to_owned(), amount })
}

fn note(order: &str, position: u32, state: pb::OrderState, result: Option<(&str, Verdict)>) -> Note {
    Note {
        order: order.to_owned(),
        position,
        state,
        result: result.map(|(authorization, verdict)| (key(authorization), verdict)),
        bytes: format!("{order}.{position}").into_bytes(),
    }
}

fn charge(order: &str, amount: i64, authorization: &str, verdict: Verdict) -> Charge {
    let claim = verdict.is_approved().then_some(true);
    Charge {
        order: order.to_owned(),
        digest: [u8::try_from(amount).unwrap(); 32],
        amount,
        account: "account".to_owned(),
        authorization: authorization.to_owned(),
        state: ChargeState::Decided(verdict),
        result: Some(result_of(order)),
        claim,
        has_request: false,
    }
}

fn tale(id: &str, amount: i64, charge: (&str, &str, Verdict), cancels: Vec<pb::CancelOutcome>) -> OrderTale {
    let (charge_id, authorization, verdict) = charge;
    let mut shown = pb::Charge { authorization_id: authorization.to_owned(), ..pb::Charge::default() };
    match verdict {
        Verdict::Approved(code) => {
            shown.set_state(pb::ChargeState::Approved);
            shown.approval_code = code;
        }
        Verdict::Declined(reason) => {
            shown.set_state(pb::ChargeState::Declined);
            shown.set_decline_reason(pb::DeclineReason::from_str_name(&reason).unwrap());
        }
    }
    let charge = ChargeTale {
        bank: BANK.to_owned(),
        customer: CUSTOMER.to_owned(),
        id: charge_id.to_owned(),
        shown: vec![shown],
        ..ChargeTale::default()
    };
    OrderTale {
        id: id.to_owned(),
        merchant: SHOP.to_owned(),
        amount,
        created: vec![id.as_bytes().to_vec(); 2],
        cancels,
        charges: vec![charge],
        ..OrderTale::default()
    }
}

/// One order that was paid, and one that was cancelled after a decline.
fn sound() -> Evidence {
    use pb::OrderState::{Approved, Cancelled, Open};

    let events = vec![
        note(UNPAID, 1, Open, Some(("aut_2", declined()))),
        note(PAID, 1, Approved, Some(("aut_1", approved()))),
        note(UNPAID, 2, Cancelled, None),
    ];
    let acquirer = AcquirerBooks {
        orders: [
            (PAID.to_owned(), order(70, Approved, ("aut_1", approved()), 1)),
            (UNPAID.to_owned(), order(30, Cancelled, ("aut_2", declined()), 2)),
        ]
        .into(),
        attempts: [(key("aut_1"), attempt(PAID, 70, approved())), (key("aut_2"), attempt(UNPAID, 30, declined()))]
            .into(),
        events: [(SHOP.to_owned(), events.clone())].into(),
        taken: [(SHOP.to_owned(), 70)].into(),
        unfinished: Vec::new(),
    };
    let customer = |charge: &str| (CUSTOMER.to_owned(), charge.to_owned());
    let account = Account { before: 1_000, funds: 1_000, held: 0, spent: 70, is_credit: true };
    let issuer = IssuerBooks {
        id: BANK.to_owned(),
        charges: [
            (customer("chg_1"), charge(PAID, 70, "aut_1", approved())),
            (customer("chg_2"), charge(UNPAID, 30, "aut_2", declined())),
        ]
        .into(),
        accounts: [("account".to_owned(), account)].into(),
        unfinished: Vec::new(),
        trail: Trail {
            broken: None,
            submitted: [("chg_1".to_owned(), 1), ("chg_2".to_owned(), 1)].into(),
            ended: [
                ("chg_1".to_owned(), vec!["approved".to_owned()]),
                ("chg_2".to_owned(), vec!["declined".to_owned()]),
            ]
            .into(),
        },
    };
    // The shop heard the first event twice, which is no mistake.
    let heard: Vec<Note> = events.iter().take(1).chain(&events).cloned().collect();
    Evidence {
        tales: vec![
            tale(
                PAID,
                70,
                ("chg_1", "aut_1", approved()),
                vec![pb::CancelOutcome::Pending, pb::CancelOutcome::TooLate],
            ),
            tale(UNPAID, 30, ("chg_2", "aut_2", declined()), vec![pb::CancelOutcome::Cancelled]),
        ],
        watched: [(SHOP.to_owned(), events.into_iter().map(|event| event.bytes).collect())].into(),
        heard: [(SHOP.to_owned(), heard)].into(),
        ledger: [(key("aut_1"), standing("A1B2C3", 70)), (key("aut_2"), Entry::NotApproved)].into(),
        acquirer,
        issuers: vec![issuer],
        offences: Vec::new(),
    }
}

#[test]
fn sound_books_are_found_sound() {
    let evidence = sound();
    let findings = audit(&evidence);
    assert_eq!(findings, []);
    let counts =
        Sums { payments: 2, approved: 1, declined: 1, reconciled: 2, charges: 2, events: 3, ..Sums::default() };
    let expected = Sums { taken: 70, spent: 70, standing: 70, ..counts };
    assert_eq!(sums(&evidence, &findings), expected);
}

/// A mistake, what kind of wrong it must be found to be, and a part of what is said about it.
type Mistake = (&'static str, Kind, &'static str, fn(&mut Evidence));

fn bank(evidence: &mut Evidence) -> &mut IssuerBooks {
    evidence.issuers.first_mut().unwrap()
}

fn charge_of<'e>(evidence: &'e mut Evidence, id: &str) -> &'e mut Charge {
    bank(evidence).charges.get_mut(&(CUSTOMER.to_owned(), id.to_owned())).unwrap()
}

fn account(evidence: &mut Evidence) -> &mut Account {
    bank(evidence).accounts.get_mut("account").unwrap()
}

fn kept<'e>(evidence: &'e mut Evidence, id: &str) -> &'e mut Order {
    evidence.acquirer.orders.get_mut(id).unwrap()
}

fn found(mistakes: &[Mistake]) {
    for (name, kind, part, make) in mistakes {
        let mut evidence = sound();
        make(&mut evidence);
        let findings = audit(&evidence);
        let reported = findings.iter().any(|finding| finding.kind == *kind && finding.what.contains(part));
        assert!(reported, "{name} was not reported as {kind:?} with \"{part}\": {findings:#?}");
    }
}

#[test]
fn mistakes_about_orders_and_money_are_reported() {
    let mistakes: [Mistake; 22] = [
        ("one unit too much on an account", Kind::Doubled, "has spent 71", |e| account(e).spent += 1),
        ("one unit too little on an account", Kind::Lost, "has spent 69", |e| account(e).spent -= 1),
        ("a hold that stays", Kind::Unfinished, "holds 30", |e| account(e).held = 30),
        ("an overdrawn line", Kind::Doubled, "overdrawn", |e| account(e).funds = 69),
        ("a flipped outcome at the bank", Kind::Contradiction, "the acquirer has decided", |e| {
            charge_of(e, "chg_2").state = ChargeState::Decided(approved());
        }),
        ("a flipped outcome at the acquirer", Kind::Contradiction, "the acquirer has decided", |e| {
            e.acquirer.attempts.get_mut(&key("aut_1")).unwrap().result.as_mut().unwrap().1 = declined();
        }),
        ("another result at the bank", Kind::Contradiction, "byte for byte", |e| {
            charge_of(e, "chg_1").result.as_mut().unwrap().push(0);
        }),
        ("a result that the acquirer lost", Kind::Lost, "knows of no result", |e| {
            e.acquirer.attempts.remove(&key("aut_2"));
        }),
        ("a second approval", Kind::Doubled, "it has 2 approvals", |e| {
            e.acquirer.attempts.insert(key("aut_3"), attempt(PAID, 70, approved()));
        }),
        ("a second charge that paid", Kind::Doubled, "2 charges paid it", |e| {
            let second = charge(PAID, 70, "aut_3", approved());
            bank(e).charges.insert((CUSTOMER.to_owned(), "chg_3".to_owned()), second);
        }),
        ("an approved order that nobody paid", Kind::Lost, "no bank has a charge", |e| {
            bank(e).charges.remove(&(CUSTOMER.to_owned(), "chg_1".to_owned()));
        }),
        ("an approval that stands at the card network", Kind::Doubled, "stays charged", |e| {
            e.ledger.insert(key("aut_2"), standing("Z9Z9Z9", 30));
        }),
        ("an approval that the card network does not have", Kind::Lost, "at the card network", |e| {
            e.ledger.insert(key("aut_1"), Entry::NotApproved);
        }),
        ("a card charged of which nobody knows", Kind::Doubled, "of which nobody knows", |e| {
            e.ledger.insert(key("aut_9"), standing("Z9Z9Z9", 30));
        }),
        ("a unit more at the card network", Kind::Contradiction, "at the card network it is", |e| {
            e.ledger.insert(key("aut_1"), standing("A1B2C3", 71));
        }),
        ("an authorization that no bank has sent", Kind::Lost, "0 charges at", |e| {
            e.acquirer.attempts.insert(key("aut_3"), Attempt { order: None, ..attempt(UNPAID, 30, declined()) });
        }),
        ("two charges with one authorization", Kind::Doubled, "2 charges at", |e| {
            let second = charge(UNPAID, 30, "aut_2", declined());
            bank(e).charges.insert((CUSTOMER.to_owned(), "chg_3".to_owned()), second);
        }),
        ("another amount than was approved", Kind::Contradiction, "is not what was authorized", |e| {
            e.acquirer.attempts.get_mut(&key("aut_1")).unwrap().amount = 71;
        }),
        ("a result about something else", Kind::Contradiction, "is about another request", |e| {
            e.acquirer.attempts.get_mut(&key("aut_1")).unwrap().is_its_own = false;
        }),
        ("an open order", Kind::Unfinished, "it is still", |e| kept(e, UNPAID).state = pb::OrderState::Open),
        ("a daily total with a unit too much", Kind::Doubled, "its daily totals to 71", |e| {
            e.acquirer.taken.insert(SHOP.to_owned(), 71);
        }),
        ("a charge of which the trail does not tell", Kind::Lost, "the audit trail says 0 times", |e| {
            bank(e).trail.submitted.remove("chg_2");
        }),
    ];
    found(&mistakes);
}

#[test]
fn mistakes_about_what_was_told_are_reported() {
    let mistakes: [Mistake; 16] = [
        ("an event that the shop never heard", Kind::Lost, "never heard event 2", |e| {
            e.heard.get_mut(SHOP).unwrap().pop();
        }),
        ("events that came in another order", Kind::Lost, "heard event 2 where 1 came next", |e| {
            e.heard.get_mut(SHOP).unwrap().reverse();
        }),
        ("an event that is not on record", Kind::Lost, "which is not on record", |e| {
            e.heard.get_mut(SHOP).unwrap().push(note(PAID, 2, pb::OrderState::Failed, None));
        }),
        ("another event than on record", Kind::Contradiction, "than is on record", |e| {
            e.heard.get_mut(SHOP).unwrap().last_mut().unwrap().bytes.push(0);
        }),
        ("an event that was removed from the record", Kind::Lost, "the order counts up to 2", |e| {
            e.acquirer.events.get_mut(SHOP).unwrap().pop();
        }),
        ("a result without an event", Kind::Lost, "0 events tell of aut_1", |e| {
            e.acquirer.events.get_mut(SHOP).unwrap().get_mut(1).unwrap().result = None;
        }),
        ("an event that the follower was not shown", Kind::Lost, "was never shown", |e| {
            e.watched.get_mut(SHOP).unwrap().remove(0);
        }),
        ("an event that the follower was shown twice", Kind::Doubled, "shown 1 events again", |e| {
            let again = e.watched[SHOP][0].clone();
            e.watched.get_mut(SHOP).unwrap().push(again);
        }),
        ("a cancel that was none", Kind::Contradiction, "and it ended ORDER_STATE_APPROVED", |e| {
            e.tales[0].cancels.push(pb::CancelOutcome::Cancelled);
        }),
        ("\"too late\" for an order that was never paid", Kind::Contradiction, "to a cancel was", |e| {
            e.tales[1].cancels[0] = pb::CancelOutcome::TooLate;
        }),
        ("a payer who was shown an approval that was none", Kind::Contradiction, "was shown", |e| {
            e.tales[1].charges[0].shown[0].set_state(pb::ChargeState::Approved);
        }),
        ("a payer who was shown two authorizations", Kind::Doubled, "was shown with the authorization", |e| {
            e.tales[0].charges[0].shown[0].authorization_id = "aut_7".to_owned();
        }),
        ("a charge that was taken and is gone", Kind::Lost, "was taken, and is gone", |e| {
            bank(e).charges.remove(&(CUSTOMER.to_owned(), "chg_2".to_owned()));
        }),
        ("an order that was given out and is gone", Kind::Lost, "and it is gone", |e| {
            e.acquirer.orders.remove(UNPAID);
        }),
        ("two answers to one CreateOrder", Kind::Contradiction, "had two answers", |e| {
            e.tales[0].created[1].push(0);
        }),
        ("a secret in a file", Kind::Offence, "a secret", |e| e.offences.push("a secret lies about".to_owned())),
    ];
    found(&mistakes);
}

#[test]
fn the_auditor_is_awake_over_these_books_and_notices_empty_ones() {
    let Noticed { made, known } = awake::prove(&sound()).unwrap();
    assert_eq!(made, known);
    // Books that are empty offer a place for nothing but a secret in a file, and so prove nothing.
    let asleep = awake::prove(&Evidence::default());
    assert_eq!(asleep, Err(Asleep::NoPlace("an event that a shop never heard")));
    // Neither do books of which one kind was not read, however much stands in the others.
    let no_ledger = Evidence { ledger: BTreeMap::new(), ..sound() };
    assert_eq!(awake::prove(&no_ledger), Err(Asleep::NoPlace("one unit more at the card network")));
    let mut no_trail = sound();
    no_trail.issuers.iter_mut().for_each(|issuer| issuer.trail.submitted.clear());
    assert_eq!(awake::prove(&no_trail), Err(Asleep::NoPlace("a payment that the audit trail does not know")));
    // What not every run has may be missing.
    let mut no_decline = sound();
    no_decline.ledger.retain(|_, entry| *entry != Entry::NotApproved);
    assert_eq!(awake::prove(&no_decline), Ok(Noticed { made: known - 1, known }));
}

#[test]
fn a_finding_takes_its_order_out_of_the_reconciled_ones() {
    let mut evidence = sound();
    evidence.heard.get_mut(SHOP).unwrap().pop();
    let findings = audit(&evidence);
    let sums = sums(&evidence, &findings);
    assert_eq!((sums.payments, sums.reconciled, sums.lost), (2, 1, 1));
}
