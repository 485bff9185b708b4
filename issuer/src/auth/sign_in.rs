//! From a proof to a session: one way for every kind of credential.

use std::net::IpAddr;

use mesh::secret::Secret;
use proto::{authorization::Factor, ids::ChallengeId};
use zeroize::Zeroize;

use super::{
    Desk, Knowledge, NewSession, SignedIn,
    challenges::SignIn,
    credential::{Attempt, Credential, Proved},
    inherence::Inherence,
    passkey::Assertion,
    passwords::BUSY_RETRY_AFTER,
    possession::Possession,
    sessions,
};
use crate::{
    audit::{self, Act, Actor, Entry, Outcome},
    domain::session::Verdict,
    error::Error,
    records::{Entity, Session},
    repository::{Changes, Outcome as Done},
};

/// How often a sign-in is committed anew because others changed the same records. Of those who meet, one
/// always succeeds, and no more meet than passwords are worked at; several replicas may add theirs.
pub(super) const CONTENTION_TRIES_MAX: usize = 256;

/// One proof, well-formed.
#[derive(Debug)]
pub enum Proof {
    /// What the customer knows.
    Knowledge(Knowledge),
    /// What the customer is.
    Inherence(Inherence),
    /// What the customer has.
    Possession(Possession),
    /// A passkey.
    Passkey(Assertion),
}

impl Proof {
    /// The factor that it would prove.
    #[must_use]
    pub fn factor(&self) -> Factor {
        match self {
            Self::Knowledge(_) => Knowledge::FACTOR,
            Self::Inherence(_) => Inherence::FACTOR,
            Self::Possession(_) => Possession::FACTOR,
            Self::Passkey(_) => Assertion::FACTOR,
        }
    }

    /// Whether somebody can come by it who has nothing of the customer's, by trying for long enough. Nobody
    /// guesses a signature.
    #[must_use]
    pub fn can_be_guessed(&self) -> bool {
        match self {
            Self::Knowledge(_) => true,
            Self::Inherence(_) | Self::Possession(_) | Self::Passkey(_) => false,
        }
    }
}

/// What a right proof led to.
#[derive(Debug)]
pub enum Proven {
    /// A new session.
    Session(NewSession),
    /// The session that was stepped up, as it is now.
    SteppedUp(SignedIn),
    /// More is needed: each of these factors would help.
    Missing(Vec<Factor>),
}

/// When what a proof changes is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Together with the session that it opens.
    WithTheSession,
    /// Before, because it did not suffice by itself.
    Already,
}

/// A right proof under a challenge.
struct Step<'a> {
    id: &'a ChallengeId,
    factor: Factor,
    origin: IpAddr,
    proved: Proved,
}

impl Desk<'_> {
    /// Takes a proof under a challenge.
    pub(super) async fn prove(&self, id: &ChallengeId, proof: Proof, origin: IpAddr) -> Result<Proven, Error> {
        let factor = proof.factor();
        if !self.policy.offered().contains(&factor) {
            return Err(Error::CredentialNotOffered);
        }
        let sign_in = self.auth.challenges.look(id, self.clock.now())?;
        let place = match self.source_may_try(origin, sign_in.device.as_ref()).await {
            Ok(place) => Ok(place),
            // A stranger at the same address keeps nobody's device and passkey out.
            Err(Error::RateLimited(wait)) if !proof.can_be_guessed() => Err(wait),
            Err(error) => return Err(error),
        };
        // A password waits for its turn before its try is counted: a busy server costs nobody a try.
        let turn = match &proof {
            Proof::Knowledge(_) => {
                Some(self.auth.passwords.turn().await.map_err(|_| Error::Overloaded(BUSY_RETRY_AFTER))?)
            }
            Proof::Inherence(_) | Proof::Possession(_) | Proof::Passkey(_) => None,
        };
        self.auth.challenges.count_try(id, self.clock.now())?;
        let attempt = Attempt { sign_in: &sign_in, origin, turn };
        let verified = match proof {
            Proof::Knowledge(proof) => proof.verify(self, attempt).await,
            Proof::Inherence(proof) => proof.verify(self, attempt).await,
            Proof::Possession(proof) => proof.verify(self, attempt).await,
            Proof::Passkey(proof) => proof.verify(self, attempt).await,
        };
        let gone_on = match verified {
            Ok(proved) => self.go_on(Step { id, factor, origin, proved }, &sign_in).await,
            Err(error) => Err(error),
        };
        match (gone_on, place) {
            (Err(Error::IdentityNotVerified), Ok(place)) => {
                let refused = self.entry(Act::IdentityRefused, origin).factor(factor).challenge(&sign_in.challenge);
                self.count_source_failure(&place, &refused.outcome(Outcome::Refused("not_verified"))).await?;
                Err(Error::IdentityNotVerified)
            }
            // It was to wait, and this was not what it need not wait with. Nothing is written.
            (Err(Error::IdentityNotVerified), Err(wait)) => Err(Error::RateLimited(wait)),
            (other, _) => other,
        }
    }

    /// An entry of the audit trail for what a caller does now.
    pub(super) fn entry(&self, act: Act, origin: IpAddr) -> Entry {
        Entry::new(self.clock.now(), act).by(Actor::Source(origin))
    }

    /// After a right proof: a session, a stepped-up one, or what is missing. One that comes to nothing because
    /// its challenge or its session is over by now is told to the audit trail, too.
    async fn go_on(&self, step: Step<'_>, begun: &SignIn) -> Result<Proven, Error> {
        let counted = self.count_proof(&step).await;
        if let Err(Error::ChallengeNotFound | Error::ChallengeExpired | Error::SessionInvalid) = counted {
            let late = self.proved(&step, begun).outcome(Outcome::Refused("too_late"));
            audit::note(self.repository, &late).await?;
        }
        counted
    }

    /// A proof counts under the challenge only once what it changes is committed, such as a passkey's counter:
    /// one that loses there has proved nothing.
    async fn count_proof(&self, step: &Step<'_>) -> Result<Proven, Error> {
        let sign_in = self.auth.challenges.look_again(step.id, self.clock.now())?;
        let joined = sign_in.with(step.factor, &step.proved).ok_or(Error::IdentityNotVerified)?;
        if joined.session.is_some() {
            return self.step_up(step).await.map(Proven::SteppedUp);
        }
        if self.may_sign_in(&joined) {
            return self.open_session(step, Settled::WithTheSession).await.map(Proven::Session);
        }
        self.settle_alone(step, &joined).await?;
        let joined = self.auth.challenges.add(step.id, step.factor, &step.proved, self.clock.now())?;
        if self.may_sign_in(&joined) {
            // Another proof has joined meanwhile, and the two suffice.
            return self.open_session(step, Settled::Already).await.map(Proven::Session);
        }
        Ok(Proven::Missing(self.policy.sign_in().missing(&joined.factors, self.policy.offered())))
    }

    fn may_sign_in(&self, sign_in: &SignIn) -> bool {
        self.policy.sign_in().is_met(&sign_in.factors)
    }

    async fn settle_alone(&self, step: &Step<'_>, sign_in: &SignIn) -> Result<(), Error> {
        for _ in 0..CONTENTION_TRIES_MAX {
            let changes = Changes::new().audit(&self.proved(step, sign_in));
            let changes = self.settle(changes, &step.proved).await?;
            match self.repository.commit(changes).await? {
                Done::Committed => return Ok(()),
                Done::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    fn proved(&self, step: &Step<'_>, sign_in: &SignIn) -> Entry {
        let entry = self.entry(Act::IdentityProved, step.origin).factor(step.factor).customer(&step.proved.customer);
        let entry = match &step.proved.device {
            Some(device) => entry.device(device),
            None => entry,
        };
        entry.challenge(&sign_in.challenge).outcome(Outcome::Done)
    }

    /// What became of a session, told of it as it is afterwards.
    fn of_session(&self, act: Act, step: &Step<'_>, session: &SignedIn) -> Entry {
        let entry = self.entry(act, step.origin).customer(&session.customer).session(&session.id);
        match &session.order {
            Some(order) => entry.order(&order.digest).outcome(Outcome::Done),
            None => entry.outcome(Outcome::Done),
        }
    }

    /// Uses the challenge up and makes the session, in one commit with what the proof changes.
    async fn open_session(&self, step: &Step<'_>, settled: Settled) -> Result<NewSession, Error> {
        let now = self.clock.now();
        let sign_in = self.auth.challenges.take(step.id, now)?;
        let sign_in = sign_in.with(step.factor, &step.proved).ok_or(Error::IdentityNotVerified)?;
        let proved = self.proved(step, &sign_in);
        let mut bytes = [0; sessions::TOKEN_BYTES];
        self.entropy.fill(&mut bytes)?;
        let token = Secret::new(bytes);
        let signed_in = SignedIn {
            id: proto::digest::Digest::of(token.expose()),
            customer: step.proved.customer.clone(),
            order: sign_in.order,
            factors: sign_in.factors,
            device: sign_in.device,
            challenge: sign_in.challenge,
            expires_at: now + self.life().total,
        };
        let session = sessions::record(&signed_in, now);
        bytes.zeroize();
        for _ in 0..CONTENTION_TRIES_MAX {
            let told = self.of_session(Act::SessionBegun, step, &signed_in);
            let changes = Changes::new().create(&session).audit(&told);
            let changes = match settled {
                Settled::WithTheSession => self.settle(changes.audit(&proved), &step.proved).await?,
                Settled::Already => changes,
            };
            match self.repository.commit(changes).await? {
                Done::Committed => return Ok(NewSession { token, signed_in }),
                // A commit of unknown outcome may have made the session.
                Done::Reload if self.repository.load(&session.key()).await?.is_some() => {
                    return Ok(NewSession { token, signed_in });
                }
                Done::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Uses the challenge up and adds what was proved under it to its session.
    async fn step_up(&self, step: &Step<'_>) -> Result<SignedIn, Error> {
        let sign_in = self.auth.challenges.take(step.id, self.clock.now())?;
        let sign_in = sign_in.with(step.factor, &step.proved).ok_or(Error::IdentityNotVerified)?;
        let proved = self.proved(step, &sign_in);
        let session = sign_in.session.ok_or(Error::SessionInvalid)?;
        for _ in 0..CONTENTION_TRIES_MAX {
            let stored = self.repository.load(&Session::at(&session)).await?.ok_or(Error::SessionInvalid)?;
            if self.judge_session(&session, &stored.value, self.clock.now()) == Verdict::Over {
                return Err(Error::SessionInvalid);
            }
            let mut signed_in = sessions::parse(&stored.value)?;
            if signed_in.device.is_some() && sign_in.device.is_some() && signed_in.device != sign_in.device {
                return Err(Error::IdentityNotVerified);
            }
            signed_in.device = signed_in.device.or_else(|| sign_in.device.clone());
            signed_in.factors.extend(&sign_in.factors);
            signed_in.factors.sort_unstable();
            signed_in.factors.dedup();
            let record = sessions::with_proofs(&stored.value, &signed_in);
            let told = self.of_session(Act::SessionSteppedUp, step, &signed_in);
            let changes = Changes::new().replace(stored.version, &record).audit(&proved).audit(&told);
            let changes = self.settle(changes, &step.proved).await?;
            match self.repository.commit(changes).await? {
                Done::Committed => return Ok(signed_in),
                Done::Reload => {}
            }
        }
        Err(Error::Contended)
    }
}
