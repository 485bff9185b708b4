//! What one customer of one bank proves with: a head, a device, a face, and passkeys.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use proto::authorization::Factor;
use proto::device::possession_bytes;
use proto::digest::Digest;
use proto::order::SignedOrder;
use proto::pb;
use proto::pb::verify_identity_request::Proof;
use tonic::Status;

use super::app::{BankApp, Challenge, Credentials, Proved};
use super::authenticators::{Algorithm, BoundDevice, FEATURE_COUNT, Person, SoftDevice, SoftPasskey};
use crate::secrets::Secrets;
use crate::topology::{Customer, Passkeys};

/// What a customer proves with; what is not there yet can't be proved.
#[derive(Debug)]
pub struct Wallet {
    /// What the customer knows.
    pub typed: Credentials,
    /// The code that binds the first device.
    pub activation_code: String,
    /// The device, once it is bound.
    pub device: Option<Arc<BoundDevice>>,
    /// The passkey, once it is registered.
    pub passkey: Option<SoftPasskey>,
    /// Whom the device measures.
    pub person: Person,
    measurements: u64,
    app: BankApp,
    secrets: Secrets,
}

/// How far a sign-in came.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// The session, where the proofs were enough for one.
    pub session: Option<pb::Session>,
    /// What would help otherwise.
    pub missing: Vec<Factor>,
    /// The challenge that the session began with, which a consent repeats.
    pub challenge: [u8; 32],
}

impl Wallet {
    /// The wallet of a customer with the bank's app; nothing is bound yet.
    #[must_use]
    pub fn of(customer: &Customer, app: &BankApp, secrets: &Secrets) -> Self {
        let digest = Digest::of(customer.national_id.as_bytes());
        let mut seed = [0; 8];
        seed.copy_from_slice(&digest.as_bytes()[..8]);
        Self {
            typed: Credentials::from(customer),
            activation_code: customer.activation_code.clone(),
            device: None,
            passkey: None,
            person: Person::new(u64::from_be_bytes(seed), FEATURE_COUNT),
            measurements: 0,
            app: app.clone(),
            secrets: secrets.clone(),
        }
    }

    /// The app, on the customer's device where one is bound.
    #[must_use]
    pub fn app(&self) -> BankApp {
        self.device.as_ref().map_or_else(|| self.app.clone(), |device| self.app.on(device))
    }

    /// A fresh device, whose key is noted as a secret.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new_device(&self) -> Result<SoftDevice> {
        let device = SoftDevice::generate()?;
        self.secrets.note_key("device", &device.seed());
        Ok(device)
    }

    /// A fresh passkey, whose key is noted as a secret.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new_passkey(&self, algorithm: Algorithm, at: &Passkeys) -> Result<SoftPasskey> {
        let passkey = SoftPasskey::generate(algorithm, &at.relying_party_id, &at.origin)?;
        self.secrets.note_key("passkey", passkey.private_key());
        Ok(passkey)
    }

    /// Has the first device bound with the activation code.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn activate(&mut self) -> Result<()> {
        let device = self.new_device()?;
        let bound = self.app.activate(device, &self.activation_code).await.context("BindDevice")?;
        self.device = Some(Arc::new(bound));
        Ok(())
    }

    /// Enrols the face in a session that has proved two kinds.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn enroll(&mut self, token: &Bytes) -> Result<()> {
        let (app, device) = (self.app(), Arc::clone(self.bound()?));
        let challenge = app.step_up(token).await.context("StartAuthentication")?;
        self.person = self.person.measured_in(challenge.feature_count);
        let features = self.measure();
        app.enroll(device.enroll(token, &challenge.id, &challenge.bytes, &features)).await.context("EnrollFeatures")
    }

    /// Registers a passkey in a session that has proved two kinds.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn register(&mut self, token: &Bytes, algorithm: Algorithm, at: &Passkeys) -> Result<Bytes> {
        let mut passkey = self.new_passkey(algorithm, at)?;
        let app = self.app();
        let challenge = app.step_up(token).await.context("StartAuthentication")?;
        let ceremony = passkey.creation(&challenge.bytes);
        let registration = passkey.register(&ceremony);
        let id = app.register(token, &challenge, registration).await.context("RegisterPasskey")?;
        self.passkey = Some(passkey);
        Ok(id)
    }

    /// Everything at once: a device, a face and a passkey.
    ///
    /// # Errors
    /// The bank refuses.
    pub async fn equip(&mut self, algorithm: Algorithm, at: &Passkeys) -> Result<()> {
        self.activate().await?;
        let reached = self.sign_in(None, &[Factor::Knowledge, Factor::Possession]).await.context("the sign-in")?;
        let session = reached.session.context("password and device are not enough for a session")?;
        self.enroll(&session.session_token).await?;
        self.register(&session.session_token, algorithm, at).await.map(|_| ())
    }

    /// A fresh measurement of the customer's face.
    pub fn measure(&mut self) -> Vec<f32> {
        self.measurements += 1;
        self.person.measure(self.measurements)
    }

    /// The right proof of a factor.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` where nothing is there to prove it with.
    pub fn proof(&mut self, factor: Factor, challenge: &Challenge, order: Option<&Digest>) -> Result<Proof, Status> {
        let nothing = |error: anyhow::Error| Status::failed_precondition(format!("{error:#}"));
        Ok(match factor {
            Factor::Knowledge => self.typed.proof(),
            Factor::Possession => {
                let signed = possession_bytes(&challenge.bytes, order);
                Proof::Possession(self.bound().map_err(nothing)?.possession_signing(&signed))
            }
            Factor::Inherence => {
                let features = self.measure();
                Proof::Inherence(self.bound().map_err(nothing)?.inherence(&challenge.bytes, &features, order))
            }
            Factor::Passkey => {
                let passkey = self.passkey.as_mut().context("no passkey is registered").map_err(nothing)?;
                Proof::Passkey(passkey.proof(&challenge.bytes).map_err(nothing)?)
            }
        })
    }

    /// Proves these factors one after the other: under one challenge until there is a session, and in
    /// steps up of that session from then on.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn sign_in(&mut self, order: Option<&SignedOrder>, factors: &[Factor]) -> Result<Reached, Status> {
        let challenge = self.app().start(order.map(|order| order.signed.to_pb())).await?;
        let digest = order.map(|order| &order.digest);
        let mut reached = Reached { session: None, missing: Vec::new(), challenge: challenge.bytes };
        for factor in factors {
            match &reached.session {
                Some(session) => {
                    let token = session.session_token.clone();
                    reached.session = Some(self.step_up(&token, *factor, digest).await?);
                }
                None => {
                    let proof = self.proof(*factor, &challenge, digest)?;
                    match self.app().prove(&challenge, proof).await? {
                        Proved::In(session) => reached.session = Some(session),
                        Proved::Missing(missing) => reached.missing = missing,
                    }
                }
            }
        }
        if reached.session.is_some() {
            reached.missing.clear();
        }
        Ok(reached)
    }

    /// Adds a factor to a session, which goes on under its own token.
    ///
    /// # Errors
    /// The issuer's status.
    pub async fn step_up(
        &mut self,
        token: &Bytes,
        factor: Factor,
        order: Option<&Digest>,
    ) -> Result<pb::Session, Status> {
        let app = self.app();
        let challenge = app.step_up(token).await?;
        let proof = self.proof(factor, &challenge, order)?;
        let mut session = app.prove_last(&challenge, proof).await?;
        if session.session_token.is_empty() {
            session.session_token = token.clone();
        }
        Ok(session)
    }

    /// Signs the consent to a charge.
    ///
    /// # Errors
    /// No device is bound, or the charge is malformed.
    pub fn consent(
        &self,
        charge: &pb::SubmitChargeRequest,
        order: &SignedOrder,
        challenge: [u8; 32],
    ) -> Result<pb::Signed> {
        self.bound()?.consent(charge, order, challenge)
    }

    fn bound(&self) -> Result<&Arc<BoundDevice>> {
        self.device.as_ref().context("no device is bound")
    }
}
