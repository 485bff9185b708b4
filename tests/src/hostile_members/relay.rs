//! What the relay stops by itself: callers, acquirers, tickets, limits.

use std::time::{Duration, SystemTime};

use crate::{bank::Bank, network::OPERATOR, roles::SHOP};
use bytes::Bytes;
use mesh::{
    channel::{MeshChannel, device_channel},
    identity::Role,
};
use platform::ticket::{TicketKey, TicketKeys};
use proto::{order::SignedOrder, pb};
use tonic::Status;

use super::{
    attempt::{Attempt, Counted},
    world::{AURORA, BOREALIS, CLOSED, HARBOR, MIRROR, STERLING, STRANGER, World},
};

/// Attempts on one open order, which stays as it is.
pub(crate) fn attempts<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let mut attempts = callers(world, order);
    attempts.extend(acquirers(world, order));
    attempts.extend(tickets(world, order));
    attempts.extend(strangers(world, order));
    attempts
}

fn callers<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let relay = Counted::Relay;
    vec![
        Attempt::new("a bank names another bank as the issuer", "ISSUER_MISMATCH", relay, async {
            let bank = Bank { id: BOREALIS, ..world.bank(AURORA) };
            send(world, AURORA, world.message(&bank, &world.request(&bank, order))).await
        }),
        Attempt::new("a bank sends another bank's request", "ISSUER_MISMATCH", relay, async {
            let bank = world.bank(BOREALIS);
            send(world, AURORA, world.message(&bank, &world.request(&bank, order))).await
        }),
        Attempt::new("a bank with a certificate and no entry asks", "MEMBER_UNKNOWN", relay, async {
            honest(world, STRANGER, order).await
        }),
        Attempt::new("a suspended bank asks", "MEMBER_SUSPENDED", relay, async {
            honest(world, STERLING, order).await
        }),
        Attempt::new("a suspended bank asks in another's name", "MEMBER_SUSPENDED", relay, async {
            let bank = world.bank(AURORA);
            send(world, STERLING, world.message(&bank, &world.request(&bank, order))).await
        }),
    ]
}

fn acquirers<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let routed = move |acquirer: &'static str| async move {
        let bank = world.bank(AURORA);
        let request =
            proto::authorization::Request { acquirer: acquirer.parse().unwrap(), ..world.request(&bank, order) };
        send(world, AURORA, world.message(&bank, &request)).await
    };
    vec![
        Attempt::new("a bank names an unknown acquirer", "ACQUIRER_UNKNOWN", Counted::Relay, routed("acq-nobody")),
        Attempt::new("a bank names another bank as the acquirer", "ACQUIRER_UNKNOWN", Counted::Relay, routed(BOREALIS)),
        Attempt::new("a bank names a suspended acquirer", "ACQUIRER_SUSPENDED", Counted::Relay, routed(CLOSED)),
        Attempt::new(
            "an acquirer answers for another authorization",
            "RESPONSE_MISMATCH",
            Counted::Relay,
            routed(MIRROR),
        ),
        Attempt::new(
            "an acquirer answers a question for another authorization",
            "RESPONSE_MISMATCH",
            Counted::Relay,
            async {
                let bank = world.bank(AURORA);
                let request =
                    proto::authorization::Request { acquirer: MIRROR.parse().unwrap(), ..world.request(&bank, order) };
                let question = bank.question(&world.message(&bank, &request), &request);
                world.ask(&world.to_hub(Role::Issuer, AURORA), question).await
            },
        ),
    ]
}

fn tickets<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let show = move |ticket: Bytes| async move {
        let bank = world.bank(AURORA);
        send(world, AURORA, bank.message(&world.request(&bank, order), ticket)).await
    };
    let genuine = world.ticket(AURORA, &order.digest);
    let altered = |place: usize| {
        let mut ticket = genuine.to_vec();
        ticket[place] ^= 1;
        Bytes::from(ticket)
    };
    let (last, bank) = (altered(genuine.len() - 1), altered(12));
    let later = altered(9);
    let own_key = TicketKeys::new(TicketKey::new(1, &[1; 32]), None);
    let (aurora, soon) = (AURORA.parse().unwrap(), SystemTime::now() + Duration::from_secs(60));
    let made_up = own_key.issue(&aurora, &order.digest, soon);
    let over = world.tickets.issue(&aurora, &order.digest, SystemTime::now() - Duration::from_secs(61));
    let other_bank = world.ticket(BOREALIS, &order.digest);
    let other_order = world.ticket(AURORA, &proto::digest::Digest::of(b"another order"));
    let relay = Counted::Relay;
    vec![
        Attempt::new("a bank shows no ticket", "TICKET_MISSING", relay, show(Bytes::new())),
        Attempt::new("a bank shows a ticket under a key of its own", "TICKET_INVALID", relay, show(made_up)),
        Attempt::new("a bank alters the ticket's tag", "TICKET_INVALID", relay, show(last)),
        Attempt::new("a bank alters the bank in the ticket", "TICKET_INVALID", relay, show(bank)),
        Attempt::new("a bank alters the expiry in the ticket", "TICKET_INVALID", relay, show(later)),
        Attempt::new(
            "a bank shows something else as a ticket",
            "TICKET_INVALID",
            relay,
            show(Bytes::from_static(b"x")),
        ),
        Attempt::new("a bank shows an expired ticket", "TICKET_EXPIRED", relay, show(over)),
        Attempt::new("a bank shows another bank's ticket", "TICKET_OF_OTHER_BANK", relay, show(other_bank)),
        Attempt::new("a bank shows another order's ticket", "TICKET_OF_OTHER_ORDER", relay, show(other_order)),
    ]
}

/// The access table stops whoever is no issuer before the relay looks.
fn strangers<'a>(world: &'a World, order: &'a SignedOrder) -> Vec<Attempt<'a>> {
    let request = move || {
        let bank = world.bank(AURORA);
        world.message(&bank, &world.request(&bank, order))
    };
    let calls = move |role: Role, id: &'static str| async move { world.send(&world.to_hub(role, id), request()).await };
    let members = Counted::Table("members");
    vec![
        Attempt::new("a shop calls the relay", "ROLE_NOT_ALLOWED", members, calls(Role::Merchant, SHOP)),
        Attempt::new("an acquirer calls the relay", "ROLE_NOT_ALLOWED", members, calls(Role::Acquirer, HARBOR)),
        Attempt::new("the operator calls the relay", "ROLE_NOT_ALLOWED", members, calls(Role::Operator, OPERATOR)),
        Attempt::new(
            "a device calls the relay on its own port",
            "RPC_UNKNOWN",
            Counted::Table("devices"),
            async move {
                let device = device(world, world.devices);
                world.send(&device, request()).await
            },
        ),
        Attempt::new(
            "a device calls the relay on the members' port",
            "no connection",
            Counted::Elsewhere,
            async move {
                let device = device(world, world.hub);
                let refused = world.send(&device, request()).await.unwrap_err();
                assert!(mesh::status::is_transport(&refused), "{refused:?}");
                Ok("no connection".into())
            },
        ),
    ]
}

fn device(world: &World, at: std::net::SocketAddr) -> MeshChannel {
    device_channel(&format!("https://{at}"), &world.network.path("ca/ca.pem")).unwrap()
}

async fn honest(world: &World, bank: &'static str, order: &SignedOrder) -> Result<String, Status> {
    let played = world.bank(bank);
    send(world, bank, world.message(&played, &world.request(&played, order))).await
}

async fn send(world: &World, by: &str, message: pb::AuthorizeRequest) -> Result<String, Status> {
    world.send(&world.to_hub(Role::Issuer, by), message).await
}
