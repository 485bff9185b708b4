//! What the platform can read: everything that came by is searched for card data, and every sealed card is
//! tried with every key that the platform has.

use crate::customers::{Card, Customer};
use mesh::sealing::SealingKey;
use prost::Message as _;
use proto::{
    authorization::{SEALED_CARD_INFO, sealed_card_aad},
    digest::Digest,
    pb,
};

use super::world::{CUSTOMERS, Issuer, World};

/// Panics where the platform has seen something that it could pay with, or sign in with.
pub(crate) fn check_that_nothing_was_learned(world: &World) {
    let seen = world.hostile().seen();
    let secrets = secrets(&[&world.aurora, &world.borealis]);
    assert!(seen.len() > 300 && secrets.len() > 50, "{} messages, {} secrets", seen.len(), secrets.len());
    for message in &seen {
        for (name, secret) in &secrets {
            assert!(!contains(message, secret), "the platform has seen the {name}");
        }
    }
    // The search finds what is there.
    assert!(seen.iter().any(|message| contains(message, world.aurora.id.as_bytes())));

    let requests = requests(&seen);
    assert!(requests.len() > 80, "{} sealed cards came by", requests.len());
    let keys = keys(world);
    for request in &requests {
        assert!(keys.iter().all(|key| !opens(key, request)), "the platform has opened a card");
    }
    // The keys open what was sealed to them.
    let (key, mut own) = (&keys[0], requests[0].clone());
    let sealed = key.public().seal(SEALED_CARD_INFO, &aad(&own), b"a card").unwrap();
    own.sealed_card = sealed.into();
    assert!(opens(key, &own));
}

/// What must never be seen, with a name for it: numbers in each form in which they travel or are kept, whole
/// cards as they are sealed, and what customers sign in with.
fn secrets(issuers: &[&Issuer]) -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets = Vec::new();
    let people = issuers.iter().flat_map(|issuer| (0..CUSTOMERS).map(|number| issuer.customer(number)));
    for customer in people {
        for kind in Card::ALL {
            let card = customer.card(kind);
            let pan = card.pan.expose();
            secrets.push(("card", card.encode().to_vec()));
            secrets.push(("PAN", pan.as_bytes().to_vec()));
            secrets.push(("PAN in packed decimals", packed(pan)));
            secrets.push(("PAN as a number", pan.parse::<u64>().unwrap().to_be_bytes()[1..].to_vec()));
            secrets.push(("account's part of the PAN", pan.as_bytes()[8..].to_vec()));
        }
        secrets.push(("national id", customer.national_id().into_bytes()));
        secrets.push(("user code", customer.user_code().into_bytes()));
        secrets.push(("password", customer.password().into_bytes()));
        secrets.push(("account", account(&customer)));
    }
    secrets
}

fn account(customer: &Customer) -> Vec<u8> {
    customer.account().into_bytes()
}

/// Two digits in each byte.
fn packed(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| (pair[0] - b'0') << 4 | (pair[1] - b'0')).collect()
}

fn contains(message: &[u8], secret: &[u8]) -> bool {
    message.windows(secret.len()).any(|window| window == secret)
}

/// The requests among everything that came by.
fn requests(seen: &[bytes::Bytes]) -> Vec<pb::AuthorizationRequest> {
    let inside = |message: &bytes::Bytes| {
        let body = pb::AuthorizeRequest::decode(message.clone()).ok()?.request?.body;
        pb::AuthorizationRequest::decode(body).ok().filter(|request| !request.sealed_card.is_empty())
    };
    seen.iter().filter_map(inside).collect()
}

/// Every key that the platform has, used as a sealing key, and the obvious guesses.
fn keys(world: &World) -> Vec<SealingKey> {
    let own = SealingKey::from_bytes(world.hostile().loot().sealing.to_bytes().as_slice()).unwrap();
    let pem = std::fs::read(world.network.path(format!("platform-{}/signing.key", crate::roles::PLATFORM))).unwrap();
    let text: String = String::from_utf8(pem).unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    // An Ed25519 key in PKCS #8 ends with its 32 secret bytes, or holds them before its public key.
    let der = base64(&text);
    let windows = der.windows(32).filter_map(|window| SealingKey::from_bytes(window).ok());
    let guesses = [[0; 32], [1; 32]].into_iter().filter_map(|guess| SealingKey::from_bytes(&guess).ok());
    let ticket = SealingKey::from_bytes(&crate::roles::TICKET_SECRET).ok();
    [own].into_iter().chain(windows).chain(guesses).chain(ticket).collect()
}

fn opens(key: &SealingKey, request: &pb::AuthorizationRequest) -> bool {
    key.open(SEALED_CARD_INFO, &aad(request), &request.sealed_card).is_ok()
}

fn aad(request: &pb::AuthorizationRequest) -> Vec<u8> {
    let digest = Digest::of(&request.order.as_ref().unwrap().body);
    sealed_card_aad(&digest, &request.authorization_id.parse().unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.bytes().filter_map(|byte| ALPHABET.iter().position(|letter| *letter == byte));
    let mut bytes = Vec::new();
    let (mut held, mut count) = (0_u32, 0);
    for sextet in bits {
        held = held << 6 | u32::try_from(sextet).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(held >> count & 0xff).unwrap());
        }
    }
    bytes
}
