//! Which records have something sealed in them. Everything that looks after the vault as a whole goes by
//! this one table: the rotation, the check, and the question which keys are still needed.
//!
//! Each such record stands in the index [`INDEX_KEY_VERSION`] under the version of the key that it needs, as
//! part of the commit that writes it. So the index always says what is left to do, whatever was interrupted.

use std::fmt;

use bytes::Bytes;
use mesh::{
    sealing::at_rest::{Encrypted, KeyVersion, Vault, VaultError},
    store::{Change, Index, IndexEntry, Kind, Record, RecordId, Write},
};

use crate::{
    records::{Card, Credential, Entity, Template},
    vault::lookup::LookupKey,
};

mod kinds;

/// Records by the version of the key that they need, four bytes, big-endian.
pub const INDEX_KEY_VERSION: Index = Index::new("vault.key-version");

/// Makes the table, and the test that each of its kinds stands in the index.
macro_rules! sealed_kinds {
    ($($record:ty,)+) => {
        /// Every kind of record with something sealed in it.
        pub const SEALED_KINDS: &[SealedKind] = &[$(SealedKind::of::<$record>(),)+];

        $(impl Listed for $record {})+

        #[cfg(test)]
        fn check_every_kind(check: &mut tests::Check) {
            $(check.kind::<$record>();)+
        }
    };
}

sealed_kinds! {
    LookupKey,
    Card,
    Credential,
    Template,
}

/// Stands in the index for bytes that name no key. No key has this version.
const NO_VERSION: u32 = u32::MAX;

/// That a kind of record stands in the table, which alone says so. Without it nothing can be sealed for the kind,
/// so that no kind is forgotten by the rotation.
pub trait Listed {}

/// A kind of record with something sealed in it. Its [`Entity::indexes`] contain [`key_version_entry`].
pub trait Sealed: Entity + Listed {
    /// What an operator calls it.
    const NAME: &'static str;

    /// What is sealed, in its stored form.
    fn sealed(&self) -> &Bytes;

    /// Puts something sealed in its place.
    fn set_sealed(&mut self, sealed: Bytes);

    /// What it is bound to, from what the record says itself; `None` where that can't be read.
    fn place(&self) -> Option<Vec<u8>>;

    /// Whether opened bytes are what belongs there.
    fn is_readable(plaintext: &[u8]) -> bool;
}

/// The entry in [`INDEX_KEY_VERSION`] of a record with these sealed bytes.
#[must_use]
pub fn key_version_entry(sealed: &[u8]) -> IndexEntry {
    let number = Encrypted::key_version_of(sealed).map_or(NO_VERSION, KeyVersion::number);
    IndexEntry::new(INDEX_KEY_VERSION, number.to_be_bytes())
}

/// The version that a key of [`INDEX_KEY_VERSION`] stands for; `None` for bytes that name no key.
pub(crate) fn version_of(index_key: &[u8]) -> Option<KeyVersion> {
    let number = u32::from_be_bytes(index_key.try_into().ok()?);
    (number != NO_VERSION).then(|| KeyVersion::new(number))
}

/// A line of the table, without its type.
#[derive(Clone, Copy, Debug)]
pub struct SealedKind {
    kind: Kind,
    name: &'static str,
    open: fn(&Vault, &RecordId, Bytes) -> Result<(), Problem>,
    rewrap: fn(&Vault, &RecordId, Record) -> Result<Write, Problem>,
    index: fn(&RecordId, Record) -> Result<Write, Problem>,
    version: fn(Bytes) -> Option<KeyVersion>,
}

impl SealedKind {
    /// The line of this kind.
    #[must_use]
    pub const fn of<T: Sealed>() -> Self {
        Self {
            kind: T::KIND,
            name: T::NAME,
            open: open::<T>,
            rewrap: rewrap::<T>,
            index: index::<T>,
            version: version::<T>,
        }
    }

    /// The line of a record, where there is one.
    #[must_use]
    pub fn of_record(id: &RecordId) -> Option<Self> {
        SEALED_KINDS.iter().find(|line| line.kind == id.kind).copied()
    }

    /// The name of one such record.
    #[must_use]
    pub fn name(self, id: &RecordId) -> RecordName {
        RecordName::new(self.name, &id.key)
    }

    /// What an operator calls such records.
    #[must_use]
    pub const fn what(self) -> &'static str {
        self.name
    }

    /// Opens what is sealed in a record, in its place, and drops it.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn open(self, vault: &Vault, id: &RecordId, body: Bytes) -> Result<(), Problem> {
        (self.open)(vault, id, body)
    }

    /// The record under the vault's current key, to be written where it was read.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn rewrap(self, vault: &Vault, id: &RecordId, record: Record) -> Result<Write, Problem> {
        (self.rewrap)(vault, id, record)
    }

    /// The record as it is, with the index entries that it has today.
    pub(crate) fn index(self, id: &RecordId, record: Record) -> Result<Write, Problem> {
        (self.index)(id, record)
    }

    /// The key that a record needs; `None` where it can't be read.
    pub(crate) fn version(self, body: Bytes) -> Option<KeyVersion> {
        (self.version)(body)
    }
}

/// Names a sealed record, for the log and for an operator. Nothing in it is secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordName {
    what: &'static str,
    id: String,
}

impl RecordName {
    /// The name of the record of a kind that an operator calls `what`. Keys that are no text show in hexadecimal.
    #[must_use]
    pub fn new(what: &'static str, key: &[u8]) -> Self {
        let text = std::str::from_utf8(key).ok().filter(|text| text.chars().all(|c| c.is_ascii_graphic()));
        let hex = || key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { what, id: text.map_or_else(hex, ToOwned::to_owned) }
    }

    /// What an operator calls such records.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.id)
    }
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why what is sealed in a record can't be used. It holds nothing of what is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The vault can't open it, or it was sealed for another place.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The record around it can't be read.
    #[error("the record around it cannot be read")]
    Unreadable,
    /// The record is another one's.
    #[error("another record stands in its place")]
    OtherRecord,
    /// It opens, and is not what belongs there.
    #[error("it opens, and is not what belongs there")]
    NotReadable,
}

impl Problem {
    /// Whether it says something about the record, and not about the keys' being out of reach.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Vault(VaultError::Unavailable(_) | VaultError::Random))
    }
}

fn open<T: Sealed>(vault: &Vault, id: &RecordId, body: Bytes) -> Result<(), Problem> {
    let value = at::<T>(id, body)?;
    let place = value.place().ok_or(Problem::Unreadable)?;
    let plaintext = vault.decrypt(&place, &Encrypted::from_bytes(value.sealed())?)?;
    if T::is_readable(&plaintext) { Ok(()) } else { Err(Problem::NotReadable) }
}

fn rewrap<T: Sealed>(vault: &Vault, id: &RecordId, record: Record) -> Result<Write, Problem> {
    let mut value = at::<T>(id, record.body)?;
    let moved = vault.rewrap(&Encrypted::from_bytes(value.sealed())?)?;
    value.set_sealed(moved.to_bytes().into());
    Ok(write(id, record.version, &value))
}

fn index<T: Sealed>(id: &RecordId, record: Record) -> Result<Write, Problem> {
    Ok(write(id, record.version, &at::<T>(id, record.body)?))
}

/// The record that belongs at this key. To write another one there would also give it the other one's index
/// entries, so that one customer's card would be found in place of another's.
fn at<T: Sealed>(id: &RecordId, body: Bytes) -> Result<T, Problem> {
    let value = T::decode(body).map_err(|_| Problem::Unreadable)?;
    if value.key().as_bytes() == id.key { Ok(value) } else { Err(Problem::OtherRecord) }
}

fn version<T: Sealed>(body: Bytes) -> Option<KeyVersion> {
    Encrypted::key_version_of(T::decode(body).ok()?.sealed())
}

fn write<T: Entity>(id: &RecordId, expected: mesh::store::Version, value: &T) -> Write {
    let change = Change::Put { body: value.encode_to_vec().into(), indexes: value.indexes() };
    Write { id: id.clone(), expected, change }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_text_or_in_hexadecimal() {
        assert_eq!(RecordName::new("card", b"AB-12").to_string(), "card AB-12");
        assert_eq!(RecordName::new("template", b"lin\0\x07").to_string(), "template 6c696e0007");
        assert_eq!(RecordName::new("card", b"a\nb").to_string(), "card 610a62");
    }

    #[test]
    fn every_kind_is_in_the_table_once() {
        for (at, line) in SEALED_KINDS.iter().enumerate() {
            assert!(SEALED_KINDS[..at].iter().all(|other| other.kind != line.kind && other.name != line.name));
        }
    }

    /// What is asked of every kind in the table.
    #[derive(Default)]
    pub(super) struct Check {
        kinds: usize,
    }

    impl Check {
        pub(super) fn kind<T: Sealed>(&mut self) {
            let mut value = T::default();
            value.set_sealed(Bytes::from_static(&[1, 0, 0, 0, 7]));
            let entry = IndexEntry::new(INDEX_KEY_VERSION, 7u32.to_be_bytes());
            assert!(value.indexes().contains(&entry), "{}: the rotation would forget it", T::NAME);
            assert_eq!(value.sealed().as_ref(), [1, 0, 0, 0, 7], "{}", T::NAME);
            self.kinds += 1;
        }
    }

    #[test]
    fn every_kind_stands_in_the_index() {
        let mut check = Check::default();
        check_every_kind(&mut check);
        assert_eq!(check.kinds, SEALED_KINDS.len());
    }

    #[test]
    fn bytes_that_name_no_key_are_found_apart() {
        for no_key in [&b""[..], b"\x01\x00", b"\x07\x00\x00\x00\x01"] {
            assert_eq!(key_version_entry(no_key), IndexEntry::new(INDEX_KEY_VERSION, [0xff; 4]));
        }
        assert_eq!((version_of(&[0xff; 4]), version_of(&[0, 0, 0, 2])), (None, Some(KeyVersion::new(2))));
    }
}
