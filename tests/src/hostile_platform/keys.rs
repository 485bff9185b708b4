//! Attacks on keys: a directory with keys of the platform's own or with old ones, a directory with members
//! left out, and orders whose sealing key is the platform's.

use std::sync::Arc;

use crate::{
    attacks::Attack,
    customers::Card,
    network::{certificate, impostor, sign},
};
use bytes::Bytes;
use mesh::{signing::Signer, status::reason_of};
use prost::Message as _;
use proto::{
    directory::Entry,
    pb::{self, watch_banks_response::Update},
};

use super::{
    case::{
        Case,
        Play::{Answers, Asks, Invents},
    },
    loot::Loot,
    messages::Answered,
    server::Honest,
    world::{AURORA, FOLLOWERS, PRICE, World, ticket},
};

/// The customer of the first bank's whom these stories are about.
const CUSTOMER: u32 = 5;

/// Plays them all.
pub(crate) fn stories(world: &World) -> Vec<Attack<'_>> {
    let book = world.hostile().book();
    let heads = heads(world).into_iter().map(|(name, head)| (head, Case::is_harmless(name, Answers(|_, _, _| {}))));
    let published = directories(world)
        .into_iter()
        .chain(heads)
        .map(|(update, case)| case.attack_after(world, CUSTOMER, book.push_and_see_it_refused(update, FOLLOWERS)));
    published.chain(orders(world)).collect()
}

/// Entries that put another key in the place of a member's, and then a message under that key.
fn directories(world: &World) -> Vec<(Update, Case)> {
    let loot = world.hostile().loot();
    let [acquirer, former] = &world.entries;
    let operator = world.network.operator();
    let issuer = world.network.issuer_entry(AURORA, "127.0.0.1:1".parse().unwrap(), &[(40_000_000, 40_000_099)]);
    let own_operator = impostor(mesh::identity::Role::Operator, crate::network::OPERATOR);
    let approval = |name, play| Case::stops(name, Invents(play), "nothing");
    let altered = {
        let mut entry = world.network.signed_entry(acquirer);
        entry.body = with(acquirer, &loot.platform).to_pb().encode_to_vec().into();
        changed(entry, operator)
    };
    vec![
        (
            changed(signed(&with(acquirer, &loot.platform), &loot.platform), &loot.platform),
            approval("publishes an entry with its key that it signed itself", |loot, asked| {
                Ok(Answered::with(asked, Loot::made_up(asked, &loot.platform, pb::Decision::Approved)))
            }),
        ),
        (
            changed(signed(&with(acquirer, &loot.impostor), &own_operator), &own_operator),
            approval("publishes an entry with its key under its own operator", |loot, asked| {
                Ok(Answered::with(asked, Loot::made_up(asked, &loot.impostor, pb::Decision::Approved)))
            }),
        ),
        (
            altered,
            approval("publishes the operator's entry with its key put in", |loot, asked| {
                Ok(Answered::with(asked, Loot::made_up(asked, &loot.platform, pb::Decision::Approved)))
            }),
        ),
        (
            changed(signed(former, operator), operator),
            approval("publishes the acquirer's former entry with the retired key", |loot, asked| {
                Ok(Answered::with(asked, Loot::made_up(asked, &loot.retired, pb::Decision::Approved)))
            }),
        ),
        (
            changed(signed(&with(&issuer, &loot.issuer_impostor), &own_operator), &own_operator),
            Case::stops(
                "publishes an issuer's entry with its key, and signs for the issuer",
                Asks(|loot, asked| {
                    asked.change(|inside| inside.factors.clear());
                    asked.sign_by(&loot.issuer_impostor);
                }),
                "SIGNATURE_INVALID",
            ),
        ),
    ]
}

/// Heads that don't fit the directory, or the time. Whoever refuses them works on with the former copy.
fn heads(world: &World) -> Vec<(&'static str, Update)> {
    let book = world.hostile().book();
    let seconds = |head: &mut pb::DirectoryHead, by: i64| head.signed_at.as_mut().unwrap().seconds += by;
    let forged = {
        let Update::Head(mut head) = book.head(|_| {}) else { panic!("a head") };
        let signer = impostor(mesh::identity::Role::Platform, crate::roles::PLATFORM);
        let says = pb::DirectoryHead::decode(head.head.unwrap().body).unwrap();
        head.head = Some(sign(&signer, &says).to_pb());
        head.platform_certificate = certificate(&signer);
        Update::Head(head)
    };
    vec![
        (
            "publishes a head that leaves a member out",
            book.head(|head| {
                head.entry_count -= 1;
                head.entries_digest = vec![7; 32].into();
            }),
        ),
        ("publishes a head of an older version", book.head(|head| head.directory_version -= 1)),
        ("publishes a head signed an hour ago", book.head(|head| seconds(head, -3600))),
        ("publishes a head signed in the future", book.head(|head| seconds(head, 3600))),
        ("publishes a head under its own authority", forged),
    ]
}

/// The platform hands the order to the bank's app. One that its acquirer didn't sign opens no sign-in, holds
/// nothing, and gets no card sealed.
fn orders(world: &World) -> Vec<Attack<'_>> {
    let loot = world.hostile().loot();
    let own_key = |order: &mut pb::Order| order.sealing_key = Bytes::copy_from_slice(loot.sealing.public().as_bytes());
    let cheaper = |order: &mut pb::Order| order.amount.as_mut().unwrap().minor_units -= 1;
    let other_shop = |order: &mut pb::Order| order.merchant.as_mut().unwrap().domain = "other.example".into();
    let name = |how: &str| format!("hands out an order {how}");
    vec![
        hand_out(world, name("with its sealing key"), None, own_key),
        hand_out(world, name("with its sealing key that it signed"), Some(&loot.platform), own_key),
        hand_out(world, name("with its sealing key, under its own authority"), Some(&loot.impostor), own_key),
        hand_out(world, name("with its sealing key, signed with a retired key"), Some(&loot.retired), own_key),
        hand_out(world, name("over another amount"), None, cheaper),
        hand_out(world, name("of another shop"), None, other_shop),
    ]
}

/// Nobody signs in for it, and a session for the true order doesn't pay it.
fn hand_out<'a>(
    world: &'a World,
    name: String,
    signer: Option<&'a Signer>,
    change: impl FnOnce(&mut pb::Order) + Send + 'a,
) -> Attack<'a> {
    Attack::new(name, "ORDER_SIGNATURE_INVALID, SESSION_OF_OTHER_ORDER", async move {
        let issuer = &world.aurora;
        let customer = issuer.customer(CUSTOMER);
        let order = world.shop.place(PRICE).await;
        let mut handed_out = order.signed.to_pb();
        let mut says = pb::Order::decode(handed_out.body.clone()).unwrap();
        change(&mut says);
        handed_out.body = says.encode_to_vec().into();
        if let Some(signer) = signer {
            handed_out = sign(signer, &says).to_pb();
        }
        let refused = issuer.app.sign_in(&customer, &handed_out).await.unwrap_err();

        let game = world.hostile().attack(order.digest.to_bytes(), Arc::new(Honest));
        let session = issuer.app.sign_in(&customer, &order.signed.to_pb()).await.unwrap();
        let before = session.available().await;
        let other = session.clone().showing(&handed_out).pay(Card::Good, ticket()).await.unwrap_err();
        assert_eq!(session.available().await, before, "nothing is held");
        assert_eq!(game.said(), "nothing", "the acquirer is asked nothing");
        [refused, other].map(|refused| reason_of(&refused).unwrap_or_default()).join(", ")
    })
}

fn with(entry: &Entry, signer: &Signer) -> Entry {
    Entry { version: entry.version + 1, signing_certificates: vec![certificate(signer)], ..entry.clone() }
}

fn signed(entry: &Entry, signer: &Signer) -> pb::Signed {
    sign(signer, &entry.to_pb()).to_pb()
}

/// An entry beside what the platform says is the operator's certificate.
fn changed(entry: pb::Signed, operator: &Signer) -> Update {
    Update::Entry(pb::EntryChanged {
        entry: Some(entry),
        operator_certificate: certificate(operator),
        directory_version: 4,
    })
}
