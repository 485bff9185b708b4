//! Identity verification (身分驗證): challenges, proofs, lock-out and sessions.
//!
//! **One answer for all failures.** Whether the customer is unknown, locked, or has typed something
//! wrong, the caller gets the same answer after the same work: one look-up, one durable count, one
//! decryption and one argon2 computation. What stands in for an unknown customer is a [`Decoy`].
//!
//! **Challenges are kept in memory**, see [`challenges`]; sessions and counts of tries are durable.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh::{
    clock::{Clock, Entropy},
    sealing::at_rest::Vault,
};
use proto::{authorization::Factor, digest::Digest, ids::ChallengeId, money::Money};
use tokio_util::sync::CancellationToken;

use crate::{
    config::AuthLimits,
    context::Context,
    domain::{ids::CustomerId, lockout, session::Life},
    error::Error,
    repository::Repository,
    vault::{AtRestError, LookupKeys},
};

mod challenges;
mod decoy;
mod knowledge;
mod passwords;
mod sessions;

pub use challenges::{CHALLENGE_TRIES_MAX, CHALLENGES_MAX, CHALLENGES_OF_ORIGIN_MAX};
pub use knowledge::{Knowledge, is_password, is_user_code};
pub use passwords::{
    Busy, Comparison, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PasswordConfig, PasswordError, Passwords, Turn,
    USER_CODE_CHARACTERS_MAX, USER_CODE_CHARACTERS_MIN,
};
pub use sessions::SessionError;

use challenges::Challenges;
use decoy::Decoy;
use sessions::Uses;

/// How often the sessions that have ended are cleared away.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);

/// What sign-in keeps in memory. One for each process, in its [`Context`].
#[derive(Debug)]
pub struct Auth {
    challenges: Challenges,
    passwords: Passwords,
    decoy: Decoy,
    uses: Uses,
}

impl Auth {
    /// Ready for sign-ins. Takes one password's time, for the decoy.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(config: &PasswordConfig, entropy: Arc<dyn Entropy>, vault: &Vault) -> Result<Self, StartError> {
        let passwords = Passwords::new(config, Arc::clone(&entropy))?;
        let decoy = Decoy::new(&passwords, entropy.as_ref(), vault)?;
        Ok(Self { challenges: Challenges::default(), passwords, decoy, uses: Uses::default() })
    }
}

/// Why sign-in can't be made ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The password settings or the hashing fail.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The vault fails.
    #[error(transparent)]
    Vault(#[from] AtRestError),
}

/// The order that a sign-in is for; its signature has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderToPay {
    /// The digest of its body.
    pub digest: Digest,
    /// Its amount.
    pub amount: Money,
}

/// A sign-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub id: ChallengeId,
    /// The bytes to be signed by a device, a passkey or a consent.
    pub challenge: [u8; 32],
    /// It is void from this time on.
    pub expires_at: SystemTime,
    /// The factors that can be proved here.
    pub offered: &'static [Factor],
}

/// What this issuer offers: until devices can be bound, what the customer knows.
pub const OFFERED: &[Factor] = &[Factor::Knowledge];

/// A session that has begun.
#[derive(Debug)]
pub struct NewSession {
    /// The token; the customer's until the session ends.
    pub token: mesh::secret::Secret<[u8; 32]>,
    /// Who signed in, and for what.
    pub signed_in: SignedIn,
}

/// Who is signed in, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The customer.
    pub customer: CustomerId,
    /// The digest of the order that the session was begun with.
    pub order_digest: Option<Digest>,
    /// That order's amount.
    pub order_amount: Option<Money>,
    /// Whether the session can pay that order.
    pub can_pay: bool,
    /// The factors that were proved.
    pub factors: Vec<Factor>,
    /// The challenge that was answered, which a consent repeats.
    pub challenge: [u8; 32],
    /// The session ends by itself at this time at the latest.
    pub expires_at: SystemTime,
}

/// Begins a sign-in for a caller at `origin`, to pay `order` or nothing.
///
/// # Errors
/// [`Error::RateLimited`] where too many are open, and failures inside.
pub fn begin(ctx: &Context, order: Option<OrderToPay>, origin: IpAddr) -> Result<Begun, Error> {
    Desk::of(ctx).begin(order, origin)
}

/// Proves what the customer knows.
///
/// # Errors
/// [`Error::IdentityNotVerified`] for every wrong proof, [`Error::ChallengeNotFound`],
/// [`Error::ChallengeExpired`], [`Error::Overloaded`], and failures inside.
pub async fn prove_knowledge(ctx: &Context, challenge: &ChallengeId, proof: Knowledge) -> Result<NewSession, Error> {
    Desk::of(ctx).prove_knowledge(challenge, proof).await
}

/// Who has this token, which counts as a use of the session: it starts the idle time anew, exactly in
/// this process, and durably at most once a minute.
///
/// # Errors
/// [`SessionError`].
pub async fn session(ctx: &Context, token: &[u8]) -> Result<SignedIn, SessionError> {
    Desk::of(ctx).session(token).await
}

/// Ends a session; one that has ended already, or never was, is no error.
///
/// # Errors
/// [`SessionError::Repository`].
pub async fn end(ctx: &Context, token: &[u8]) -> Result<(), SessionError> {
    Desk::of(ctx).end(token).await
}

/// Clears ended sessions away, every minute until `stop`. A failure is logged and tried again.
pub async fn clean_up(ctx: &Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = ctx.clock.sleep(CLEAN_UP_EVERY) => {}
        }
        if let Err(error) = Desk::of(ctx).clear_ended_sessions().await {
            tracing::warn!(%error, "ended sessions could not be cleared away; trying again in a minute");
        }
    }
}

/// What a sign-in works with, apart from the rest of the context.
struct Desk<'a> {
    auth: &'a Auth,
    repository: &'a Repository,
    clock: &'a dyn Clock,
    entropy: &'a dyn Entropy,
    vault: &'a Vault,
    lookup: &'a LookupKeys,
    limits: &'a AuthLimits,
}

impl<'a> Desk<'a> {
    fn of(ctx: &'a Context) -> Self {
        Self {
            auth: &ctx.auth,
            repository: &ctx.repository,
            clock: ctx.clock.as_ref(),
            entropy: ctx.entropy.as_ref(),
            vault: &ctx.keys.vault,
            lookup: &ctx.lookup,
            limits: &ctx.auth_limits,
        }
    }

    fn begin(&self, order: Option<OrderToPay>, origin: IpAddr) -> Result<Begun, Error> {
        let id = ChallengeId::from_random(self.entropy.id()?);
        let mut challenge = [0; 32];
        self.entropy.fill(&mut challenge)?;
        let now = self.clock.now();
        let expires_at = now + self.limits.challenge.get();
        self.auth
            .challenges
            .open(id.clone(), challenge, order, origin, expires_at, now)
            .map_err(|full| Error::RateLimited(full.retry_after))?;
        Ok(Begun { id, challenge, expires_at, offered: OFFERED })
    }

    fn lockout_rule(&self) -> lockout::Rule {
        lockout::Rule { tries_max: self.limits.password_tries_max, lock: self.limits.password_lock.get() }
    }

    fn life(&self) -> Life {
        Life { idle: self.limits.session_idle.get(), total: self.limits.session_total.get() }
    }
}

#[cfg(test)]
mod tests;
