//! What one commit changes.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::limits::{self, Limit};
use super::{Index, RecordId, Seq, Topic, Version, layout};

/// Everything that one commit changes, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transition {
    /// The records to write, each at most once.
    pub writes: Vec<Write>,
    /// The events to append, in this order.
    pub events: Vec<NewEvent>,
    /// The answer to keep for repeats of the same request.
    pub idempotency: Option<Idempotency>,
    /// Idempotency keys whose answers are no longer needed. An unknown key is no error.
    pub forget: Vec<Vec<u8>>,
    /// Old events that are no longer needed.
    pub trim: Vec<Trim>,
}

/// One record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which record.
    pub id: RecordId,
    /// The version it must have for the transition to be committed.
    pub expected: Version,
    /// What happens to it.
    pub change: Change,
}

/// What happens to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is created or replaced, together with all its index entries.
    Put {
        /// The new body.
        body: Bytes,
        /// The index entries it has from now on; entries of before that are not named disappear.
        indexes: Vec<IndexEntry>,
    },
    /// It is removed, together with all its index entries.
    Remove,
}

/// One entry of a record in an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The index.
    pub index: Index,
    /// The key there, 1 to 128 bytes, ordered bytewise. Several records may share it.
    pub key: Vec<u8>,
}

impl IndexEntry {
    /// An entry of this index under this key.
    #[must_use]
    pub fn new(index: Index, key: impl Into<Vec<u8>>) -> Self {
        Self { index, key: key.into() }
    }
}

/// One event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The stream.
    pub topic: Topic,
    /// The body.
    pub body: Bytes,
}

/// The answer to give to later repeats of the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// What identifies the request, 1 to 128 bytes.
    pub key: Vec<u8>,
    /// The answer.
    pub answer: Bytes,
}

/// Removes the oldest events of a topic, at most [`limits::TRIM_EVENTS_MAX`] at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// The stream.
    pub topic: Topic,
    /// The last sequence that may be removed.
    pub up_to: Seq,
}

impl Transition {
    /// A transition that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates or replaces a record.
    #[must_use]
    pub fn put(mut self, id: RecordId, expected: Version, body: impl Into<Bytes>, indexes: Vec<IndexEntry>) -> Self {
        let body = body.into();
        let change = Change::Put { body, indexes };
        self.writes.push(Write { id, expected, change });
        self
    }

    /// Removes a record.
    #[must_use]
    pub fn remove(mut self, id: RecordId, expected: Version) -> Self {
        self.writes.push(Write { id, expected, change: Change::Remove });
        self
    }

    /// Appends an event.
    #[must_use]
    pub fn event(mut self, topic: Topic, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.events.push(NewEvent { topic, body });
        self
    }

    /// Keeps an answer for repeats; a second call replaces the first.
    #[must_use]
    pub fn idempotency(mut self, key: impl Into<Vec<u8>>, answer: impl Into<Bytes>) -> Self {
        self.idempotency = Some(Idempotency { key: key.into(), answer: answer.into() });
        self
    }

    /// Removes an idempotency answer.
    #[must_use]
    pub fn forget(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.forget.push(key.into());
        self
    }

    /// Removes the oldest events of a topic.
    #[must_use]
    pub fn trim(mut self, topic: Topic, up_to: Seq) -> Self {
        self.trim.push(Trim { topic, up_to });
        self
    }

    /// Checks every limit. Each engine does so before it looks at anything else.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn check(&self) -> Result<(), Limit> {
        if *self == Self::default() {
            return Err(Limit::Empty("a transition"));
        }
        limits::count("writes", self.writes.len(), limits::WRITES_MAX)?;
        limits::count("events", self.events.len(), limits::EVENTS_MAX)?;
        limits::count("keys to forget", self.forget.len(), limits::FORGET_MAX)?;
        limits::count("topics to trim", self.trim.len(), limits::TRIMS_MAX)?;
        let mut ids = BTreeSet::new();
        for write in &self.writes {
            write.check()?;
            if !ids.insert(&write.id) {
                return Err(Limit::SameRecordTwice(write.id.kind));
            }
        }
        for event in &self.events {
            limits::at_most("an event", event.body.len(), limits::VALUE_BYTES_MAX)?;
        }
        if let Some(Idempotency { key, answer }) = &self.idempotency {
            check_idempotency_key(key)?;
            limits::at_most("an answer", answer.len(), limits::VALUE_BYTES_MAX)?;
        }
        self.forget.iter().try_for_each(|key| check_idempotency_key(key))
    }
}

impl Write {
    fn check(&self) -> Result<(), Limit> {
        self.id.check()?;
        match &self.change {
            Change::Put { body, indexes } => {
                limits::count("index entries", indexes.len(), limits::INDEXES_MAX)?;
                let mut seen = BTreeSet::new();
                for entry in indexes {
                    limits::length("an index key", entry.key.len(), limits::KEY_BYTES_MAX)?;
                    if !seen.insert(entry) {
                        return Err(Limit::SameEntryTwice(entry.index.as_str()));
                    }
                }
                let bytes = layout::record_bytes(body, indexes);
                limits::at_most("a record with its index entries", bytes, limits::VALUE_BYTES_MAX)
            }
            Change::Remove if self.expected == Version::ABSENT => Err(Limit::RemovesAbsent(self.id.kind)),
            Change::Remove => Ok(()),
        }
    }
}

pub(super) fn check_idempotency_key(key: &[u8]) -> Result<(), Limit> {
    limits::length("an idempotency key", key.len(), limits::KEY_BYTES_MAX)
}
