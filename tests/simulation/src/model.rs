//! What a run consists of, made from its seed before it begins: the orders, who pays them, the weather and the
//! accidents.

use std::time::Duration;

use crate::{chance::Chance, party::Party};

/// When all faults end and the network is whole again.
pub const HEALED_AT: Duration = Duration::from_secs(100);
/// When the last order is made.
const LAST_ORDER: u64 = 55_000;
/// Within this time after [`HEALED_AT`] everything must be final and everybody must know. The longest of what has
/// to pass: an order's life (2.5 min), or a pause that began before the end of the faults (the outbox's, which
/// doubles and so is as long as the faults were; 60 s for a reversal, 30 s for a question), a try of each that
/// follows it (17 s), a standstill that is noticed (100 s), and the clocks that were ahead (5 min).
pub const BOUND: Duration = Duration::from_secs(12 * 60);

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all its choices come from.
    pub seed: u64,
    /// How bad the network is.
    pub weather: Weather,
    /// The orders.
    pub orders: Vec<OrderPlan>,
    /// What goes wrong besides.
    pub accidents: Vec<Accident>,
}

/// How often what goes wrong, of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Messages that are lost, requests and answers each.
    pub lost: u32,
    /// Messages that come seconds late.
    pub late: u32,
    /// Requests that arrive twice.
    pub doubled: u32,
    /// Callers whose leaving ends the work on their call.
    pub gone: u32,
    /// Commits of which nobody learns whether they were made.
    pub unknown: u32,
    /// Commits that take long.
    pub slow_commit: u32,
    /// Card network: authorizations that are not answered promptly.
    pub moody: u32,
}

impl Weather {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn calm() -> Self {
        Self { lost: 0, late: 0, doubled: 0, gone: 0, unknown: 0, slow_commit: 0, moody: 0 }
    }
}

/// One order.
#[derive(Clone, Debug)]
pub struct OrderPlan {
    /// Its number, which names it in the history.
    pub number: u64,
    /// Who sells.
    pub shop: Party,
    /// The amount.
    pub units: i64,
    /// When the shop makes it.
    pub at: Duration,
    /// How long it may be paid.
    pub life: Duration,
    /// Who tries to pay it.
    pub payers: Vec<Payer>,
    /// How long after the making the shop wants to cancel it.
    pub cancel: Option<Duration>,
}

/// Somebody who tries to pay.
#[derive(Clone, Debug)]
pub struct Payer {
    /// Their bank.
    pub issuer: Party,
    /// Which of its customers.
    pub customer: u64,
    /// Which card to begin with.
    pub card: u64,
    /// How long after the order is there.
    pub after: Duration,
    /// How often they try again after a decline.
    pub tries: u64,
    /// Whether their phone misbehaves, too.
    pub twist: Twist,
}

/// How a phone misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// It doesn't.
    None,
    /// It submits the same charge once more, in the same moment.
    Twice,
    /// It submits another card under the same charge id.
    OtherContent,
}

/// Something that goes wrong at a time.
#[derive(Clone, Copy, Debug)]
pub struct Accident {
    /// When.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A process dies and is started again.
    Crash {
        /// Whose.
        party: Party,
        /// How long it is away.
        down: Duration,
    },
    /// From this time on a process dies with the next commit of its that comes so far.
    CrashAtCommit {
        /// Whose.
        party: Party,
        /// How many commits it lives to see.
        commits: u64,
        /// Whether that commit is made.
        made: bool,
        /// How long it is away.
        down: Duration,
    },
    /// No message passes between two parties.
    Cut {
        /// The one.
        one: Party,
        /// The other.
        other: Party,
        /// How long.
        lasts: Duration,
    },
    /// A wall clock jumps, and is put right at the end of the faults.
    Clock {
        /// Whose.
        party: Party,
        /// Where it stands then, in milliseconds off the right time.
        millis: i64,
    },
    /// A disk has no room.
    Full {
        /// Whose.
        party: Party,
        /// How long.
        lasts: Duration,
    },
    /// One member tries to act for another.
    Impostor {
        /// Which order it is about.
        order: u64,
    },
}

impl Plan {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::about(seed, &["plan".into()]);
        // Some runs are calm, most are not: what only races can break must not hide behind faults.
        let level = [0, 1, 1, 2, 2, 4][pick(&mut chance, 6)];
        let weather = Weather {
            lost: 15 * level,
            late: 15 * level,
            doubled: 20 * level,
            gone: 500,
            unknown: 10 * level,
            slow_commit: 10 * level,
            moody: 60 * level,
        };
        let count = chance.between(2, 7);
        let orders: Vec<_> = (1..=count).map(|number| OrderPlan::of(seed, number)).collect();
        let accidents = if level == 0 { 0 } else { chance.between(0, 2 + 2 * u64::from(level)) };
        let accidents = (0..accidents).map(|number| Accident::of(seed, number, count)).collect();
        Self { seed, weather, orders, accidents }
    }

    /// The same without one of its orders.
    #[must_use]
    pub fn without_order(&self, at: usize) -> Self {
        let mut fewer = self.clone();
        fewer.orders.remove(at);
        fewer
    }

    /// The same without one of its accidents.
    #[must_use]
    pub fn without_accident(&self, at: usize) -> Self {
        let mut fewer = self.clone();
        fewer.accidents.remove(at);
        fewer
    }
}

impl OrderPlan {
    fn of(seed: u64, number: u64) -> Self {
        let mut chance = Chance::about(seed, &["order".into(), number.into()]);
        let payers = [1, 1, 1, 2, 2, 3][pick(&mut chance, 6)];
        Self {
            number,
            shop: Party::SHOPS[pick(&mut chance, 2)],
            units: i64::try_from(100 * chance.between(1, 10)).unwrap_or(100),
            at: millis(chance.between(0, LAST_ORDER)),
            life: Duration::from_secs([60, 60, 90, 150][pick(&mut chance, 4)]),
            payers: (0..payers).map(|_| Payer::of(&mut chance)).collect(),
            cancel: chance.permille(350).then(|| millis(chance.between(0, 30_000))),
        }
    }
}

impl Payer {
    fn of(chance: &mut Chance) -> Self {
        Self {
            issuer: Party::ISSUERS[pick(chance, 2)],
            customer: chance.between(0, 2),
            card: chance.between(0, 2),
            // Often at once, so that two who pay one order meet; sometimes when it is about to expire.
            after: millis(
                [chance.between(0, 300), chance.between(0, 20_000), chance.between(55_000, 62_000)][pick(chance, 3)],
            ),
            tries: chance.between(1, 4),
            twist: [Twist::None, Twist::None, Twist::Twice, Twist::OtherContent][pick(chance, 4)],
        }
    }
}

impl Accident {
    fn of(seed: u64, number: u64, orders: u64) -> Self {
        let mut chance = Chance::about(seed, &["accident".into(), number.into()]);
        let at = millis(chance.between(0, 80_000));
        let down = millis(chance.between(50, 15_000));
        let lasts = millis(chance.between(500, 20_000));
        let mortal = Party::MORTAL[pick(&mut chance, 6)];
        let stored = Party::STORED[pick(&mut chance, 3)];
        let what = match chance.between(0, 10) {
            0 | 1 => What::Crash { party: mortal, down },
            2..=4 => {
                What::CrashAtCommit { party: stored, commits: chance.between(0, 8), made: chance.permille(500), down }
            }
            5 | 6 => {
                const CABLES: [(Party, Party); 6] = [
                    (Party::North, Party::Platform),
                    (Party::Platform, Party::Acquirer),
                    (Party::South, Party::Acquirer),
                    (Party::Acquirer, Party::CardNetwork),
                    (Party::Acquirer, Party::Books),
                    (Party::Acquirer, Party::Tea),
                ];
                let (one, other) = CABLES[pick(&mut chance, 6)];
                What::Cut { one, other, lasts }
            }
            7 => {
                let far = i64::try_from(chance.between(1, 300_000)).unwrap_or(1);
                What::Clock { party: stored, millis: if chance.permille(500) { far } else { -far } }
            }
            8 => What::Full { party: stored, lasts },
            _ => What::Impostor { order: chance.between(1, orders + 1) },
        };
        Self { at, what }
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn pick(chance: &mut Chance, among: u64) -> usize {
    usize::try_from(chance.between(0, among)).unwrap_or_default()
}
