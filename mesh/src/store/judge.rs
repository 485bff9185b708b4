//! Decides about one transition: what it changes, or why it changes nothing.

use super::layout::{self, Stored};
use super::limits::TRIM_EVENTS_MAX;
use super::raw::{Layered, Overlay, Raw};
use super::{Change, Commit, Seq, StoreError, Transition, Trim, Version, Write};

/// Judges a transition that passed [`Transition::check`] against the base with the pending changes,
/// and adds its own changes to them if it holds. `last` is the last sequence given out. A transition that
/// is not committed leaves both as they were.
///
/// The version of a record is the sequence of the commit that wrote it, so no version ever returns.
pub(super) fn judge<B: Raw>(
    base: &B,
    pending: &mut Overlay,
    last: &mut Seq,
    transition: &Transition,
) -> Result<Commit, StoreError> {
    let seen = Layered { base, overlay: pending };
    if let Some(idempotency) = &transition.idempotency
        && let Some(answer) = seen.get(&layout::answer_key(&idempotency.key))?
    {
        return Ok(Commit::Duplicate(answer));
    }
    let mut before = Vec::with_capacity(transition.writes.len());
    for write in &transition.writes {
        let stored = load(&seen, write)?;
        let version = stored.as_ref().map_or(Version::ABSENT, |stored| stored.version);
        if version != write.expected {
            return Ok(Commit::Conflict(write.id.clone()));
        }
        before.push(stored);
    }
    let mut trimmed = Vec::new();
    for trim in &transition.trim {
        trimmed.extend(oldest_events(&seen, trim)?);
    }

    let seq = last_of(*last, transition)?;
    let version = Version::new(seq.number());
    for (write, stored) in transition.writes.iter().zip(before) {
        apply(pending, write, stored, version);
    }
    pending.extend(trimmed.into_iter().map(|key| (key, None)));
    for (event, number) in transition.events.iter().zip(last.number() + 1..) {
        let key = layout::event_key(&event.topic, Seq::new(number));
        pending.insert(key, Some(event.body.clone()));
    }
    for key in &transition.forget {
        pending.insert(layout::answer_key(key), None);
    }
    if let Some(idempotency) = &transition.idempotency {
        let key = layout::answer_key(&idempotency.key);
        pending.insert(key, Some(idempotency.answer.clone()));
    }
    *last = seq;
    let value = seq.number().to_be_bytes().to_vec();
    pending.insert(layout::LAST_SEQ.to_vec(), Some(value.into()));
    Ok(Commit::Committed { versions: vec![version; transition.writes.len()], seq })
}

/// Each event has its own sequence, so that a page of events may end anywhere; a transition
/// without events takes one all the same, for its version.
fn last_of(last: Seq, transition: &Transition) -> Result<Seq, StoreError> {
    let count = transition.events.len().max(1) as u64;
    let seq = last.number().checked_add(count);
    seq.map(Seq::new).ok_or(StoreError::Corrupt("the sequence has run out"))
}

fn load(seen: &impl Raw, write: &Write) -> Result<Option<Stored>, StoreError> {
    let value = seen.get(&layout::record_key(&write.id))?;
    value.map(|value| layout::stored(&write.id, value)).transpose()
}

fn apply(pending: &mut Overlay, write: &Write, before: Option<Stored>, version: Version) {
    let key = layout::record_key(&write.id);
    for entry in before.map(|stored| stored.index_keys).unwrap_or_default() {
        pending.insert(entry, None);
    }
    match &write.change {
        Change::Put { body, indexes } => {
            // After the removals, so that an entry that stays is there in the end.
            for entry in layout::index_keys(&write.id, indexes) {
                pending.insert(entry, Some(bytes::Bytes::new()));
            }
            pending.insert(key, Some(layout::record_value(version, body, indexes)));
        }
        Change::Remove => {
            pending.insert(key, None);
        }
    }
}

fn oldest_events(seen: &impl Raw, trim: &Trim) -> Result<Vec<Vec<u8>>, StoreError> {
    let start = layout::event_prefix(&trim.topic);
    let end = layout::event_key(&trim.topic, Seq::new(trim.up_to.number().saturating_add(1)));
    let events = seen.range(&start, &end).take(TRIM_EVENTS_MAX);
    events.map(|pair| pair.map(|(key, _)| key)).collect()
}
