//! Everything of one run.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh::{
    clock::{Clock, Entropy, SeededEntropy},
    directory::DirectoryHandle,
};
use platform::relay::Gate;
use proto::order::SignedOrder;

use crate::{
    chance::Chance,
    clock::{Offset, PartyClock},
    disk::Disk,
    engine::Engine,
    history::History,
    host::Host,
    mistake::Mistake,
    model::{Plan, Weather},
    parties::{acquirer, card_network, issuer, platform as relay, shop},
    party::Party,
    pki::Pki,
    watch::Watch,
    wire::Wires,
};

/// Everything of one run.
#[derive(Debug)]
pub struct World {
    /// What was planned.
    pub plan: Plan,
    /// The mistake that is made on purpose.
    pub mistake: Option<Mistake>,
    /// The time.
    pub engine: Arc<Engine>,
    /// The wires.
    pub wires: Wires,
    /// The card network's books.
    pub card_network: card_network::Books,
    hosts: [Host; 8],
    offsets: [Arc<Offset>; 8],
    starts: [AtomicU64; 8],
    disks: [Disk; 3],
    shops: [shop::Books; 2],
    roles: Mutex<Roles>,
    watch: Mutex<Watch>,
    history: History,
    healed: AtomicBool,
    settled: AtomicBool,
    flows: AtomicU64,
    faults: AtomicU64,
}

/// What is open for calls in the running processes.
#[derive(Debug, Default)]
pub struct Roles {
    /// The acquirer's services.
    pub acquirer: Option<acquirer::Services>,
    /// The issuers, as in [`Party::ISSUERS`].
    pub issuers: [Option<Arc<::issuer::context::Context>>; 2],
    /// The platform's rules.
    pub platform: Option<Arc<Gate>>,
}

impl World {
    /// The world of a plan, in which nothing runs yet.
    #[must_use]
    pub fn new(plan: Plan, mistake: Option<Mistake>, keeps_history: bool) -> Arc<Self> {
        Arc::new(Self {
            plan,
            mistake,
            engine: Arc::default(),
            wires: Wires::default(),
            card_network: card_network::Books::default(),
            hosts: std::array::from_fn(|_| Host::default()),
            offsets: std::array::from_fn(|_| Arc::default()),
            starts: std::array::from_fn(|_| AtomicU64::new(0)),
            disks: Party::STORED.map(Disk::new),
            shops: std::array::from_fn(|_| shop::Books::default()),
            roles: Mutex::default(),
            watch: Mutex::default(),
            history: History::new(keeps_history),
            healed: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            flows: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        })
    }

    /// A party's process.
    #[must_use]
    pub fn host(&self, party: Party) -> &Host {
        &self.hosts[party.place()]
    }

    /// A party's wall clock, as far as it is off.
    #[must_use]
    pub fn offset(&self, party: Party) -> &Offset {
        &self.offsets[party.place()]
    }

    /// A party's clock.
    #[must_use]
    pub fn clock(&self, party: Party) -> Arc<dyn Clock> {
        Arc::new(PartyClock::new(&self.engine, party, &self.offsets[party.place()]))
    }

    /// A party's random bytes, other ones in each of its processes.
    #[must_use]
    pub fn entropy(&self, party: Party) -> Arc<dyn Entropy> {
        let run = self.starts[party.place()].load(Ordering::Relaxed);
        let things = ["entropy".into(), party.id().into(), run.into()];
        Arc::new(SeededEntropy::new(Chance::about(self.plan.seed, &things).number()))
    }

    /// The disk of a party.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn disk(&self, party: Party) -> &Disk {
        let place = Party::STORED.iter().position(|stored| *stored == party);
        &self.disks[place.expect("invariant: only parties with a store ask for it")]
    }

    /// A shop's books.
    #[must_use]
    pub fn books(&self, shop: Party) -> &shop::Books {
        &self.shops[usize::from(shop == Party::Tea)]
    }

    /// The bank directory, for one process.
    #[must_use]
    pub fn directory(&self) -> Arc<DirectoryHandle> {
        let handle = DirectoryHandle::default();
        handle.publish(Arc::clone(&Pki::get().directory));
        Arc::new(handle)
    }

    /// What is open for calls.
    pub fn roles<T>(&self, look: impl FnOnce(&mut Roles) -> T) -> T {
        look(&mut self.roles.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the checkers have seen.
    pub fn watch<T>(&self, look: impl FnOnce(&mut Watch) -> T) -> T {
        look(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A checker has found something.
    pub fn fails(&self, checker: &'static str, why: impl FnOnce() -> String) {
        self.watch(|watch| watch.fail(checker, why));
    }

    /// Adds a line to the history.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        self.history.add(self.engine.now(), line);
    }

    /// What was told.
    #[must_use]
    pub fn history(&self) -> String {
        self.history.text()
    }

    /// Counts a fault.
    pub fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// How bad the network is now.
    #[must_use]
    pub fn weather(&self) -> Weather {
        if self.is_stormy() { self.plan.weather } else { Weather::calm() }
    }

    /// Whether faults still happen.
    #[must_use]
    pub fn is_stormy(&self) -> bool {
        !self.healed.load(Ordering::Relaxed)
    }

    /// Whether everything has come to its end.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Everything has come to its end.
    pub fn set_settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// A customer begins, or ends.
    pub fn flow(&self, begins: bool) {
        if begins {
            self.flows.fetch_add(1, Ordering::Relaxed);
        } else {
            self.flows.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many customers are at it.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.flows.load(Ordering::Relaxed)
    }

    /// The order that a shop shows, once it has it.
    #[must_use]
    pub fn shown(&self, number: u64) -> Option<SignedOrder> {
        let shop = self.plan.orders.iter().find(|order| order.number == number)?.shop;
        self.books(shop).open().orders.get(&number).cloned()
    }

    /// Whether the courier lies about this event, where it is one that lies.
    #[must_use]
    pub fn lies(&self, event: &str) -> bool {
        Chance::about(self.plan.seed, &["lie".into(), event.into()]).permille(100)
    }

    /// Starts a party's process.
    pub fn start(self: &Arc<Self>, party: Party) {
        self.starts[party.place()].fetch_add(1, Ordering::Relaxed);
        self.host(party).start();
        match party {
            Party::Acquirer => acquirer::start(self),
            Party::Platform => relay::start(self),
            Party::North | Party::South => issuer::start(self, party),
            Party::Books | Party::Tea => shop::start(self, party),
            Party::CardNetwork | Party::Phones => {}
        }
    }

    /// A party's process dies, and is started again after a while. To be called where something happens, not from
    /// the process itself.
    pub fn crash(self: &Arc<Self>, party: Party, down: Duration) {
        if !self.host(party).is_up() {
            return;
        }
        self.fault();
        self.tell(|| format!("{party} dies"));
        self.stop(party);
        Wires::died(self, party);
        if Party::STORED.contains(&party) {
            self.disk(party).crash(self);
            self.watch(|watch| watch.look_again(party, &self.disk(party).durable()));
        }
        self.engine.after(down, party, move |world| {
            if !world.host(party).is_up() {
                world.tell(|| format!("{party} starts again"));
                world.start(party);
            }
        });
    }

    /// A process can't go on at its start; it ends and is started again.
    pub fn gives_up(self: &Arc<Self>, party: Party) {
        self.tell(|| format!("{party} can't start"));
        self.engine.after(Duration::ZERO, party, move |world| world.crash(party, Duration::from_secs(1)));
    }

    /// Ends the faults. What is down starts again at its own time.
    pub fn heal(&self) {
        self.tell(|| "all faults end".to_owned());
        self.healed.store(true, Ordering::Relaxed);
        for party in Party::ALL {
            self.offset(party).set(0);
        }
    }

    /// Lets go of everything, so that nothing refers to anything any more.
    pub fn end(&self) {
        for party in Party::ALL {
            self.stop(party);
        }
        self.wires.clear();
        self.engine.clear();
    }

    fn stop(&self, party: Party) {
        self.host(party).crash();
        let ended = self.roles(|roles| {
            match party {
                Party::Acquirer => roles.acquirer = None,
                Party::Platform => roles.platform = None,
                Party::North | Party::South => return roles.issuers[issuer::party_place(party)].take(),
                Party::CardNetwork | Party::Books | Party::Tea | Party::Phones => {}
            }
            None
        });
        if let Some(ended) = ended {
            issuer::recycle(ended);
        }
    }
}
