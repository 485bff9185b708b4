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
use proto::{
    authorization::Factor,
    digest::Digest,
    ids::{ChallengeId, DeviceId},
    money::Money,
    order::CategoryCode,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    audit::Actor,
    charges::stored_tally,
    config::AuthLimits,
    context::Context,
    domain::{
        ids::CustomerId,
        lockout,
        low_value::Tally,
        policy::{Device, Payment, Policy},
        session::Life,
    },
    error::Error,
    repository::Repository,
    vault::{AtRestError, LookupKeys},
};

mod activation;
mod challenges;
mod credential;
mod decoy;
mod devices;
mod inherence;
mod knowledge;
mod matcher;
mod passkey;
mod passwords;
mod possession;
mod session_use;
mod sessions;
mod sign_in;
mod sources;
mod tries;

pub use challenges::{CHALLENGE_TRIES_MAX, CHALLENGES_MAX, CHALLENGES_OF_ORIGIN_MAX, CHALLENGES_OF_SESSION_MAX};
pub use devices::{
    Authority, DeviceRules, Enrolment, NewDevice, bind_device, enroll_features, feature_count, list_devices,
    unbind_device,
};
pub use inherence::{Features, Inherence, NotFeatures};
pub use knowledge::{Knowledge, is_password, is_user_code};
pub use matcher::{BiometricMatcher, CosineSimilarity, MatchingFailed};
pub use passkey::{
    Assertion, NewPasskey, Passkeys, list_passkeys, passkey_user_handle, register_passkey, relying_party_id,
    remove_passkey,
};
pub use passwords::{
    Busy, Comparison, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PasswordConfig, PasswordError, Passwords, Turn,
    USER_CODE_CHARACTERS_MAX, USER_CODE_CHARACTERS_MIN,
};
pub use possession::Possession;
pub use session_use::{SESSION_USE_SKEW_MAX, SessionCall};
pub use sign_in::{Proof, Proven};

use challenges::{Challenges, SignIn};
use decoy::Decoy;
use sessions::Uses;
use sources::Sources;

/// How often the sessions that have ended are cleared away.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(60);

/// What sign-in keeps in memory. One for each process, in its [`Context`].
#[derive(Debug)]
pub struct Auth {
    challenges: Challenges,
    passwords: Passwords,
    decoy: Decoy,
    uses: Uses,
    sources: Sources,
    devices: DeviceRules,
    passkeys: Option<Passkeys>,
}

impl Auth {
    /// Ready for sign-ins. Takes one password's time, for the decoy.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(config: &PasswordConfig, entropy: Arc<dyn Entropy>, vault: &Vault) -> Result<Self, StartError> {
        let passwords = Passwords::new(config, Arc::clone(&entropy))?;
        let decoy = Decoy::new(&passwords, entropy.as_ref(), vault)?;
        Ok(Self {
            challenges: Challenges::default(),
            passwords,
            decoy,
            uses: Uses::default(),
            sources: Sources::default(),
            devices: DeviceRules::default(),
            passkeys: None,
        })
    }

    /// The same with other rules of devices than the default ones.
    #[must_use]
    pub fn with_devices(self, devices: DeviceRules) -> Self {
        Self { devices, ..self }
    }

    /// The same with passkeys, where there are any.
    #[must_use]
    pub fn with_passkeys(self, passkeys: Option<Passkeys>) -> Self {
        Self { passkeys, ..self }
    }

    /// Moves what is sealed in memory to the vault's current key. To be called when its keys were replaced.
    ///
    /// # Errors
    /// [`AtRestError`] where the vault fails.
    pub fn follow_keys(&self, vault: &Vault) -> Result<(), AtRestError> {
        self.decoy.follow_keys(vault)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderToPay {
    /// The digest of its body.
    pub digest: Digest,
    /// Its amount.
    pub amount: Money,
    /// Its merchant's category code (ISO 18245).
    pub category: CategoryCode,
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
    pub offered: Vec<Factor>,
}

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
    /// The session: the digest of its token.
    pub id: Digest,
    /// The customer.
    pub customer: CustomerId,
    /// The order that the session was begun with, and the only one that it can pay.
    pub order: Option<OrderToPay>,
    /// The factors that were proved.
    pub factors: Vec<Factor>,
    /// The bound device that proved itself.
    pub device: Option<DeviceId>,
    /// The challenge that was answered first, which a consent repeats.
    pub challenge: [u8; 32],
    /// The session ends by itself at this time at the latest.
    pub expires_at: SystemTime,
}

/// Begins a sign-in for a caller at `origin`, to pay `order` or nothing.
///
/// # Errors
/// [`Error::RateLimited`] where too many are open, and failures inside.
pub fn begin(ctx: &Context, order: Option<OrderToPay>, origin: IpAddr) -> Result<Begun, Error> {
    Desk::of(ctx).begin(|challenge| SignIn::new(challenge, order), origin)
}

/// Begins to step up a session.
///
/// # Errors
/// [`Error::RateLimited`] where too many are open, and failures inside.
pub fn begin_step_up(ctx: &Context, session: &SignedIn, origin: IpAddr) -> Result<Begun, Error> {
    Desk::of(ctx).begin(|challenge| SignIn::of_session(challenge, session), origin)
}

/// Takes a proof under a challenge. It is judged to the end, and its failure counted, whatever becomes of the
/// caller: nobody gets tries, or the work of a password's hash, for hanging up in time.
///
/// # Errors
/// [`Error::IdentityNotVerified`] for every wrong proof, [`Error::ChallengeNotFound`],
/// [`Error::ChallengeExpired`], [`Error::CredentialNotOffered`], [`Error::RateLimited`], [`Error::Overloaded`],
/// and failures inside.
pub async fn prove(ctx: &Arc<Context>, challenge: ChallengeId, proof: Proof, origin: IpAddr) -> Result<Proven, Error> {
    let task = {
        let ctx = Arc::clone(ctx);
        async move { Desk::of(&ctx).prove(&challenge, proof, origin).await }
    };
    let task = ctx.tasks.spawn(task.in_current_span());
    task.await.map_err(|error| Error::internal("judging a proof", error))?
}

/// The factors that would bring a session nearer to paying its order; empty where it can pay, as far as the
/// factors go and as long as no other payment of the customer comes in between.
///
/// # Errors
/// The store's failure.
pub async fn missing_to_pay(ctx: &Context, session: &SignedIn) -> Result<Vec<Factor>, Error> {
    Desk::of(ctx).missing_to_pay(session).await
}

/// Who has this call's token, which counts as a use of the session: it starts the idle time anew, exactly in
/// this process, and durably at most once a minute.
///
/// # Errors
/// [`Error::SessionInvalid`], [`Error::Contended`], and the store's failure.
pub async fn session(ctx: &Context, call: SessionCall<'_>) -> Result<SignedIn, Error> {
    Desk::of(ctx).session(&call).await
}

/// Ends a session; one that has ended already, or never was, is no error.
///
/// # Errors
/// [`Error::Contended`], and the store's failure.
pub async fn end(ctx: &Context, token: &[u8], actor: Actor) -> Result<(), Error> {
    Desk::of(ctx).end(token, actor).await
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
    policy: &'a Policy,
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
            policy: &ctx.policy,
        }
    }

    fn begin(&self, sign_in: impl FnOnce([u8; 32]) -> SignIn, origin: IpAddr) -> Result<Begun, Error> {
        let id = ChallengeId::from_random(self.entropy.id()?);
        let mut challenge = [0; 32];
        self.entropy.fill(&mut challenge)?;
        let now = self.clock.now();
        let expires_at = now + self.limits.challenge.get();
        self.auth
            .challenges
            .open(id.clone(), sign_in(challenge), origin, expires_at, now)
            .map_err(|full| Error::RateLimited(full.retry_after))?;
        Ok(Begun { id, challenge, expires_at, offered: self.policy.offered().to_vec() })
    }

    async fn missing_to_pay(&self, session: &SignedIn) -> Result<Vec<Factor>, Error> {
        let Some(order) = &session.order else { return Ok(Vec::new()) };
        let tally = if self.policy.counts_low_value() {
            stored_tally(self.repository, &session.customer).await?.1
        } else {
            Tally::default()
        };
        let device = Device::of(session.device.as_ref());
        let payment = Payment { amount: order.amount, category: order.category, device, tally: &tally };
        Ok(self.policy.missing(&payment, &session.factors))
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
