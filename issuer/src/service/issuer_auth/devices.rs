//! `IssuerAuth`: bound devices and their features.

use std::net::IpAddr;

use bytes::Bytes;
use mesh::secret::SecretString;
use proto::{
    device::DeviceKey,
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{ChallengeId, DeviceId},
    pb::{self, bind_device_request::Authorization},
    require, time,
};

use crate::{
    auth::{self, Authority, Enrolment, Features, NewDevice, SessionCall, SignedIn},
    context::Context,
    domain::{activation_code::ActivationCode, device_key},
    error::Error,
    records::{self, time_of},
};

/// The longest name of a device, in bytes; it is shown on a phone.
const NAME_BYTES_MAX: usize = 60;

/// How many values a feature vector has; zero where features are not offered.
pub(super) fn feature_count(ctx: &Context) -> u32 {
    auth::feature_count(ctx)
}

pub(super) async fn bind(
    ctx: &Context,
    mut request: pb::BindDeviceRequest,
    origin: IpAddr,
) -> Result<pb::BindDeviceResponse, Error> {
    let session_use = request.session_use.take();
    let received = Received::parse(request)?;
    let device = match &received.by {
        By::Session(token) => {
            let call = SessionCall::new(token, session_use, "IssuerAuth/BindDevice").by(origin);
            let session = auth::session(ctx, call).await?;
            let new = received.device(token).or_else(|_| received.device(Digest::of(token).as_bytes()))?;
            auth::bind_device(ctx, &new, Authority::Session(&session), origin).await?
        }
        By::Code(text) => {
            // Who comes with a code has no session that ends: as for a sign-in, what waits must not pile up.
            ctx.audit.admits(ctx.clock.as_ref())?;
            let code = text.expose().parse::<ActivationCode>();
            let code = code.map_err(|error| Invalid::field("activation_code", error.to_string()))?;
            let typed = text.expose().as_bytes();
            let new = received.device(typed)?;
            auth::bind_device(ctx, &new, Authority::Code(code), origin).await?
        }
    };
    Ok(pb::BindDeviceResponse { device_id: device.to_string() })
}

pub(super) async fn unbind(
    ctx: &Context,
    request: pb::UnbindDeviceRequest,
    origin: IpAddr,
) -> Result<pb::UnbindDeviceResponse, Error> {
    let call = SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/UnbindDevice").by(origin);
    let session = auth::session(ctx, call).await?;
    let device: DeviceId =
        request.device_id.parse().map_err(|error| Invalid::field("device_id", format!("{error}")))?;
    auth::unbind_device(ctx, &session, &device, Some(origin)).await?;
    Ok(pb::UnbindDeviceResponse {})
}

pub(super) async fn enroll(
    ctx: &Context,
    mut request: pb::EnrollFeaturesRequest,
    origin: IpAddr,
) -> Result<pb::EnrollFeaturesResponse, Error> {
    // Taken out first, so that every way out of here wipes them.
    let features = Features::new(std::mem::take(&mut request.features));
    let call = SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/EnrollFeatures").by(origin);
    let session = auth::session(ctx, call).await?;
    let mut fields = Fields::new();
    let challenge = fields.text::<ChallengeId>("challenge_id", &request.challenge_id);
    let device = fields.text::<DeviceId>("device_id", &request.device_id);
    let features = fields.result("features", features);
    let signature = fields.bytes("signature", &request.signature);
    let parts = || -> Result<Enrolment, Invalid> {
        require!(fields; challenge, device, features, signature);
        Ok(Enrolment { challenge, device, features, signature })
    };
    auth::enroll_features(ctx, &session, parts()?, Some(origin)).await?;
    Ok(pb::EnrollFeaturesResponse {})
}

pub(super) async fn list(ctx: &Context, session: &SignedIn) -> Result<Vec<pb::BoundDevice>, Error> {
    Ok(auth::list_devices(ctx, session).await?.into_iter().map(to_pb).collect())
}

fn to_pb(device: records::Device) -> pb::BoundDevice {
    let at = |millis| time::to_pb(time_of(millis));
    pb::BoundDevice {
        device_id: device.device_id,
        display_name: device.display_name,
        bound_at: Some(at(device.bound_at_ms)),
        used_at: (device.used_at_ms != 0).then(|| at(device.used_at_ms)),
        has_features: device.enrolled_at_ms != 0,
    }
}

/// What shows that a device may be bound.
enum By {
    /// A session's token.
    Session(Bytes),
    /// An activation code, as it was typed.
    Code(SecretString),
}

/// A request to bind a device, well-formed apart from the code.
struct Received {
    by: By,
    key: DeviceKey,
    display_name: String,
    signature: [u8; 64],
}

impl Received {
    fn parse(request: pb::BindDeviceRequest) -> Result<Self, Invalid> {
        // Taken first, so that every way out of here wipes a code.
        let by = request.authorization.map(|authorization| match authorization {
            Authorization::SessionToken(token) => By::Session(token),
            Authorization::ActivationCode(text) => By::Code(SecretString::new(text)),
        });
        let mut fields = Fields::new();
        fields.check("authorization", by.is_some(), "must be set");
        let key = fields.bytes::<32>("public_key", &request.public_key).map(DeviceKey::from_bytes);
        let key = key.and_then(|key| fields.result("public_key", device_key::check(&key).map(|()| key)));
        let display_name = fields.plain_text("display_name", &request.display_name, 1, NAME_BYTES_MAX);
        let signature = fields.bytes("signature", &request.signature);
        require!(fields; by, key, display_name, signature);
        Ok(Self { by, key, display_name, signature })
    }

    /// The device, if it signed for this authorization.
    fn device(&self, authorization: &[u8]) -> Result<NewDevice, Error> {
        NewDevice::verify(self.key, self.display_name.clone(), authorization, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn everything_malformed_is_named() {
        let invalid = Received::parse(pb::BindDeviceRequest::default()).err().unwrap();
        let paths: Vec<&str> = invalid.violations.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, ["authorization", "public_key", "display_name", "signature"]);
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = vec![0; 32];
        identity[0] = 1;
        let request = pb::BindDeviceRequest {
            authorization: Some(Authorization::ActivationCode("7K3M-9PQR-10TV".into())),
            public_key: identity.into(),
            display_name: "Phone".into(),
            signature: vec![0; 64].into(),
            session_use: None,
        };
        let invalid = Received::parse(request).err().unwrap();
        assert_eq!(invalid.violations.len(), 1);
        assert_eq!(invalid.violations[0].path, "public_key");
    }
}
