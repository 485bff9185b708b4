//! What the customer is: features that a bound device measured, inside that device's signature.
//!
//! **Features alone prove nothing.** They are no secret: a face is in every picture. They count inside the
//! signature of the device that measured them, over this very challenge, and are compared with what the same
//! device enrolled.
//!
//! **Tries** are counted like those of passwords, durably and before anything is compared, under a name of the
//! device's own: they are guesses of whoever holds it. A wrong signature counts nowhere here, so that nobody
//! else locks a device's features.
//!
//! **Each measurement is used once.** No sensor measures the same twice, so that features which were used
//! before, or enrolled, are a copy. The last [`USED_MAX`] are remembered by keyed hashes, and written down
//! before the proof counts, under whichever challenges the same features arrive at the same moment. That
//! catches a copy; it can't catch who holds the device's key and changes a digit of the copy. Whether the
//! sensor is honest is the device's matter.

use async_trait::async_trait;
use bytes::Bytes;
use proto::{
    authorization::Factor,
    device::inherence_bytes,
    fields::{Fields, Invalid},
    ids::DeviceId,
    pb, require,
};

use super::{
    Desk,
    credential::{After, Attempt, Credential, Proved},
    sign_in::CONTENTION_TRIES_MAX,
};
use crate::{
    audit::Act,
    domain::{ids::CustomerId, lockout::Verdict},
    error::Error,
    records::Template,
    repository::{Changes, Outcome},
    vault::{Tag, open_template},
};

mod features;

pub use features::{Features, NotFeatures};

/// How many features that were used are remembered for each device.
pub(super) const USED_MAX: usize = 16;

/// Features under a device's signature, well-formed.
#[derive(Debug)]
pub struct Inherence {
    device: DeviceId,
    features: Features,
    signature: [u8; 64],
}

impl Inherence {
    /// A received proof. How many values there must be is looked at later.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::InherenceProof) -> Result<Self, Invalid> {
        // Taken out first, so that every way out of here wipes them.
        let features = Features::new(pb.features);
        let mut fields = Fields::new();
        let device = fields.text("device_id", &pb.device_id);
        let features = fields.result("features", features);
        let signature = fields.bytes("signature", &pb.signature);
        require!(fields; device, features, signature);
        Ok(Self { device, features, signature })
    }
}

#[async_trait]
impl Credential for Inherence {
    const FACTOR: Factor = Factor::Inherence;

    async fn verify(self, desk: &Desk<'_>, attempt: Attempt<'_>) -> Result<Proved, Error> {
        let Attempt { sign_in, origin, .. } = attempt;
        let features = self.features.counted(desk.auth.devices.feature_count);
        let features = features.map_err(|wrong| Invalid::field("inherence.features", wrong.to_string()))?;
        let order = sign_in.order.as_ref().map(|order| &order.digest);
        let signed = inherence_bytes(&sign_in.challenge, features.expose(), order);
        let device = desk.device_that_signed(&self.device, &signed, &self.signature).await?;
        // From here on it is the device itself that asks, and learns nothing by how long it takes.
        let device = device.ok_or(Error::IdentityNotVerified)?.value;
        let customer: CustomerId =
            device.customer_id.parse().map_err(|error| Error::internal("reading a device", error))?;
        let tells = |act| {
            let entry = desk.entry(act, origin).factor(Factor::Inherence).customer(&customer);
            entry.device(&self.device).challenge(&sign_in.challenge)
        };
        let name = lockout_name(&self.device);
        let verdict = desk.count_try(&name, &tells(Act::IdentityTried), &tells(Act::FeaturesLocked)).await?;
        let template = desk.repository.load(&Template::at(&self.device)).await?.ok_or(Error::IdentityNotVerified)?;
        let enrolled = open_template(desk.vault, &customer, &self.device, &template.value.sealed_features)
            .map_err(|error| Error::internal("opening a template", error))?;
        let likeness = desk.auth.devices.matcher.likeness(&enrolled, features.expose()).await;
        let likeness = likeness.map_err(|error| Error::internal("comparing features", error))?;
        // What is not a number is below every threshold.
        let alike = likeness >= desk.auth.devices.threshold;
        if verdict == Verdict::Refused || !alike {
            return Err(Error::IdentityNotVerified);
        }
        let tag = desk.lookup.features(&self.device, &features.to_bytes());
        desk.use_features_up(&self.device, &template.value.enrolled_tag, &tag).await?;
        let after = After::FeaturesUsed { device: self.device.clone(), tag: *tag.as_bytes() };
        Ok(Proved { customer, device: Some(self.device), after })
    }
}

impl Desk<'_> {
    /// Forgets the tries and notes that the device was there, once its features were used up.
    pub(super) async fn settle_features(
        &self,
        changes: Changes,
        device: &DeviceId,
        tag: &[u8; 32],
    ) -> Result<Changes, Error> {
        let template = self.repository.load(&Template::at(device)).await?;
        if !template.is_some_and(|template| template.value.used_tags.iter().any(|used| used.as_ref() == tag)) {
            return Err(Error::IdentityNotVerified);
        }
        let changes = self.settle_device(changes, device).await?;
        self.forget_tries(changes, &lockout_name(device)).await
    }

    /// Writes down that these features were used, durably, before they prove anything.
    ///
    /// # Errors
    /// [`Error::IdentityNotVerified`] where they were used or enrolled before, or where others were enrolled
    /// since they were compared.
    pub(super) async fn use_features_up(
        &self,
        device: &DeviceId,
        compared_with: &Bytes,
        tag: &Tag,
    ) -> Result<(), Error> {
        for _ in 0..CONTENTION_TRIES_MAX {
            let stored = self.repository.load(&Template::at(device)).await?.ok_or(Error::IdentityNotVerified)?;
            let mut template = stored.value;
            let known = tag.matches(&template.enrolled_tag) || template.used_tags.iter().any(|used| tag.matches(used));
            if known || template.enrolled_tag != compared_with {
                return Err(Error::IdentityNotVerified);
            }
            let too_many = (template.used_tags.len() + 1).saturating_sub(USED_MAX);
            template.used_tags.drain(..too_many);
            template.used_tags.push(Bytes::copy_from_slice(tag.as_bytes()));
            match self.repository.commit(Changes::new().replace(stored.version, &template)).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }
}

/// Under which name the tries of a device's features are counted. No customer's name begins like this.
pub(super) fn lockout_name(device: &DeviceId) -> String {
    format!("!features/{device}")
}
