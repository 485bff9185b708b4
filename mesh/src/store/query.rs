//! The reads of a store over an ordered map of bytes.

use bytes::Bytes;

use super::limits::{self, CURSOR_BYTES_MAX, EVENTS_PAGE_MAX, PAGE_ITEMS_MAX};
use super::raw::Raw;
use super::transition::check_idempotency_key;
use super::{
    Cursor, Event, Index, Item, KeyRange, Page, PageRequest, Record, RecordId, Seq, StoreError, Topic, layout,
};

pub(super) fn record(raw: &impl Raw, id: &RecordId) -> Result<Option<Record>, StoreError> {
    id.check()?;
    let Some(value) = raw.get(&layout::record_key(id))? else {
        return Ok(None);
    };
    let stored = layout::stored(id, value)?;
    Ok(Some(Record { version: stored.version, body: stored.body }))
}

pub(super) fn answer(raw: &impl Raw, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    check_idempotency_key(key)?;
    raw.get(&layout::answer_key(key))
}

pub(super) fn last_seq(raw: &impl Raw) -> Result<Seq, StoreError> {
    let value = raw.get(layout::LAST_SEQ)?;
    value.map_or(Ok(Seq::START), |value| layout::seq(&value))
}

pub(super) fn scan(raw: &impl Raw, index: Index, range: &KeyRange, page: &PageRequest) -> Result<Page, StoreError> {
    limits::page("items of a page", page.limit, PAGE_ITEMS_MAX)?;
    let prefix = layout::index_prefix(index.as_str());
    let mut start = layout::index_from(index.as_str(), range.start());
    if let Some(cursor) = &page.after {
        limits::at_most("a cursor", cursor.as_bytes().len(), CURSOR_BYTES_MAX)?;
        // The first key behind the cursor's own.
        let behind = [&prefix[..], cursor.as_bytes(), &[0]].concat();
        start = start.max(behind);
    }
    let end = match range.end() {
        Some(key) => layout::index_from(index.as_str(), key),
        None => behind_all(&prefix)?,
    };
    let mut items = Vec::new();
    let mut last = None;
    for pair in raw.range(&start, &end) {
        let (key, _) = pair?;
        if items.len() == page.limit {
            return Ok(Page { items, next: last });
        }
        let tail = &key[prefix.len()..];
        let (index_key, id) = layout::index_entry(tail)?;
        let record =
            record(raw, &id)?.ok_or(StoreError::Corrupt("an index entry names a record that doesn't exist"))?;
        last = Some(Cursor::from_bytes(tail));
        items.push(Item { index_key, id, record });
    }
    Ok(Page { items, next: None })
}

pub(super) fn events(raw: &impl Raw, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
    limits::page("events of a page", limit, EVENTS_PAGE_MAX)?;
    let prefix = layout::event_prefix(topic);
    let Some(first) = after.number().checked_add(1) else {
        return Ok(Vec::new());
    };
    let start = layout::event_key(topic, Seq::new(first));
    let end = behind_all(&prefix)?;
    let event = |pair: Result<(Vec<u8>, Bytes), StoreError>| {
        let (key, body) = pair?;
        Ok(Event { seq: layout::seq(&key[prefix.len()..])?, topic: topic.clone(), body })
    };
    raw.range(&start, &end).take(limit).map(event).collect()
}

fn behind_all(prefix: &[u8]) -> Result<Vec<u8>, StoreError> {
    layout::successor(prefix).ok_or(StoreError::Corrupt("a key has no successor"))
}
