//! Activation codes: how a customer's first device is bound, or one after all others were lost.
//!
//! The bank draws a code, hands it out by another way, such as a letter or its counter, and imports it; only a
//! keyed hash of it is kept. It binds one device, up to its end. A customer has one code, the last one.
//!
//! The commit that binds the device marks the code as used by it. The mark stays, for two reasons: a client
//! whose answer was lost gets the same device for the same code and the same key, up to the code's end; and
//! loading the file with the code once more does not bring it back.
//!
//! A code that isn't right counts as a failure of the place that it came from, durably, like a wrong proof.

use std::net::IpAddr;

use mesh::store::{KeyRange, PageRequest};
use proto::ids::DeviceId;

use super::{Desk, sources::Place};
use crate::{
    audit::{Act, Entry, Outcome},
    domain::{activation_code::ActivationCode, ids::CustomerId},
    error::Error,
    records::{self, Damaged, INDEX_ACTIVATION_BY_CODE, time_of},
    repository::{Changes, Stored},
};

/// A code that is right.
pub(super) struct Activation {
    stored: Stored<records::ActivationCode>,
    /// Whom it was given to.
    pub(super) customer: CustomerId,
    /// The device that it has bound already.
    pub(super) used_by: Option<DeviceId>,
}

/// A code that is not right.
pub(super) struct Refusal {
    /// Why, for the audit trail.
    pub(super) why: &'static str,
    /// Whom it was given to, where it is a code at all.
    pub(super) customer: Option<CustomerId>,
}

impl Activation {
    /// Marks it as used by this device.
    pub(super) fn used(&self, changes: Changes, device: &DeviceId) -> Changes {
        let used = records::ActivationCode { device_id: device.to_string(), ..self.stored.value.clone() };
        changes.replace(self.stored.version, &used)
    }
}

impl Desk<'_> {
    /// The code, where there is such a one and its time is not over.
    pub(super) async fn activation(&self, code: &ActivationCode) -> Result<Result<Activation, Refusal>, Error> {
        let tag = self.lookup.activation_code(code);
        let range = KeyRange::exactly(tag.as_bytes().as_slice());
        let found = self.repository.page(INDEX_ACTIVATION_BY_CODE, range, PageRequest::first(1)).await?;
        let Some(stored): Option<Stored<records::ActivationCode>> = found.items.into_iter().next() else {
            return Ok(Err(Refusal { why: "unknown_code", customer: None }));
        };
        let damaged = |field| Damaged { kind: "activation code", field };
        let customer = stored.value.customer_id.parse().map_err(|_| damaged("customer_id"))?;
        if self.clock.now() >= time_of(stored.value.ends_at_ms) {
            return Ok(Err(Refusal { why: "code_is_over", customer: Some(customer) }));
        }
        let used_by = match stored.value.device_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| damaged("device_id"))?),
        };
        Ok(Ok(Activation { stored, customer, used_by }))
    }

    /// Counts a code that isn't right against the place that it came from.
    pub(super) async fn refuse_code(&self, place: &Place<'_>, origin: IpAddr, refusal: &Refusal) -> Result<(), Error> {
        let entry = self.entry(Act::ActivationCodeUsed, origin).outcome(Outcome::Refused(refusal.why));
        let entry = match &refusal.customer {
            Some(customer) => entry.customer(customer),
            None => entry.unknown_customer(),
        };
        self.count_source_failure(place, &entry).await
    }

    /// What the audit trail says of a code that bound a device.
    pub(super) fn code_used(&self, customer: &CustomerId, device: &DeviceId, origin: IpAddr) -> Entry {
        self.entry(Act::ActivationCodeUsed, origin).customer(customer).device(device).outcome(Outcome::Done)
    }
}
