//! Devices that are bound to customers, what was enrolled for them, and what binds the first one.

use mesh::store::{Index, IndexEntry, Kind};
use proto::ids::DeviceId;

use super::{Entity, Key};
use crate::{domain::ids::CustomerId, vault::sealed::key_version_entry};

/// Activation codes by their keyed hash.
pub const INDEX_ACTIVATION_BY_CODE: Index = Index::new("activation.code");

/// A bound device. An id is never used for a second one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Device {
    /// The device.
    #[prost(string, tag = "1")]
    pub device_id: String,
    /// Whose it is.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// Its Ed25519 public key, 32 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub public_key: bytes::Bytes,
    /// What the customer calls it.
    #[prost(string, tag = "4")]
    pub display_name: String,
    /// When it was bound.
    #[prost(uint64, tag = "5")]
    pub bound_at_ms: u64,
    /// When it last proved itself; zero where it never did.
    #[prost(uint64, tag = "6")]
    pub used_at_ms: u64,
    /// When features were enrolled for it; zero where none are.
    #[prost(uint64, tag = "7")]
    pub enrolled_at_ms: u64,
}

impl Device {
    /// Where this device stands.
    #[must_use]
    pub fn at(device: &DeviceId) -> Key<Self> {
        Key::new(device.as_str())
    }
}

impl Entity for Device {
    const KIND: Kind = Kind::new("device");

    fn key(&self) -> Key<Self> {
        Key::new(self.device_id.as_bytes())
    }
}

/// Which device has a public key; there is one at most.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceOfKey {
    /// The public key, 32 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub public_key: bytes::Bytes,
    /// The device.
    #[prost(string, tag = "2")]
    pub device_id: String,
}

impl DeviceOfKey {
    /// Where the device with this key stands.
    #[must_use]
    pub fn at(public_key: &[u8; 32]) -> Key<Self> {
        Key::new(public_key.as_slice())
    }
}

impl Entity for DeviceOfKey {
    const KIND: Kind = Kind::new("device-key");

    fn key(&self) -> Key<Self> {
        Key::new(self.public_key.as_ref())
    }
}

/// A customer's devices, in the order in which they were bound. In one record, so that two that are bound at
/// the same moment can't exceed the greatest number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DevicesOfCustomer {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// The devices.
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
}

impl DevicesOfCustomer {
    /// Where this customer's list stands.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }
}

impl Entity for DevicesOfCustomer {
    const KIND: Kind = Kind::new("customer-devices");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }
}

/// The features that a device enrolled.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Template {
    /// The device.
    #[prost(string, tag = "1")]
    pub device_id: String,
    /// Whose it is.
    #[prost(string, tag = "2")]
    pub customer_id: String,
    /// The features, encrypted by `vault::seal_template`.
    #[prost(bytes = "bytes", tag = "3")]
    pub sealed_features: bytes::Bytes,
    /// A keyed hash of the features, 32 bytes: what was enrolled is no proof later.
    #[prost(bytes = "bytes", tag = "4")]
    pub enrolled_tag: bytes::Bytes,
    /// Keyed hashes of the features that proved something last, the eldest first.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub used_tags: Vec<bytes::Bytes>,
}

impl Template {
    /// Where the features of this device stand.
    #[must_use]
    pub fn at(device: &DeviceId) -> Key<Self> {
        Key::new(device.as_str())
    }
}

impl Entity for Template {
    const KIND: Kind = Kind::new("template");

    fn key(&self) -> Key<Self> {
        Key::new(self.device_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![key_version_entry(&self.sealed_features)]
    }
}

/// A customer's last activation code. It stays after its use and its end, so that loading the file that it
/// came from once more does not bring it back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ActivationCode {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// HMAC-SHA256 of the code under the bank's look-up key, 32 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub code_hash: bytes::Bytes,
    /// It is void from this time on.
    #[prost(uint64, tag = "3")]
    pub ends_at_ms: u64,
    /// The device that it has bound; empty while it is unused.
    #[prost(string, tag = "4")]
    pub device_id: String,
}

impl ActivationCode {
    /// Where this customer's code stands.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }
}

impl Entity for ActivationCode {
    const KIND: Kind = Kind::new("activation-code");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry::new(INDEX_ACTIVATION_BY_CODE, self.code_hash.to_vec())]
    }
}

#[cfg(test)]
mod tests {
    use mesh::store::limits::VALUE_BYTES_MAX;
    use prost::Message as _;

    use super::*;

    /// The limits of the configuration are chosen so that no customer's records outgrow the store's.
    #[test]
    fn the_largest_records_fit_into_the_store() {
        let device_id = DeviceId::from_random([0xff; 16]).to_string();
        let customer_id = "c".repeat(40);
        let tag = bytes::Bytes::from(vec![0xff; 32]);
        // 512 values, and what the vault puts around them with room to spare.
        let sealed_features = vec![0xff; 512 * 4 + 512].into();
        let template = Template {
            device_id: device_id.clone(),
            customer_id: customer_id.clone(),
            sealed_features,
            enrolled_tag: tag.clone(),
            used_tags: vec![tag; 16],
        };
        assert!(template.encoded_len() <= VALUE_BYTES_MAX, "{}", template.encoded_len());
        let list = DevicesOfCustomer { customer_id, device_ids: vec![device_id; 50] };
        assert!(list.encoded_len() <= VALUE_BYTES_MAX, "{}", list.encoded_len());
    }
}
