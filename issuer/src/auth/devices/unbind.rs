//! To forget a device.

use std::net::IpAddr;

use proto::ids::DeviceId;

use super::DevicesOfCustomer;
use crate::{
    audit::{Act, Outcome as Told},
    auth::{Desk, SignedIn, inherence, knowledge, possession::key_of, sign_in::CONTENTION_TRIES_MAX},
    error::Error,
    records::{Device, DeviceOfKey, Lockout, Template},
    repository::{Changes, Outcome, Stored},
};

impl Desk<'_> {
    /// All that there is of the device goes in one commit, and with it the sessions that it proved: each of
    /// them counts only while its device is there. Their records go when their time is over.
    pub(in crate::auth) async fn unbind_device(
        &self,
        session: &SignedIn,
        id: &DeviceId,
        source: Option<IpAddr>,
    ) -> Result<(), Error> {
        for attempt in 0..CONTENTION_TRIES_MAX {
            let found = self.repository.load(&Device::at(id)).await?;
            let own = |device: &Stored<Device>| device.value.customer_id == session.customer.as_str();
            let Some(device) = found.filter(own) else {
                // One that was there before is forgotten, whoever was first.
                return if attempt == 0 { Err(Error::DeviceNotFound) } else { Ok(()) };
            };
            let told = self.of_device(Act::DeviceUnbound, session, id, source).outcome(Told::Done);
            let changes = self.without(&device, id, Changes::new().audit(&told)).await?;
            let changes = self.while_session(changes, session, Some(id)).await?;
            match self.repository.commit(changes).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Removes all records of a device: six at most, which with the session and its own device are the eight that
    /// a commit may write.
    async fn without(&self, device: &Stored<Device>, id: &DeviceId, changes: Changes) -> Result<Changes, Error> {
        let mut changes = changes.remove(device);
        let key = key_of(&device.value)?;
        if let Some(of_key) = self.repository.load(&DeviceOfKey::at(key.as_bytes())).await? {
            changes = changes.remove(&of_key);
        }
        if let Some(template) = self.repository.load(&Template::at(id)).await? {
            changes = changes.remove(&template);
        }
        let customer = device.value.customer_id.parse().map_err(|error| Error::internal("reading a device", error))?;
        for name in [inherence::lockout_name(id), knowledge::lockout_name(&customer, Some(id))] {
            if let Some(lockout) = self.repository.load(&Lockout::named(&name)).await? {
                changes = changes.remove(&lockout);
            }
        }
        if let Some(list) = self.repository.load(&DevicesOfCustomer::at(&customer)).await? {
            let mut rest = list.value;
            rest.device_ids.retain(|other| other != id.as_str());
            changes = changes.replace(list.version, &rest);
        }
        Ok(changes)
    }
}
