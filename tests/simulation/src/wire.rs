//! Messages between the parties: lost, late, repeated, in another order, or not at all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acquirer::network::{Inquiry, NetworkDecision, NetworkId, NetworkRequest, Sale};
use bytes::Bytes;
use issuer::charges::{Charge, Submission};
use proto::ids::ChargeId;
use tokio::{sync::oneshot, task::AbortHandle};
use tonic::Status;

use crate::{chance::Chance, party::Party, serve::serve, world::World};

/// What is sent.
#[derive(Clone, Debug)]
pub enum Message {
    /// `Authorization.Authorize`.
    Authorize(Bytes),
    /// `Authorization.ResolveAuthorization`.
    Resolve(Bytes),
    /// `OrderService.CreateOrder`.
    Create(Bytes),
    /// `OrderService.CancelOrder`.
    Cancel(Bytes),
    /// `OrderService.WatchOrders`, from this cursor on.
    Watch(String),
    /// `MerchantNotification.NotifyOrderEvent`.
    Notify(Bytes),
    /// A phone's charge request.
    Submit(Box<Submission>),
    /// A phone's question about its charge.
    Look(String, ChargeId),
    /// The acquirer asks the card network.
    CardAuthorize(Box<NetworkRequest>),
    /// The same.
    CardInquire(NetworkId, Sale),
    /// The same.
    CardReverse(NetworkId, Sale),
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A message of the contracts.
    Bytes(Bytes),
    /// Some messages of a stream.
    Stream(Vec<Bytes>),
    /// The refusal.
    Status(Box<Status>),
    /// A charge as it stands.
    Charge(Box<Charge>),
    /// Why there is no charge.
    NoCharge(&'static str),
    /// The card network's word.
    Card(NetworkDecision),
    /// The same.
    CardKnows(Inquiry),
    /// The card network knows the id with another content.
    CardOther,
    /// Nothing but that it was taken.
    Done,
}

/// The connection failed before an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Message {
    /// Its name in the history.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authorize(_) => "Authorize",
            Self::Resolve(_) => "ResolveAuthorization",
            Self::Create(_) => "CreateOrder",
            Self::Cancel(_) => "CancelOrder",
            Self::Watch(_) => "WatchOrders",
            Self::Notify(_) => "NotifyOrderEvent",
            Self::Submit(_) => "SubmitCharge",
            Self::Look(..) => "GetCharge",
            Self::CardAuthorize(_) => "authorize",
            Self::CardInquire(..) => "inquire",
            Self::CardReverse(..) => "reverse",
        }
    }

    /// What travels as bytes.
    #[must_use]
    pub const fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Authorize(bytes)
            | Self::Resolve(bytes)
            | Self::Create(bytes)
            | Self::Cancel(bytes)
            | Self::Notify(bytes) => Some(bytes),
            Self::Watch(_)
            | Self::Submit(_)
            | Self::Look(..)
            | Self::CardAuthorize(_)
            | Self::CardInquire(..)
            | Self::CardReverse(..) => None,
        }
    }
}

/// The calls under way, and which cables are cut.
#[derive(Debug, Default)]
pub struct Wires(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    number: u64,
    open: BTreeMap<u64, Arc<Open>>,
    /// How many calls there were about each thing, so that each has choices of its own.
    counts: BTreeMap<(Party, Party, u64), u64>,
    cut: BTreeMap<(Party, Party), u32>,
}

/// A call under way.
#[derive(Debug)]
struct Open {
    from: Party,
    to: Party,
    about: u64,
    name: &'static str,
    chance: Mutex<Chance>,
    answer: Mutex<Option<oneshot::Sender<Result<Reply, Broken>>>>,
    works: Mutex<Vec<AbortHandle>>,
}

impl Wires {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the cable between two parties, or mends it.
    pub fn cut(&self, one: Party, other: Party, cut: bool) {
        let mut state = self.state();
        let times = state.cut.entry((one.min(other), one.max(other))).or_default();
        *times = if cut { *times + 1 } else { times.saturating_sub(1) };
    }

    fn is_cut(&self, one: Party, other: Party) -> bool {
        self.state().cut.get(&(one.min(other), one.max(other))).is_some_and(|times| *times > 0)
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        let open = std::mem::take(&mut self.state().open);
        drop(open);
    }

    /// A party's process has died: most of its callers' connections break.
    pub fn died(world: &Arc<World>, party: Party) {
        let open: Vec<_> = world.wires.state().open.values().filter(|open| open.to == party).cloned().collect();
        for call in open {
            let (told, after) = call.draw(|chance| (chance.permille(700), micros(chance, 500, 20_000)));
            if told {
                call.breaks(world, after);
            }
        }
    }
}

/// A call from one party to another, about the order of this number. Without an answer it never ends: how long to
/// wait is the caller's to know.
///
/// # Errors
/// [`Broken`].
pub async fn call(world: &Arc<World>, from: Party, to: Party, about: u64, message: Message) -> Result<Reply, Broken> {
    let (answer, answered) = oneshot::channel();
    let (id, open) = {
        let mut state = world.wires.state();
        state.number += 1;
        let count = state.counts.entry((from, to, about)).or_default();
        *count += 1;
        let things = ["wire".into(), from.id().into(), to.id().into(), about.into(), (*count).into()];
        let open = Arc::new(Open {
            from,
            to,
            about,
            name: message.name(),
            chance: Mutex::new(Chance::about(world.plan.seed, &things)),
            answer: Mutex::new(Some(answer)),
            works: Mutex::default(),
        });
        let id = state.number;
        state.open.insert(id, Arc::clone(&open));
        (id, open)
    };
    if let Some(bytes) = message.bytes() {
        world.watch(|watch| watch.message(from, to, bytes));
    }
    let _leaving = Leaving { world: Arc::clone(world), id };
    open.send(world, message);
    // The sender lives in the table of open calls until this future goes.
    answered.await.unwrap_or(Err(Broken))
}

/// Takes a call out of the table when its caller has the answer or has gone.
struct Leaving {
    world: Arc<World>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(open) = self.world.wires.state().open.remove(&self.id) else { return };
        let is_answered = open.answer.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        let ends = !is_answered && open.draw(|chance| chance.permille(self.world.plan.weather.gone));
        if ends {
            // The far end hears that its caller has gone, and drops what it does for it.
            let after = open.draw(|chance| micros(chance, 200, 5_000));
            let to = open.to;
            self.world.engine.after(after, to, move |world| {
                for work in open.works.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                    if !work.is_finished() {
                        world.tell(|| {
                            format!("{} drops {} for order {}, its caller has gone", open.to, open.name, open.about)
                        });
                        work.abort();
                    }
                }
            });
        }
    }
}

/// What becomes of one message.
#[derive(Clone, Copy)]
enum Fate {
    Arrives(Duration),
    Lost,
    Breaks(Duration),
}

impl Open {
    fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fate(&self, world: &World) -> Fate {
        let weather = world.weather();
        let cut = world.wires.is_cut(self.from, self.to);
        self.draw(|chance| {
            if cut || chance.permille(weather.lost) {
                world.fault();
                return if chance.permille(500) { Fate::Lost } else { Fate::Breaks(micros(chance, 1_000, 2_000_000)) };
            }
            if chance.permille(weather.late) {
                world.fault();
                return Fate::Arrives(micros(chance, 1_000_000, 25_000_000));
            }
            Fate::Arrives(micros(chance, 300, 40_000))
        })
    }

    fn send(self: &Arc<Self>, world: &Arc<World>, message: Message) {
        if self.draw(|chance| chance.permille(world.weather().doubled)) {
            world.fault();
            let after = self.draw(|chance| micros(chance, 300, 15_000_000));
            self.arrive_after(world, after, message.clone(), "arrives once more");
        }
        let (from, to, name, about) = (self.from, self.to, self.name, self.about);
        match self.fate(world) {
            Fate::Arrives(after) => {
                world.tell(|| format!("{from} → {to}: {name} for order {about}"));
                self.arrive_after(world, after, message, "arrives");
            }
            Fate::Lost => world.tell(|| format!("{from} → {to}: {name} for order {about}, lost")),
            Fate::Breaks(after) => {
                world.tell(|| format!("{from} → {to}: {name} for order {about}, lost, and the connection breaks"));
                self.breaks(world, after);
            }
        }
    }

    fn arrive_after(self: &Arc<Self>, world: &Arc<World>, after: Duration, message: Message, how: &'static str) {
        let call = Arc::clone(self);
        world.engine.after(after, self.to, move |world| call.arrive(world, message, how));
    }

    fn arrive(self: &Arc<Self>, world: &Arc<World>, message: Message, how: &str) {
        let (from, to, name, about) = (self.from, self.to, self.name, self.about);
        if world.wires.is_cut(from, to) {
            world.tell(|| format!("{to}: {name} of {from} for order {about} is lost in the cut"));
            return;
        }
        world.tell(|| format!("{to}: {name} of {from} for order {about} {how}"));
        let (call, at) = (Arc::clone(self), Arc::clone(world));
        let work = world.host(to).spawn(async move {
            let reply = serve(&at, from, to, about, message).await;
            call.reply(&at, reply);
        });
        match work {
            Some(work) => self.works.lock().unwrap_or_else(PoisonError::into_inner).push(work),
            None => {
                world.tell(|| format!("{to} is down"));
                let after = self.draw(|chance| micros(chance, 300, 3_000));
                self.breaks(world, after);
            }
        }
    }

    fn reply(self: &Arc<Self>, world: &Arc<World>, reply: Reply) {
        let (from, to, name, about) = (self.from, self.to, self.name, self.about);
        world.watch(|watch| watch.reply(to, name, &reply));
        match self.fate(world) {
            Fate::Arrives(after) => {
                world.tell(|| {
                    format!("{to} answers {from}: {name} for order {about}: {}", crate::history::brief(name, &reply))
                });
                let call = Arc::clone(self);
                world.engine.after(after, from, move |world| {
                    if world.wires.is_cut(call.from, call.to) {
                        return;
                    }
                    call.end(Ok(reply));
                });
            }
            Fate::Lost => world.tell(|| {
                format!("{to} answers {from}: {name} for order {about}: {}, lost", crate::history::brief(name, &reply))
            }),
            Fate::Breaks(after) => {
                world.tell(|| {
                    format!(
                        "{to} answers {from}: {name} for order {about}: {}, lost, and the connection breaks",
                        crate::history::brief(name, &reply)
                    )
                });
                self.breaks(world, after);
            }
        }
    }

    fn breaks(self: &Arc<Self>, world: &Arc<World>, after: Duration) {
        let call = Arc::clone(self);
        world.engine.after(after, self.from, move |_| call.end(Err(Broken)));
    }

    fn end(&self, answer: Result<Reply, Broken>) {
        if let Some(waiting) = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A caller that has gone waits no more.
            let _ = waiting.send(answer);
        }
    }
}

fn micros(chance: &mut Chance, low: u64, high: u64) -> Duration {
    Duration::from_micros(chance.between(low, high))
}
