//! Passwords: argon2id (RFC 9106), on threads of its own, and never more at once than the machine bears.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher, Version};
use mesh::clock::{Entropy, EntropyFailed};
use mesh::config::FieldError;
use mesh::secret::SecretString;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use memory::Memory;

mod memory;

/// The shortest password, in bytes of UTF-8.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// The longest password, in bytes of UTF-8. It bounds the bytes that are hashed before the costly part.
pub const PASSWORD_BYTES_MAX: usize = 128;
/// The shortest user code, in characters.
pub const USER_CODE_CHARACTERS_MIN: usize = 4;
/// The longest user code, in characters.
pub const USER_CODE_CHARACTERS_MAX: usize = 32;

/// The least work for one guess: memory in KiB times iterations. All settings that OWASP's password
/// storage cheat sheet calls equal (7 MiB and 5 iterations to 46 MiB and 1) lie above it.
const WORK_MIN: u64 = 7 * 1024 * 5;
/// The least memory for one hash; less invites graphics cards.
const MEMORY_KIB_MIN: u32 = 7 * 1024;
/// The most memory for all hashes at once, so that a wrong setting doesn't end in the kernel's killer.
const MEMORY_KIB_TOTAL_MAX: u64 = 4 * 1024 * 1024;
/// The most iterations; more would hold a sign-in up for seconds.
const ITERATIONS_MAX: u32 = 16;
/// The most lanes; this implementation works them off one after another.
const LANES_MAX: u32 = 8;
/// The most hashes at once.
const CONCURRENCY_MAX: usize = 64;
/// The longest queue; at 30 ms a hash its last one waits for half a minute, longer than any device does.
const QUEUE_MAX: usize = 1024;
/// The salt's length, as RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// How much work a password is. The default is OWASP's first recommendation for argon2id.
///
/// A stored hash keeps the cost that it was made with until its customer signs in. After a change the time
/// of a refusal therefore tells, for such a customer, that there is one: change the cost seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordConfig {
    /// Memory for one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub lanes: u32,
    /// Hashes at once.
    pub concurrency: usize,
    /// Sign-ins that wait for their turn; the next one is told to come back.
    pub queue: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, lanes: 1, concurrency: 4, queue: 128 }
    }
}

impl PasswordConfig {
    /// Every field that can't be used.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut check = |field: &str, holds: bool, problem: String| {
            if !holds {
                errors.push(FieldError::new(field, problem));
            }
        };
        let work = u64::from(self.memory_kib) * u64::from(self.iterations);
        let total = u64::from(self.memory_kib) * u64::try_from(self.concurrency).unwrap_or(u64::MAX);
        check("iterations", (1..=ITERATIONS_MAX).contains(&self.iterations), format!("must be 1 to {ITERATIONS_MAX}"));
        check("lanes", (1..=LANES_MAX).contains(&self.lanes), format!("must be 1 to {LANES_MAX}"));
        check(
            "concurrency",
            (1..=CONCURRENCY_MAX).contains(&self.concurrency),
            format!("must be 1 to {CONCURRENCY_MAX}"),
        );
        check("queue", self.queue <= QUEUE_MAX, format!("must be at most {QUEUE_MAX}"));
        check(
            "memory_kib",
            self.memory_kib >= MEMORY_KIB_MIN && work >= WORK_MIN,
            format!("must be at least {MEMORY_KIB_MIN}, and {WORK_MIN} when multiplied with iterations"),
        );
        check(
            "memory_kib",
            total <= MEMORY_KIB_TOTAL_MAX,
            format!("must be at most {MEMORY_KIB_TOTAL_MAX} when multiplied with concurrency"),
        );
        errors
    }
}

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    memory: Arc<Memory>,
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    entropy: Arc<dyn Entropy>,
    /// Comparisons begun, for tests of the claim that all failures cost the same.
    #[cfg(test)]
    pub(super) comparisons: std::sync::atomic::AtomicUsize,
}

impl Passwords {
    /// Works as the configuration says.
    ///
    /// # Errors
    /// [`PasswordError::Settings`] where [`PasswordConfig::validate`] finds something.
    pub fn new(config: &PasswordConfig, entropy: Arc<dyn Entropy>) -> Result<Self, PasswordError> {
        if !config.validate().is_empty() {
            return Err(PasswordError::Settings);
        }
        let params = Params::new(config.memory_kib, config.iterations, config.lanes, None)
            .map_err(|_| PasswordError::Settings)?;
        Ok(Self {
            memory: Arc::new(Memory::new(&params)),
            params,
            places: Arc::new(Semaphore::new(config.concurrency + config.queue)),
            workers: Arc::new(Semaphore::new(config.concurrency)),
            entropy,
            #[cfg(test)]
            comparisons: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    /// Hashes a password to a PHC string. Takes tens of milliseconds of a processor.
    ///
    /// # Errors
    /// [`PasswordError::Random`] and [`PasswordError::Hash`].
    pub fn hash(&self, password: &[u8]) -> Result<Zeroizing<String>, PasswordError> {
        hash(&self.params, self.entropy.as_ref(), password)
    }

    /// Whether a foreign hash may be taken: argon2id with exactly the configured cost. With another
    /// cost the time of an answer would tell that the customer exists.
    #[must_use]
    pub fn accepts(&self, phc: &str) -> bool {
        PasswordHash::new(phc)
            .is_ok_and(|hash| hash.hash.is_some() && hash.salt.is_some() && has_cost(&self.params, &hash))
    }

    /// Waits for a turn. Get one before a try is counted, so that a try that is counted is also worked at.
    ///
    /// # Errors
    /// [`Busy`] where too many wait already.
    pub async fn turn(&self) -> Result<Turn, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Busy)?;
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| Busy)?;
        Ok(Turn { _place: place, _worker: worker })
    }

    /// Compares a password with a hash: one argon2 computation. A right password whose hash was made with
    /// another cost than the configured one takes one more, which renews it, but only with `may_renew`:
    /// where the caller refuses the password all the same, the time would tell that it was the right one.
    ///
    /// The work goes on when the caller stops waiting, and the turn stays taken as long.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        turn: Turn,
        phc: Zeroizing<String>,
        password: SecretString,
        may_renew: bool,
    ) -> Result<Comparison, PasswordError> {
        #[cfg(test)]
        self.comparisons.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (params, entropy) = (self.params.clone(), Arc::clone(&self.entropy));
        let memory = Arc::clone(&self.memory);
        let work = tokio::task::spawn_blocking(move || {
            let compared = compare(&params, &memory, entropy.as_ref(), &phc, password.expose().as_bytes(), may_renew);
            drop(turn);
            compared
        });
        work.await.map_err(|_| PasswordError::Stopped)?
    }
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Whether it is the password.
    pub right: bool,
    /// The hash to store from now on, where the stored one is out of date, the password is right and the
    /// caller asked for it.
    pub renewed: Option<Zeroizing<String>>,
}

/// The right to hash, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _worker: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// Too many sign-ins wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

/// How long a device that was told [`Busy`] should wait: about what a full queue takes.
pub(super) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a password can't be judged. Nothing of the password is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The configured cost can't be used.
    #[error("the configured cost of passwords can't be used")]
    Settings,
    /// The stored hash is none.
    #[error("the stored password hash is damaged")]
    Stored,
    /// The hash can't be computed, for example for want of memory.
    #[error("a password can't be hashed")]
    Hash,
    /// There are no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// The thread stopped; the process ends.
    #[error("the password hashing was stopped")]
    Stopped,
}

impl From<EntropyFailed> for PasswordError {
    fn from(_: EntropyFailed) -> Self {
        Self::Random
    }
}

fn compare(
    params: &Params,
    memory: &Memory,
    entropy: &dyn Entropy,
    phc: &str,
    password: &[u8],
    may_renew: bool,
) -> Result<Comparison, PasswordError> {
    let stored = PasswordHash::new(phc).map_err(|_| PasswordError::Stored)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let right = match (&stored.salt, &stored.hash) {
        (Some(salt), Some(expected)) if has_cost(params, &stored) => {
            memory.verify(&argon2, password, salt, expected.as_bytes()).map_err(|_| PasswordError::Hash)?
        }
        _ => match argon2.verify_password(password, &stored) {
            Ok(()) => true,
            Err(argon2::password_hash::Error::PasswordInvalid) => false,
            Err(_) => return Err(PasswordError::Hash),
        },
    };
    let renew = right && may_renew && !has_cost(params, &stored);
    let renewed = if renew { Some(hash(params, entropy, password)?) } else { None };
    Ok(Comparison { right, renewed })
}

fn hash(params: &Params, entropy: &dyn Entropy, password: &[u8]) -> Result<Zeroizing<String>, PasswordError> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash = argon2.hash_password_with_salt(password, &salt).map_err(|_| PasswordError::Hash)?;
    Ok(Zeroizing::new(hash.to_string()))
}

fn has_cost(params: &Params, hash: &PasswordHash) -> bool {
    let same_cost = Params::try_from(hash).is_ok_and(|of_hash| {
        (of_hash.m_cost(), of_hash.t_cost(), of_hash.p_cost()) == (params.m_cost(), params.t_cost(), params.p_cost())
    });
    same_cost && hash.algorithm == ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mesh::clock::SystemEntropy;

    use super::*;

    fn passwords(config: PasswordConfig) -> Passwords {
        Passwords::new(&config, Arc::new(SystemEntropy::new())).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_is_told_from_wrong_ones() {
        let passwords = passwords(PasswordConfig::default());
        let phc = passwords.hash(b"correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the cost is as configured");
        for (candidate, right) in [("correct horse", true), ("correct Horse", false), ("", false)] {
            let turn = passwords.turn().await.unwrap();
            let compared = passwords.verify(turn, phc.clone(), candidate.to_owned().into(), true).await.unwrap();
            assert_eq!((compared.right, compared.renewed.is_none()), (right, true), "{candidate}");
        }
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_renewed_when_the_password_is_right() {
        let old = passwords(PasswordConfig { iterations: 3, ..PasswordConfig::default() });
        let phc = old.hash(b"correct horse").unwrap();
        let new = passwords(PasswordConfig::default());
        assert!(old.accepts(&phc) && !new.accepts(&phc));

        let turn = new.turn().await.unwrap();
        let wrong = new.verify(turn, phc.clone(), "wrong".to_owned().into(), true).await.unwrap();
        assert!(!wrong.right && wrong.renewed.is_none());
        let turn = new.turn().await.unwrap();
        let right = new.verify(turn, phc, "correct horse".to_owned().into(), true).await.unwrap();
        assert!(right.right && new.accepts(&right.renewed.unwrap()));
    }

    #[tokio::test]
    async fn no_more_wait_than_the_queue_holds() {
        let passwords = passwords(PasswordConfig { concurrency: 1, queue: 1, ..PasswordConfig::default() });
        let first = passwords.turn().await.unwrap();
        let mut second = Box::pin(passwords.turn());
        assert!(futures_pending(second.as_mut()).await, "the second waits");
        assert_eq!(passwords.turn().await.unwrap_err(), Busy);
        drop(first);
        drop(second.await.unwrap());
        assert!(passwords.turn().await.is_ok());
    }

    #[test]
    fn weak_and_unbearable_costs_are_refused_by_name() {
        let good = PasswordConfig::default();
        assert!(good.validate().is_empty());
        assert!(PasswordConfig { memory_kib: 47_104, iterations: 1, ..good }.validate().is_empty());
        for (bad, field) in [
            (PasswordConfig { memory_kib: 1024, iterations: 16, ..good }, "memory_kib"),
            (PasswordConfig { iterations: 1, ..good }, "memory_kib"),
            (PasswordConfig { memory_kib: 2 * 1024 * 1024, ..good }, "memory_kib"),
            (PasswordConfig { iterations: 17, ..good }, "iterations"),
            (PasswordConfig { lanes: 0, ..good }, "lanes"),
            (PasswordConfig { concurrency: 0, ..good }, "concurrency"),
            (PasswordConfig { queue: 1025, ..good }, "queue"),
        ] {
            assert_eq!(bad.validate()[0].field, field, "{bad:?}");
            assert!(Passwords::new(&bad, Arc::new(SystemEntropy::new())).is_err());
        }
    }

    #[test]
    fn foreign_hashes_must_be_of_the_same_kind() {
        let passwords = passwords(PasswordConfig::default());
        for bad in [
            "",
            "correct horse",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(!passwords.accepts(bad), "{bad}");
        }
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(passwords.accepts(good));
    }

    /// Polls once and says whether the future waits.
    async fn futures_pending<F: Future + Unpin>(mut future: F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(context).is_pending())
        })
        .await
    }
}
