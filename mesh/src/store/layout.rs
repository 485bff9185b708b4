//! How records, index entries, events and answers lie in one ordered map of bytes to bytes.
//!
//! | key | value |
//! |---|---|
//! | `r` kind `00` record key | version, index entries, body |
//! | `x` index name `00` escaped index key `00 01` kind `00` record key | empty |
//! | `e` topic `00` sequence | body |
//! | `a` idempotency key | answer |
//! | `s` | the last sequence given out |
//!
//! Numbers are big-endian, so that their bytes sort as they do. Within an index key a `00` is
//! written as `00 FF`; the end `00 01` sorts below it, so the bytes sort as the unescaped keys do
//! and no key is mistaken for the beginning of another. A record keeps its own index entries,
//! because the entries to take away have to be known when it is written again.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{IndexEntry, Kind, RecordId, Seq, StoreError, Topic, Version};

/// The key of the last sequence given out.
pub(super) const LAST_SEQ: &[u8] = b"s";

const END: u8 = 0x00;
const ESCAPED: u8 = 0xFF;
const INDEX_KEY_END: [u8; 2] = [0x00, 0x01];

/// A stored record, taken apart.
pub(super) struct Stored {
    pub(super) version: Version,
    pub(super) body: Bytes,
    /// The raw keys of its index entries.
    pub(super) index_keys: Vec<Vec<u8>>,
}

pub(super) fn record_key(id: &RecordId) -> Vec<u8> {
    let mut key = vec![b'r'];
    push_id(&mut key, id);
    key
}

pub(super) fn index_prefix(name: &str) -> Vec<u8> {
    let mut key = vec![b'x'];
    key.extend_from_slice(name.as_bytes());
    key.push(END);
    key
}

/// The first bytes of every entry of an index with keys from `index_key` on.
pub(super) fn index_from(name: &str, index_key: &[u8]) -> Vec<u8> {
    let mut key = index_prefix(name);
    push_escaped(&mut key, index_key);
    key
}

pub(super) fn event_prefix(topic: &Topic) -> Vec<u8> {
    let mut key = vec![b'e'];
    key.extend_from_slice(topic.as_str().as_bytes());
    key.push(END);
    key
}

pub(super) fn event_key(topic: &Topic, seq: Seq) -> Vec<u8> {
    let mut key = event_prefix(topic);
    key.extend_from_slice(&seq.number().to_be_bytes());
    key
}

pub(super) fn answer_key(idempotency_key: &[u8]) -> Vec<u8> {
    let mut key = vec![b'a'];
    key.extend_from_slice(idempotency_key);
    key
}

/// The first key behind every key that begins with `prefix`, or `None` where there is none.
pub(super) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut key = prefix[..=last].to_vec();
    key[last] += 1;
    Some(key)
}

/// The length of [`record_value`], without making it.
pub(super) fn record_bytes(body: &[u8], indexes: &[IndexEntry]) -> usize {
    let entry = |entry: &IndexEntry| 2 + entry.index.as_str().len() + entry.key.len();
    8 + 1 + indexes.iter().map(entry).sum::<usize>() + body.len()
}

/// A record's value. The entries' names and keys were checked to be shorter than 256 bytes.
pub(super) fn record_value(version: Version, body: &[u8], indexes: &[IndexEntry]) -> Bytes {
    let mut value = BytesMut::with_capacity(record_bytes(body, indexes));
    value.put_u64(version.number());
    value.put_u8(indexes.len() as u8);
    for entry in indexes {
        for part in [entry.index.as_str().as_bytes(), &entry.key] {
            value.put_u8(part.len() as u8);
            value.put_slice(part);
        }
    }
    value.put_slice(body);
    value.freeze()
}

/// Takes a record's value apart.
pub(super) fn stored(id: &RecordId, value: Bytes) -> Result<Stored, StoreError> {
    read_stored(id, value).ok_or(StoreError::Corrupt("a record is cut short"))
}

/// The raw keys of a record's index entries.
pub(super) fn index_keys(id: &RecordId, indexes: &[IndexEntry]) -> Vec<Vec<u8>> {
    let key = |entry: &IndexEntry| index_key(entry.index.as_str(), &entry.key, id);
    indexes.iter().map(key).collect()
}

/// The index key and the record id in an index entry's raw key, whose index prefix was taken off.
pub(super) fn index_entry(tail: &[u8]) -> Result<(Vec<u8>, RecordId), StoreError> {
    read_index_entry(tail).ok_or(StoreError::Corrupt("an index entry cannot be read"))
}

/// The number in an event's key or in the value of [`LAST_SEQ`].
pub(super) fn seq(bytes: &[u8]) -> Result<Seq, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("a sequence does not have 8 bytes"))?;
    Ok(Seq::new(u64::from_be_bytes(bytes)))
}

fn index_key(name: &str, index_key: &[u8], id: &RecordId) -> Vec<u8> {
    let mut key = index_from(name, index_key);
    key.extend_from_slice(&INDEX_KEY_END);
    push_id(&mut key, id);
    key
}

fn push_id(key: &mut Vec<u8>, id: &RecordId) {
    key.extend_from_slice(id.kind.as_str().as_bytes());
    key.push(END);
    key.extend_from_slice(&id.key);
}

fn push_escaped(key: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        key.push(*byte);
        if *byte == END {
            key.push(ESCAPED);
        }
    }
}

fn read_stored(id: &RecordId, mut value: Bytes) -> Option<Stored> {
    let version = Version::new(value.try_get_u64().ok()?);
    let count = value.try_get_u8().ok()?;
    let mut index_keys = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let name = read_part(&mut value)?;
        let key = read_part(&mut value)?;
        index_keys.push(index_key(std::str::from_utf8(&name).ok()?, &key, id));
    }
    Some(Stored { version, body: value, index_keys })
}

fn read_part(value: &mut Bytes) -> Option<Bytes> {
    let len = usize::from(value.try_get_u8().ok()?);
    (len <= value.len()).then(|| value.split_to(len))
}

fn read_index_entry(tail: &[u8]) -> Option<(Vec<u8>, RecordId)> {
    let mut index_key = Vec::new();
    let mut bytes = tail.iter();
    loop {
        match *bytes.next()? {
            END => match *bytes.next()? {
                ESCAPED => index_key.push(END),
                0x01 => break,
                _ => return None,
            },
            byte => index_key.push(byte),
        }
    }
    let id = bytes.as_slice();
    let end = id.iter().position(|byte| *byte == END)?;
    let kind = Kind::parse(&id[..end])?;
    Some((index_key, RecordId::new(kind, &id[end + 1..])))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::store::Index;

    const INDEX: Index = Index::new("by_anything");

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        // Few distinct bytes, so that escapes and common beginnings are frequent.
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 0xFE, 0xFF]), 1..6)
    }

    fn id() -> impl Strategy<Value = RecordId> {
        let kind = prop::sample::select(vec![Kind::new("a"), Kind::new("ab"), Kind::new("b")]);
        (kind, bytes()).prop_map(|(kind, key)| RecordId::new(kind, key))
    }

    proptest! {
        #[test]
        fn index_keys_sort_as_their_parts(a in (bytes(), id()), b in (bytes(), id())) {
            let raw = |(key, id): &(Vec<u8>, RecordId)| index_key(INDEX.as_str(), key, id);
            prop_assert_eq!(raw(&a).cmp(&raw(&b)), a.cmp(&b));
            // A scan from one key on finds exactly the entries with that key or a greater one.
            prop_assert_eq!(raw(&a) >= index_from(INDEX.as_str(), &b.0), a.0 >= b.0);
        }

        #[test]
        fn an_index_entry_is_read_back(key in bytes(), id in id()) {
            let raw = index_key(INDEX.as_str(), &key, &id);
            let tail = &raw[index_prefix(INDEX.as_str()).len()..];
            prop_assert_eq!(index_entry(tail).unwrap(), (key, id));
        }

        #[test]
        fn a_record_is_read_back_and_its_length_foreseen(
            id in id(), keys in prop::collection::vec(bytes(), 0..8), body in bytes(), version: u64,
        ) {
            let entries: Vec<_> = keys.into_iter().map(|key| IndexEntry::new(INDEX, key)).collect();
            let value = record_value(Version::new(version), &body, &entries);
            prop_assert_eq!(value.len(), record_bytes(&body, &entries));
            let read = stored(&id, value.clone()).unwrap();
            prop_assert_eq!(read.version.number(), version);
            prop_assert_eq!(&read.body[..], &body[..]);
            prop_assert_eq!(read.index_keys, index_keys(&id, &entries));
            let head = value.len() - body.len();
            prop_assert!(stored(&id, value.slice(..head - 1)).is_err());
        }

        #[test]
        fn damaged_bytes_never_panic(value in prop::collection::vec(any::<u8>(), 0..40), id in id()) {
            drop(stored(&id, value.clone().into()));
            drop(index_entry(&value));
        }

        #[test]
        fn the_successor_ends_a_prefix(prefix in bytes(), key in bytes()) {
            let begins = key.starts_with(&prefix);
            let inside = key >= prefix && successor(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(begins, inside);
        }
    }
}
