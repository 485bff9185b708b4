//! Sessions: a random token with the customer, its hash with us.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use mesh::store::{KeyRange, PageRequest};
use proto::{authorization::Factor, digest::Digest, money::Money, pb};

use super::{Desk, SignedIn};
use crate::{
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

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The session never was, or has ended. Nobody is told which.
    #[error("the session does not exist or has ended")]
    Invalid,
    /// The store failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// Too many calls used the session at the same moment.
    #[error("the session's record changed too often")]
    Contended,
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Invalid => Self::SessionInvalid,
            SessionError::Repository(error) => Self::Repository(error),
            SessionError::Contended => Self::Contended,
        }
    }
}

impl From<Damaged> for SessionError {
    fn from(damaged: Damaged) -> Self {
        Self::Repository(damaged.into())
    }
}

impl Desk<'_> {
    /// Who has this token; counts as a use.
    pub(super) async fn session(&self, token: &[u8]) -> Result<SignedIn, SessionError> {
        let digest = token_digest(token).ok_or(SessionError::Invalid)?;
        for _ in 0..CONTENTION_TRIES_MAX {
            let Some(stored) = self.repository.load(&Session::at(&digest)).await? else {
                self.auth.uses.forget(&digest);
                return Err(SessionError::Invalid);
            };
            let now = self.clock.now();
            let used_stored = time_of(stored.value.used_at_ms);
            let used = self.auth.uses.last(&digest).map_or(used_stored, |seen| seen.max(used_stored));
            match judge(time_of(stored.value.expires_at_ms), used, used_stored, self.life(), now) {
                Verdict::Over => {
                    self.auth.uses.forget(&digest);
                    return Err(SessionError::Invalid);
                }
                Verdict::Keep => {
                    self.auth.uses.note(digest, now);
                    return Ok(parse(&stored.value)?);
                }
                Verdict::Store => {
                    let used = Session { used_at_ms: millis_of(now), ..stored.value };
                    let signed_in = parse(&used)?;
                    match self.repository.commit(Changes::new().replace(stored.version, &used)).await? {
                        Outcome::Committed => {
                            self.auth.uses.forget(&digest);
                            return Ok(signed_in);
                        }
                        // Another call stored its use, or the session was ended: look again.
                        Outcome::Reload => {}
                    }
                }
            }
        }
        Err(SessionError::Contended)
    }

    /// Ends a session, if there is one.
    pub(super) async fn end(&self, token: &[u8]) -> Result<(), SessionError> {
        let Some(digest) = token_digest(token) else { return Ok(()) };
        for _ in 0..CONTENTION_TRIES_MAX {
            let Some(stored) = self.repository.load(&Session::at(&digest)).await? else {
                self.auth.uses.forget(&digest);
                return Ok(());
            };
            // A use that is stored meanwhile changes the version; the end has to win.
            match self.repository.commit(Changes::new().remove(&stored)).await? {
                Outcome::Committed | Outcome::Reload => {}
            }
        }
        Err(SessionError::Contended)
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
pub(super) fn record(token: &[u8], signed_in: &SignedIn, now: SystemTime) -> Session {
    Session {
        token_digest: Digest::of(token).to_bytes(),
        customer_id: signed_in.customer.to_string(),
        order_digest: signed_in.order_digest.map(|digest| digest.to_bytes()).unwrap_or_default(),
        order_amount: signed_in.order_amount.map(|amount| amount.to_pb()),
        factors: signed_in.factors.iter().map(|factor| factor.to_pb().into()).collect(),
        challenge: Bytes::copy_from_slice(&signed_in.challenge),
        created_at_ms: millis_of(now),
        used_at_ms: millis_of(now),
        expires_at_ms: millis_of(signed_in.expires_at),
    }
}

fn parse(session: &Session) -> Result<SignedIn, Damaged> {
    let damaged = |field| Damaged { kind: "session", field };
    let order_digest = match session.order_digest.as_ref() {
        [] => None,
        bytes => Some(Digest::from_bytes(bytes.try_into().map_err(|_| damaged("order_digest"))?)),
    };
    let order_amount =
        session.order_amount.clone().map(Money::parse).transpose().map_err(|_| damaged("order_amount"))?;
    Ok(SignedIn {
        customer: session.customer_id.parse().map_err(|_| damaged("customer_id"))?,
        order_digest,
        order_amount,
        can_pay: order_digest.is_some() && order_amount.is_some(),
        factors: session
            .factors
            .iter()
            .map(|number| factor(*number))
            .collect::<Option<_>>()
            .ok_or(damaged("factors"))?,
        challenge: session.challenge.as_ref().try_into().map_err(|_| damaged("challenge"))?,
        expires_at: time_of(session.expires_at_ms),
    })
}

fn factor(number: i32) -> Option<Factor> {
    match pb::AuthenticationFactor::try_from(number).ok()? {
        pb::AuthenticationFactor::Unspecified => None,
        pb::AuthenticationFactor::Knowledge => Some(Factor::Knowledge),
        pb::AuthenticationFactor::Inherence => Some(Factor::Inherence),
        pb::AuthenticationFactor::Possession => Some(Factor::Possession),
        pb::AuthenticationFactor::Passkey => Some(Factor::Passkey),
    }
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
