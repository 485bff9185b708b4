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

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use proto::ids::ChallengeId;

use super::OrderToPay;
use crate::error::Error;

/// Open challenges of all origins; some 300 bytes each make 10 MB.
pub const CHALLENGES_MAX: usize = 32 * 1024;
/// Open challenges of one origin: an IPv4 address, behind which a mobile carrier hides thousands of
/// phones, or an IPv6 network of 64 bits, which is what one customer gets.
pub const CHALLENGES_OF_ORIGIN_MAX: usize = 1024;
/// Proofs tried under one challenge. As many as lock a customer's password, so that a guesser gains
/// nothing by staying, and has to come back through the limits of [`CHALLENGES_OF_ORIGIN_MAX`].
pub const CHALLENGE_TRIES_MAX: u32 = 5;
/// How much longer an expired challenge is remembered, so that a slow customer is told what happened.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The shortest wait that is asked for when all places are taken.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The open challenges.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<Table>);

/// What a challenge was begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// The bytes to be signed.
    pub(super) challenge: [u8; 32],
    /// The order to be paid.
    pub(super) order: Option<OrderToPay>,
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
        challenge: [u8; 32],
        order: Option<OrderToPay>,
        origin: IpAddr,
        expires_at: SystemTime,
        now: SystemTime,
    ) -> Result<(), Full> {
        let mut table = self.table();
        table.forget_old(now);
        let origin = Origin::of(origin);
        let of_origin = table.of_origin.get(&origin).copied().unwrap_or_default();
        if table.open.len() >= CHALLENGES_MAX || of_origin >= CHALLENGES_OF_ORIGIN_MAX {
            let wait = table.next_free(now).max(RETRY_AFTER_MIN);
            return Err(Full { retry_after: wait });
        }
        let purpose = Purpose { challenge, order };
        table.of_origin.insert(origin, of_origin + 1);
        table.by_end.insert((expires_at, id.clone()));
        table.open.insert(id, Open { purpose, origin, expires_at, tries: 0 });
        Ok(())
    }

    /// Whether a proof may be tried under a challenge.
    pub(super) fn check(&self, id: &ChallengeId, now: SystemTime) -> Result<(), Error> {
        self.table().usable(id, now).map(|_| ())
    }

    /// Counts a try under a challenge.
    pub(super) fn count_try(&self, id: &ChallengeId, now: SystemTime) -> Result<(), Error> {
        self.table().usable(id, now).map(|open| open.tries += 1)
    }

    /// Uses a challenge up. Of several proofs under one challenge a single one gets it.
    pub(super) fn take(&self, id: &ChallengeId, now: SystemTime) -> Result<Purpose, Error> {
        let mut table = self.table();
        // Whether tries are left doesn't matter here: the one that succeeded was counted before.
        let open = table.open.get(id).ok_or(Error::ChallengeNotFound)?;
        if now >= open.expires_at {
            return Err(Error::ChallengeExpired);
        }
        table.remove(id).map(|open| open.purpose).ok_or(Error::ChallengeNotFound)
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
    of_origin: HashMap<Origin, usize>,
}

#[derive(Debug)]
struct Open {
    purpose: Purpose,
    origin: Origin,
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
        if let Some(count) = self.of_origin.get_mut(&open.origin) {
            *count -= 1;
            if *count == 0 {
                self.of_origin.remove(&open.origin);
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

/// Who is counted as one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    Address(std::net::Ipv4Addr),
    Network([u16; 4]),
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Address(address),
            IpAddr::V6(address) => Self::Network(network(address)),
        }
    }
}

fn network(address: Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::UNIX_EPOCH;

    use super::*;

    const LIFE: Duration = Duration::from_secs(120);

    fn id(number: u64) -> ChallengeId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ChallengeId::from_random(bytes)
    }

    fn open(challenges: &Challenges, number: u64, origin: &str, now: SystemTime) -> Result<(), Full> {
        challenges.open(id(number), [7; 32], None, origin.parse().unwrap(), now + LIFE, now)
    }

    #[test]
    fn a_challenge_succeeds_once() {
        let challenges = Challenges::default();
        open(&challenges, 1, "192.0.2.1", UNIX_EPOCH).unwrap();
        challenges.count_try(&id(1), UNIX_EPOCH).unwrap();
        assert_eq!(challenges.take(&id(1), UNIX_EPOCH).unwrap().challenge, [7; 32]);
        assert!(matches!(challenges.take(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
        assert!(matches!(challenges.check(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
    }

    #[test]
    fn its_tries_and_its_time_are_bounded() {
        let challenges = Challenges::default();
        open(&challenges, 1, "192.0.2.1", UNIX_EPOCH).unwrap();
        open(&challenges, 2, "192.0.2.1", UNIX_EPOCH).unwrap();
        for _ in 0..CHALLENGE_TRIES_MAX {
            challenges.count_try(&id(1), UNIX_EPOCH).unwrap();
        }
        assert!(matches!(challenges.count_try(&id(1), UNIX_EPOCH), Err(Error::ChallengeNotFound)));
        assert!(challenges.take(&id(1), UNIX_EPOCH).is_ok(), "the fifth try may still be under way, and succeed");

        challenges.check(&id(2), UNIX_EPOCH + LIFE - Duration::from_millis(1)).unwrap();
        assert!(matches!(challenges.check(&id(2), UNIX_EPOCH + LIFE), Err(Error::ChallengeExpired)));
        assert!(matches!(challenges.take(&id(2), UNIX_EPOCH + LIFE), Err(Error::ChallengeExpired)));
    }

    #[test]
    fn one_origin_has_its_share_and_no_more() {
        let challenges = Challenges::default();
        for number in 0..CHALLENGES_OF_ORIGIN_MAX as u64 {
            // All of these are one network.
            open(&challenges, number, &format!("2001:db8:1:2::{number:x}"), UNIX_EPOCH).unwrap();
        }
        let full = open(&challenges, 5000, "2001:db8:1:2:ffff::1", UNIX_EPOCH).unwrap_err();
        assert_eq!(full.retry_after, LIFE + REMEMBERED);
        open(&challenges, 5001, "2001:db8:1:3::1", UNIX_EPOCH).unwrap();
        open(&challenges, 5002, "::ffff:192.0.2.1", UNIX_EPOCH).unwrap();

        // A sign-in that succeeds makes room at once.
        challenges.take(&id(3), UNIX_EPOCH).unwrap();
        open(&challenges, 5003, "2001:db8:1:2::1", UNIX_EPOCH).unwrap();
    }

    #[test]
    fn a_flood_is_bounded_and_passes() {
        let challenges = Challenges::default();
        let origin = |number: u64| format!("198.18.{}.{}", number / 256 % 256, number % 256);
        for number in 0..CHALLENGES_MAX as u64 {
            open(&challenges, number, &origin(number), UNIX_EPOCH).unwrap();
        }
        assert!(open(&challenges, 99_999, "192.0.2.1", UNIX_EPOCH).is_err());
        assert_eq!(challenges.len(), CHALLENGES_MAX);
        challenges.check(&id(0), UNIX_EPOCH).unwrap();

        open(&challenges, 99_999, "192.0.2.1", UNIX_EPOCH + LIFE + REMEMBERED).unwrap();
        assert_eq!(challenges.len(), 1);
        let table = challenges.table();
        assert_eq!((table.by_end.len(), table.of_origin.len()), (1, 1));
    }
}
