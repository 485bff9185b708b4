//! The names of what is stored: kinds, record ids, indexes, topics, versions and sequences.

use std::fmt;

use super::limits::{self, KEY_BYTES_MAX, KIND_BYTES_MAX, Limit, TOPIC_BYTES_MAX};

/// A kind of record, for example `order`. Kept inline, so that it is `Copy` whether it comes from
/// a constant or from the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    // Padded with zeroes, which no name contains: comparing the arrays is comparing the names.
    bytes: [u8; KIND_BYTES_MAX],
    len: u8,
}

impl Kind {
    /// A kind by its name.
    ///
    /// # Panics
    /// Where the name is not 1 to 31 bytes of printable ASCII. In a `const` that is a compile error.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        match Self::parse(name.as_bytes()) {
            Some(kind) => kind,
            None => panic!("a kind is 1 to 31 bytes of printable ASCII"),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)])
            .expect("invariant: a kind's bytes were checked to be ASCII")
    }

    pub(super) const fn parse(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > KIND_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; KIND_BYTES_MAX];
        let mut at = 0;
        while at < name.len() {
            if !name[at].is_ascii_graphic() {
                return None;
            }
            bytes[at] = name[at];
            at += 1;
        }
        Some(Self { bytes, len: name.len() as u8 })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.as_str())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A named secondary index, for example `orders_by_expiry`. It may hold records of several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(&'static str);

impl Index {
    /// An index by its name.
    ///
    /// # Panics
    /// Where the name is not 1 to 32 bytes of printable ASCII. In a `const` that is a compile error.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= limits::INDEX_NAME_BYTES_MAX, "an index's name is 1 to 32 bytes");
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_graphic(), "an index's name is printable ASCII");
            at += 1;
        }
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The name of an event stream, for example `merchant/shop-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(String);

impl Topic {
    /// A topic by its name, 1 to [`TOPIC_BYTES_MAX`] bytes without NUL.
    ///
    /// # Errors
    /// The limit that the name breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, Limit> {
        let name = name.into();
        limits::length("a topic's name", name.len(), TOPIC_BYTES_MAX)?;
        if name.as_bytes().contains(&0) {
            return Err(Limit::NulInTopic);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What identifies a record. The key has 1 to 128 bytes, which is checked where the id is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The kind of record.
    pub kind: Kind,
    /// The key, unique within its kind.
    pub key: Vec<u8>,
}

impl RecordId {
    /// An id of this kind and key.
    #[must_use]
    pub fn new(kind: Kind, key: impl Into<Vec<u8>>) -> Self {
        Self { kind, key: key.into() }
    }

    pub(super) fn check(&self) -> Result<(), Limit> {
        limits::length("a record's key", self.key.len(), KEY_BYTES_MAX)
    }
}

/// A record's version. It grows with each write of the record and never returns, not even after
/// the record was removed and made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a record that doesn't exist: expect it to create one.
    pub const ABSENT: Self = Self(0);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A place in the one order of all commits and events of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

impl Seq {
    /// Before everything.
    pub const START: Self = Self(0);

    /// The sequence with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}
