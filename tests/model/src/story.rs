//! A way through the model, told so that a person can follow it.

use std::fmt::{self, Write as _};

use crate::{
    records::{Attempt, Charge, OrderName},
    run::Way,
    state::{Card, State},
};

/// A way, one numbered line for each action, with what has changed below it.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a>(pub &'a Way);

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Vec<String> = Vec::new();
        for (number, (state, action)) in self.0.moments.iter().enumerate() {
            let facts = facts(state);
            let fresh: Vec<&str> = facts.iter().filter(|fact| !before.contains(fact)).map(String::as_str).collect();
            if number == 0 {
                writeln!(f, "      {}", fresh.join("; "))?;
            } else if !fresh.is_empty() {
                writeln!(f, "      -> {}", fresh.join("; "))?;
            }
            if let Some(action) = action {
                writeln!(f, "{:4}. {action}", number + 1)?;
            }
            before = facts;
        }
        if let Some(end) = &self.0.end {
            writeln!(f, "      and with no more faults it stays like this:\n      {}", facts(end).join("; "))?;
        }
        Ok(())
    }
}

/// What is to be known of a moment, one text for each thing.
fn facts(state: &State) -> Vec<String> {
    let mut facts = vec![order(state)];
    for (letter, file) in ('A'..).zip(&state.charges) {
        if file.state != Charge::Absent {
            facts.push(format!("charge {letter} {}", charge(file.state)));
        }
    }
    for (letter, attempt) in ('A'..).zip(state.acquirer.attempts) {
        match attempt {
            Attempt::Absent => {}
            Attempt::Deciding => facts.push(format!("the acquirer is deciding {letter}")),
            Attempt::Decided { verdict, received: true } => facts.push(format!("the acquirer has {letter} {verdict}")),
            Attempt::Decided { verdict, received: false } => {
                facts.push(format!("the acquirer has a tombstone for {letter}: {verdict}"));
            }
        }
    }
    for (letter, (card, owed)) in ('A'..).zip(state.network.iter().zip(state.acquirer.reversals)) {
        match card {
            Card::None => {}
            Card::Approved => facts.push(format!("the card network has {letter} approved")),
            Card::Declined => facts.push(format!("the card network has {letter} declined")),
            Card::Reversed => facts.push(format!("the card network has {letter} reversed")),
        }
        if owed {
            facts.push(format!("a reversal of {letter} is owed"));
        }
    }
    for (bank, account) in state.accounts.iter().enumerate().filter(|(_, account)| account.held + account.spent > 0) {
        facts.push(format!("bank {} holds {} and has spent {}", bank + 1, account.held, account.spent));
    }
    for (first, letter) in state.noted.first.iter().zip('A'..) {
        if let Some(verdict) = first {
            facts.push(format!("{letter} was first given as {verdict}"));
        }
    }
    for (told, word) in [
        (state.shop.told_cancelled, "CANCELLED"),
        (state.shop.told_too_late, "TOO_LATE"),
        (state.shop.told_pending, "PENDING"),
    ] {
        if told {
            facts.push(format!("the shop was told {word}"));
        }
    }
    if state.acquirer.order.position > 0 {
        let (heard, position) = (state.shop.heard, state.acquirer.order.position);
        facts
            .push(format!("the shop has heard {heard} and acknowledged {} of {position}", state.acquirer.acknowledged));
    }
    facts
}

fn order(state: &State) -> String {
    let order = state.acquirer.order;
    let mut text = String::from("the order is ");
    match order.name {
        OrderName::Open => text.push_str("open"),
        OrderName::Authorizing(underway) => {
            let letter = char::from(b'A' + underway.authorization);
            let cancel = if underway.cancel_requested { ", cancel requested" } else { "" };
            // Writing to a text can't fail.
            let _ = write!(text, "authorizing {letter}{cancel}");
        }
        OrderName::Approved => text.push_str("approved"),
        OrderName::Expired => text.push_str("expired"),
        OrderName::Failed => text.push_str("failed"),
        OrderName::Cancelled => text.push_str("cancelled"),
    }
    let _ = write!(text, ", {} declines", order.declines);
    text
}

fn charge(state: Charge) -> String {
    match state {
        Charge::Absent => "is not there".to_owned(),
        Charge::Held => "is held".to_owned(),
        Charge::Sent => "is sent".to_owned(),
        Charge::Unknown { parked: false } => "is unknown".to_owned(),
        Charge::Unknown { parked: true } => "is parked".to_owned(),
        Charge::Approved(_) => "is approved".to_owned(),
        Charge::Declined(reason) => format!("is {}", crate::records::Verdict::Declined(reason)),
        Charge::Abandoned => "is abandoned".to_owned(),
    }
}
