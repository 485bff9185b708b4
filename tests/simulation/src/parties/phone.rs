//! The customers: each tries to pay an order, comes again where nothing is heard, and tries once more after a
//! decline.

use std::{sync::Arc, time::Duration};

use issuer::{
    audit::Actor,
    auth::{OrderToPay, SignedIn},
    charges::{Charge, Submission},
};
use proto::{authorization::Factor, digest::Digest, ids::ChargeId, order::SignedOrder};

use super::issuer::{card_id, customer_id};
use crate::{
    chance::Chance,
    clock::start,
    model::{OrderPlan, Payer, Twist},
    party::Party,
    pki::Pki,
    wire::{Message, Reply, call},
    world::World,
};

/// How long a phone waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it asks again before its customer gives up.
const ASKS_MAX: u32 = 12;

/// Tries to pay an order, from its making on.
pub async fn pay(world: Arc<World>, plan: OrderPlan, place: u64) {
    let payer = &plan.payers[usize::try_from(place).unwrap_or_default()];
    let Some(order) = page(&world, plan.number).await else { return };
    let clock = world.clock(Party::Phones);
    clock.sleep(payer.after).await;
    let mut chance = Chance::about(world.plan.seed, &["payer".into(), plan.number.into(), place.into()]);
    for again in 0..payer.tries {
        let charge = ChargeId::from_random(chance.bytes());
        let submission = submission(payer, &order, &charge, payer.card + again);
        if payer.twist == Twist::Twice {
            let (world, number, issuer) = (Arc::clone(&world), plan.number, payer.issuer);
            let submission = submission.clone();
            tokio::spawn(async move { ask(&world, issuer, number, Message::Submit(Box::new(submission))).await });
        }
        let Some(taken) = submit(&world, payer.issuer, plan.number, &submission).await else { continue };
        world.watch(|watch| watch.submitted(payer.issuer, &submission, &taken));
        if payer.twist == Twist::OtherContent {
            other_content(&world, payer, plan.number, &submission).await;
        }
        match until_final(&world, payer.issuer, plan.number, &submission).await {
            Some(last) if !is_paid(&last) => clock.sleep(Duration::from_millis(chance.between(200, 4_000))).await,
            Some(_) | None => return,
        }
    }
}

/// The signed order, once the shop shows it; none where it never does.
async fn page(world: &Arc<World>, number: u64) -> Option<SignedOrder> {
    let clock = world.clock(Party::Phones);
    let plan = world.plan.orders.iter().find(|order| order.number == number)?;
    clock.sleep(plan.at).await;
    for _ in 0..600 {
        if let Some(order) = world.shown(number) {
            return Some(order);
        }
        clock.sleep(Duration::from_millis(200)).await;
    }
    None
}

/// Submits until the bank has said something that counts: the charge, or none.
async fn submit(world: &Arc<World>, issuer: Party, number: u64, submission: &Submission) -> Option<Charge> {
    let clock = world.clock(Party::Phones);
    for _ in 0..ASKS_MAX {
        match ask(world, issuer, number, Message::Submit(Box::new(submission.clone()))).await {
            Some(Reply::Charge(charge)) => return Some(*charge),
            Some(Reply::NoCharge("other" | "CHARGE_IN_PROGRESS")) | None => {}
            Some(_) => return None,
        }
        clock.sleep(Duration::from_millis(700)).await;
    }
    None
}

/// The same charge id with another card must be refused, once the charge is there.
async fn other_content(world: &Arc<World>, payer: &Payer, number: u64, submission: &Submission) {
    let other = Submission { card: other_card(payer, submission), ..submission.clone() };
    if let Some(reply) = ask(world, payer.issuer, number, Message::Submit(Box::new(other))).await {
        world.watch(|watch| watch.other_content(number, &reply));
    }
}

fn other_card(payer: &Payer, submission: &Submission) -> proto::ids::CardOptionId {
    let first = card_id(payer.issuer, payer.customer, 0);
    if submission.card == first { card_id(payer.issuer, payer.customer, 1) } else { first }
}

async fn until_final(world: &Arc<World>, issuer: Party, number: u64, submission: &Submission) -> Option<Charge> {
    let clock = world.clock(Party::Phones);
    for _ in 0..ASKS_MAX {
        let look = Message::Look(submission.session.customer.to_string(), submission.charge.clone());
        if let Some(Reply::Charge(charge)) = ask(world, issuer, number, look).await {
            world.watch(|watch| watch.submitted(issuer, submission, &charge));
            if charge.state.is_final() {
                return Some(*charge);
            }
        }
        clock.sleep(Duration::from_secs(2)).await;
    }
    None
}

async fn ask(world: &Arc<World>, issuer: Party, number: u64, message: Message) -> Option<Reply> {
    let clock = world.clock(Party::Phones);
    tokio::select! {
        biased;
        reply = call(world, Party::Phones, issuer, number, message) => reply.ok(),
        () = clock.sleep(PATIENCE) => None,
    }
}

fn is_paid(charge: &Charge) -> bool {
    matches!(charge.state, issuer::domain::charge::State::Approved { .. })
}

fn submission(payer: &Payer, order: &SignedOrder, charge: &ChargeId, card: u64) -> Submission {
    let ticket = match payer.issuer {
        Party::North => {
            let bank = Party::North.id().parse().expect("invariant: a constant");
            Pki::get().tickets.issue(&bank, &order.digest, order.order.expires_at)
        }
        Party::Acquirer
        | Party::Platform
        | Party::South
        | Party::CardNetwork
        | Party::Books
        | Party::Tea
        | Party::Phones => bytes::Bytes::new(),
    };
    Submission {
        session: SignedIn {
            id: Digest::of(b"a token"),
            customer: customer_id(payer.customer).parse().expect("invariant: an own id"),
            order: Some(OrderToPay {
                digest: order.digest,
                amount: order.order.amount,
                category: order.order.merchant.category,
            }),
            factors: vec![Factor::Knowledge],
            device: None,
            challenge: [9; 32],
            expires_at: start() + Duration::from_secs(3600),
        },
        charge: charge.clone(),
        order: order.clone(),
        card: card_id(payer.issuer, payer.customer, card % 2),
        ticket,
        device_confirmation: None,
        consent: None,
        actor: Actor::Source([192, 0, 2, 1].into()),
    }
}
