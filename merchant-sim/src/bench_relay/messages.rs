//! The one request and the one answer that travel, of the size that real ones have.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use platform::ticket::{TicketKey, TicketKeys};
use prost::Message;
use proto::digest::Digest;
use proto::ids::AuthorizationId;
use proto::pb;

use super::members::{ACQUIRER, ISSUER, TICKET_KEY, TICKET_KEY_NUMBER};

/// The body of a signed authorization request: a signed order of 600 bytes, the sealed card, ids and digests.
const REQUEST_BODY_BYTES: usize = 950;
/// The body of a signed result: ids, digests, amount, decision and time.
const RESULT_BODY_BYTES: usize = 230;

/// A request that every check of the relay passes, framed. The relay doesn't look into its signed part,
/// so that is filler.
///
/// # Errors
/// The issuer's id is none.
pub(super) fn request() -> Result<Bytes> {
    let order = Digest::of(b"the order of the benchmark");
    let bank = ISSUER.parse().context("no issuer's id")?;
    let keys = TicketKeys::new(TicketKey::new(TICKET_KEY_NUMBER, &TICKET_KEY), None);
    let day = Duration::from_secs(24 * 3_600);
    let route = pb::AuthorizationRoute {
        issuer_id: ISSUER.to_owned(),
        acquirer_id: ACQUIRER.to_owned(),
        authorization_id: authorization(),
        order_digest: order.to_bytes(),
        amount: Some(pb::Money { currency_code: "TWD".to_owned(), minor_units: 125_000 }),
        ticket: keys.issue(&bank, &order, SystemTime::now() + day),
    };
    Ok(framed(&pb::AuthorizeRequest { route: Some(route), request: Some(signed(REQUEST_BODY_BYTES)) }))
}

/// Its answer, framed.
pub(super) fn answer() -> Bytes {
    framed(&pb::AuthorizeResponse { authorization_id: authorization(), result: Some(signed(RESULT_BODY_BYTES)) })
}

fn authorization() -> String {
    AuthorizationId::from_random([42; 16]).to_string()
}

fn signed(body_bytes: usize) -> pb::Signed {
    // Bytes that no compression and no encoding could make short.
    let filler: Vec<u8> = (0..body_bytes).map(|i| (i * 167 % 251) as u8).collect();
    pb::Signed { body: filler.into(), key_id: "0f".repeat(16), signature: vec![0xa5; 64].into() }
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.encoded_len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_messages_have_the_size_of_real_ones() {
        assert!((1_200..1_600).contains(&request().unwrap().len()), "{}", request().unwrap().len());
        assert!((350..500).contains(&answer().len()), "{}", answer().len());
    }
}
