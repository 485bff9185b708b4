//! How long anything may stay open: the published bounds, and the periods that they are made of.
//!
//! Every order, authorization and reversal comes to its end by itself, and nobody has to guess when. The
//! times below hold once the last fault has healed: this process runs, its store takes writes, the card
//! network answers within its deadlines, the clock is right.
//!
//! | what | its end | with the default limits |
//! |---|---|---|
//! | an authorization | [`Bounds::decided_within`] of the commit that began it, or of the repair | 32 s |
//! | an order | [`Bounds::final_within`] of its expiry, or of the repair where that is later | 33 s |
//! | a reversal | [`Bounds::reversed_within`] of the repair | 63 s |
//! | an event's delivery | an hour after the merchant's server is back; parked after 72 hours without it | |
//!
//! The parts of the first: the card network has its deadline and then that of an inquiry; a worker that
//! the store failed leaves the authorization to the recovery, which waits [`WORKER_GRACE`] for it and
//! looks every [`RECOVERY_PERIOD`]. After a restart nobody waits: everything left behind is settled at
//! once, a page of 64 at a time, each page in no more than the deadline of an inquiry.
//!
//! A **clock** that is set ahead ends open orders early and starts nothing that should not start: an order
//! that this clock has expired stays expired when the clock is set back. A clock that is set back lets an open
//! order live longer by as much, because its deadline is judged by this clock and no other; it prolongs
//! no wait, because a time that lies further ahead than any wait can reach counts as come.

use std::time::{Duration, SystemTime};

use crate::config::Limits;

/// How long after the card network's deadline a worker, wherever it runs, has committed its outcome:
/// the deadline of the inquiry and a storm of conflicts fit into it.
pub const WORKER_GRACE: Duration = Duration::from_secs(10);

/// How often authorizations whose time is over are looked for. Rare: only a store that failed in
/// mid-decision leaves one while the process lives.
pub const RECOVERY_PERIOD: Duration = Duration::from_secs(15);

/// How often the deadlines of orders are looked at. Whoever looks at an order judges it by the clock anyway;
/// this is how soon its shop is told.
pub const EXPIRY_PERIOD: Duration = Duration::from_secs(1);

/// How often reversals that are due are looked for; a new one is sent at once.
pub const REVERSAL_PERIOD: Duration = Duration::from_secs(1);

/// The wait after the first failed try of a reversal; it doubles from there.
pub const REVERSAL_RETRY_MIN: Duration = Duration::from_secs(1);

/// The longest wait between two tries of a reversal, so that a network that comes back hears of it soon.
pub const REVERSAL_RETRY_MAX: Duration = Duration::from_secs(60);

/// The published bounds under these limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    network: Duration,
    inquiry: Duration,
}

impl Bounds {
    /// The bounds that follow from the configured limits.
    #[must_use]
    pub const fn of(limits: &Limits) -> Self {
        Self { network: limits.network_deadline.get(), inquiry: limits.network_inquiry_deadline.get() }
    }

    /// How long after its first commit an authorization has its result.
    #[must_use]
    pub const fn decided_within(&self) -> Duration {
        self.network.saturating_add(self.settled_within())
    }

    /// How long after its expiry an order is final.
    #[must_use]
    pub const fn final_within(&self) -> Duration {
        self.decided_within().saturating_add(EXPIRY_PERIOD)
    }

    /// How long after the repair of whatever was in its way a reversal is acknowledged.
    #[must_use]
    pub const fn reversed_within(&self) -> Duration {
        REVERSAL_RETRY_MAX.saturating_add(REVERSAL_PERIOD).saturating_add(self.inquiry)
    }

    /// How long after the card network's deadline an authorization has its result.
    const fn settled_within(&self) -> Duration {
        self.inquiry.saturating_add(WORKER_GRACE).saturating_add(RECOVERY_PERIOD)
    }

    /// Who owes the next message about an authorization whose card network has until `deadline`.
    #[must_use]
    pub fn awaited(&self, deadline: SystemTime, now: SystemTime) -> Awaited {
        if now <= deadline {
            Awaited { party: Party::CardNetwork, by: deadline }
        } else {
            Awaited { party: Party::Acquirer, by: self.decided_by(deadline) }
        }
    }

    /// By when an authorization whose card network has until `deadline` has its result.
    #[must_use]
    pub fn decided_by(&self, deadline: SystemTime) -> SystemTime {
        deadline + self.settled_within()
    }
}

/// Who owes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The cardholder, whose bank then asks for an authorization.
    Cardholder,
    /// The card network.
    CardNetwork,
    /// This acquirer.
    Acquirer,
}

/// Who owes the next message, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Who.
    pub party: Party,
    /// By when; then the acquirer goes on by itself.
    pub by: SystemTime,
}

/// Whether a stored time to act has come. One that lies further ahead than the longest wait was written
/// before the clock was set back, and has come, too.
#[must_use]
pub(crate) fn has_come(due: SystemTime, now: SystemTime, wait_max: Duration) -> bool {
    due <= now || due > now + wait_max
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_published_figures_are_those_of_the_default_limits() {
        let bounds = Bounds::of(&Limits::default());
        let figures = [bounds.decided_within(), bounds.final_within(), bounds.reversed_within()];
        assert_eq!(figures.map(|figure| figure.as_secs()), [32, 33, 63]);
        let contract = include_str!("../../proto/bankside/v1/order_service.proto");
        assert!(contract.contains("33 seconds"), "the contract publishes the same figure");
    }

    #[test]
    fn the_card_network_owes_until_its_deadline_and_the_acquirer_from_then_on() {
        let bounds = Bounds::of(&Limits::default());
        let deadline = UNIX_EPOCH + Duration::from_secs(1_000);
        let at = |now| bounds.awaited(deadline, now);
        assert_eq!(at(deadline), Awaited { party: Party::CardNetwork, by: deadline });
        let by = deadline + Duration::from_secs(27);
        assert_eq!(at(deadline + Duration::from_millis(1)), Awaited { party: Party::Acquirer, by });
    }

    #[test]
    fn a_time_that_no_wait_can_reach_has_come() {
        let (now, wait) = (UNIX_EPOCH + Duration::from_secs(1_000), Duration::from_secs(60));
        for (due, expected) in [(now, true), (now + wait, false), (now + wait + Duration::from_millis(1), true)] {
            assert_eq!(has_come(due, now, wait), expected, "{due:?}");
        }
    }
}
