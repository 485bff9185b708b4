//! What the shops heard, against what the acquirer has on record.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Kind, is_final};
use crate::torture::evidence::{AttemptKey, Evidence, Note};

pub(super) fn audit(evidence: &Evidence, findings: &mut Findings) {
    recorded(evidence, findings);
    let shops: BTreeSet<&String> = evidence.acquirer.events.keys().chain(evidence.heard.keys()).collect();
    for shop in shops {
        let events = evidence.acquirer.events.get(shop).map(Vec::as_slice).unwrap_or_default();
        let heard = evidence.heard.get(shop).map(Vec::as_slice).unwrap_or_default();
        notified(shop, events, heard, findings);
        if let Some(watched) = evidence.watched.get(shop) {
            followed(shop, events, watched, findings);
        }
    }
}

/// The record itself: every order's events have no gap, end with the order, and tell of each result once.
fn recorded(evidence: &Evidence, findings: &mut Findings) {
    let mut events: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
    for note in evidence.acquirer.events.values().flatten() {
        events.entry(&note.order).or_default().push(note);
    }
    let mut results: BTreeMap<&AttemptKey, u32> = BTreeMap::new();
    for (id, order) in &evidence.acquirer.orders {
        let own = events.remove(id.as_str()).unwrap_or_default();
        let positions: Vec<u32> = own.iter().map(|note| note.position).collect();
        let expected: Vec<u32> = (1..=order.position).collect();
        findings.check(positions == expected, Kind::Lost, Some(id), || {
            format!("its events have the positions {positions:?}, and the order counts up to {}", order.position)
        });
        let last = own.last().map(|note| note.state);
        findings.check(!is_final(order.state) || last == Some(order.state), Kind::Lost, Some(id), || {
            format!("it is {}, and its last event says {last:?}", order.state.as_str_name())
        });
        let approvals = own.iter().filter(|note| note.result.as_ref().is_some_and(|(_, v)| v.is_approved())).count();
        findings.check(approvals <= 1, Kind::Doubled, Some(id), || format!("{approvals} of its events are approvals"));
        for note in own {
            let Some((key, verdict)) = &note.result else { continue };
            *results.entry(key).or_default() += 1;
            let attempt = evidence.acquirer.attempts.get(key);
            let decided = attempt.and_then(|attempt| attempt.result.as_ref()).map(|(_, decided)| decided);
            findings.check(decided == Some(verdict), Kind::Contradiction, Some(id), || {
                format!("event {} says {verdict:?} of {}, and the authorization {decided:?}", note.position, key.1)
            });
        }
    }
    for order in events.keys() {
        findings.add(Kind::Lost, Some(order), "there are events of it, and the order is not in the books");
    }
    for (key, attempt) in &evidence.acquirer.attempts {
        let (Some(order), Some(_)) = (&attempt.order, &attempt.result) else { continue };
        // One that named an order which is not the acquirer's, or other content, is nobody's news.
        let known = evidence.acquirer.orders.get(order).is_some_and(|order| order.digest == attempt.digest);
        let count = results.get(key).copied().unwrap_or_default();
        let kind = if count > 1 { Kind::Doubled } else { Kind::Lost };
        findings.check(!known || count == 1, kind, Some(order), || format!("{count} events tell of {}", key.1));
    }
}

/// A shop heard of every event, as it is on record, and of each order's events first in their order.
fn notified(shop: &str, events: &[Note], heard: &[Note], findings: &mut Findings) {
    let mut first: BTreeMap<(&str, u32), &Note> = BTreeMap::new();
    let mut next: BTreeMap<&str, u32> = BTreeMap::new();
    for note in heard {
        let order = note.order.as_str();
        match first.get(&(order, note.position)) {
            Some(earlier) => findings.check(earlier.bytes == note.bytes, Kind::Contradiction, Some(order), || {
                format!("{shop} heard two different events with the position {}", note.position)
            }),
            None => {
                let expected = next.entry(order).or_insert(1);
                findings.check(note.position == *expected, Kind::Lost, Some(order), || {
                    format!("{shop} heard event {} where {expected} came next", note.position)
                });
                *expected = note.position + 1;
                first.insert((order, note.position), note);
            }
        }
    }
    for event in events {
        let order = Some(event.order.as_str());
        match first.remove(&(event.order.as_str(), event.position)) {
            None => findings.add(Kind::Lost, order, format!("{shop} never heard event {}", event.position)),
            Some(note) => findings.check(note.bytes == event.bytes, Kind::Contradiction, order, || {
                format!("{shop} heard another event {} than is on record", event.position)
            }),
        }
    }
    for ((order, position), _) in first {
        findings.add(Kind::Lost, Some(order), format!("{shop} heard event {position}, which is not on record"));
    }
}

/// Following by the cursor shows every event once, in the order in which they were committed.
fn followed(shop: &str, events: &[Note], watched: &[Vec<u8>], findings: &mut Findings) {
    if events.iter().map(|event| &event.bytes).eq(watched) {
        return;
    }
    let seen: BTreeSet<&Vec<u8>> = watched.iter().collect();
    for event in events.iter().filter(|event| !seen.contains(&event.bytes)) {
        let what = format!("{shop} followed its orders and was never shown event {}", event.position);
        findings.add(Kind::Lost, Some(&event.order), what);
    }
    if seen.len() < watched.len() {
        let what = format!("{shop} followed its orders and was shown {} events again", watched.len() - seen.len());
        findings.add(Kind::Doubled, None, what);
    } else if seen.len() == events.len() {
        findings.add(Kind::Contradiction, None, format!("{shop} followed its orders and was shown another order"));
    } else if seen.len() > events.len() {
        findings.add(Kind::Lost, None, format!("{shop} followed its orders and was shown what is not on record"));
    }
}
