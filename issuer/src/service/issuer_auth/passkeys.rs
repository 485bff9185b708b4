//! `IssuerAuth`: passkeys.

use std::net::IpAddr;

use bytes::Bytes;
use proto::{fields::Invalid, pb, time};

use crate::{
    auth::{self, NewPasskey, SessionCall, SignedIn},
    context::Context,
    error::Error,
    records::{self, time_of},
    webauthn::CREDENTIAL_ID_BYTES_MAX,
};

/// The relying party id; empty where passkeys are not offered.
pub(super) fn relying_party_id(ctx: &Context) -> String {
    auth::relying_party_id(ctx).unwrap_or_default().to_owned()
}

/// What a new passkey is registered for; empty where passkeys are not offered.
pub(super) fn user_handle(ctx: &Context, session: &SignedIn) -> Bytes {
    match auth::relying_party_id(ctx) {
        Some(_) => auth::passkey_user_handle(ctx, session),
        None => Bytes::new(),
    }
}

pub(super) async fn register(
    ctx: &Context,
    request: pb::RegisterPasskeyRequest,
    origin: IpAddr,
) -> Result<pb::RegisterPasskeyResponse, Error> {
    let call = SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/RegisterPasskey").by(origin);
    let session = auth::session(ctx, call).await?;
    let new = NewPasskey::parse(
        &request.challenge_id,
        &request.display_name,
        request.client_data_json,
        request.attestation_object,
    )?;
    Ok(pb::RegisterPasskeyResponse { credential_id: auth::register_passkey(ctx, &session, new, Some(origin)).await? })
}

pub(super) async fn remove(
    ctx: &Context,
    request: pb::RemovePasskeyRequest,
    origin: IpAddr,
) -> Result<pb::RemovePasskeyResponse, Error> {
    let call = SessionCall::new(&request.session_token, request.session_use, "IssuerAuth/RemovePasskey").by(origin);
    let session = auth::session(ctx, call).await?;
    if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&request.credential_id.len()) {
        return Err(Invalid::field("credential_id", "must be 1 to 1023 bytes").into());
    }
    auth::remove_passkey(ctx, &session, &request.credential_id, Some(origin)).await?;
    Ok(pb::RemovePasskeyResponse {})
}

pub(super) async fn list(ctx: &Context, session: &SignedIn) -> Result<Vec<pb::Passkey>, Error> {
    Ok(auth::list_passkeys(ctx, session).await?.into_iter().map(to_pb).collect())
}

fn to_pb(passkey: records::Passkey) -> pb::Passkey {
    let at = |millis| time::to_pb(time_of(millis));
    pb::Passkey {
        credential_id: passkey.credential_id,
        display_name: passkey.display_name,
        registered_at: Some(at(passkey.registered_at_ms)),
        used_at: (passkey.used_at_ms != 0).then(|| at(passkey.used_at_ms)),
    }
}
