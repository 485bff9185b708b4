//! The limits of a store, each with its reason, and the error that names the one that was broken.

/// Records written by one transition. A charge, its hold, its account and a handful of neighbours
/// fit; a transition that needs more is really several.
pub const WRITES_MAX: usize = 8;

/// Events of one transition; as many as it has writes.
pub const EVENTS_MAX: usize = 8;

/// Bytes of one stored value: a record's body with its index entries, an event or an answer. sled
/// keeps values of this size inside its log, which is synced; larger ones can end in blob files,
/// which are not.
pub const VALUE_BYTES_MAX: usize = 4095;

/// Bytes of a record's, an index's or an idempotency key. Ids and digests are far shorter, and short keys
/// keep the tree's inner nodes small.
pub const KEY_BYTES_MAX: usize = 128;

/// Bytes of a record kind's name.
pub const KIND_BYTES_MAX: usize = 31;

/// Bytes of an index's name.
pub const INDEX_NAME_BYTES_MAX: usize = 32;

/// Bytes of a topic's name: a role or a short noun, and an id.
pub const TOPIC_BYTES_MAX: usize = 160;

/// Index entries of one record. Each costs one more write with every change of the record.
pub const INDEXES_MAX: usize = 8;

/// Items of one page of a scan; 500 records of the largest size are 2 MiB.
pub const PAGE_ITEMS_MAX: usize = 500;

/// Events of one read; as for [`PAGE_ITEMS_MAX`], but events are mostly small.
pub const EVENTS_PAGE_MAX: usize = 1000;

/// Bytes of a cursor: an index key with every byte escaped, its end, a kind and a record key.
pub const CURSOR_BYTES_MAX: usize = 2 * KEY_BYTES_MAX + 2 + KIND_BYTES_MAX + 1 + KEY_BYTES_MAX;

/// Idempotency answers that one transition may remove, so that clearing up doesn't hold up payments.
pub const FORGET_MAX: usize = 64;

/// Topics that one transition may trim; the reason is that of [`FORGET_MAX`].
pub const TRIMS_MAX: usize = 8;

/// Events that one trim removes at most. What is left goes with the next one.
pub const TRIM_EVENTS_MAX: usize = 64;

/// A limit was broken by the caller. The message names the limit and the value; it never holds data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// More of something than allowed.
    #[error("{count} {what}, but at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// Something is longer than allowed.
    #[error("{what} of {bytes} bytes, but at most {max} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The length allowed.
        max: usize,
    },
    /// Something must not be empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A topic's name holds a NUL byte, which ends it in an engine's keys.
    #[error("a topic's name must not contain a NUL byte")]
    NulInTopic,
    /// Two writes of one transition touch the same record, which would leave its version undefined.
    #[error("a transition writes the same record of kind {0} twice")]
    SameRecordTwice(super::Kind),
    /// A removal that expects the record to be absent.
    #[error("a transition removes a record of kind {0} that it expects to be absent")]
    RemovesAbsent(super::Kind),
    /// One record names the same entry of an index twice.
    #[error("a record has the same entry of the index {0} twice")]
    SameEntryTwice(&'static str),
}

/// Checks that a count is in `1..=max`.
pub(super) fn page(what: &'static str, items: usize, max: usize) -> Result<(), Limit> {
    if items == 0 {
        return Err(Limit::Empty(what));
    }
    count(what, items, max)
}

/// Checks a count against its limit.
pub(super) fn count(what: &'static str, count: usize, max: usize) -> Result<(), Limit> {
    if count > max {
        return Err(Limit::TooMany { what, count, max });
    }
    Ok(())
}

/// Checks that a length is in `1..=max`.
pub(super) fn length(what: &'static str, bytes: usize, max: usize) -> Result<(), Limit> {
    if bytes == 0 {
        return Err(Limit::Empty(what));
    }
    at_most(what, bytes, max)
}

/// Checks that a length is in `0..=max`.
pub(super) fn at_most(what: &'static str, bytes: usize, max: usize) -> Result<(), Limit> {
    if bytes > max {
        return Err(Limit::TooLong { what, bytes, max });
    }
    Ok(())
}
