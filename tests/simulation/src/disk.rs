//! A party's disk, and the storage engine over it: transitions that were handed over and are not durable yet are
//! made or lost by a crash, each all or nothing, and an answer may be lost though the commit was made.

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mesh::store::{
    Change, Commit, Event, Index, KeyRange, Page, PageRequest, Record, RecordId, Seq, Store, StoreError, Topic,
    Transition, memory::MemoryStore,
};
use tokio::sync::{oneshot, watch};

use crate::{chance::Chance, mistake::Mistake, party::Party, world::World};

/// What a party has stored. It outlives the party's processes.
#[derive(Debug)]
pub struct Disk {
    party: Party,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    durable: Arc<MemoryStore>,
    number: u64,
    pending: BTreeMap<u64, Pending>,
    made: u64,
    full: u32,
    /// Dies with the commit of this number, which is made or not.
    dies: Option<(u64, bool, Duration)>,
    /// Everything that was made, where a mistake needs it.
    log: Vec<Transition>,
}

#[derive(Debug)]
struct Pending {
    transition: Transition,
    answer: oneshot::Sender<Commit>,
    told: Told,
    answer_after: Duration,
}

/// What the caller hears of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Truth,
    Unknown,
    UnknownAndLost,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(party: Party) -> Self {
        let state = State {
            durable: Arc::default(),
            number: 0,
            pending: BTreeMap::new(),
            made: 0,
            full: 0,
            dies: None,
            log: Vec::new(),
        };
        Self { party, state: Mutex::new(state) }
    }

    /// What is durable.
    #[must_use]
    pub fn durable(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.state().durable)
    }

    /// Begins or ends a time in which there is no room.
    pub fn full(&self, full: bool) {
        let mut state = self.state();
        state.full = if full { state.full + 1 } else { state.full.saturating_sub(1) };
    }

    /// The process dies with a commit to come.
    pub fn die_at(&self, commits: u64, made: bool, down: Duration) {
        let mut state = self.state();
        state.dies = Some((state.made + commits, made, down));
    }

    /// The process has died: each transition that was on its way to the disk is made, or is not.
    pub fn crash(&self, world: &Arc<World>) {
        let (pending, number) = {
            let mut state = self.state();
            state.dies = None;
            (std::mem::take(&mut state.pending), state.number)
        };
        let mut chance = Chance::about(world.plan.seed, &["crash".into(), self.party.id().into(), number.into()]);
        for (_, Pending { transition, told, .. }) in pending {
            let made = told != Told::UnknownAndLost && chance.permille(500);
            let what = if made { "made all the same" } else { "lost" };
            world.tell(|| format!("{}: a commit under way is {what}: {}", self.party, describe(&transition)));
            if made {
                // Nobody waits for the answer any more.
                let _ = self.make(world, torn(world, transition));
            }
        }
        if world.mistake == Some(Mistake::StoreForgets) {
            self.forget_last(world);
        }
    }

    /// Writes without any of this, before the run begins.
    pub fn fill(&self, transition: Transition) {
        let mut state = self.state();
        state.log.push(transition.clone());
        let _ = at_once(state.durable.commit(transition));
    }

    /// Takes a transition, which reaches the disk later; where there is no room, says after how long that is known.
    fn hand_over(&self, world: &Arc<World>, transition: Transition) -> Result<oneshot::Receiver<Commit>, Duration> {
        let (party, weather) = (self.party, world.weather());
        let mut state = self.state();
        state.number += 1;
        let id = state.number;
        let mut chance = Chance::about(world.plan.seed, &["commit".into(), party.id().into(), id.into()]);
        let longest = if chance.permille(weather.slow_commit) { 800_000 } else { 4_000 };
        let after = Duration::from_micros(chance.between(100, longest));
        if state.full > 0 {
            world.fault();
            return Err(after);
        }
        let told = if chance.permille(weather.unknown) {
            world.fault();
            if chance.permille(500) { Told::Unknown } else { Told::UnknownAndLost }
        } else {
            Told::Truth
        };
        let answer_after = Duration::from_micros(chance.between(10, 2_000));
        let (answer, answered) = oneshot::channel();
        state.pending.insert(id, Pending { transition, answer, told, answer_after });
        drop(state);
        world.engine.after(after, party, move |world| settle(world, party, id));
        Ok(answered)
    }

    fn forget_last(&self, world: &Arc<World>) {
        let mut state = self.state();
        let Some(forgotten) = state.log.pop() else { return };
        let again = MemoryStore::new();
        for transition in &state.log {
            let _ = at_once(again.commit(transition.clone()));
        }
        state.durable = Arc::new(again);
        world.tell(|| format!("{}: the store forgets {}", self.party, describe(&forgotten)));
    }

    fn make(&self, world: &Arc<World>, transition: Transition) -> Commit {
        let durable = self.durable();
        let transition = match world.mistake {
            Some(Mistake::BlindAccounts) if self.party != Party::Acquirer => blind(&durable, transition),
            Some(Mistake::StoreForgetsAnswers) => Transition { idempotency: None, ..transition },
            Some(_) | None => transition,
        };
        let commit = at_once(durable.commit(transition.clone()));
        if matches!(commit, Commit::Committed { .. }) {
            {
                let mut state = self.state();
                state.made += 1;
                if world.mistake == Some(Mistake::StoreForgets) {
                    state.log.push(transition.clone());
                }
            }
            world.tell(|| format!("{} commits {}", self.party, describe(&transition)));
            world.watch(|watch| watch.durable(self.party, &transition));
        }
        commit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine, as a party's process has it open.
#[derive(Debug)]
pub struct Engine {
    world: Arc<World>,
    party: Party,
    durable: Arc<MemoryStore>,
}

impl Engine {
    /// Opens a party's disk.
    #[must_use]
    pub fn open(world: &Arc<World>, party: Party) -> Self {
        Self { world: Arc::clone(world), party, durable: world.disk(party).durable() }
    }
}

#[async_trait]
impl Store for Engine {
    async fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.durable.get(id).await
    }

    async fn answer(&self, idempotency_key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.durable.answer(idempotency_key).await
    }

    async fn commit(&self, transition: Transition) -> Commit {
        let (world, party) = (&self.world, self.party);
        match world.disk(party).hand_over(world, transition) {
            Ok(answered) => answered.await.unwrap_or(Commit::Unknown),
            Err(after) => {
                world.engine.sleep(party, after).await;
                let folder = PathBuf::from("disk");
                Commit::Fatal(StoreError::Full { folder, free_bytes: 0, reserve_bytes: 1 })
            }
        }
    }

    async fn scan(&self, index: Index, range: KeyRange, page: PageRequest) -> Result<Page, StoreError> {
        self.durable.scan(index, range, page).await
    }

    async fn events(&self, topic: &Topic, after: Seq, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.durable.events(topic, after, limit).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.durable.watch()
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.durable.health().await
    }

    async fn close(&self) {}
}

/// A transition reaches the disk. Whoever waits for it hears so a little later: in between the process may die.
fn settle(world: &Arc<World>, party: Party, id: u64) {
    let disk = world.disk(party);
    let dies = {
        let mut state = disk.state();
        match state.dies {
            Some((at, made, down)) if state.made >= at && world.is_stormy() => {
                state.dies = None;
                Some((made, down))
            }
            Some(_) | None => None,
        }
    };
    if let Some((false, down)) = dies {
        let lost = disk.state().pending.remove(&id);
        if let Some(lost) = lost {
            world.tell(|| format!("{party}: dies before the commit of {}", describe(&lost.transition)));
        }
        world.crash(party, down);
        return;
    }
    let Some(Pending { transition, answer, told, answer_after }) = disk.state().pending.remove(&id) else { return };
    let commit = match told {
        Told::UnknownAndLost => {
            world.tell(|| format!("{party}: nobody learns that this was not committed: {}", describe(&transition)));
            Commit::Unknown
        }
        Told::Unknown => {
            let _ = disk.make(world, transition);
            world.tell(|| format!("{party}: nobody learns of the commit"));
            Commit::Unknown
        }
        Told::Truth if dies.is_some() => disk.make(world, torn(world, transition)),
        Told::Truth => disk.make(world, transition),
    };
    if let Some((_, down)) = dies {
        world.tell(|| format!("{party}: dies right after the commit"));
        world.crash(party, down);
        return;
    }
    world.engine.after(answer_after, party, move |_| {
        // Whoever gave up waiting learns it from the records.
        let _ = answer.send(commit);
    });
}

/// What a crash leaves of a transition: all of it, or, as a mistake, its first write.
fn torn(world: &World, mut transition: Transition) -> Transition {
    if world.mistake == Some(Mistake::StoreTears) {
        transition.writes.truncate(1);
    }
    transition
}

/// Gives each write of an account the version that stands there: the mistake of a store that doesn't compare.
fn blind(durable: &MemoryStore, mut transition: Transition) -> Transition {
    for write in &mut transition.writes {
        if write.id.kind.as_str() == "account"
            && let Ok(Some(record)) = at_once(durable.get(&write.id))
        {
            write.expected = record.version;
        }
    }
    transition
}

/// What a transition writes, for the history: kinds, and what happens to each.
fn describe(transition: &Transition) -> String {
    let writes = transition.writes.iter().map(|write| {
        let kind = write.id.kind;
        match write.change {
            Change::Put { .. } => format!("{kind}{}", crate::history::state_of(write)),
            Change::Remove => format!("{kind} removed"),
        }
    });
    writes.collect::<Vec<_>>().join(", ")
}

/// The result of a future that waits for nothing.
///
/// # Panics
/// Where it waits after all.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a store in memory waits for nothing"),
    }
}
