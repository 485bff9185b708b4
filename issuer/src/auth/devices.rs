//! Bound devices: to bind one, to enrol what it measures, to list and to forget them.
//!
//! A device is bound by a session that proved two of the three kinds, or by an activation code that the bank
//! gave by another way; see [`super::activation`]. What a session was asked for is committed only while the
//! session, and the device that it proved, are still there: whatever its end or the device's was answered
//! before, nothing of it is done afterwards.

use std::{net::IpAddr, sync::Arc};

use proto::{
    authorization::{Factor, kinds},
    device::{DeviceKey, bind_device_bytes},
    ids::{ChallengeId, DeviceId},
};

use super::{Desk, Features, SignedIn, matcher::BiometricMatcher};
use crate::{
    audit::{Act, Actor, Entry},
    config::{DeviceLimits, FeatureLimits},
    context::Context,
    domain::{activation_code::ActivationCode, policy::Requirement},
    error::Error,
    records::{Damaged, Device, DevicesOfCustomer, Session},
    repository::Changes,
};

mod bind;
mod enroll;
mod unbind;

/// How many of the three kinds a session must have proved that adds a credential: a device, features, a passkey.
const KINDS_NEEDED: usize = 2;

/// The rules of bound devices and of what they measure.
#[derive(Clone, Debug)]
pub struct DeviceRules {
    pub(super) devices_max: usize,
    pub(super) feature_count: u32,
    pub(super) threshold: f64,
    pub(super) matcher: Arc<dyn BiometricMatcher>,
}

impl DeviceRules {
    /// The rules of a configuration, with the default matcher.
    #[must_use]
    pub fn new(devices: DeviceLimits, features: FeatureLimits) -> Self {
        Self {
            devices_max: devices.devices_max as usize,
            feature_count: features.count,
            threshold: features.threshold,
            matcher: Arc::new(super::CosineSimilarity),
        }
    }

    /// The same rules with another matcher.
    #[must_use]
    pub fn matched_by(self, matcher: Arc<dyn BiometricMatcher>) -> Self {
        Self { matcher, ..self }
    }
}

impl Default for DeviceRules {
    fn default() -> Self {
        Self::new(DeviceLimits::default(), FeatureLimits::default())
    }
}

/// How a customer shows that a device may be bound.
#[derive(Debug)]
pub enum Authority<'a> {
    /// A session.
    Session(&'a SignedIn),
    /// An activation code.
    Code(ActivationCode),
}

/// A device to be bound, whose signature over the authorization was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    key: DeviceKey,
    display_name: String,
}

impl NewDevice {
    /// A device with this key, which is sound, and this name, if the signature is its own. `authorization` is
    /// the session's token or the activation code, exactly as it was sent.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`].
    pub fn verify(
        key: DeviceKey,
        display_name: String,
        authorization: &[u8],
        signature: &[u8; 64],
    ) -> Result<Self, Error> {
        let signed = zeroize::Zeroizing::new(bind_device_bytes(authorization));
        if key.verifies(&signed, signature) { Ok(Self { key, display_name }) } else { Err(Error::SignatureInvalid) }
    }
}

/// Features to be enrolled, well-formed.
#[derive(Debug)]
pub struct Enrolment {
    /// The session's challenge.
    pub challenge: ChallengeId,
    /// The device that measured them.
    pub device: DeviceId,
    /// The features.
    pub features: Features,
    /// The device's signature.
    pub signature: [u8; 64],
}

/// Binds a device for a caller at `origin`. The same key of the same customer is the same device, also where
/// an answer was lost.
///
/// # Errors
/// [`Error::FactorsInsufficient`], [`Error::ActivationCodeInvalid`], [`Error::SignatureInvalid`] for a key of
/// somebody else, [`Error::CredentialsMax`], [`Error::RateLimited`], [`Error::CredentialNotOffered`],
/// [`Error::SessionInvalid`] where it has ended meanwhile, and failures inside.
pub async fn bind_device(
    ctx: &Context,
    new: &NewDevice,
    authority: Authority<'_>,
    origin: IpAddr,
) -> Result<DeviceId, Error> {
    Desk::of(ctx).bind_device(new, authority, origin).await
}

/// Forgets a device with its features, and ends the sessions that it proved. `source` is where the caller is.
///
/// # Errors
/// [`Error::DeviceNotFound`], [`Error::SessionInvalid`] where it has ended meanwhile, and failures inside.
pub async fn unbind_device(
    ctx: &Context,
    session: &SignedIn,
    device: &DeviceId,
    source: Option<IpAddr>,
) -> Result<(), Error> {
    Desk::of(ctx).unbind_device(session, device, source).await
}

/// Enrols the features that a device measured. `source` is where the caller is.
///
/// # Errors
/// [`Error::FactorsInsufficient`], [`Error::ChallengeNotFound`], [`Error::ChallengeExpired`],
/// [`Error::DeviceNotFound`], [`Error::SignatureInvalid`], [`Error::Invalid`], [`Error::CredentialNotOffered`],
/// [`Error::SessionInvalid`] where it has ended meanwhile, and failures inside.
pub async fn enroll_features(
    ctx: &Context,
    session: &SignedIn,
    enrolment: Enrolment,
    source: Option<IpAddr>,
) -> Result<(), Error> {
    Desk::of(ctx).enroll_features(session, enrolment, source).await
}

/// The customer's devices, in the order in which they were bound.
///
/// # Errors
/// Failures inside.
pub async fn list_devices(ctx: &Context, session: &SignedIn) -> Result<Vec<Device>, Error> {
    Desk::of(ctx).list_devices(session).await
}

/// How many values a feature vector has; zero where features are not offered.
#[must_use]
pub fn feature_count(ctx: &Context) -> u32 {
    if ctx.policy.offered().contains(&Factor::Inherence) { ctx.auth.devices.feature_count } else { 0 }
}

impl Desk<'_> {
    pub(super) async fn list_devices(&self, session: &SignedIn) -> Result<Vec<Device>, Error> {
        let list = self.repository.load(&DevicesOfCustomer::at(&session.customer)).await?;
        let mut devices = Vec::new();
        for id in list.map(|list| list.value.device_ids).unwrap_or_default() {
            // One that was unbound since the list was read is left out.
            devices.extend(self.repository.load(&Device::at(&parse_id(&id)?)).await?.map(|stored| stored.value));
        }
        Ok(devices)
    }

    /// Whether the session proved enough to add a credential.
    pub(super) fn check_kinds(&self, session: &SignedIn) -> Result<(), Error> {
        if kinds(&session.factors) >= KINDS_NEEDED {
            return Ok(());
        }
        let missing = Requirement::kinds(KINDS_NEEDED).missing(&session.factors, self.policy.offered());
        Err(Error::FactorsInsufficient(missing))
    }

    /// Lets a commit happen only while the session is still there, and the device that it proved, except for
    /// the device `written`, which the commit writes itself.
    pub(super) async fn while_session(
        &self,
        changes: Changes,
        session: &SignedIn,
        written: Option<&DeviceId>,
    ) -> Result<Changes, Error> {
        let stored = self.repository.load(&Session::at(&session.id)).await?.ok_or(Error::SessionInvalid)?;
        let changes = changes.replace(stored.version, &stored.value);
        let Some(device) = session.device.as_ref().filter(|device| Some(*device) != written) else {
            return Ok(changes);
        };
        let stored = self.repository.load(&Device::at(device)).await?.ok_or(Error::SessionInvalid)?;
        Ok(changes.replace(stored.version, &stored.value))
    }

    /// What the audit trail says of a session's act upon a device.
    fn of_device(&self, act: Act, session: &SignedIn, device: &DeviceId, source: Option<IpAddr>) -> Entry {
        let entry = Entry::new(self.clock.now(), act).customer(&session.customer).session(&session.id).device(device);
        match source {
            Some(source) => entry.by(Actor::Source(source)),
            None => entry,
        }
    }
}

fn parse_id(text: &str) -> Result<DeviceId, Damaged> {
    text.parse().map_err(|_| Damaged { kind: "device", field: "device_id" })
}
