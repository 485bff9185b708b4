//! The card network behind the acquirer: slow, silent, late, and never wrong about money. It doesn't die.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acquirer::network::{Inquiry, NetworkDecision, NetworkId, NetworkRequest, Sale};
use proto::authorization::DeclineReason;

use crate::{
    chance::Chance,
    mistake::Mistake,
    party::Party,
    wire::{Message, Reply},
    world::World,
};

/// What the network has on its books.
#[derive(Debug, Default)]
pub struct Books(Mutex<BTreeMap<NetworkId, Entry>>);

/// One authorization.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What was asked; none where it was reversed before anybody asked.
    pub asked: Option<NetworkRequest>,
    /// What it came to.
    pub decision: Option<NetworkDecision>,
    /// Whether it was reversed.
    pub reversed: bool,
    /// How often the card was charged.
    pub charges: i64,
    /// How often the card got its money back.
    pub refunds: i64,
}

/// How the network treats an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mood {
    /// How long it thinks; for ever where none.
    decides: Option<Duration>,
    /// Whether it says so.
    answers: bool,
}

impl Books {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<NetworkId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> BTreeMap<NetworkId, Entry> {
        self.entries().clone()
    }
}

/// One call at the card network.
pub async fn serve(world: &Arc<World>, message: Message) -> Reply {
    match message {
        Message::CardAuthorize(request) => authorize(world, *request).await,
        Message::CardInquire(id, sale) => inquire(world, &id, &sale),
        Message::CardReverse(id, sale) => {
            let mut entries = world.card_network.entries();
            let entry = entries.entry(id).or_default();
            if entry.asked.as_ref().is_some_and(|asked| asked.sale() != sale) {
                return Reply::CardOther;
            }
            if !entry.reversed {
                entry.reversed = true;
                entry.refunds = entry.charges;
                if entry.asked.is_none() || matches!(entry.decision, Some(NetworkDecision::Approved(_))) {
                    entry.decision = Some(NetworkDecision::Declined(DeclineReason::DoNotHonor));
                }
            }
            Reply::Done
        }
        Message::Authorize(_)
        | Message::Resolve(_)
        | Message::Create(_)
        | Message::Cancel(_)
        | Message::Watch(_)
        | Message::Notify(_)
        | Message::Submit(_)
        | Message::Look(..) => std::future::pending().await,
    }
}

async fn authorize(world: &Arc<World>, request: NetworkRequest) -> Reply {
    world.watch(|watch| watch.asked_network(&request));
    let id = request.id.clone();
    let (is_other, mood) = {
        let mut entries = world.card_network.entries();
        let entry = entries.entry(id.clone()).or_default();
        let is_other = entry.asked.as_ref().is_some_and(|asked| *asked != request);
        if !is_other {
            entry.asked = Some(request);
        }
        (is_other, mood(world, &id))
    };
    if is_other {
        return Reply::CardOther;
    }
    let Some(thinks) = mood.decides else { return std::future::pending().await };
    // The decision comes at its time, whether or not anybody still waits.
    let deciding = id.clone();
    world.engine.after(thinks, Party::CardNetwork, move |world| decide(world, &deciding));
    world.clock(Party::CardNetwork).sleep(thinks + Duration::from_micros(50)).await;
    let decision = world.card_network.entries().get(&id).and_then(|entry| entry.decision);
    match decision {
        Some(decision) if mood.answers => Reply::Card(decision),
        Some(_) | None => std::future::pending().await,
    }
}

fn decide(world: &Arc<World>, id: &NetworkId) {
    let mut entries = world.card_network.entries();
    let Some(entry) = entries.get_mut(id) else { return };
    let forgets = entry.reversed && world.mistake == Some(Mistake::ApprovesReversed);
    let again =
        matches!(entry.decision, Some(NetworkDecision::Approved(_))) && world.mistake == Some(Mistake::ChargesTwice);
    if again {
        entry.charges += 1;
    }
    if entry.decision.is_some() && !forgets {
        return;
    }
    let mut chance = Chance::about(world.plan.seed, &["decision".into(), id.authorization.as_str().into()]);
    let decision = if entry.reversed && !forgets {
        NetworkDecision::Declined(DeclineReason::DoNotHonor)
    } else if chance.permille(750) {
        entry.charges += 1;
        NetworkDecision::Approved("A1B2C3".parse().expect("invariant: an approval code"))
    } else {
        NetworkDecision::Declined(DeclineReason::DoNotHonor)
    };
    entry.decision = Some(decision);
    let number = world.watch(|watch| watch.number_of_authorization(id.authorization.as_str()));
    world.tell(|| {
        let decision = match decision {
            NetworkDecision::Approved(_) => "approves",
            NetworkDecision::Declined(_) => "declines",
        };
        format!("{} {decision} order {number}", Party::CardNetwork)
    });
}

fn inquire(world: &Arc<World>, id: &NetworkId, sale: &Sale) -> Reply {
    let entries = world.card_network.entries();
    let entry = entries.get(id);
    if entry.and_then(|entry| entry.asked.as_ref()).is_some_and(|asked| asked.sale() != *sale) {
        return Reply::CardOther;
    }
    Reply::CardKnows(match entry.and_then(|entry| entry.decision) {
        Some(NetworkDecision::Approved(code)) => Inquiry::Approved(code),
        Some(NetworkDecision::Declined(reason)) => Inquiry::Declined(reason),
        None => Inquiry::Unknown,
    })
}

/// The same for every call about one authorization.
fn mood(world: &World, id: &NetworkId) -> Mood {
    let mut chance = Chance::about(world.plan.seed, &["mood".into(), id.authorization.as_str().into()]);
    let prompt = Duration::from_micros(chance.between(1_000, 200_000));
    if !world.is_stormy() || !chance.permille(world.plan.weather.moody) {
        return Mood { decides: Some(prompt), answers: true };
    }
    world.fault();
    let slow = Duration::from_micros(chance.between(1_000_000, 9_000_000));
    let late = Duration::from_micros(chance.between(5_000_000, 45_000_000));
    match chance.between(0, 5) {
        0 => Mood { decides: None, answers: false },
        1 => Mood { decides: Some(prompt), answers: false },
        2 => Mood { decides: Some(slow), answers: true },
        3 => Mood { decides: Some(late), answers: false },
        _ => Mood { decides: Some(late), answers: true },
    }
}
