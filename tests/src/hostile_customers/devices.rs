//! Devices that nobody bound, or that somebody binds who may not.

use bytes::Bytes;
use merchant_sim::device::authenticators::{BoundDevice, SoftDevice};
use proto::{
    authorization::Factor,
    device::bind_device_bytes,
    ids::DeviceId,
    pb::{self, verify_identity_request::Proof},
};
use tokio::task::JoinSet;
use tonic::Status;

use super::{
    counted,
    holder::{Holder, Session},
    world::{Bank, CODES_UNUSED},
};
use crate::{
    attacks::{Attack, in_a_word},
    customers::Customer,
};

const REFUSED: &str = "IDENTITY_NOT_VERIFIED";
const WRONG_CODE: &str = "ACTIVATION_CODE_INVALID";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = unbound(bank);
    attacks.extend(sessions(bank));
    attacks.extend(codes(bank));
    attacks.extend(keys(bank));
    attacks.extend(forgotten_meanwhile(bank));
    attacks.extend(unbinding(bank));
    attacks
}

fn stranger() -> SoftDevice {
    SoftDevice::generate().unwrap()
}

fn unbound(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    vec![
        bank.attack("signs in with a device that nobody has bound", REFUSED, async {
            let device = stranger().bound_as(DeviceId::from_random([7; 16]));
            let challenge = holder.wire.begin(None).await;
            let proof = device.possession(&challenge.bytes, None);
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        }),
        bank.attack("signs in with a strange key under the phone's id", REFUSED, async {
            let device = stranger().bound_as(holder.phone.id().clone());
            let challenge = holder.wire.begin(None).await;
            let proof = device.possession(&challenge.bytes, None);
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        }),
        bank.attack("signs in with the phone's key under the tablet's id", REFUSED, async {
            let device = SoftDevice::from_seed(holder.phone.key().seed()).unwrap().bound_as(holder.tablet.id().clone());
            let challenge = holder.wire.begin(None).await;
            let proof = device.possession(&challenge.bytes, None);
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        }),
        bank.attack("shows features from a device that nobody has bound", REFUSED, async {
            let device = stranger().bound_as(DeviceId::from_random([7; 16]));
            let challenge = holder.wire.begin(None).await;
            let proof = device.inherence(&challenge.bytes, &holder.measure(), None);
            holder.wire.prove(&challenge.id, Proof::Inherence(proof)).await
        }),
        bank.attack("names a device in no way in which they are named", "INVALID_FIELD", async {
            let challenge = holder.wire.begin(None).await;
            let mut proof = holder.phone.possession(&challenge.bytes, None);
            proof.device_id = "../phone".into();
            holder.wire.prove(&challenge.id, Proof::Possession(proof)).await
        }),
    ]
}

/// Binds a strange device with a request that was changed.
async fn bind(
    holder: &Holder,
    token: &Bytes,
    change: impl FnOnce(&SoftDevice, &mut pb::BindDeviceRequest),
) -> Result<String, Status> {
    let device = stranger();
    let mut request = device.bind_in_session(token, "A thief's");
    change(&device, &mut request);
    holder.wire.bind(request).await.map(|_| "bound".into())
}

fn sessions(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("binds a device in a session that there never was", "SESSION_INVALID", async {
            bind(holder, &Bytes::from(vec![7; 32]), |_, _| {}).await
        }),
        bank.attack("binds a device in a session that has ended", "SESSION_INVALID", async {
            let session = holder.strong(None).await;
            holder.wire.end(session.token.clone()).await;
            bind(holder, &session.token, |_, _| {}).await
        }),
        bank.attack("binds a device in a session with a signature over another session", "SIGNATURE_INVALID", async {
            let (session, own) = (holder.strong(None).await, thief.strong(None).await);
            bind(holder, &session.token, |device, request| {
                request.signature = signed(device, &bind_device_bytes(&own.token));
            })
            .await
        }),
        bank.attack("forgets another customer's device", "DEVICE_NOT_FOUND", async {
            let session = thief.strong(None).await;
            let request = pb::UnbindDeviceRequest {
                session_token: session.token.clone(),
                device_id: holder.phone.id().to_string(),
                session_use: session.uses("IssuerAuth/UnbindDevice"),
            };
            thief.wire.unbind(request).await
        }),
        bank.attack("forgets another customer's passkey", "PASSKEY_NOT_FOUND", async {
            let session = thief.strong(None).await;
            let request = pb::RemovePasskeyRequest {
                session_token: session.token.clone(),
                credential_id: holder.passkey.lock().unwrap().credential_id().clone(),
                session_use: session.uses("IssuerAuth/RemovePasskey"),
            };
            thief.wire.remove(request).await
        }),
    ]
}

fn codes(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    let bind = move |code: String| async move {
        holder.wire.bind(stranger().bind_with_code(&code, "A thief's")).await.map(|_| "bound".to_owned())
    };
    let unused = Customer { number: CODES_UNUSED, bin: bank.bin };
    let code = holder.customer.activation_code();
    vec![
        bank.attack("binds a device with a code that was used", WRONG_CODE, bind(code.clone())),
        bank.attack("binds a device with a code that nobody gave out", WRONG_CODE, bind("ZZZZ-ZZZZ-ZZZZ".into())),
        bank.attack("binds a device with a code and a signature over another code", "SIGNATURE_INVALID", {
            let code = unused.activation_code();
            async move {
                let device = stranger();
                let mut request = device.bind_with_code(&code, "A thief's");
                request.signature = signed(&device, &bind_device_bytes(b"another code"));
                holder.wire.bind(request).await.map(|_| "bound".into())
            }
        }),
        bank.attack("binds a device with an empty code", "INVALID_FIELD", bind(String::new())),
        bank.attack("binds a device with a code of a thousand letters", "INVALID_FIELD", bind("A".repeat(1000))),
        bank.attack("binds a device without a session and without a code", "INVALID_FIELD", async move {
            let request = pb::BindDeviceRequest { authorization: None, ..stranger().bind_with_code(&code, "x") };
            holder.wire.bind(request).await.map(|_| "bound".into())
        }),
    ]
}

fn keys(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    let strong = move |change: fn(&SoftDevice, &mut pb::BindDeviceRequest)| async move {
        let session = thief.strong(None).await;
        bind(thief, &session.token, change).await
    };
    vec![
        bank.attack(
            "binds a public key without its private key",
            "SIGNATURE_INVALID",
            strong(|_, request| {
                request.public_key = stranger().public_key();
            }),
        ),
        bank.attack("binds another customer's public key", "SIGNATURE_INVALID", async {
            let session = thief.strong(None).await;
            bind(thief, &session.token, |_, request| request.public_key = holder.phone.key().public_key()).await
        }),
        bank.attack("binds a key with a signature that was made for something else", "SIGNATURE_INVALID", {
            strong(|device, request| request.signature = signed(device, b"something else"))
        }),
        bank.attack(
            "binds a key of zeros",
            "INVALID_FIELD",
            strong(|_, request| {
                request.public_key = Bytes::from(vec![0; 32]);
                request.signature = Bytes::from(vec![0; 64]);
            }),
        ),
        bank.attack("binds the curve's neutral point, under which a made-up signature verifies", "INVALID_FIELD", {
            strong(|_, request| {
                let mut point = vec![0; 32];
                point[0] = 1;
                request.public_key = point.clone().into();
                // R is the neutral point, and S is zero.
                request.signature = [point, vec![0; 32]].concat().into();
            })
        }),
        bank.attack(
            "binds half a key",
            "INVALID_FIELD",
            strong(|_, request| {
                request.public_key = request.public_key.slice(..16);
            }),
        ),
        bank.attack(
            "binds a device without a name",
            "INVALID_FIELD",
            strong(|_, request| {
                request.display_name.clear();
            }),
        ),
        bank.attack(
            "binds a device under a name with line breaks",
            "INVALID_FIELD",
            strong(|_, request| {
                request.display_name = "A phone\nanother line".into();
            }),
        ),
    ]
}

/// What happens to a session when its device is forgotten, and how many devices there may be. The bank has in
/// the end what it had before.
fn forgotten_meanwhile(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = bank.holders.last().unwrap();
    vec![
        bank.attack("uses a session whose device was forgotten meanwhile", "SESSION_INVALID", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let device = bound_anew(holder, &session).await;
            let own = holder.sign_in_by(&device, None).await;
            assert!(!own.options().await.is_empty(), "the session is good before");
            unbind(holder, &session, device.id()).await?;
            let request = pb::ListCardOptionsRequest {
                session_token: own.token.clone(),
                session_use: own.uses("CardSelection/ListCardOptions"),
            };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
        bank.attack("pays in a session whose device was forgotten meanwhile", "SESSION_INVALID", async {
            let order = bank.order().await;
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let device = bound_anew(holder, &session).await;
            let own = holder.sign_in_by(&device, Some(&order)).await;
            let request = own.charge().await;
            unbind(holder, &session, device.id()).await?;
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("binds twenty devices at once where ten may be", "12 CREDENTIALS_MAX, 8 bound", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let mut binding = JoinSet::new();
            for _ in 0..20 {
                let (wire, request) = (bank.another_wire(), stranger().bind_in_session(&session.token, "One more"));
                binding.spawn(async move { wire.bind(request).await });
            }
            let answers = binding.join_all().await;
            for id in answers.iter().flatten() {
                unbind(holder, &session, &id.parse().unwrap()).await?;
            }
            Ok(counted(answers.into_iter().map(|answer| in_a_word(answer.map(|_| "bound".into())))))
        }),
    ]
}

/// What was forgotten is forgotten. The last customer loses a device by it.
fn unbinding(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = bank.holders.last().unwrap();
    vec![
        bank.control("a customer forgets the phone", "unbound", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            unbind(holder, &session, holder.phone.id()).await
        }),
        bank.attack("signs in with the forgotten phone", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("shows features from the forgotten phone", REFUSED, async {
            let challenge = holder.wire.begin(None).await;
            holder.wire.prove(&challenge.id, holder.is(&challenge, None)).await
        }),
        bank.attack("consents by the forgotten phone", "CONSENT_INVALID", async {
            let order = bank.order().await;
            let session = holder.sign_in(Some(&order), &[Factor::Passkey]).await;
            let mut request = session.charge().await;
            request.consent = Some(holder.phone.sign_consent(&session.consents(&request)));
            let paid = holder.wire.submit(request).await;
            bank.is_untouched(&order).await;
            paid
        }),
        bank.attack("steps a session up with the forgotten phone", REFUSED, async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let challenge = session.step_up().await;
            holder.wire.prove(&challenge.id, holder.has(&challenge, None)).await
        }),
        bank.attack("forgets a device that is forgotten", "DEVICE_NOT_FOUND", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let request = pb::UnbindDeviceRequest {
                session_token: session.token.clone(),
                device_id: holder.phone.id().to_string(),
                session_use: None,
            };
            holder.wire.unbind(request).await
        }),
    ]
}

/// A third device of the customer's.
async fn bound_anew(holder: &Holder, session: &Session<'_>) -> BoundDevice {
    let device = stranger();
    let id = holder.wire.bind(device.bind_in_session(&session.token, "A third one")).await.unwrap();
    device.bound_as(id.parse().unwrap())
}

async fn unbind(holder: &Holder, session: &Session<'_>, device: &DeviceId) -> Result<String, Status> {
    let session_use = session.uses("IssuerAuth/UnbindDevice");
    let (session_token, device_id) = (session.token.clone(), device.to_string());
    holder.wire.unbind(pb::UnbindDeviceRequest { session_token, device_id, session_use }).await
}

fn signed(device: &SoftDevice, bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&device.sign(bytes))
}
