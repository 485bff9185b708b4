//! Everything that is somewhere at one moment: on a disk, in a process, on the way, or promised.

use std::time::SystemTime;

use crate::{
    cast::{AUTHORIZATIONS, CHARGES, ISSUERS, deadline, next_day, past_deadline},
    configuration::Configuration,
    records::{Account, Attempt, Charge, Claim, Order, Verdict},
};

/// One moment. What a crash takes is marked volatile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The acquirer.
    pub acquirer: Acquirer,
    /// What the card network keeps, for each authorization. It is somebody else's system and never forgets.
    pub network: [Card; AUTHORIZATIONS],
    /// The charges, each at its bank.
    pub charges: [ChargeFile; CHARGES],
    /// The account of each bank's customer.
    pub accounts: [Account; ISSUERS],
    /// The order's claim at each bank.
    pub claims: [Claim; ISSUERS],
    /// What is on the way, sorted, each message once.
    pub wire: Vec<Message>,
    /// How far every clock is.
    pub clock: Clock,
    /// Whether the directory suspends the banks.
    pub suspended: bool,
    /// The shop.
    pub shop: Shop,
    /// What may still go wrong.
    pub left: Budget,
    /// What no party keeps, for the properties alone.
    pub noted: Noted,
}

/// The acquirer's disk and process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquirer {
    /// Durable: the order.
    pub order: Order,
    /// Durable: whether the order's private sealing key is there.
    pub sealing_key: bool,
    /// Durable: how often the merchant's day holds the order's amount.
    pub taken: u8,
    /// Durable: the authorizations.
    pub attempts: [Attempt; AUTHORIZATIONS],
    /// Durable: the reversals that the card network has not acknowledged.
    pub reversals: [bool; AUTHORIZATIONS],
    /// Durable: the result that was announced for each authorization.
    pub announced: [Option<Verdict>; AUTHORIZATIONS],
    /// Durable: how many of the announcements the shop has acknowledged.
    pub acknowledged: u8,
    /// Volatile: who works on each authorization.
    pub workers: [Worker; AUTHORIZATIONS],
    /// Volatile: whether a call waits for that work.
    pub callers: [bool; AUTHORIZATIONS],
}

/// Where the work on an authorization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Nobody works on it.
    None,
    /// The intent is committed and nothing has left yet.
    Begun,
    /// The card network is being asked.
    Asking,
    /// By mistake: the result was sent, and is not committed yet.
    Told(Verdict),
}

/// What the card network keeps of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Card {
    /// It has not decided.
    None,
    /// The card is charged.
    Approved,
    /// The card is not charged.
    Declined,
    /// It was reversed: not charged, and never will be.
    Reversed,
}

/// A charge on its bank's disk, and who works on it in the bank's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChargeFile {
    /// Durable: where it stands.
    pub state: Charge,
    /// Durable: its authorization's id.
    pub authorization: u8,
    /// Durable: whether the request is stored.
    pub request: bool,
    /// Volatile: the task that sends it.
    pub sender: Sender,
    /// Volatile: whether a question is waiting for its answer.
    pub asking: bool,
}

/// Where the task that sends a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// There is none.
    None,
    /// The charge is held; the request is being made.
    Ready,
    /// `Sent` is committed and no byte has left.
    Sent,
    /// It waits for the result.
    Waiting,
}

/// Something on the way. The platform keeps nothing, so that what lies with it is on the way, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// A signed authorization request, from a bank.
    Authorize(u8),
    /// A signed question about an authorization, from a bank.
    Question(u8),
    /// An authorization request to the card network.
    Card(u8),
    /// The result for the sender of a charge.
    Reply {
        /// The charge that waits.
        charge: u8,
        /// What was decided.
        verdict: Verdict,
    },
    /// The answer to a charge's question.
    Answer {
        /// The charge that asks.
        charge: u8,
        /// What was decided; none while it is being decided.
        verdict: Option<Verdict>,
    },
}

/// How far every clock is. Clocks that differ within their allowed minute change nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Clock {
    /// The order can be paid, to the last moment.
    InTime,
    /// Its deadline has passed.
    PastDeadline,
    /// A day has passed: what is still unknown is parked.
    NextDay,
}

/// The shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shop {
    /// How many announcements it has heard, without a gap from the first.
    pub heard: u8,
    /// It was told CANCELLED.
    pub told_cancelled: bool,
    /// It was told TOO_LATE.
    pub told_too_late: bool,
    /// It was told PENDING.
    pub told_pending: bool,
}

/// How often each thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes and restarts of the acquirer, and workers that are lost without one.
    pub acquirer_crashes: u8,
    /// Crashes and restarts of a bank.
    pub issuer_crashes: u8,
    /// Messages lost on the way. One that is never delivered is as good as lost; this also takes it away.
    pub losses: u8,
    /// Messages delivered twice, at any time.
    pub duplicates: u8,
    /// Requests and questions refused by the platform or the acquirer, and requests that can't be made.
    pub refusals: u8,
    /// Requests sent again in the time of the wait.
    pub resends: u8,
    /// Results of another authorization handed over in place of the right one.
    pub swaps: u8,
    /// Charges whose task is lost, or that are taken for stuck while it lives.
    pub standstills: u8,
    /// Inquiries by another process of the acquirer, while a worker lives.
    pub beside: u8,
    /// Suspensions of the banks.
    pub suspensions: u8,
    /// Wishes to cancel.
    pub cancels: u8,
}

/// What was ever promised or done, for the properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Noted {
    /// The first result of each authorization that was committed or given out.
    pub first: [Option<Verdict>; AUTHORIZATIONS],
    /// Whether another one came after it.
    pub changed: bool,
    /// The counted declines.
    pub declines: u8,
    /// An authorization began after the deadline.
    pub began_late: bool,
    /// A bank saw two results that contradict each other.
    pub contradicted: bool,
    /// A step was rejected where the code takes it for certain: it would end in `Error::Inconsistent`,
    /// `Error::internal` or a damaged record.
    pub inconsistent: bool,
}

impl State {
    /// The beginning: the order is open and nobody has paid.
    #[must_use]
    pub fn start(configuration: &Configuration) -> Self {
        let file = |number: u8| ChargeFile {
            state: Charge::Absent,
            authorization: number,
            request: false,
            sender: Sender::None,
            asking: false,
        };
        Self {
            acquirer: Acquirer {
                order: Order::new(configuration.declines_before),
                sealing_key: true,
                taken: 0,
                attempts: [Attempt::Absent; AUTHORIZATIONS],
                reversals: [false; AUTHORIZATIONS],
                announced: [None; AUTHORIZATIONS],
                acknowledged: 0,
                workers: [Worker::None; AUTHORIZATIONS],
                callers: [false; AUTHORIZATIONS],
            },
            network: [Card::None; AUTHORIZATIONS],
            charges: [file(0), file(1), file(2), file(3)],
            accounts: [Account::default(); ISSUERS],
            claims: [Claim::Free; ISSUERS],
            wire: Vec::new(),
            clock: Clock::InTime,
            suspended: false,
            shop: Shop::default(),
            left: configuration.budget,
            noted: Noted {
                first: [None; AUTHORIZATIONS],
                changed: false,
                declines: configuration.declines_before,
                began_late: false,
                contradicted: false,
                inconsistent: false,
            },
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match self.clock {
            Clock::InTime => deadline(),
            Clock::PastDeadline => past_deadline(),
            Clock::NextDay => next_day(),
        }
    }

    /// Whether the clock is where the order can't be paid any more.
    #[must_use]
    pub fn is_past_deadline(&self) -> bool {
        self.clock > Clock::InTime
    }

    /// The charge with this number.
    #[must_use]
    pub fn charge(&self, charge: u8) -> &ChargeFile {
        &self.charges[usize::from(charge)]
    }

    /// The charge with this number.
    pub fn charge_mut(&mut self, charge: u8) -> &mut ChargeFile {
        &mut self.charges[usize::from(charge)]
    }

    /// Where an authorization stands at the acquirer.
    #[must_use]
    pub fn attempt(&self, authorization: u8) -> Attempt {
        self.acquirer.attempts[usize::from(authorization)]
    }

    /// Puts a message on its way.
    pub fn send(&mut self, message: Message) {
        if let Err(place) = self.wire.binary_search(&message) {
            self.wire.insert(place, message);
        }
    }

    /// Takes a message from its way.
    pub fn take(&mut self, message: Message) {
        if let Ok(place) = self.wire.binary_search(&message) {
            self.wire.remove(place);
        }
    }

    /// Whether a message is on its way.
    #[must_use]
    pub fn is_on_the_way(&self, message: Message) -> bool {
        self.wire.binary_search(&message).is_ok()
    }

    /// Drops what nobody waits for: an answer whose call has ended goes nowhere, and a call that has ended
    /// waits for nothing.
    pub fn forget_ended_calls(&mut self) {
        let charges = &self.charges;
        self.wire.retain(|message| match message {
            Message::Authorize(_) | Message::Question(_) | Message::Card(_) => true,
            Message::Reply { charge, verdict: _ } => charges[usize::from(*charge)].sender == Sender::Waiting,
            Message::Answer { charge, verdict: _ } => charges[usize::from(*charge)].asking,
        });
        for (authorization, caller) in self.acquirer.callers.iter_mut().enumerate() {
            let waits =
                |file: &ChargeFile| usize::from(file.authorization) == authorization && file.sender == Sender::Waiting;
            *caller &= charges.iter().any(waits);
        }
    }

    /// Notes a result that was committed or given out.
    pub fn note(&mut self, authorization: u8, verdict: Verdict) {
        match &mut self.noted.first[usize::from(authorization)] {
            Some(first) => self.noted.changed |= *first != verdict,
            none @ None => *none = Some(verdict),
        }
    }
}
