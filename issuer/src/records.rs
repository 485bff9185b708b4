//! What the issuer keeps, as it stands in the store: one protobuf message for each kind of record.
//!
//! Tags are never used for something else, so that tomorrow's code reads today's data. Times are
//! whole milliseconds since 1970, as the clock gives them. Nothing secret stands here in the clear:
//! card data is encrypted, passwords, codes, national ids and session tokens are hashed.

use std::{
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh::store::{IndexEntry, Kind, RecordId};

mod consent;
mod device;
mod identity;
mod passkey;
mod payment;
mod retention;
mod visit;

pub use consent::{Consent, LowValue};
pub use device::{ActivationCode, Device, DeviceOfKey, DevicesOfCustomer, INDEX_ACTIVATION_BY_CODE, Template};
pub use identity::{
    Credential, Customer, INDEX_CUSTOMER_BY_NATIONAL_ID, INDEX_SESSION_BY_END, Lockout, Session, Source,
};
pub use passkey::{Passkey, PasskeysOfCustomer};
pub use payment::{
    Abandoned, Account, Approved, Card, Charge, Claim, Declined, Held, INDEX_CARD_BY_CUSTOMER, INDEX_CARD_BY_NUMBER,
    INDEX_CHARGE_CONSENTED, INDEX_CHARGE_DUE, INDEX_CHARGE_ENDED, INDEX_CHARGE_OPEN, INDEX_CHARGE_PARKED, Request,
    Sent, State, Unknown, behind_due_keys, due_key,
};
pub use retention::RetentionMark;
pub use visit::{ChargeOfVisit, DeviceCheck, INDEX_VISIT_BY_END, SessionOfVisit, SignInOfVisit, Visit};

/// A kind of record.
pub trait Entity: prost::Message + Default + Send + Sync + 'static {
    /// Its name in the store.
    const KIND: Kind;

    /// Where this record stands, from what it says itself.
    fn key(&self) -> Key<Self>;

    /// Under which index keys it is found.
    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }
}

/// Where a record of the kind `T` stands.
#[derive(Debug)]
pub struct Key<T> {
    bytes: Vec<u8>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Entity> Key<T> {
    /// A key of these bytes, 1 to 128 of them.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), kind: PhantomData }
    }

    /// The bytes, unique within the kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id in the store.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        RecordId::new(T::KIND, self.bytes.clone())
    }
}

/// A stored record that this code cannot read: damage, or data of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {kind} has no readable {field}")]
pub struct Damaged {
    /// The kind of record.
    pub kind: &'static str,
    /// The field.
    pub field: &'static str,
}

/// The time of so many milliseconds since 1970.
#[must_use]
pub fn time_of(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Milliseconds since 1970.
#[must_use]
pub fn millis_of(time: SystemTime) -> u64 {
    proto::time::unix_millis(time)
}

/// A time as an index key: bytewise order is the order in time.
#[must_use]
pub fn time_key(time: SystemTime) -> Vec<u8> {
    millis_of(time).to_be_bytes().to_vec()
}
