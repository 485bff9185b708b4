//! What the customer knows: national id, user code and password.

use mesh::{
    secret::{Secret, SecretString},
    store::{KeyRange, PageRequest, Version},
};
use proto::{
    authorization::Factor,
    fields::{Fields, Invalid},
    ids::ChallengeId,
    pb, require,
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Desk, NewSession, SignedIn,
    decoy::Decoy,
    passwords::{
        BUSY_RETRY_AFTER, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, USER_CODE_CHARACTERS_MAX, USER_CODE_CHARACTERS_MIN,
    },
    sessions,
};
use crate::{
    domain::{
        ids::CustomerId,
        lockout::{Event, State, Verdict},
        national_id::NationalId,
    },
    error::Error,
    records::{Credential, Customer, Entity, INDEX_CUSTOMER_BY_NATIONAL_ID, Lockout, millis_of, time_of},
    repository::{Changes, Outcome, Stored},
    vault::{Tag, open_password_hash, seal_password_hash},
};

/// How often a change is decided anew because others changed the same records. Of those who meet, one
/// always succeeds, and no more meet than passwords are worked at; several replicas may add theirs.
const CONTENTION_TRIES_MAX: usize = 256;

/// The three things, well-formed. Nothing of them is printed, and all of it is wiped when it goes.
#[derive(Debug)]
pub struct Knowledge {
    national_id: NationalId,
    user_code: SecretString,
    password: SecretString,
}

impl Knowledge {
    /// A received proof. What is wrong with it is told without its contents, and says nothing about
    /// any customer.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(mut pb: pb::KnowledgeProof) -> Result<Self, Invalid> {
        // Taken out at once, so that every way out of here wipes them.
        let national_id_text = Zeroizing::new(std::mem::take(&mut pb.national_id));
        let user_code = SecretString::new(std::mem::take(&mut pb.user_code));
        let password = SecretString::new(std::mem::take(&mut pb.password));
        let mut fields = Fields::new();
        let national_id = fields.text::<NationalId>("national_id", &national_id_text);
        fields.check(
            "user_code",
            is_user_code(user_code.expose()),
            "must be 4 to 32 characters, none a control character",
        );
        fields.check("password", is_password(password.expose()), "must be 8 to 128 bytes");
        require!(fields; national_id);
        Ok(Self { national_id, user_code, password })
    }
}

/// Whether a text can be a user code.
#[must_use]
pub fn is_user_code(text: &str) -> bool {
    (USER_CODE_CHARACTERS_MIN..=USER_CODE_CHARACTERS_MAX).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
}

/// Whether a text can be a password.
#[must_use]
pub fn is_password(text: &str) -> bool {
    (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&text.len())
}

/// Whom a proof may be of: a customer, or the decoy.
struct Candidate {
    /// The customer, or the decoy's stand-in.
    customer: CustomerId,
    /// Whether it is a customer.
    known: bool,
    /// Whether the user code is the customer's.
    user_code_right: bool,
    /// The password's hash, encrypted.
    sealed_password_hash: bytes::Bytes,
    /// Under which name tries are counted.
    lockout_name: String,
}

impl Desk<'_> {
    /// One path for everybody: nothing before the last decision depends on what was right.
    pub(super) async fn prove_knowledge(&self, challenge: &ChallengeId, proof: Knowledge) -> Result<NewSession, Error> {
        self.auth.challenges.check(challenge, self.clock.now())?;
        let turn = self.auth.passwords.turn().await.map_err(|_| Error::Overloaded(BUSY_RETRY_AFTER))?;
        self.auth.challenges.count_try(challenge, self.clock.now())?;

        let Knowledge { national_id, user_code, password } = proof;
        let candidate = self.candidate(&national_id, user_code.expose()).await?;
        let verdict = self.count_try(&candidate.lockout_name).await?;
        let hash = open_password_hash(self.vault, &candidate.customer, &candidate.sealed_password_hash)
            .map_err(|error| Error::internal("opening a password hash", error))?;
        let allowed = verdict == Verdict::Allowed;
        let may_succeed = candidate.known & candidate.user_code_right & allowed;
        let compared = self
            .auth
            .passwords
            .verify(turn, hash, password, may_succeed)
            .await
            .map_err(|error| Error::internal("verifying a password", error))?;

        if !(may_succeed & compared.right) {
            return Err(Error::IdentityNotVerified);
        }
        self.sign_in(challenge, candidate, compared.renewed).await
    }

    async fn candidate(&self, national_id: &NationalId, user_code: &str) -> Result<Candidate, Error> {
        let tag = self.lookup.national_id(national_id);
        let found = self
            .repository
            .page::<Customer>(
                INDEX_CUSTOMER_BY_NATIONAL_ID,
                KeyRange::exactly(tag.as_bytes().as_slice()),
                PageRequest::first(1),
            )
            .await?;
        let found = found.items.into_iter().next().map(|stored| stored.value);
        let customer = match &found {
            Some(customer) => {
                customer.customer_id.parse().map_err(|error| Error::internal("reading a customer", error))?
            }
            None => self.auth.decoy.customer().clone(),
        };
        let user_code_tag = self.lookup.user_code(&customer, user_code);
        // Read for the decoy's stand-in, too, where there is hardly one.
        let credential = self.repository.load(&Credential::at(&customer)).await?;
        Ok(match (found, credential) {
            (Some(_), Some(credential)) => Candidate {
                lockout_name: customer.to_string(),
                customer,
                known: true,
                user_code_right: user_code_tag.matches(&credential.value.user_code_hash),
                sealed_password_hash: credential.value.sealed_password_hash,
            },
            (Some(_) | None, _) => self.nobody(&tag, &user_code_tag),
        })
    }

    fn nobody(&self, national_id: &Tag, user_code: &Tag) -> Candidate {
        Candidate {
            customer: self.auth.decoy.customer().clone(),
            known: false,
            user_code_right: user_code.matches(&[0; 32]),
            sealed_password_hash: bytes::Bytes::copy_from_slice(self.auth.decoy.sealed_password_hash()),
            lockout_name: Decoy::lockout_name(national_id),
        }
    }

    /// Counts a try, durably, before anything is looked at.
    async fn count_try(&self, name: &str) -> Result<Verdict, Error> {
        for _ in 0..CONTENTION_TRIES_MAX {
            let stored = self.repository.load(&Lockout::named(name)).await?;
            let (state, verdict) =
                lockout_state(stored.as_ref()).apply(Event::Begin, self.lockout_rule(), self.clock.now());
            match self.repository.commit(put_lockout(Changes::new(), name, stored.as_ref(), state)).await? {
                Outcome::Committed => {
                    if verdict == Verdict::Allowed && state.is_locked(self.clock.now()) {
                        tracing::warn!(name, "the last try of a password has begun; locked unless it succeeds");
                    }
                    return Ok(verdict);
                }
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Uses the challenge up, forgets the tries and makes the session, the latter two in one commit.
    async fn sign_in(
        &self,
        challenge: &ChallengeId,
        candidate: Candidate,
        renewed: Option<Zeroizing<String>>,
    ) -> Result<NewSession, Error> {
        let now = self.clock.now();
        let purpose = self.auth.challenges.take(challenge, now)?;
        let mut token = [0; sessions::TOKEN_BYTES];
        self.entropy.fill(&mut token)?;
        let token_for_record = Secret::new(token);
        let signed_in = SignedIn {
            customer: candidate.customer.clone(),
            order_digest: purpose.order.map(|order| order.digest),
            order_amount: purpose.order.map(|order| order.amount),
            can_pay: purpose.order.is_some(),
            factors: vec![Factor::Knowledge],
            challenge: purpose.challenge,
            expires_at: now + self.life().total,
        };
        let session = sessions::record(token_for_record.expose(), &signed_in, now);
        token.zeroize();

        for _ in 0..CONTENTION_TRIES_MAX {
            let lockout = self.repository.load(&Lockout::named(&candidate.lockout_name)).await?;
            let (state, _) = lockout_state(lockout.as_ref()).apply(Event::Succeed, self.lockout_rule(), now);
            let mut changes =
                put_lockout(Changes::new().create(&session), &candidate.lockout_name, lockout.as_ref(), state);
            if let Some(hash) = &renewed {
                changes = self.renew_hash(changes, &candidate.customer, hash).await?;
            }
            match self.repository.commit(changes).await? {
                Outcome::Committed => {
                    return Ok(NewSession { token: token_for_record, signed_in });
                }
                // A commit of unknown outcome may have made the session.
                Outcome::Reload if self.repository.load(&session.key()).await?.is_some() => {
                    return Ok(NewSession { token: token_for_record, signed_in });
                }
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    async fn renew_hash(&self, changes: Changes, customer: &CustomerId, hash: &str) -> Result<Changes, Error> {
        let Some(credential) = self.repository.load(&Credential::at(customer)).await? else { return Ok(changes) };
        let sealed = seal_password_hash(self.vault, customer, hash)
            .map_err(|error| Error::internal("sealing a password hash", error))?;
        let value = Credential { sealed_password_hash: sealed.into(), ..credential.value };
        Ok(changes.replace(credential.version, &value))
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
