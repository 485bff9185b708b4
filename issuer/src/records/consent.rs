//! What stands beside a charge: the cardholder's signed consent, and the small payments that were counted.

use mesh::store::Kind;
use proto::{ids::ChargeId, money::Money, pb};

use super::{Damaged, Entity, Key};
use crate::domain::{ids::CustomerId, low_value::Tally};

/// The evidence that a cardholder agreed to a charge. Committed with the charge and kept with it: whoever disputes
/// the payment is shown what the device signed, by the key that the device had then.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Consent {
    /// Who pays.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// The charge, whose record holds the signed order.
    #[prost(string, tag = "2")]
    pub charge_id: String,
    /// What the device signed, byte for byte: the body is a `Consent`, the key id the device's id.
    #[prost(message, optional, tag = "3")]
    pub signed: Option<pb::Signed>,
    /// The Ed25519 public key of the device as it was then, 32 bytes. The device may be unbound since.
    #[prost(bytes = "bytes", tag = "4")]
    pub device_public_key: bytes::Bytes,
    /// The factors that the session had proved.
    #[prost(enumeration = "pb::AuthenticationFactor", repeated, tag = "5")]
    pub factors: Vec<i32>,
    /// When it was received and verified.
    #[prost(uint64, tag = "6")]
    pub received_at_ms: u64,
}

impl Consent {
    /// Where the consent to a customer's charge stands.
    #[must_use]
    pub fn at(customer: &CustomerId, charge: &ChargeId) -> Key<Self> {
        Key::new(format!("{customer}/{charge}"))
    }
}

impl Entity for Consent {
    const KIND: Kind = Kind::new("consent");

    fn key(&self) -> Key<Self> {
        Key::new(format!("{}/{}", self.customer_id, self.charge_id))
    }
}

/// A customer's small payments since the last one with two kinds of proof; `domain::low_value` says what they
/// mean.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LowValue {
    /// The customer.
    #[prost(string, tag = "1")]
    pub customer_id: String,
    /// The tally's number.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// How many payments it counts.
    #[prost(uint32, tag = "3")]
    pub payments: u32,
    /// Their sums, one for each currency.
    #[prost(message, repeated, tag = "4")]
    pub sums: Vec<pb::Money>,
}

impl LowValue {
    /// Where a customer's small payments stand.
    #[must_use]
    pub fn at(customer: &CustomerId) -> Key<Self> {
        Key::new(customer.as_str())
    }

    /// The record of a customer's tally.
    #[must_use]
    pub fn of(customer: &CustomerId, tally: &Tally) -> Self {
        Self {
            customer_id: customer.to_string(),
            epoch: tally.epoch(),
            payments: tally.payments(),
            sums: tally.sums().map(Money::to_pb).collect(),
        }
    }

    /// The tally that this record says.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn tally(&self) -> Result<Tally, Damaged> {
        let damaged = || Damaged { kind: "low-value", field: "sums" };
        let sums = self.sums.iter().map(|sum| Money::parse(sum.clone())).collect::<Result<Vec<_>, _>>();
        Tally::stored(self.epoch, self.payments, sums.map_err(|_| damaged())?).map_err(|_| damaged())
    }
}

impl Entity for LowValue {
    const KIND: Kind = Kind::new("low-value");

    fn key(&self) -> Key<Self> {
        Key::new(self.customer_id.as_bytes())
    }
}
