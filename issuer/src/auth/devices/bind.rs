//! To bind a device.

use std::net::IpAddr;

use bytes::Bytes;
use mesh::store::Version;
use proto::{authorization::Factor, ids::DeviceId};

use super::{Authority, NewDevice, parse_id};
use crate::{
    audit::{self, Act, Outcome as Told},
    auth::{Desk, SignedIn, activation::Refusal, sign_in::CONTENTION_TRIES_MAX},
    domain::{activation_code::ActivationCode, ids::CustomerId},
    error::Error,
    records::{Device, DeviceOfKey, DevicesOfCustomer, millis_of},
    repository::{Changes, Outcome},
};

/// What is to be done about a device to be bound.
enum Plan {
    /// Nothing: it is this one.
    Bound(DeviceId),
    /// These changes, and then it is this one.
    Commit(DeviceId, Changes),
    /// To look again: a device with this key is being unbound.
    Again,
    /// The code is not right.
    CodeRefused(Refusal),
    /// The key is that of somebody else's device than this customer's.
    KeyRefused(CustomerId),
}

/// Whose a key is.
enum Owner {
    /// This device's, which is the customer's already.
    Same(DeviceId),
    /// Somebody else's.
    Another,
    /// A device's that was unbound at this moment.
    Unclear,
    /// Nobody's; these changes make it the customer's.
    Nobody(Changes),
}

impl Desk<'_> {
    pub(in crate::auth) async fn bind_device(
        &self,
        new: &NewDevice,
        authority: Authority<'_>,
        origin: IpAddr,
    ) -> Result<DeviceId, Error> {
        let offered = self.policy.offered();
        if !offered.contains(&Factor::Possession) && !offered.contains(&Factor::Inherence) {
            return Err(Error::CredentialNotOffered);
        }
        match &authority {
            Authority::Session(session) => self.check_kinds(session)?,
            Authority::Code(_) => {}
        }
        let place = match &authority {
            Authority::Session(_) => None,
            Authority::Code(_) => Some(self.source_may_try(origin, None).await?),
        };
        let id = DeviceId::from_random(self.entropy.id()?);
        for _ in 0..CONTENTION_TRIES_MAX {
            let plan = match &authority {
                Authority::Session(session) => self.bind_by_session(new, &id, session, origin).await?,
                Authority::Code(code) => self.bind_by_code(new, &id, code, origin).await?,
            };
            match plan {
                Plan::Bound(device) => return Ok(device),
                Plan::Commit(device, changes) => match self.repository.commit(changes).await? {
                    Outcome::Committed => return Ok(device),
                    Outcome::Reload => {}
                },
                Plan::Again => {}
                Plan::CodeRefused(refusal) => {
                    if let Some(place) = &place {
                        self.refuse_code(place, origin, &refusal).await?;
                    }
                    return Err(Error::ActivationCodeInvalid);
                }
                Plan::KeyRefused(customer) => {
                    let entry = self.entry(Act::DeviceBound, origin).customer(&customer);
                    let entry = entry.outcome(Told::Refused("key_of_another_customer"));
                    audit::note(self.repository, &entry).await?;
                    // As for a wrong signature: nobody is told whether a key is somebody's.
                    return Err(Error::SignatureInvalid);
                }
            }
        }
        Err(Error::Contended)
    }

    async fn bind_by_session(
        &self,
        new: &NewDevice,
        id: &DeviceId,
        session: &SignedIn,
        origin: IpAddr,
    ) -> Result<Plan, Error> {
        Ok(match self.owner(new, id, &session.customer).await? {
            Owner::Same(device) => Plan::Bound(device),
            Owner::Another => Plan::KeyRefused(session.customer.clone()),
            Owner::Unclear => Plan::Again,
            Owner::Nobody(changes) => {
                let told = self.of_device(Act::DeviceBound, session, id, Some(origin)).outcome(Told::Done);
                Plan::Commit(id.clone(), self.while_session(changes.audit(&told), session, None).await?)
            }
        })
    }

    async fn bind_by_code(
        &self,
        new: &NewDevice,
        id: &DeviceId,
        code: &ActivationCode,
        origin: IpAddr,
    ) -> Result<Plan, Error> {
        let activation = match self.activation(code).await? {
            Ok(activation) => activation,
            Err(refusal) => return Ok(Plan::CodeRefused(refusal)),
        };
        if let Some(device) = activation.used_by {
            // The answer of the first time was lost, or somebody has got hold of a used code.
            let stored = self.repository.load(&Device::at(&device)).await?;
            let same = stored.is_some_and(|stored| stored.value.public_key.as_ref() == new.key.as_bytes());
            let used = Refusal { why: "code_is_used", customer: Some(activation.customer) };
            return Ok(if same { Plan::Bound(device) } else { Plan::CodeRefused(used) });
        }
        let customer = &activation.customer;
        let (device, changes) = match self.owner(new, id, customer).await? {
            Owner::Same(device) => (device, Changes::new()),
            Owner::Another => return Ok(Plan::KeyRefused(customer.clone())),
            Owner::Unclear => return Ok(Plan::Again),
            Owner::Nobody(changes) => {
                let told = self.entry(Act::DeviceBound, origin).customer(customer).device(id).outcome(Told::Done);
                (id.clone(), changes.audit(&told))
            }
        };
        let told = self.code_used(customer, &device, origin);
        let changes = activation.used(changes, &device).audit(&told);
        Ok(Plan::Commit(device, changes))
    }

    /// Whose the key is, and where it is nobody's, what makes it the customer's, as the device `id`.
    async fn owner(&self, new: &NewDevice, id: &DeviceId, customer: &CustomerId) -> Result<Owner, Error> {
        if let Some(of_key) = self.repository.load(&DeviceOfKey::at(new.key.as_bytes())).await? {
            let device = parse_id(&of_key.value.device_id)?;
            return Ok(match self.repository.load(&Device::at(&device)).await? {
                Some(stored) if stored.value.customer_id == customer.as_str() => Owner::Same(device),
                Some(_) => Owner::Another,
                None => Owner::Unclear,
            });
        }
        let list = self.repository.load(&DevicesOfCustomer::at(customer)).await?;
        let (version, mut device_ids) =
            list.map_or((Version::ABSENT, Vec::new()), |list| (list.version, list.value.device_ids));
        if device_ids.len() >= self.auth.devices.devices_max {
            return Err(Error::CredentialsMax);
        }
        device_ids.push(id.to_string());
        let public_key = Bytes::copy_from_slice(new.key.as_bytes());
        let device = Device {
            device_id: id.to_string(),
            customer_id: customer.to_string(),
            public_key: public_key.clone(),
            display_name: new.display_name.clone(),
            bound_at_ms: millis_of(self.clock.now()),
            used_at_ms: 0,
            enrolled_at_ms: 0,
        };
        let changes = Changes::new()
            .create(&device)
            .create(&DeviceOfKey { public_key, device_id: id.to_string() })
            .replace(version, &DevicesOfCustomer { customer_id: customer.to_string(), device_ids });
        Ok(Owner::Nobody(changes))
    }
}
