//! Counts of tries: of a customer's password, and of the features of a device.

use mesh::store::Version;

use super::{Desk, sign_in::CONTENTION_TRIES_MAX};
use crate::{
    audit::{Entry, Outcome as Told},
    domain::lockout::{Event, State, Verdict},
    error::Error,
    records::{Lockout, millis_of, time_of},
    repository::{Changes, Outcome, Stored},
};

impl Desk<'_> {
    /// Counts a try under this name, durably, before anything is looked at. `tried` is what the audit trail says
    /// of it, `locked` what it says beside that of the last try before a lock.
    pub(super) async fn count_try(&self, name: &str, tried: &Entry, locked: &Entry) -> Result<Verdict, Error> {
        for _ in 0..CONTENTION_TRIES_MAX {
            let stored = self.repository.load(&Lockout::named(name)).await?;
            let now = self.clock.now();
            let (state, verdict) = lockout_state(stored.as_ref()).apply(Event::Begin, self.lockout_rule(), now);
            let last = verdict == Verdict::Allowed && state.is_locked(now);
            let outcome = if verdict == Verdict::Allowed { Told::Done } else { Told::Refused("locked") };
            let mut changes = Changes::new().audit(&tried.clone().outcome(outcome));
            if last {
                changes = changes.audit(&locked.clone().outcome(Told::Refused("unless_this_try_succeeds")));
            }
            match self.repository.commit(put_lockout(changes, name, stored.as_ref(), state)).await? {
                Outcome::Committed => {
                    if last {
                        tracing::warn!(name, "the last try of these has begun; locked unless it succeeds");
                    }
                    return Ok(verdict);
                }
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Forgets the tries under this name, because one of them was right.
    pub(super) async fn forget_tries(&self, changes: Changes, name: &str) -> Result<Changes, Error> {
        let stored = self.repository.load(&Lockout::named(name)).await?;
        let state = lockout_state(stored.as_ref());
        let (state, _) = state.apply(Event::Succeed, self.lockout_rule(), self.clock.now());
        Ok(put_lockout(changes, name, stored.as_ref(), state))
    }
}

fn lockout_state(stored: Option<&Stored<Lockout>>) -> State {
    match stored.map(|stored| &stored.value) {
        None => State::FRESH,
        Some(Lockout { begun, locked_until_ms: 0, .. }) => State::Open { begun: *begun },
        Some(Lockout { locked_until_ms, refused, .. }) => {
            State::Locked { until: time_of(*locked_until_ms), refused: *refused }
        }
    }
}

fn put_lockout(changes: Changes, name: &str, stored: Option<&Stored<Lockout>>, state: State) -> Changes {
    let (begun, locked_until_ms, refused) = match state {
        State::Open { begun } => (begun, 0, 0),
        State::Locked { until, refused } => (0, millis_of(until), refused),
    };
    let record = Lockout { customer_id: name.to_owned(), begun, locked_until_ms, refused };
    changes.replace(stored.map_or(Version::ABSENT, |stored| stored.version), &record)
}
