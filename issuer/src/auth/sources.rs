//! How often proofs from one place may fail, whoever they are of.
//!
//! Failures are durable, so that a restart gives nobody new tries. Tries under way are counted in memory
//! and count as failures until they are decided, so that many at once get no more than the rule allows.
//!
//! A place is an IPv4 address or an IPv6 network of 48 bits, and once a bound device has proved itself under the
//! challenge, that device. It stands under a keyed hash that is cut to 16 bits: the records of a flood from
//! made-up places take a bounded room, and nobody can find out whose place shares theirs.
//!
//! Strangers share a place, behind a carrier's address or by its hash. A place that has to wait is therefore
//! refused guesses alone, which are passwords and activation codes: see [`super::Proof::can_be_guessed`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mesh::store::Version;
use proto::ids::DeviceId;

use super::{Desk, challenges::Origin, sign_in::CONTENTION_TRIES_MAX};
use crate::{
    audit::{Entry, Outcome as Told},
    domain::source::{Rule, State},
    error::Error,
    records::{Source, millis_of, time_of},
    repository::{Changes, Outcome, Stored},
};

/// The tries under way, by place.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<HashMap<u16, u32>>);

impl Sources {
    fn table(&self) -> MutexGuard<'_, HashMap<u16, u32>> {
        // Each change leaves the table consistent at every point where it could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A try under way. It counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    sources: &'a Sources,
    bucket: u16,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.sources.table();
        if let Some(count) = table.get_mut(&self.bucket) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.bucket);
            }
        }
    }
}

impl Desk<'_> {
    /// Whether a caller from here may try now, or from wherever the device is that has proved itself.
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time until it may.
    pub(super) async fn source_may_try(&self, origin: IpAddr, device: Option<&DeviceId>) -> Result<Place<'_>, Error> {
        let bucket = match device {
            Some(device) => self.bucket(device.as_str().as_bytes()),
            None => self.bucket(&Origin::of(origin).to_bytes()),
        };
        // Counted before the record is read: of tries at the same moment each sees the others.
        let under_way = {
            let mut table = self.auth.sources.table();
            let count = table.entry(bucket).or_default();
            *count += 1;
            *count - 1
        };
        let place = Place { sources: &self.auth.sources, bucket };
        let stored = self.repository.load(&Source::at(bucket)).await?;
        match self.source_state(stored.as_ref()).wait(under_way, self.source_rule(), self.clock.now()) {
            None => Ok(place),
            Some(wait) => Err(Error::RateLimited(wait)),
        }
    }

    /// Counts a failure, durably, together with what the audit trail says of it. Of the one after which the
    /// place has to wait it says that, too: nothing more is told of what is refused meanwhile.
    pub(super) async fn count_source_failure(&self, place: &Place<'_>, told: &Entry) -> Result<(), Error> {
        for _ in 0..CONTENTION_TRIES_MAX {
            let stored = self.repository.load(&Source::at(place.bucket)).await?;
            let state = self.source_state(stored.as_ref()).failed(self.source_rule(), self.clock.now());
            let last = state.failures == self.source_rule().failures_max;
            let record =
                Source { bucket: u32::from(place.bucket), since_ms: millis_of(state.since), failures: state.failures };
            let version = stored.map_or(Version::ABSENT, |stored| stored.version);
            let mut changes = Changes::new().replace(version, &record).audit(told);
            if last {
                changes = changes.audit(&told.clone().outcome(Told::Refused("place_has_to_wait")));
            }
            match self.repository.commit(changes).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    fn bucket(&self, place: &[u8]) -> u16 {
        let [a, b, ..] = *self.lookup.source(place).as_bytes();
        u16::from_be_bytes([a, b])
    }

    fn source_state(&self, stored: Option<&Stored<Source>>) -> State {
        stored.map_or(State { since: self.clock.now(), failures: 0 }, |stored| State {
            since: time_of(stored.value.since_ms),
            failures: stored.value.failures,
        })
    }

    fn source_rule(&self) -> Rule {
        Rule { failures_max: self.limits.source_failures_max, window: self.limits.source_window.get() }
    }
}
