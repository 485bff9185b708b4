//! A customer with everything that one can sign in with, and sessions of his.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use merchant_sim::device::authenticators::{
    Algorithm, BoundDevice, Ceremony, FEATURE_COUNT, Person, SoftDevice, SoftPasskey,
};
use mesh::clock::{Entropy as _, SystemEntropy};
use proto::{
    authorization::Factor,
    device::Consent,
    ids::{ChargeId, DeviceId},
    order::SignedOrder,
    pb::{self, verify_identity_request::Proof, verify_identity_response::Outcome},
};

use super::wire::{Challenge, Wire};
use crate::customers::{Card, Customer};

/// The relying party of the banks' passkeys, and the origin of its pages.
pub(crate) const RELYING_PARTY: &str = "bank.example";
pub(crate) const ORIGIN: &str = "https://bank.example";

/// A customer.
pub(crate) struct Holder {
    pub(crate) customer: Customer,
    pub(crate) wire: Wire,
    pub(crate) phone: BoundDevice,
    pub(crate) tablet: BoundDevice,
    pub(crate) passkey: Mutex<SoftPasskey>,
    measured: AtomicU64,
}

/// A session.
#[derive(Clone)]
pub(crate) struct Session<'a> {
    pub(crate) holder: &'a Holder,
    pub(crate) token: Bytes,
    /// The challenge that it began with.
    pub(crate) challenge: [u8; 32],
    /// The device that proved itself.
    pub(crate) device: Option<&'a BoundDevice>,
    pub(crate) order: Option<SignedOrder>,
}

impl Holder {
    /// A customer who has just got an activation code: binds a phone with it and a tablet with that, measures
    /// features on both, and registers a passkey.
    pub(crate) async fn new(customer: Customer, wire: Wire) -> Self {
        let phone = SoftDevice::generate().unwrap();
        let id = wire.bind(phone.bind_with_code(&customer.activation_code(), "A phone")).await.unwrap();
        let passkey = SoftPasskey::generate(Algorithm::Es256, RELYING_PARTY, ORIGIN).unwrap();
        let mut holder = Self {
            phone: phone.bound_as(id.parse().unwrap()),
            // Until it is bound, nobody's.
            tablet: SoftDevice::generate().unwrap().bound_as(DeviceId::from_random([0; 16])),
            passkey: Mutex::new(passkey),
            measured: AtomicU64::new(0),
            customer,
            wire,
        };
        holder.tablet = holder.bind_another().await;
        let session = holder.strong(None).await;
        for device in [&holder.phone, &holder.tablet] {
            let challenge = session.step_up().await;
            let mut request = device.enroll(&session.token, &challenge.id, &challenge.bytes, &holder.measure());
            request.session_use = session.uses("IssuerAuth/EnrollFeatures");
            holder.wire.enroll(request).await.unwrap();
        }
        let challenge = session.step_up().await;
        let ceremony = holder.passkey.lock().unwrap().creation(&challenge.bytes);
        let request = holder.registration(&session, &challenge, &ceremony);
        holder.wire.register(request).await.unwrap();
        holder.wire.end(session.token.clone()).await;
        holder
    }

    async fn bind_another(&self) -> BoundDevice {
        let session = self.strong(None).await;
        let device = SoftDevice::generate().unwrap();
        let mut request = device.bind_in_session(&session.token, "A tablet");
        request.session_use = session.uses("IssuerAuth/BindDevice");
        let id = self.wire.bind(request).await.unwrap();
        self.wire.end(session.token.clone()).await;
        device.bound_as(id.parse().unwrap())
    }

    /// The request to register the customer's passkey.
    pub(crate) fn registration(
        &self,
        session: &Session<'_>,
        challenge: &Challenge,
        ceremony: &Ceremony,
    ) -> pb::RegisterPasskeyRequest {
        let made = self.passkey.lock().unwrap().register(ceremony);
        pb::RegisterPasskeyRequest {
            session_token: session.token.clone(),
            challenge_id: challenge.id.clone(),
            display_name: "A key".into(),
            client_data_json: made.client_data_json,
            attestation_object: made.attestation_object,
            session_use: session.uses("IssuerAuth/RegisterPasskey"),
        }
    }

    /// Another measurement of the same person.
    pub(crate) fn measure(&self) -> Vec<f32> {
        let number = self.measured.fetch_add(1, Ordering::Relaxed);
        Person::new(u64::from(self.customer.number) + 1_000 * u64::from(self.customer.bin), FEATURE_COUNT)
            .measure(number)
    }

    pub(crate) fn knows(&self) -> Proof {
        self.guesses(&self.customer.password())
    }

    pub(crate) fn guesses(&self, password: &str) -> Proof {
        Proof::Knowledge(pb::KnowledgeProof {
            national_id: self.customer.national_id(),
            user_code: self.customer.user_code(),
            password: password.to_owned(),
        })
    }

    pub(crate) fn has(&self, challenge: &Challenge, order: Option<&SignedOrder>) -> Proof {
        Proof::Possession(self.phone.possession(&challenge.bytes, order.map(|order| &order.digest)))
    }

    pub(crate) fn is(&self, challenge: &Challenge, order: Option<&SignedOrder>) -> Proof {
        Proof::Inherence(self.phone.inherence(&challenge.bytes, &self.measure(), order.map(|order| &order.digest)))
    }

    pub(crate) fn shows_passkey(&self, challenge: &Challenge) -> Proof {
        Proof::Passkey(self.passkey.lock().unwrap().proof(&challenge.bytes).unwrap())
    }

    /// A right proof of a factor.
    pub(crate) fn proof(&self, factor: Factor, challenge: &Challenge, order: Option<&SignedOrder>) -> Proof {
        match factor {
            Factor::Knowledge => self.knows(),
            Factor::Possession => self.has(challenge, order),
            Factor::Inherence => self.is(challenge, order),
            Factor::Passkey => self.shows_passkey(challenge),
        }
    }

    /// Signs in with these factors: under one challenge as far as that goes, and by step-ups from there.
    pub(crate) async fn sign_in(&self, order: Option<&SignedOrder>, factors: &[Factor]) -> Session<'_> {
        let first = self.wire.begin(order).await;
        let mut under = first.clone();
        let mut session: Option<Session<'_>> = None;
        for factor in factors {
            if let Some(session) = &session {
                under = session.step_up().await;
            }
            let outcome = self.wire.verify(&under.id, self.proof(*factor, &under, order)).await.unwrap();
            let device = matches!(factor, Factor::Possession | Factor::Inherence).then_some(&self.phone);
            session = match (session, outcome) {
                (Some(session), _) => Some(Session { device: session.device.or(device), ..session }),
                (None, Outcome::Missing(_)) => None,
                (None, Outcome::Session(made)) => Some(Session {
                    holder: self,
                    token: made.session_token,
                    challenge: first.bytes,
                    device: factors_with_device(&made.factors).then_some(&self.phone),
                    order: order.cloned(),
                }),
            };
        }
        session.expect("these factors suffice for a session")
    }

    /// A session of two kinds that this device of the customer's proved.
    pub(crate) async fn sign_in_by<'a>(&'a self, device: &'a BoundDevice, order: Option<&SignedOrder>) -> Session<'a> {
        let challenge = self.wire.begin(order).await;
        self.wire.verify(&challenge.id, self.knows()).await.unwrap();
        let proof = device.possession(&challenge.bytes, order.map(|order| &order.digest));
        let outcome = self.wire.verify(&challenge.id, Proof::Possession(proof)).await.unwrap();
        let Outcome::Session(made) = outcome else { panic!("two kinds suffice for a session") };
        Session {
            holder: self,
            token: made.session_token,
            challenge: challenge.bytes,
            device: Some(device),
            order: order.cloned(),
        }
    }

    /// A session of two kinds that the phone proved.
    pub(crate) async fn strong(&self, order: Option<&SignedOrder>) -> Session<'_> {
        self.sign_in(order, &[Factor::Knowledge, Factor::Possession]).await
    }
}

impl Session<'_> {
    /// A challenge of the session's own.
    pub(crate) async fn step_up(&self) -> Challenge {
        let request = pb::StartAuthenticationRequest {
            order: None,
            session_token: self.token.clone(),
            session_use: self.uses("IssuerAuth/StartAuthentication"),
        };
        self.holder.wire.start(request).await.unwrap()
    }

    /// The device's word for one use of the session; `rpc` as `<Service>/<Rpc>`.
    pub(crate) fn uses(&self, rpc: &str) -> Option<pb::Signed> {
        let rpc = format!("bankside.v1.{rpc}");
        self.device.map(|device| device.session_use(&self.token, &rpc, SystemTime::now()))
    }

    /// The customer's cards.
    pub(crate) async fn options(&self) -> Vec<pb::CardOption> {
        let request = pb::ListCardOptionsRequest {
            session_token: self.token.clone(),
            session_use: self.uses("CardSelection/ListCardOptions"),
        };
        self.holder.wire.options(request).await.unwrap()
    }

    pub(crate) async fn option(&self, card: Card) -> String {
        let options = self.options().await;
        options.iter().find(|option| option.label == card.label()).unwrap().card_option_id.clone()
    }

    /// The right request to pay the session's order with the good card, with the device's consent if there is
    /// a device.
    pub(crate) async fn charge(&self) -> pb::SubmitChargeRequest {
        let order = self.order.as_ref().unwrap();
        let mut request = pb::SubmitChargeRequest {
            session_token: self.token.clone(),
            charge_id: ChargeId::from_random(SystemEntropy::new().id().unwrap()).to_string(),
            order: Some(order.signed.to_pb()),
            card_option_id: self.option(Card::Good).await,
            ticket: Bytes::new(),
            consent: None,
            session_use: self.uses("CardSelection/SubmitCharge"),
            device_confirmation: None,
        };
        request.consent = self.device.map(|device| device.sign_consent(&self.consents(&request)));
        request
    }

    /// What the customer consents to who pays by this request.
    pub(crate) fn consents(&self, request: &pb::SubmitChargeRequest) -> Consent {
        let order = self.order.as_ref().unwrap();
        Consent {
            order_digest: order.digest,
            amount: order.order.amount,
            payee: order.order.merchant.display_name.clone(),
            card: request.card_option_id.parse().unwrap(),
            charge: request.charge_id.parse().unwrap(),
            challenge: self.challenge,
            signed_at: SystemTime::now(),
        }
    }

    /// The charge as it stands.
    pub(crate) async fn look(&self, charge_id: &str) -> pb::Charge {
        let request = pb::GetChargeRequest {
            session_token: self.token.clone(),
            charge_id: charge_id.to_owned(),
            session_use: self.uses("CardSelection/GetCharge"),
        };
        self.holder.wire.look(request).await.unwrap()
    }
}

fn factors_with_device(factors: &[i32]) -> bool {
    let device = [pb::AuthenticationFactor::Possession, pb::AuthenticationFactor::Inherence];
    device.iter().any(|factor| factors.contains(&(*factor).into()))
}
