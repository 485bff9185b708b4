//! What a signed-in customer registers, lists and forgets.

use bytes::Bytes;
use mesh::channel::within;
use proto::ids::DeviceId;
use proto::pb;
use tonic::Status;

use super::{BankApp, CALL_TIME, Challenge};
use crate::device::authenticators::{BoundDevice, Registration, SoftDevice};

impl BankApp {
    /// Has a device bound; the request is one of [`SoftDevice`]'s.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn bind(&self, mut request: pb::BindDeviceRequest) -> Result<DeviceId, Status> {
        if let Some(pb::bind_device_request::Authorization::SessionToken(token)) = &request.authorization {
            request.session_use = self.session_use(token, "IssuerAuth/BindDevice");
        }
        let answer = self.auth.clone().bind_device(within(request, CALL_TIME)).await?.into_inner();
        answer.device_id.parse().map_err(|_| Status::data_loss("a device id that is none"))
    }

    /// Has a device bound with an activation code, and hands it over as the bank knows it.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn activate(&self, device: SoftDevice, code: &str) -> Result<BoundDevice, Status> {
        let id = self.bind(device.bind_with_code(code, "Phone")).await?;
        Ok(device.bound_as(id))
    }

    /// Has a device forgotten.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn unbind(&self, session_token: &Bytes, device_id: &str) -> Result<(), Status> {
        let session_use = self.session_use(session_token, "IssuerAuth/UnbindDevice");
        let (session_token, device_id) = (session_token.clone(), device_id.to_owned());
        let request = pb::UnbindDeviceRequest { session_token, device_id, session_use };
        self.auth.clone().unbind_device(within(request, CALL_TIME)).await.map(|_| ())
    }

    /// Enrols features; the request is one of [`BoundDevice`]'s.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn enroll(&self, mut request: pb::EnrollFeaturesRequest) -> Result<(), Status> {
        self.secrets.note_features(&request.features);
        request.session_use = self.session_use(&request.session_token, "IssuerAuth/EnrollFeatures");
        self.auth.clone().enroll_features(within(request, CALL_TIME)).await.map(|_| ())
    }

    /// Registers a passkey under a challenge of the session.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn register(
        &self,
        session_token: &Bytes,
        challenge: &Challenge,
        registration: Registration,
    ) -> Result<Bytes, Status> {
        let request = pb::RegisterPasskeyRequest {
            session_token: session_token.clone(),
            challenge_id: challenge.id.clone(),
            display_name: "Passkey".to_owned(),
            client_data_json: registration.client_data_json,
            attestation_object: registration.attestation_object,
            session_use: self.session_use(session_token, "IssuerAuth/RegisterPasskey"),
        };
        let answer = self.auth.clone().register_passkey(within(request, CALL_TIME)).await?;
        Ok(answer.into_inner().credential_id)
    }

    /// Has a passkey forgotten.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn remove(&self, session_token: &Bytes, credential_id: &Bytes) -> Result<(), Status> {
        let session_use = self.session_use(session_token, "IssuerAuth/RemovePasskey");
        let (session_token, credential_id) = (session_token.clone(), credential_id.clone());
        let request = pb::RemovePasskeyRequest { session_token, credential_id, session_use };
        self.auth.clone().remove_passkey(within(request, CALL_TIME)).await.map(|_| ())
    }

    /// The customer's devices and passkeys.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn credentials(&self, session_token: &Bytes) -> Result<pb::ListCredentialsResponse, Status> {
        let session_use = self.session_use(session_token, "IssuerAuth/ListCredentials");
        let request = pb::ListCredentialsRequest { session_token: session_token.clone(), session_use };
        Ok(self.auth.clone().list_credentials(within(request, CALL_TIME)).await?.into_inner())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn end(&self, session_token: &Bytes) -> Result<(), Status> {
        let request = pb::EndSessionRequest { session_token: session_token.clone() };
        self.auth.clone().end_session(within(request, CALL_TIME)).await.map(|_| ())
    }
}
