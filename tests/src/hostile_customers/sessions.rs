//! Tokens that are somebody else's, at a bank that binds sessions to devices.

use std::time::{Duration, SystemTime};

use merchant_sim::device::authenticators::{BoundDevice, SoftDevice};
use proto::{authorization::Factor, device::SessionUse, digest::Digest, ids::DeviceId, pb};
use tonic::Status;

use super::{holder::Session, world::Bank};
use crate::attacks::Attack;

const INVALID: &str = "SESSION_INVALID";
const LIST: &str = "bankside.v1.CardSelection/ListCardOptions";

/// All of them.
pub(crate) fn attacks(bank: &Bank) -> Vec<Attack<'_>> {
    let mut attacks = uses(bank);
    attacks.extend(signers(bank));
    attacks.extend(calls(bank));
    attacks.extend(stepped_up(bank));
    attacks.extend(ended(bank));
    attacks
}

/// Lists the cards in a session that the first customer's phone proved, with this word for it.
fn lists<'a>(
    bank: &'a Bank,
    what: &'static str,
    session_use: impl FnOnce(&Session<'_>) -> Option<pb::Signed> + Send + 'a,
) -> Attack<'a> {
    bank.attack(what, INVALID, async move {
        let session = bank.holders[0].strong(None).await;
        let session_use = session_use(&session);
        let request = pb::ListCardOptionsRequest { session_token: session.token.clone(), session_use };
        session.holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
    })
}

fn uses(bank: &Bank) -> Vec<Attack<'_>> {
    let phone = &bank.holders[0].phone;
    let at = move |session: &Session<'_>, rpc: &str, signed_at| Some(phone.session_use(&session.token, rpc, signed_at));
    let seconds = Duration::from_secs;
    vec![
        bank.control("a session is used by the phone that proved it", "2 cards", async {
            let session = bank.holders[0].strong(None).await;
            Ok(format!("{} cards", session.options().await.len()))
        }),
        lists(bank, "uses a phone's session without the phone", |_| None),
        lists(bank, "uses a session with the phone's word for another call", move |session| {
            at(session, "bankside.v1.CardSelection/GetCharge", SystemTime::now())
        }),
        lists(bank, "uses a session with the phone's word for no call", move |session| {
            at(session, "", SystemTime::now())
        }),
        lists(bank, "uses a session with the phone's word of two minutes ago", move |session| {
            at(session, LIST, SystemTime::now() - seconds(120))
        }),
        lists(bank, "uses a session with the phone's word of two minutes ahead", move |session| {
            at(session, LIST, SystemTime::now() + seconds(120))
        }),
        lists(bank, "uses a session with the phone's word for another session", move |_| {
            Some(phone.session_use(&[7; 32], LIST, SystemTime::now()))
        }),
        lists(bank, "uses a session with the phone's word over the token itself", move |session| {
            let digest = Digest::of(Digest::of(&session.token).as_bytes());
            let says = SessionUse { session_digest: digest, rpc: LIST.into(), signed_at: SystemTime::now() };
            Some(phone.sign_body(&says.to_pb()))
        }),
        lists(bank, "uses a session with the phone's word, altered", move |session| {
            let mut signed = phone.session_use(&session.token, LIST, SystemTime::now());
            let mut signature = signed.signature.to_vec();
            signature[0] ^= 1;
            signed.signature = signature.into();
            Some(signed)
        }),
        lists(bank, "uses a session with an empty word", move |_| Some(phone.sign_body(&pb::SessionUse::default()))),
    ]
}

fn signers(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, other] = [&bank.holders[0], &bank.holders[1]];
    let by =
        |device: &BoundDevice, session: &Session<'_>| Some(device.session_use(&session.token, LIST, SystemTime::now()));
    let stranger = || SoftDevice::generate().unwrap();
    vec![
        lists(bank, "uses a phone's session by the customer's other device", move |session| {
            by(&holder.tablet, session)
        }),
        lists(bank, "uses a phone's session by another customer's device", move |session| by(&other.phone, session)),
        lists(bank, "uses a phone's session by a device that nobody has bound", move |session| {
            by(&stranger().bound_as(DeviceId::from_random([7; 16])), session)
        }),
        lists(bank, "uses a phone's session by a strange key under the phone's id", move |session| {
            by(&stranger().bound_as(holder.phone.id().clone()), session)
        }),
        lists(bank, "uses a phone's session by the other device under the phone's id", move |session| {
            let key = SoftDevice::from_seed(holder.tablet.key().seed()).unwrap();
            by(&key.bound_as(holder.phone.id().clone()), session)
        }),
    ]
}

/// Every call asks for the device.
fn calls(bank: &Bank) -> Vec<Attack<'_>> {
    let calls = [
        Call::Pay,
        Call::Look,
        Call::Follow,
        Call::StepUp,
        Call::Bind,
        Call::Unbind,
        Call::Enrol,
        Call::Register,
        Call::Remove,
        Call::List,
    ];
    let attack = |call: Call| {
        bank.attack(format!("without the phone that proved the session: {call:?}"), INVALID, async move {
            let order = bank.order().await;
            let session = bank.holders[0].strong(Some(&order)).await;
            let done = call.make(&session).await;
            bank.is_untouched(&order).await;
            done
        })
    };
    calls.into_iter().map(attack).collect()
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Pay,
    Look,
    Follow,
    StepUp,
    Bind,
    Unbind,
    Enrol,
    Register,
    Remove,
    List,
}

impl Call {
    /// Makes the call in a session, right in everything but the device's word.
    async fn make(self, session: &Session<'_>) -> Result<String, Status> {
        let holder = session.holder;
        let (wire, session_token) = (&holder.wire, session.token.clone());
        let charge_id = || proto::ids::ChargeId::from_random([7; 16]).to_string();
        match self {
            Self::Pay => wire.submit(pb::SubmitChargeRequest { session_use: None, ..session.charge().await }).await,
            Self::Look => {
                let request = pb::GetChargeRequest { session_token, charge_id: charge_id(), session_use: None };
                wire.look(request).await.map(|charge| format!("{charge:?}"))
            }
            Self::Follow => {
                wire.watch(pb::WatchChargeRequest { session_token, charge_id: charge_id(), session_use: None }).await
            }
            Self::StepUp => {
                let request = pb::StartAuthenticationRequest { session_token, ..Default::default() };
                wire.start(request).await.map(|_| "a challenge".into())
            }
            Self::Bind => wire.bind(SoftDevice::generate().unwrap().bind_in_session(&session_token, "x")).await,
            Self::Unbind => {
                let device_id = holder.tablet.id().to_string();
                wire.unbind(pb::UnbindDeviceRequest { session_token, device_id, session_use: None }).await
            }
            Self::Enrol => {
                let challenge = session.step_up().await;
                let features = holder.measure();
                wire.enroll(holder.phone.enroll(&session_token, &challenge.id, &challenge.bytes, &features)).await
            }
            Self::Register => {
                let challenge = session.step_up().await;
                let ceremony = holder.passkey.lock().unwrap().creation(&challenge.bytes);
                let request = holder.registration(session, &challenge, &ceremony);
                wire.register(pb::RegisterPasskeyRequest { session_use: None, ..request }).await
            }
            Self::Remove => {
                let credential_id = holder.passkey.lock().unwrap().credential_id().clone();
                wire.remove(pb::RemovePasskeyRequest { session_token, credential_id, session_use: None }).await
            }
            Self::List => {
                let request = pb::ListCredentialsRequest { session_token, session_use: None };
                wire.credentials(request).await.map(|listed| format!("{listed:?}"))
            }
        }
    }
}

/// A session is its customer's and, once a device has proved itself, that device's.
fn stepped_up(bank: &Bank) -> Vec<Attack<'_>> {
    let [holder, thief] = [&bank.holders[0], &bank.holders[1]];
    vec![
        bank.attack("steps up another customer's session with one's own passkey", "IDENTITY_NOT_VERIFIED", async {
            // Without a device's proof the token alone is enough to begin.
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let challenge = session.step_up().await;
            thief.wire.prove(&challenge.id, thief.shows_passkey(&challenge)).await
        }),
        bank.attack("steps up another customer's session with one's own device", "IDENTITY_NOT_VERIFIED", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let challenge = session.step_up().await;
            thief.wire.prove(&challenge.id, thief.has(&challenge, None)).await
        }),
        bank.attack("steps up another customer's session with one's own password", "IDENTITY_NOT_VERIFIED", async {
            let session = holder.sign_in(None, &[Factor::Passkey]).await;
            let challenge = session.step_up().await;
            thief.wire.prove(&challenge.id, thief.knows()).await
        }),
        bank.attack("brings the customer's other device into a phone's session", "IDENTITY_NOT_VERIFIED", async {
            let session = holder.strong(None).await;
            let challenge = session.step_up().await;
            let proof = holder.tablet.possession(&challenge.bytes, None);
            holder.wire.prove(&challenge.id, pb::verify_identity_request::Proof::Possession(proof)).await
        }),
        bank.attack("uses a stepped-up session without the phone that stepped it up", INVALID, async {
            let session = holder.sign_in(None, &[Factor::Passkey, Factor::Possession]).await;
            let request = pb::ListCardOptionsRequest { session_token: session.token.clone(), session_use: None };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
    ]
}

fn ended(bank: &Bank) -> Vec<Attack<'_>> {
    let holder = &bank.holders[0];
    vec![
        bank.attack("uses a session that its customer has ended", INVALID, async {
            let session = holder.strong(None).await;
            holder.wire.end(session.token.clone()).await;
            let request = pb::ListCardOptionsRequest {
                session_token: session.token.clone(),
                session_use: session.uses("CardSelection/ListCardOptions"),
            };
            holder.wire.options(request).await.map(|options| format!("{} cards", options.len()))
        }),
        bank.attack("steps up a session that its customer has ended", INVALID, async {
            let session = holder.strong(None).await;
            holder.wire.end(session.token.clone()).await;
            let request = pb::StartAuthenticationRequest {
                session_token: session.token.clone(),
                session_use: session.uses("IssuerAuth/StartAuthentication"),
                ..Default::default()
            };
            holder.wire.start(request).await.map(|_| "a challenge".into())
        }),
        bank.attack("answers the challenge of a session that has ended meanwhile", INVALID, async {
            let session = holder.strong(None).await;
            let challenge = session.step_up().await;
            holder.wire.end(session.token.clone()).await;
            holder.wire.prove(&challenge.id, holder.shows_passkey(&challenge)).await
        }),
    ]
}
