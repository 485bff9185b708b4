//! Sign-ins under way, in memory.
//!
//! They are not durable, on purpose. Whoever begins a sign-in is anonymous; a durable record for each
//! would let anybody fill the disk, which with an engine whose file only grows is for ever. A challenge
//! lives for two minutes and is worth nothing by itself: after a restart, or on another replica than the
//! one that a device's connection leads to, the device is told CHALLENGE_NOT_FOUND and begins anew.
//! What must not be forgotten, the count of tries against a customer, is durable.
//!
//! Memory is bounded by two numbers of open challenges: of one origin, so that one caller can't take
//! all places, and of all. When they are used up the newcomer is refused rather than the eldest thrown
//! out, because otherwise a flood would end the sign-ins of those who are just typing their password.
//! Challenges that step a session up have places of their own, so that no flood of strangers, from the same
//! address or from many, keeps a customer from finishing a payment.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use proto::{
    authorization::Factor,
    digest::Digest,
    ids::{ChallengeId, DeviceId},
};

use super::{OrderToPay, SignedIn, credential::Proved};
use crate::{domain::ids::CustomerId, error::Error};

/// Open challenges of all origins, and as many of all sessions; some 300 bytes each make 20 MB.
pub const CHALLENGES_MAX: usize = 32 * 1024;
/// Open challenges of one origin: an IPv4 address, behind which a mobile carrier hides thousands of
/// phones, or an IPv6 network of 48 bits, which is what anybody gets who asks a provider for one (RFC 6177).
pub const CHALLENGES_OF_ORIGIN_MAX: usize = 1024;
/// Open challenges of one session. A payment takes one or two, and each credential that is added one.
pub const CHALLENGES_OF_SESSION_MAX: usize = 16;
/// Failed proofs under one challenge. As many as lock a customer's password, so that a guesser gains
/// nothing by staying, and has to come back through the limits of [`CHALLENGES_OF_ORIGIN_MAX`].
pub const CHALLENGE_TRIES_MAX: u32 = 5;
/// How much longer an expired challenge is remembered, so that a slow customer is told what happened.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The shortest wait that is asked for when all places are taken.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The open challenges.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<Table>);

/// A sign-in under way: what its challenge was begun with, and what was proved under it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignIn {
    /// The bytes to be signed.
    pub(super) challenge: [u8; 32],
    /// The order to be paid.
    pub(super) order: Option<OrderToPay>,
    /// The session that is stepped up: the digest of its token.
    pub(super) session: Option<Digest>,
    /// Who it is, since the first proof; every later proof must be of the same customer.
    pub(super) customer: Option<CustomerId>,
    /// The device that proved itself; a second one can't join.
    pub(super) device: Option<DeviceId>,
    /// What was proved.
    pub(super) factors: Vec<Factor>,
}

impl SignIn {
    /// A sign-in that has just begun.
    pub(super) fn new(challenge: [u8; 32], order: Option<OrderToPay>) -> Self {
        Self { challenge, order, session: None, customer: None, device: None, factors: Vec::new() }
    }

    /// A session to be stepped up.
    pub(super) fn of_session(challenge: [u8; 32], session: &SignedIn) -> Self {
        Self {
            challenge,
            order: session.order.clone(),
            session: Some(session.id),
            customer: Some(session.customer.clone()),
            device: session.device.clone(),
            factors: session.factors.clone(),
        }
    }

    /// Whether a proof of this customer may join: nobody else has proved anything.
    pub(super) fn may_be_of(&self, customer: &CustomerId) -> bool {
        self.customer.as_ref().is_none_or(|proved| proved == customer)
    }

    /// The device that proved itself, where it is this customer's.
    pub(super) fn device_of(&self, customer: &CustomerId) -> Option<&DeviceId> {
        self.device.as_ref().filter(|_| self.customer.as_ref() == Some(customer))
    }

    /// With one proof more; none where it is of another customer or device than those before.
    pub(super) fn with(mut self, factor: Factor, proved: &Proved) -> Option<Self> {
        if self.customer.get_or_insert_with(|| proved.customer.clone()) != &proved.customer {
            return None;
        }
        if let Some(device) = &proved.device
            && self.device.get_or_insert_with(|| device.clone()) != device
        {
            return None;
        }
        if !self.factors.contains(&factor) {
            self.factors.push(factor);
            self.factors.sort_unstable();
        }
        Some(self)
    }
}

/// All places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// When a place is likely to be free.
    pub(super) retry_after: Duration,
}

impl Challenges {
    /// Takes a new challenge in.
    pub(super) fn open(
        &self,
        id: ChallengeId,
        sign_in: SignIn,
        origin: IpAddr,
        expires_at: SystemTime,
        now: SystemTime,
    ) -> Result<(), Full> {
        let mut table = self.table();
        table.forget_old(now);
        let holder = sign_in.session.map_or_else(|| Holder::Origin(Origin::of(origin)), Holder::Session);
        let of_holder = table.of_holder.get(&holder).copied().unwrap_or_default();
        let (of_kind, of_holder_max) = match holder {
            Holder::Origin(_) => (table.open.len() - table.of_sessions, CHALLENGES_OF_ORIGIN_MAX),
            Holder::Session(_) => (table.of_sessions, CHALLENGES_OF_SESSION_MAX),
        };
        if of_kind >= CHALLENGES_MAX || of_holder >= of_holder_max {
            let wait = table.next_free(now).max(RETRY_AFTER_MIN);
            return Err(Full { retry_after: wait });
        }
        table.of_holder.insert(holder, of_holder + 1);
        table.of_sessions += holder.sessions();
        table.by_end.insert((expires_at, id.clone()));
        table.open.insert(id, Open { sign_in, holder, expires_at, tries: 0 });
        Ok(())
    }

    /// The sign-in under a challenge, where a proof may be tried.
    pub(super) fn look(&self, id: &ChallengeId, now: SystemTime) -> Result<SignIn, Error> {
        self.table().usable(id, now).map(|open| open.sign_in.clone())
    }

    /// Counts a try under a challenge.
    pub(super) fn count_try(&self, id: &ChallengeId, now: SystemTime) -> Result<(), Error> {
        self.table().usable(id, now).map(|open| open.tries += 1)
    }

    /// The sign-in under a challenge as it is now. Whether tries are left doesn't matter: the one that asks was
    /// counted before.
    pub(super) fn look_again(&self, id: &ChallengeId, now: SystemTime) -> Result<SignIn, Error> {
        let table = self.table();
        let open = table.open.get(id).ok_or(Error::ChallengeNotFound)?;
        if now < open.expires_at { Ok(open.sign_in.clone()) } else { Err(Error::ChallengeExpired) }
    }

    /// Adds a proof, whose try was counted before and is given back, and returns the sign-in with it.
    ///
    /// # Errors
    /// [`Error::IdentityNotVerified`] where the proof is of another customer or device than those before.
    pub(super) fn add(
        &self,
        id: &ChallengeId,
        factor: Factor,
        proved: &Proved,
        now: SystemTime,
    ) -> Result<SignIn, Error> {
        let mut table = self.table();
        let open = table.open.get_mut(id).ok_or(Error::ChallengeNotFound)?;
        if now >= open.expires_at {
            return Err(Error::ChallengeExpired);
        }
        let joined = open.sign_in.clone().with(factor, proved).ok_or(Error::IdentityNotVerified)?;
        open.tries = open.tries.saturating_sub(1);
        open.sign_in = joined.clone();
        Ok(joined)
    }

    /// Uses a challenge up. Of several proofs under one challenge a single one gets it.
    pub(super) fn take(&self, id: &ChallengeId, now: SystemTime) -> Result<SignIn, Error> {
        let mut table = self.table();
        // Whether tries are left doesn't matter here: the one that succeeded was counted before.
        let open = table.open.get(id).ok_or(Error::ChallengeNotFound)?;
        if now >= open.expires_at {
            return Err(Error::ChallengeExpired);
        }
        table.remove(id).map(|open| open.sign_in).ok_or(Error::ChallengeNotFound)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table().open.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each change leaves the table consistent at every point where it could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<ChallengeId, Open>,
    by_end: BTreeSet<(SystemTime, ChallengeId)>,
    of_holder: HashMap<Holder, usize>,
    /// How many of the open ones step a session up.
    of_sessions: usize,
}

#[derive(Debug)]
struct Open {
    sign_in: SignIn,
    holder: Holder,
    expires_at: SystemTime,
    tries: u32,
}

impl Table {
    fn usable(&mut self, id: &ChallengeId, now: SystemTime) -> Result<&mut Open, Error> {
        let open = self.open.get_mut(id).ok_or(Error::ChallengeNotFound)?;
        if now >= open.expires_at {
            Err(Error::ChallengeExpired)
        } else if open.tries >= CHALLENGE_TRIES_MAX {
            Err(Error::ChallengeNotFound)
        } else {
            Ok(open)
        }
    }

    fn remove(&mut self, id: &ChallengeId) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.by_end.remove(&(open.expires_at, id.clone()));
        self.of_sessions -= open.holder.sessions();
        if let Some(count) = self.of_holder.get_mut(&open.holder) {
            *count -= 1;
            if *count == 0 {
                self.of_holder.remove(&open.holder);
            }
        }
        Some(open)
    }

    fn forget_old(&mut self, now: SystemTime) {
        while let Some((end, id)) = self.by_end.first().cloned()
            && now >= end + REMEMBERED
        {
            self.remove(&id);
        }
    }

    fn next_free(&self, now: SystemTime) -> Duration {
        let first = self.by_end.first().map_or(now, |(end, _)| *end + REMEMBERED);
        first.duration_since(now).unwrap_or_default()
    }
}

/// Whose the places are that an open challenge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    /// A caller's whom nobody knows yet.
    Origin(Origin),
    /// The session's that is stepped up.
    Session(Digest),
}

impl Holder {
    /// One for a session.
    fn sessions(self) -> usize {
        match self {
            Self::Origin(_) => 0,
            Self::Session(_) => 1,
        }
    }
}

/// Who is counted as one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Address(Ipv4Addr),
    Network([u16; 3]),
}

impl Origin {
    /// Of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Address(address),
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Self::Network([a, b, c])
            }
        }
    }

    /// As bytes, to be hashed.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Address(address) => address.octets().to_vec(),
            Self::Network(network) => network.iter().flat_map(|part| part.to_be_bytes()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
