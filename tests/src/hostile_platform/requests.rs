//! Attacks on what goes to the acquirer: every field of the route and of the signed request, the order and
//! the sealed card in it, and the signature.

use crate::network::sign;
use bytes::Bytes;
use mesh::sealing::SealingPublicKey;
use prost::Message as _;
use proto::{
    authorization::SEALED_CARD_INFO,
    pb::{self, AuthenticationFactor},
};

use super::{
    case::{Case, Play::Asks},
    loot::Loot,
    messages::{Asked, Rpc},
    world::{AURORA, BOREALIS},
};

/// Every attack on what goes to the acquirer.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(route());
    cases.extend(inside());
    cases.extend(order());
    cases.extend(signature());
    cases
}

/// The route must agree with what is signed; the ticket is the platform's own.
fn route() -> [Case; 6] {
    let stops = |name, play| Case::stops(name, Asks(play), "ROUTE_MISMATCH");
    [
        stops("alters route.issuer_id", |_, asked| asked.route.issuer_id = BOREALIS.into()),
        stops("alters route.acquirer_id", |_, asked| asked.route.acquirer_id = "acquirer-two".into()),
        stops("alters route.authorization_id", |_, asked| asked.route.authorization_id = other_id()),
        stops("alters route.order_digest", |_, asked| asked.route.order_digest = vec![7; 32].into()),
        stops("alters route.amount", |_, asked| asked.route.amount.as_mut().unwrap().minor_units -= 1),
        Case::is_harmless("alters route.ticket", Asks(|_, asked| asked.route.ticket = Bytes::new())),
    ]
}

/// Whatever is inside is signed by the issuer. The route is made to agree each time.
fn inside() -> [Case; 11] {
    let stops = |name, play| Case::stops(name, Asks(play), "SIGNATURE_INVALID");
    [
        stops("alters request.authorization_id", |_, asked| {
            asked.change(|inside| inside.authorization_id = other_id())
        }),
        stops("alters request.issuer_id", |_, asked| asked.change(|inside| inside.issuer_id = BOREALIS.into())),
        Case::stops(
            "alters request.acquirer_id",
            Asks(|_, asked| asked.change(|inside| inside.acquirer_id = "acquirer-two".into())),
            "ACQUIRER_MISMATCH",
        ),
        stops("raises request.amount", |_, asked| {
            asked.change(|inside| inside.amount.as_mut().unwrap().minor_units += 1)
        }),
        stops("lowers request.amount", |_, asked| {
            asked.change(|inside| inside.amount.as_mut().unwrap().minor_units -= 1)
        }),
        stops("alters request.amount's currency", |_, asked| {
            asked.change(|inside| inside.amount.as_mut().unwrap().currency_code = "USD".into());
        }),
        stops("alters request.sealed_card", |_, asked| {
            asked.change(|inside| inside.sealed_card = flipped(&inside.sealed_card));
        }),
        stops("puts another request's sealed card in", |loot, asked| {
            let other = loot.old_request.get().unwrap().request().sealed_card;
            asked.change(|inside| inside.sealed_card = other);
        }),
        stops("alters request.signed_at", |_, asked| {
            asked.change(|inside| inside.signed_at.as_mut().unwrap().seconds -= 1);
        }),
        stops("alters request.factors", |_, asked| {
            asked.change(|inside| inside.factors.push(AuthenticationFactor::Passkey.into()));
        }),
        stops("adds request.consent_digest", |_, asked| {
            asked.change(|inside| inside.consent_digest = vec![1; 32].into());
        }),
    ]
}

/// The order stands inside the signed request.
fn order() -> [Case; 7] {
    let stops = |name, play| Case::stops(name, Asks(play), "SIGNATURE_INVALID");
    [
        stops("alters order.amount", |_, asked| {
            change_order(asked, |order| order.amount.as_mut().unwrap().minor_units -= 1);
        }),
        stops("alters order.merchant", |_, asked| {
            change_order(asked, |order| order.merchant.as_mut().unwrap().display_name = "Another Shop".into());
        }),
        stops("alters order.expires_at", |_, asked| {
            change_order(asked, |order| order.expires_at.as_mut().unwrap().seconds += 60);
        }),
        stops("alters the order's signature", |_, asked| {
            asked.change(|inside| {
                let order = inside.order.as_mut().unwrap();
                order.signature = flipped(&order.signature);
            });
        }),
        stops("puts another order in", |loot, asked| {
            let other = loot.old_request.get().unwrap().request().order;
            asked.change(|inside| inside.order = other);
        }),
        stops("swaps the order's sealing key for its own", swap_sealing_key),
        stops("swaps the sealing key, and signs order and request itself", |loot, asked| {
            swap_sealing_key(loot, asked);
            asked.sign_by(&loot.platform);
        }),
    ]
}

/// Nobody but the issuer makes its signature, and nothing is cut off.
fn signature() -> [Case; 8] {
    let stops = |name, play| Case::stops(name, Asks(play), "SIGNATURE_INVALID");
    let malformed = |name, play| Case::stops(name, Asks(play), "INVALID_FIELD");
    [
        stops("alters the signature", |_, asked| asked.signed.signature = flipped(&asked.signed.signature)),
        stops("names its own key", |loot, asked| asked.signed.key_id = loot.platform.key_id().to_string()),
        stops("signs the request with its own key", |loot, asked| asked.sign_by(&loot.platform)),
        stops("signs the request as the issuer, under its own authority", |loot, asked| {
            asked.sign_by(&loot.issuer_impostor);
        }),
        stops("signs a request for a card of its own", |loot, asked| {
            asked.change(|inside| inside.sealed_card = own_card(inside));
            asked.sign_by(&loot.issuer_impostor);
        }),
        malformed("cuts the request short", |_, asked| {
            let half = asked.signed.body.len() / 2;
            asked.signed.body.truncate(half);
        }),
        malformed("cuts the signature short", |_, asked| asked.signed.signature.truncate(63)),
        Case::stops(
            "sends an old request in the place of a new one",
            Asks(|loot, asked| {
                if asked.rpc == Rpc::Authorize {
                    *asked = loot.old_request.get().unwrap().clone();
                } else {
                    asked.change(|_| {});
                }
            }),
            // The recorded result of the old one, which answers nothing new.
            "APPROVED",
        ),
    ]
}

fn change_order(asked: &mut Asked, change: impl FnOnce(&mut pb::Order)) {
    asked.change(|inside| {
        let signed = inside.order.as_mut().unwrap();
        let mut order = pb::Order::decode(signed.body.clone()).unwrap();
        change(&mut order);
        signed.body = order.encode_to_vec().into();
    });
}

fn swap_sealing_key(loot: &Loot, asked: &mut Asked) {
    let key = Bytes::copy_from_slice(loot.sealing.public().as_bytes());
    asked.change(|inside| {
        let signed = inside.order.as_mut().unwrap();
        let mut order = pb::Order::decode(signed.body.clone()).unwrap();
        order.sealing_key = key;
        *signed = sign(&loot.platform, &order).to_pb();
    });
}

/// The platform's own customer's card at the same bank, well sealed.
fn own_card(inside: &pb::AuthorizationRequest) -> Bytes {
    let order = inside.order.as_ref().unwrap();
    let key = pb::Order::decode(order.body.clone()).unwrap().sealing_key;
    let digest = proto::digest::Digest::of(&order.body);
    let aad = proto::authorization::sealed_card_aad(&digest, &inside.authorization_id.parse().unwrap());
    let card = crate::customers::Customer { number: 999, bin: 40_000_000 }.card(crate::customers::Card::Good);
    assert_eq!(inside.issuer_id, AURORA);
    SealingPublicKey::from_bytes(&key).unwrap().seal(SEALED_CARD_INFO, &aad, &card.encode()).unwrap().into()
}

fn other_id() -> String {
    proto::ids::AuthorizationId::from_random([9; 16]).to_string()
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let last = bytes.last_mut().unwrap();
    *last ^= 1;
    bytes.into()
}
