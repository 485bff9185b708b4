//! What the relay reads of a message: the route of a request, the authorization that an answer is for.
//!
//! Everything else is skipped without being looked at and goes on as the bytes that came. The views
//! below collect every occurrence of field 1. Protobuf lets a later occurrence overrule an earlier one,
//! or merge with it, so that two readers who treat repetition differently could be made to see two
//! routes in one message; a message that names its route twice is refused.

use bytes::Bytes;
use prost::Message;
use proto::{authorization::Route, fields::Invalid, ids::AuthorizationId, pb};

/// The outside of an `AuthorizeRequest` or a `ResolveAuthorizationRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    route: Vec<pb::AuthorizationRoute>,
}

/// The outside of an `AuthorizeResponse` or a `ResolveAuthorizationResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    authorization_id: Vec<Bytes>,
}

/// The route of a request.
///
/// # Errors
/// The fields that are wrong, as the sender knows them.
pub(super) fn of_request(message: Bytes) -> Result<Route, Invalid> {
    let Ok(Request { mut route }) = Request::decode(message) else {
        return Err(wrong("must be a message of bankside.v1.Authorization"));
    };
    match (route.pop(), route.is_empty()) {
        (Some(only), true) => Route::parse(only).map_err(|invalid| invalid.under("route")),
        (Some(_), false) => Err(wrong("must stand there once")),
        (None, _) => Err(wrong("is missing")),
    }
}

/// Whether an answer is for this authorization, and says so exactly once.
pub(super) fn is_answer_for(message: Bytes, authorization: &AuthorizationId) -> bool {
    match Answer::decode(message) {
        Ok(answer) => matches!(answer.authorization_id.as_slice(), [only] if only == authorization.as_str()),
        Err(_) => false,
    }
}

fn wrong(what: &str) -> Invalid {
    Invalid::field("route", what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn route() -> pb::AuthorizationRoute {
        pb::AuthorizationRoute {
            issuer_id: "bank-aurora".to_owned(),
            acquirer_id: "acq-harbor".to_owned(),
            authorization_id: AuthorizationId::from_random([7; 16]).to_string(),
            order_digest: Bytes::from_static(&[9; 32]),
            amount: Some(pb::Money { currency_code: "TWD".to_owned(), minor_units: 125_000 }),
            ticket: Bytes::from_static(b"ticket"),
        }
    }

    fn request(route: Option<pb::AuthorizationRoute>) -> Vec<u8> {
        let signed = pb::Signed { body: Bytes::from_static(b"opaque"), ..pb::Signed::default() };
        pb::AuthorizeRequest { route, request: Some(signed) }.encode_to_vec()
    }

    fn violations(message: Vec<u8>) -> Vec<String> {
        of_request(message.into()).unwrap_err().violations.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn reads_the_route_and_nothing_else() {
        let read = of_request(request(Some(route())).into()).unwrap();
        assert_eq!(read.to_pb(), route());
        // A signed part that no reader could make sense of is none of the relay's business.
        let mut strange = pb::AuthorizeRequest { route: Some(route()), request: None }.encode_to_vec();
        strange.extend([0x12, 3, 0xff, 0xff, 0xff]);
        assert_eq!(of_request(strange.into()).unwrap().to_pb(), route());
    }

    #[test]
    fn refuses_a_route_that_is_missing_twice_there_or_malformed() {
        assert_eq!(violations(request(None)), ["route"]);
        let other = pb::AuthorizationRoute { issuer_id: "bank-borealis".to_owned(), ..route() };
        let twice = [request(Some(route())), request(Some(other))].concat();
        // To a reader that merges, this names the second issuer; to one that takes the first, the first.
        assert_eq!(pb::AuthorizeRequest::decode(twice.as_slice()).unwrap().route.unwrap().issuer_id, "bank-borealis");
        assert_eq!(violations(twice), ["route"]);
        assert_eq!(violations(b"\x0a\x7f".to_vec()), ["route"]);
        let cut = pb::AuthorizationRoute { order_digest: Bytes::from_static(&[9; 31]), amount: None, ..route() };
        assert_eq!(violations(request(Some(cut))), ["route.order_digest", "route.amount"]);
    }

    #[test]
    fn an_answer_counts_for_the_one_authorization_that_it_names_once() {
        let asked = AuthorizationId::from_random([7; 16]);
        let other = AuthorizationId::from_random([8; 16]);
        let answer = |id: &AuthorizationId| {
            pb::AuthorizeResponse { authorization_id: id.to_string(), result: Some(pb::Signed::default()) }
                .encode_to_vec()
        };
        assert!(is_answer_for(answer(&asked).into(), &asked));
        assert!(!is_answer_for(answer(&other).into(), &asked));
        assert!(!is_answer_for([answer(&other), answer(&asked)].concat().into(), &asked));
        assert!(!is_answer_for(Bytes::new(), &asked));
        assert!(!is_answer_for(Bytes::from_static(b"\x0a\x7f"), &asked));
        let pending = pb::ResolveAuthorizationResponse { authorization_id: asked.to_string(), outcome: None };
        assert!(is_answer_for(pending.encode_to_vec().into(), &asked));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let asked = AuthorizationId::from_random([7; 16]);
            let _ = of_request(bytes.clone().into());
            let _ = is_answer_for(bytes.into(), &asked);
        }
    }
}
