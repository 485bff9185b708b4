//! Making the authorization request: the one place where card data leaves the vault.

use bytes::Bytes;
use mesh::sealing::SealingPublicKey;
use prost::Message;
use proto::{
    authorization::{Question, Request, Route, SEALED_CARD_INFO, SIGNED_REQUEST_BYTES_MAX, sealed_card_aad},
    confirmation::DeviceConfirmation,
    ids::KeyId,
    signed::{Signed, SignedBody},
};

use super::Charge;
use crate::{
    client::Call,
    context::Context,
    domain::{charge::Sent, result::Asked},
    error::Error,
    records::{self, Damaged},
    vault,
};

/// A request, ready to be stored and then sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) call: Call,
    pub(super) sent: Sent,
    pub(super) record: records::Request,
}

/// Opens the card, seals it to the order's key, and signs the request.
pub(super) async fn prepare(
    ctx: &Context,
    charge: &Charge,
    ticket: Bytes,
    device_confirmation: Option<DeviceConfirmation>,
) -> Result<Prepared, Error> {
    let sealed_card = seal_card(ctx, charge).await?;
    let signed_at = ctx.clock.now();
    let order = charge.order.clone();
    let request = Request {
        id: charge.authorization.clone(),
        issuer: ctx.issuer.clone(),
        acquirer: order.order.acquirer.clone(),
        amount: order.order.amount,
        order,
        sealed_card: sealed_card.into(),
        signed_at,
        factors: charge.factors.clone(),
        consent_digest: charge.consent,
        device_confirmation,
    };
    let signed = sign(ctx, &request.to_pb())?;
    if signed.to_pb().encoded_len() > SIGNED_REQUEST_BYTES_MAX {
        return Err(Error::internal("signing a request", "it is longer than 3 KiB"));
    }
    let route = Route {
        issuer: request.issuer,
        acquirer: request.acquirer,
        authorization: request.id,
        order_digest: charge.order.digest,
        amount: request.amount,
        ticket,
    };
    let sent = Sent { request_digest: signed.digest(), signed_at };
    let call = Call { route, signed };
    let record = records::Request {
        authorization_id: charge.authorization.to_string(),
        bytes: call.to_authorize().encode_to_vec().into(),
    };
    Ok(Prepared { call, sent, record })
}

/// The question about a charge that was sent.
pub(super) fn question(ctx: &Context, asked: &Asked) -> Result<Call, Error> {
    let question = Question {
        authorization: asked.authorization.clone(),
        issuer: asked.issuer.clone(),
        acquirer: asked.acquirer.clone(),
        request_digest: asked.request_digest,
        order_digest: asked.order_digest,
        amount: asked.amount,
        request_signed_at: asked.signed_at,
        signed_at: ctx.clock.now(),
    };
    let route = Route {
        issuer: question.issuer.clone(),
        acquirer: question.acquirer.clone(),
        authorization: question.authorization.clone(),
        order_digest: question.order_digest,
        amount: question.amount,
        ticket: Bytes::new(),
    };
    Ok(Call { route, signed: sign(ctx, &question.to_pb())? })
}

async fn seal_card(ctx: &Context, charge: &Charge) -> Result<Vec<u8>, Error> {
    let key = records::Card::at(&charge.card);
    let stored = ctx.repository.load(&key).await?.ok_or(Damaged { kind: "card", field: "record" })?;
    let opened = vault::open_card(&ctx.keys.vault, &charge.customer, &charge.card, &stored.value.sealed_data);
    let mut card = opened.map_err(|error| Error::internal("opening a card", error))?;
    card.cvv = ctx.verification.value(&card).await.map_err(|error| Error::internal("making a CVV", error))?;
    let aad = sealed_card_aad(&charge.order.digest, &charge.authorization);
    SealingPublicKey::from_bytes(&charge.order.order.sealing_key)
        .and_then(|key| key.seal(SEALED_CARD_INFO, &aad, &card.encode()))
        .map_err(|error| Error::internal("sealing a card", error))
}

/// Serialises once and signs exactly these bytes.
fn sign<M: SignedBody>(ctx: &Context, message: &M) -> Result<Signed, Error> {
    let body = message.encode_to_vec();
    let signature = ctx.keys.signer.sign(M::NAME, &body);
    let key_id = ctx.keys.signer.key_id().to_string().parse::<KeyId>();
    Ok(Signed {
        body: body.into(),
        key_id: key_id.map_err(|error| Error::internal("naming the signing key", error))?,
        signature,
    })
}
