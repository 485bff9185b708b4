//! To enrol features.

use std::net::IpAddr;

use bytes::Bytes;
use mesh::store::Version;
use proto::{authorization::Factor, device::enroll_features_bytes, fields::Invalid, ids::DeviceId};

use super::Enrolment;
use crate::{
    audit::{Act, Outcome as Told},
    auth::{Desk, SignedIn, challenges::SignIn, possession::key_of, sign_in::CONTENTION_TRIES_MAX},
    error::Error,
    records::{Device, Template, millis_of},
    repository::{Changes, Outcome, Stored},
    vault::seal_template,
};

impl Desk<'_> {
    /// Enrolls features, which replaces the ones before. Which features were used stays known. Tries that are
    /// locked stay locked: what has just been enrolled gives nobody new guesses.
    pub(in crate::auth) async fn enroll_features(
        &self,
        session: &SignedIn,
        enrolment: Enrolment,
        source: Option<IpAddr>,
    ) -> Result<(), Error> {
        if !self.policy.offered().contains(&Factor::Inherence) {
            return Err(Error::CredentialNotOffered);
        }
        self.check_kinds(session)?;
        let Enrolment { challenge, device: id, features, signature } = enrolment;
        let features = features.counted(self.auth.devices.feature_count);
        let features = features.map_err(|wrong| Invalid::field("features", wrong.to_string()))?;
        let now = self.clock.now();
        let of_session = |sign_in: &SignIn| sign_in.session == Some(session.id);
        if !of_session(&self.auth.challenges.look(&challenge, now)?) {
            return Err(Error::ChallengeNotFound);
        }
        let sign_in = self.auth.challenges.take(&challenge, now)?;
        let device = self.own_device(session, &id).await?;
        let signed = enroll_features_bytes(&sign_in.challenge, features.expose());
        if !key_of(&device.value)?.verifies(&signed, &signature) {
            return Err(Error::SignatureInvalid);
        }
        let sealed = seal_template(self.vault, &session.customer, &id, features.expose())
            .map_err(|error| Error::internal("sealing a template", error))?;
        let template = Template {
            device_id: id.to_string(),
            customer_id: session.customer.to_string(),
            sealed_features: sealed.into(),
            enrolled_tag: Bytes::copy_from_slice(self.lookup.features(&id, &features.to_bytes()).as_bytes()),
            used_tags: Vec::new(),
        };
        for _ in 0..CONTENTION_TRIES_MAX {
            let changes = self.enrolled(session, &id, template.clone(), source).await?;
            match self.repository.commit(changes).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    async fn enrolled(
        &self,
        session: &SignedIn,
        id: &DeviceId,
        mut template: Template,
        source: Option<IpAddr>,
    ) -> Result<Changes, Error> {
        let device = self.own_device(session, id).await?;
        let now_ms = millis_of(self.clock.now());
        let enrolled = Device { used_at_ms: now_ms, enrolled_at_ms: now_ms, ..device.value };
        let before = self.repository.load(&Template::at(id)).await?;
        let version = before.as_ref().map_or(Version::ABSENT, |before| before.version);
        template.used_tags = before.map(|before| before.value.used_tags).unwrap_or_default();
        let told = self.of_device(Act::FeaturesEnrolled, session, id, source).outcome(Told::Done);
        let changes = Changes::new().replace(device.version, &enrolled).replace(version, &template).audit(&told);
        self.while_session(changes, session, Some(id)).await
    }

    async fn own_device(&self, session: &SignedIn, id: &DeviceId) -> Result<Stored<Device>, Error> {
        let found = self.repository.load(&Device::at(id)).await?;
        found.filter(|device| device.value.customer_id == session.customer.as_str()).ok_or(Error::DeviceNotFound)
    }
}
