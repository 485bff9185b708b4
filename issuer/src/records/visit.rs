//! A browser's visit to the bank's app: the order that it brought, and how far it came.

use bytes::Bytes;
use mesh::store::{Index, IndexEntry, Kind};
use proto::pb;

use super::{Entity, Key};

/// Visits by the time at which they end.
pub const INDEX_VISIT_BY_END: Index = Index::new("visit.end");

/// A visit. The session's token is not part of it: that stands in the browser's cookie alone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Visit {
    /// Names the visit in addresses.
    #[prost(string, tag = "1")]
    pub visit_id: String,
    /// SHA-256 of the secret in the browser's cookie, 32 bytes: the visit is that browser's and no other's.
    #[prost(bytes = "bytes", tag = "2")]
    pub browser_digest: Bytes,
    /// The order as its acquirer signed it; absent for a visit that doesn't pay.
    #[prost(message, optional, tag = "3")]
    pub order: Option<pb::Signed>,
    /// The platform's ticket; empty where the bank calls the acquirers directly.
    #[prost(bytes = "bytes", tag = "4")]
    pub ticket: Bytes,
    /// It ends at this time.
    #[prost(uint64, tag = "5")]
    pub ends_at_ms: u64,
    /// The sign-in or step-up under way.
    #[prost(message, optional, tag = "6")]
    pub sign_in: Option<SignInOfVisit>,
    /// What is known of the session whose token the browser has.
    #[prost(message, optional, tag = "7")]
    pub session: Option<SessionOfVisit>,
    /// The charges that were confirmed, or are about to be, in the order in which their cards were picked.
    #[prost(message, repeated, tag = "8")]
    pub charges: Vec<ChargeOfVisit>,
    /// The check of the device, where the order demands one.
    #[prost(message, optional, tag = "9")]
    pub device_check: Option<DeviceCheck>,
}

/// A sign-in or step-up under way.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignInOfVisit {
    /// The challenge's id.
    #[prost(string, tag = "1")]
    pub challenge_id: String,
    /// The challenge, 32 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub challenge: Bytes,
    /// The challenge is void after this.
    #[prost(uint64, tag = "3")]
    pub expires_at_ms: u64,
    /// What would help after a first right proof; empty before it.
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "4")]
    pub missing: Vec<i32>,
    /// The device that proved itself under it; empty where none did.
    #[prost(string, tag = "5")]
    pub device_id: String,
    /// Whether it steps a session up.
    #[prost(bool, tag = "6")]
    pub steps_up: bool,
    /// Whether it was begun with the order, so that the session can pay it.
    #[prost(bool, tag = "7")]
    pub with_order: bool,
}

/// What is known of a session.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionOfVisit {
    /// The challenge that it was begun with, 32 bytes, which a consent repeats.
    #[prost(bytes = "bytes", tag = "1")]
    pub challenge: Bytes,
    /// The device that proved itself in it; empty where none did.
    #[prost(string, tag = "2")]
    pub device_id: String,
    /// What would bring it nearer to paying; empty where it can pay.
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "3")]
    pub missing: Vec<i32>,
    /// Whether it was begun with the order.
    #[prost(bool, tag = "4")]
    pub with_order: bool,
    /// Whether it was stepped up.
    #[prost(bool, tag = "6")]
    pub stepped_up: bool,
    /// Whether the bank asked for a device's consent though no device proved itself.
    #[prost(bool, tag = "5")]
    pub owes_consent: bool,
}

/// A charge of a visit. Its id is drawn when its card is picked, and stays.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChargeOfVisit {
    /// The card.
    #[prost(string, tag = "1")]
    pub card_option_id: String,
    /// The charge's id.
    #[prost(string, tag = "2")]
    pub charge_id: String,
}

/// The check that the order is paid on the device that opened the payment page.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceCheck {
    /// The app's random bytes, 32 of them.
    #[prost(bytes = "bytes", tag = "1")]
    pub state: Bytes,
    /// The acquirer's token; empty as long as the browser has not come back with it.
    #[prost(bytes = "bytes", tag = "2")]
    pub token: Bytes,
    /// When the token came.
    #[prost(uint64, tag = "3")]
    pub confirmed_at_ms: u64,
}

impl Visit {
    /// Where the visit with this id stands.
    #[must_use]
    pub fn at(id: &str) -> Key<Self> {
        Key::new(id.as_bytes())
    }

    /// The charge of this id.
    #[must_use]
    pub fn charge(&self, id: &str) -> Option<&ChargeOfVisit> {
        self.charges.iter().find(|charge| charge.charge_id == id)
    }

    /// The charge that was made last with this card.
    #[must_use]
    pub fn charge_with(&self, card: &str) -> Option<&ChargeOfVisit> {
        self.charges.iter().rev().find(|charge| charge.card_option_id == card)
    }
}

impl Entity for Visit {
    const KIND: Kind = Kind::new("visit");

    fn key(&self) -> Key<Self> {
        Key::new(self.visit_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_VISIT_BY_END, self.ends_at_ms.to_be_bytes())]
    }
}
