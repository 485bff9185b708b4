//! Sessions: a random token with the customer, its hash with us.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use mesh::store::{KeyRange, PageRequest};
use proto::{authorization::Factor, digest::Digest, money::Money};

use super::{Desk, OrderToPay, SessionCall, SignedIn};
use crate::{
    audit::{Act, Actor, Entry},
    domain::session::{STORED_USE_AGE_MAX, Verdict, judge},
    error::Error,
    records::{Damaged, INDEX_SESSION_BY_END, Session, millis_of, time_key, time_of},
    repository::{self, Changes, Outcome, Stored},
};

/// The length of a token: 256 random bits.
pub(super) const TOKEN_BYTES: usize = 32;
/// How often a session's record is read anew because another call changed it.
const CONTENTION_TRIES_MAX: usize = 64;
/// Sessions cleared away with one commit; as many as a transition may write.
const CLEARED_AT_ONCE: usize = 8;
/// Sessions looked at with one scan while clearing away.
const CLEAR_PAGE: usize = 128;

impl Desk<'_> {
    /// Who has this call's token; counts as a use. One that its device did not sign where it must is none, and
    /// does not keep the session alive. It is the session as it was checked that is returned: one that was stepped
    /// up since is looked at anew by its next call.
    pub(super) async fn session(&self, call: &SessionCall<'_>) -> Result<SignedIn, Error> {
        let digest = token_digest(call.token()).ok_or(Error::SessionInvalid)?;
        for _ in 0..CONTENTION_TRIES_MAX {
            let Some(stored) = self.repository.load(&Session::at(&digest)).await? else {
                self.auth.uses.forget(&digest);
                return Err(Error::SessionInvalid);
            };
            let now = self.clock.now();
            let verdict = self.judge_session(&digest, &stored.value, now);
            if verdict == Verdict::Over {
                self.auth.uses.forget(&digest);
                return Err(Error::SessionInvalid);
            }
            let signed_in = parse(&stored.value)?;
            self.check_use(&signed_in, call).await?;
            if verdict == Verdict::Keep {
                self.auth.uses.note(digest, now);
                return Ok(signed_in);
            }
            let used = Session { used_at_ms: millis_of(now), ..stored.value };
            match self.repository.commit(Changes::new().replace(stored.version, &used)).await? {
                Outcome::Committed => {
                    self.auth.uses.forget(&digest);
                    return Ok(signed_in);
                }
                // Another call stored its use, or the session was ended: look again.
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Whether a stored session goes on, by its stored last use and the one that this process has seen.
    pub(super) fn judge_session(&self, id: &Digest, session: &Session, now: SystemTime) -> Verdict {
        let used_stored = time_of(session.used_at_ms);
        let used = self.auth.uses.last(id).map_or(used_stored, |seen| seen.max(used_stored));
        judge(time_of(session.expires_at_ms), used, used_stored, self.life(), now)
    }

    /// Ends a session, if there is one.
    pub(super) async fn end(&self, token: &[u8], actor: Actor) -> Result<(), Error> {
        let Some(digest) = token_digest(token) else { return Ok(()) };
        for _ in 0..CONTENTION_TRIES_MAX {
            let Some(stored) = self.repository.load(&Session::at(&digest)).await? else {
                self.auth.uses.forget(&digest);
                return Ok(());
            };
            let told = Entry::new(self.clock.now(), Act::SessionEnded).by(actor).session(&digest);
            let told = match stored.value.customer_id.parse() {
                Ok(customer) => told.customer(&customer),
                Err(_) => told.unknown_customer(),
            };
            // A use that is stored meanwhile changes the version; the end has to win.
            match self.repository.commit(Changes::new().remove(&stored).audit(&told)).await? {
                Outcome::Committed | Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Removes the sessions that are past their end, and returns how many.
    pub(super) async fn clear_ended_sessions(&self) -> Result<usize, repository::Error> {
        let now = self.clock.now();
        self.auth.uses.forget_before(now, self.life().idle.max(STORED_USE_AGE_MAX));
        let mut cleared = 0;
        let mut page = PageRequest::first(CLEAR_PAGE);
        loop {
            let ended = KeyRange::between(time_key(SystemTime::UNIX_EPOCH), time_key(now));
            let found = self.repository.page::<Session>(INDEX_SESSION_BY_END, ended, page).await?;
            for some in found.items.chunks(CLEARED_AT_ONCE) {
                cleared += self.clear(some).await?;
            }
            let Some(next) = found.next else { return Ok(cleared) };
            page = PageRequest::after(next, CLEAR_PAGE);
        }
    }

    async fn clear(&self, sessions: &[Stored<Session>]) -> Result<usize, repository::Error> {
        let changes = sessions.iter().fold(Changes::new(), Changes::remove);
        match self.repository.commit(changes).await? {
            Outcome::Committed => Ok(sessions.len()),
            // A customer ended one of them just now; the rest goes with the next round.
            Outcome::Reload => Ok(0),
        }
    }
}

/// A new session as it is stored.
pub(super) fn record(signed_in: &SignedIn, now: SystemTime) -> Session {
    let order = signed_in.order.as_ref();
    Session {
        token_digest: signed_in.id.to_bytes(),
        customer_id: signed_in.customer.to_string(),
        order_digest: order.map(|order| order.digest.to_bytes()).unwrap_or_default(),
        order_amount: order.map(|order| order.amount.to_pb()),
        factors: factors_pb(&signed_in.factors),
        challenge: Bytes::copy_from_slice(&signed_in.challenge),
        created_at_ms: millis_of(now),
        used_at_ms: millis_of(now),
        expires_at_ms: millis_of(signed_in.expires_at),
        device_id: signed_in.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        order_category: order.map(|order| order.category.to_string()).unwrap_or_default(),
    }
}

/// A stored session with the factors and the device of the stepped-up one.
pub(super) fn with_proofs(stored: &Session, signed_in: &SignedIn) -> Session {
    Session {
        factors: factors_pb(&signed_in.factors),
        device_id: signed_in.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..stored.clone()
    }
}

fn factors_pb(factors: &[Factor]) -> Vec<i32> {
    factors.iter().map(|factor| factor.to_pb().into()).collect()
}

/// A stored session, read.
pub(super) fn parse(session: &Session) -> Result<SignedIn, Damaged> {
    let damaged = |field| Damaged { kind: "session", field };
    let id = session.token_digest.as_ref().try_into().map(Digest::from_bytes).map_err(|_| damaged("token_digest"))?;
    let order = match (session.order_digest.as_ref(), session.order_amount.clone()) {
        ([], None) => None,
        (digest, Some(amount)) => Some(OrderToPay {
            digest: Digest::from_bytes(digest.try_into().map_err(|_| damaged("order_digest"))?),
            amount: Money::parse(amount).map_err(|_| damaged("order_amount"))?,
            category: session.order_category.parse().map_err(|_| damaged("order_category"))?,
        }),
        (_, None) => return Err(damaged("order_amount")),
    };
    let factors = session.factors.iter().map(|number| Factor::parse(*number)).collect::<Option<_>>();
    let device = (!session.device_id.is_empty()).then(|| session.device_id.parse()).transpose();
    Ok(SignedIn {
        id,
        customer: session.customer_id.parse().map_err(|_| damaged("customer_id"))?,
        order,
        factors: factors.ok_or(damaged("factors"))?,
        device: device.map_err(|_| damaged("device_id"))?,
        challenge: session.challenge.as_ref().try_into().map_err(|_| damaged("challenge"))?,
        expires_at: time_of(session.expires_at_ms),
    })
}

/// Under what a token's session stands. The look-up goes by the hash, so that its time tells nothing of
/// any token.
fn token_digest(token: &[u8]) -> Option<Digest> {
    (token.len() == TOKEN_BYTES).then(|| Digest::of(token))
}

/// Uses that are not stored, because the stored one is less than a minute old. There is at most one for
/// each session, and none without a session.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<Digest, SystemTime>>);

impl Uses {
    fn last(&self, session: &Digest) -> Option<SystemTime> {
        self.table().get(session).copied()
    }

    fn note(&self, session: Digest, at: SystemTime) {
        // Calls side by side may arrive out of order.
        self.table().entry(session).and_modify(|seen| *seen = at.max(*seen)).or_insert(at);
    }

    fn forget(&self, session: &Digest) {
        self.table().remove(session);
    }

    fn forget_before(&self, now: SystemTime, age: Duration) {
        self.table().retain(|_, at| now.duration_since(*at).unwrap_or_default() < age);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Digest, SystemTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
