//! What passes the relay and is stopped by the acquirer: refused, or declined by a signed result.

use std::time::{Duration, SystemTime};

use crate::{
    attacks::{Attack, Tried, in_a_word},
    bank::{self, Bank},
    network::sign,
};
use bytes::Bytes;
use mesh::{
    identity::Role,
    sealing::{SealingKey, SealingPublicKey},
};
use prost::Message as _;
use proto::{
    authorization::{Factor, Request, SEALED_CARD_INFO, sealed_card_aad},
    digest::Digest,
    ids::{AuthorizationId, OrderId},
    order::SignedOrder,
    pb,
};
use tonic::Status;

use super::{
    attempt::{Attempt, Counted},
    world::{AURORA, BOREALIS, MIRROR, STERLING, STRANGER, World, card, decision},
};

/// Refusals of the acquirer's, all on one open order that stays as it is.
pub(crate) fn refusals<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let attempt = |name, reason, change: fn(&World, &mut Request, &mut pb::AuthorizeRequest)| {
        Attempt::new(name, reason, Counted::Acquirer, async move {
            let bank = world.bank(AURORA);
            let mut request = world.request(&bank, order);
            let mut message = world.message(&bank, &request);
            change(world, &mut request, &mut message);
            world.send(&world.to_hub(Role::Issuer, AURORA), message).await
        })
    };
    vec![
        attempt(
            "a bank signs in another bank's name, under its own route",
            "ROUTE_MISMATCH",
            |world, request, message| {
                request.issuer = BOREALIS.parse().unwrap();
                message.request = Some(sign(&world.bank(AURORA).signer, &request.to_pb()).to_pb());
            },
        ),
        attempt("a bank signs for another acquirer, under this route", "ROUTE_MISMATCH", |world, request, message| {
            request.acquirer = MIRROR.parse().unwrap();
            message.request = Some(sign(&world.bank(AURORA).signer, &request.to_pb()).to_pb());
        }),
        attempt("a bank routes an amount that differs by one cent", "ROUTE_MISMATCH", |_, _, message| {
            message.route.as_mut().unwrap().amount.as_mut().unwrap().minor_units -= 1;
        }),
        attempt("a bank routes one authorization and signs another", "ROUTE_MISMATCH", |world, request, message| {
            request.id = AuthorizationId::from_random([8; 16]);
            message.request = Some(sign(&world.bank(AURORA).signer, &request.to_pb()).to_pb());
        }),
        attempt("a bank signs with another bank's key", "SIGNATURE_INVALID", |world, request, message| {
            message.request = Some(sign(&world.bank(BOREALIS).signer, &request.to_pb()).to_pb());
        }),
        attempt("a bank signs nothing", "SIGNATURE_INVALID", |_, _, message| {
            message.request.as_mut().unwrap().signature = Bytes::from(vec![0; 64]);
        }),
        attempt("a bank signs for tomorrow", "SIGNED_AT_OUT_OF_RANGE", |world, request, message| {
            request.signed_at = SystemTime::now() + Duration::from_secs(3600);
            message.request = Some(sign(&world.bank(AURORA).signer, &request.to_pb()).to_pb());
        }),
        attempt("a bank sends half a request", "INVALID_FIELD", |_, _, message| {
            message.request.as_mut().unwrap().body.truncate(200);
        }),
    ]
}

/// Declines that the shop hears of and that count, each on this order.
pub(crate) fn declines<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let attempt = |name, reason: &'static str, change: fn(&World, &SignedOrder, &mut Request)| {
        Attempt::new(name, reason, Counted::Answer, async move {
            let bank = world.bank(AURORA);
            let mut request = world.request(&bank, order);
            change(world, order, &mut request);
            world.is_heard(&request.id, reason);
            world.send(&world.to_hub(Role::Issuer, AURORA), world.message(&bank, &request)).await
        })
        .counts_on(order)
    };
    vec![
        attempt("a bank pays with another bank's card", "BIN_NOT_OF_ISSUER", |world, order, request| {
            *request = world.bank(AURORA).request(order, &card(BOREALIS));
        }),
        attempt("a bank pays one cent less", "AMOUNT_MISMATCH", |_, order, request| {
            request.amount = crate::network::twd(order.order.amount.minor_units() - 1);
        }),
        attempt("a bank seals the card for another authorization", "CARD_UNREADABLE", |world, order, request| {
            request.sealed_card = world.bank(AURORA).request(order, &card(AURORA)).sealed_card;
        }),
        attempt("a bank seals a number with a wrong check digit", "CARD_INVALID", |_, order, request| {
            let key = SealingPublicKey::from_bytes(&order.order.sealing_key).unwrap();
            let mut sealed = pb::CardData::decode(card(AURORA).encode().as_slice()).unwrap();
            let last = sealed.pan.pop().and_then(|digit| digit.to_digit(10)).unwrap();
            sealed.pan.push(char::from_digit((last + 1) % 10, 10).unwrap());
            let aad = sealed_card_aad(&order.digest, &request.id);
            request.sealed_card = key.seal(SEALED_CARD_INFO, &aad, &sealed.encode_to_vec()).unwrap().into();
        }),
    ]
}

/// Declines for want of proof, on an order over more than the acquirer lets a bank's word alone pay.
pub(crate) fn unproven<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    const FEW: &str = "AUTHENTICATION_INSUFFICIENT";
    let attempt = |name, factors: &'static [Factor], consent_digest: Option<Digest>| {
        Attempt::new(name, FEW, Counted::Answer, async move {
            let bank = world.bank(AURORA);
            let request = Request { factors: factors.to_vec(), consent_digest, ..world.request(&bank, order) };
            world.is_heard(&request.id, FEW);
            world.send(&world.to_hub(Role::Issuer, AURORA), world.message(&bank, &request)).await
        })
        .counts_on(order)
    };
    let consent = Some(Digest::of(b"a consent"));
    vec![
        attempt("a bank names no factor where two kinds are demanded", &[], consent),
        attempt("a bank names one factor where two kinds are demanded", &[Factor::Possession], consent),
        attempt(
            "a bank names two kinds and no consent where one is demanded",
            &[Factor::Knowledge, Factor::Possession],
            None,
        ),
    ]
}

/// The same order, with what is demanded.
pub(crate) fn proven<'a>(world: &'a World, order: &'a SignedOrder) -> Attack<'a> {
    Attack::control("a bank names two kinds and a consent", "APPROVED", async move {
        let bank = world.bank(AURORA);
        let factors = vec![Factor::Knowledge, Factor::Possession];
        let consent_digest = Some(Digest::of(b"a consent"));
        let request = Request { factors, consent_digest, ..world.request(&bank, order) };
        world.is_heard(&request.id, "APPROVED");
        in_a_word(world.send(&world.to_hub(Role::Issuer, AURORA), world.message(&bank, &request)).await)
    })
}

/// Declines for orders that are none of the acquirer's: no shop hears of them, and nothing is counted.
pub(crate) fn foreign_orders<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let attempt = |name, reason, change: fn(&mut pb::Order)| {
        Attempt::new(name, reason, Counted::Answer, async move {
            let bank = world.bank(AURORA);
            let mut says = pb::Order::decode(order.signed.body.clone()).unwrap();
            change(&mut says);
            let altered = pb::Signed { body: says.encode_to_vec().into(), ..order.signed.to_pb() };
            let request = world.request(&bank, &SignedOrder::parse(altered).unwrap());
            world.send(&world.to_hub(Role::Issuer, AURORA), world.message(&bank, &request)).await
        })
    };
    vec![
        attempt("a bank alters the order's amount", "ORDER_ALTERED", |order| {
            order.amount.as_mut().unwrap().minor_units = 1;
        }),
        attempt("a bank alters the order's expiry", "ORDER_ALTERED", |order| {
            order.expires_at.as_mut().unwrap().seconds += 60;
        }),
        attempt("a bank puts its own sealing key into the order", "ORDER_ALTERED", |order| {
            order.sealing_key = Bytes::copy_from_slice(SealingKey::generate().public().as_bytes());
        }),
        attempt("a bank makes an order up", "ORDER_UNKNOWN", |order| {
            order.order_id = OrderId::from_random([7; 16]).to_string();
        }),
    ]
}

/// Past the platform, straight at the acquirer: whoever calls speaks for itself alone.
pub(crate) fn direct<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let call = move |by: &'static str, bank: Bank| async move {
        let message = world.message(&bank, &world.request(&bank, order));
        world.send(&world.to_harbor(Role::Issuer, by), message).await
    };
    let elsewhere = Counted::Elsewhere;
    vec![
        Attempt::new(
            "a bank calls the acquirer with another bank's request",
            "ISSUER_MISMATCH",
            elsewhere,
            call(AURORA, world.bank(BOREALIS)),
        ),
        Attempt::new(
            "a suspended bank calls the acquirer",
            "MEMBER_SUSPENDED",
            elsewhere,
            call(STERLING, world.bank(STERLING)),
        ),
        Attempt::new(
            "a bank without an entry calls the acquirer",
            "MEMBER_UNKNOWN",
            elsewhere,
            call(STRANGER, world.bank(STRANGER)),
        ),
        Attempt::new("a shop calls the acquirer's authorization", "ROLE_NOT_ALLOWED", elsewhere, async {
            let bank = world.bank(AURORA);
            let message = world.message(&bank, &world.request(&bank, order));
            world.send(&world.to_harbor(Role::Merchant, crate::roles::SHOP), message).await
        }),
    ]
}

/// A payment, and everything that can be done with its messages afterwards: `paid` is its order.
pub(crate) async fn replays(world: &World, paid: &SignedOrder) -> Vec<Tried> {
    let (aurora, borealis) = (world.bank(AURORA), world.bank(BOREALIS));
    let hub = |id| world.to_hub(Role::Issuer, id);
    let request = world.request(&aurora, paid);
    let message = world.message(&aurora, &request);
    let first = bank::authorize(&hub(AURORA), message.clone()).await.unwrap();
    assert_eq!(decision(first.result.as_ref().unwrap()), "APPROVED");
    world.is_heard(&request.id, "APPROVED");

    let question = |bank: &Bank| bank.question(&message, &request);
    let named = |bank: &Bank, id: &str| {
        let request = Request { issuer: id.parse().unwrap(), ..request.clone() };
        let message = world.message(bank, &request);
        bank.question(&message, &request)
    };
    let (mut rerouted, mut asked_of_another) = (message.clone(), question(&aurora));
    rerouted.route.as_mut().unwrap().issuer_id = BOREALIS.into();
    rerouted.route.as_mut().unwrap().ticket = world.ticket(BOREALIS, &paid.digest);
    asked_of_another.route.as_mut().unwrap().issuer_id = BOREALIS.into();
    let mut changed = request.clone();
    changed.factors.clear();
    let attempts = [
        Attempt::new("a bank sends a request again", "APPROVED", Counted::Answer, async {
            let again = bank::authorize(&hub(AURORA), message.clone()).await?;
            assert_eq!(again, first, "the recorded answer, byte for byte");
            Ok::<_, Status>(decision(&again.result.unwrap()))
        }),
        Attempt::new("a bank uses an authorization id again", "AUTHORIZATION_ID_REUSED", Counted::Acquirer, async {
            Ok(decision(&bank::authorize(&hub(AURORA), world.message(&aurora, &changed)).await?.result.unwrap()))
        }),
        Attempt::new("another bank sends the request again", "ISSUER_MISMATCH", Counted::Relay, async {
            Ok(decision(&bank::authorize(&hub(BOREALIS), message.clone()).await?.result.unwrap()))
        }),
        Attempt::new(
            "another bank sends the request under its own route",
            "ROUTE_MISMATCH",
            Counted::Acquirer,
            async { Ok(decision(&bank::authorize(&hub(BOREALIS), rerouted).await?.result.unwrap())) },
        ),
        Attempt::new("another bank pays the paid order", "ORDER_ALREADY_APPROVED", Counted::Answer, async {
            let request = world.request(&borealis, paid);
            world.is_heard(&request.id, "ORDER_ALREADY_APPROVED");
            world.send(&hub(BOREALIS), world.message(&borealis, &request)).await
        }),
        Attempt::new("another bank asks about the request", "ISSUER_MISMATCH", Counted::Relay, async {
            world.ask(&hub(BOREALIS), question(&aurora)).await
        }),
        Attempt::new("another bank asks under its own route", "ROUTE_MISMATCH", Counted::Acquirer, async {
            world.ask(&hub(BOREALIS), asked_of_another).await
        }),
        Attempt::new("another bank signs a question about it itself", "ISSUER_MISMATCH", Counted::Relay, async {
            world.ask(&hub(BOREALIS), question(&borealis)).await
        }),
        // Its own authorization of that id is another one.
        Attempt::new("another bank asks about that id as its own", "NEVER_RECEIVED", Counted::Answer, async {
            world.ask(&hub(BOREALIS), named(&borealis, BOREALIS)).await
        }),
        Attempt::new("the bank itself asks, after all that", "APPROVED", Counted::Answer, async {
            world.ask(&hub(AURORA), question(&aurora)).await
        })
        .honest(),
    ];
    let mut tried = Vec::new();
    for attempt in attempts {
        tried.push(attempt.play(world).await);
    }
    tried
}
