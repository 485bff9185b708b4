//! Passkeys: an authenticator's assertion, in which it has made sure who its user is.
//!
//! What an assertion must be is in [`crate::webauthn`]; here is whose it is, and what is kept of it. A
//! stranger who tries credential ids learns nothing: an unknown one, and one with a wrong signature, get the
//! same answer after one look-up and the verification of one signature of each algorithm.

use std::{fmt, net::IpAddr};

use async_trait::async_trait;
use bytes::Bytes;
use proto::{
    authorization::Factor,
    digest::Digest,
    fields::{Fields, Invalid},
    pb, require,
};

use super::{
    Desk, SignedIn,
    credential::{After, Attempt, Credential, Proved},
};
use crate::{
    audit::{self, Act, Actor, Entry, Outcome as Told},
    config::PasskeyConfig,
    context::Context,
    domain::ids::CustomerId,
    error::Error,
    records::{Damaged, Passkey, millis_of},
    repository::{Changes, Stored},
    webauthn::{
        self, AUTHENTICATOR_DATA_BYTES_MAX, CLIENT_DATA_BYTES_MAX, CREDENTIAL_ID_BYTES_MAX, PublicKey, Refused,
        RelyingParty, SIGNATURE_BYTES_MAX,
    },
};

mod registration;

pub use registration::NewPasskey;

/// For whom passkeys are, and how many.
#[derive(Clone, Debug)]
pub struct Passkeys {
    /// The bank as a relying party.
    party: RelyingParty,
    /// How many a customer may have.
    max: usize,
}

impl Passkeys {
    /// Passkeys as they are configured.
    #[must_use]
    pub fn new(config: &PasskeyConfig) -> Self {
        let party = RelyingParty::new(&config.relying_party_id, config.origins.clone());
        Self { party, max: config.passkeys_max as usize }
    }
}

/// An assertion, well-formed as far as its sizes go. Nothing of it is printed: until its challenge is used up
/// it is as good as the customer.
pub struct Assertion {
    credential_id: Bytes,
    authenticator_data: Bytes,
    client_data_json: Bytes,
    signature: Bytes,
}

impl Assertion {
    /// A received proof.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::PasskeyProof) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let credential_id = sized(&mut fields, "credential_id", pb.credential_id, CREDENTIAL_ID_BYTES_MAX);
        let authenticator_data =
            sized(&mut fields, "authenticator_data", pb.authenticator_data, AUTHENTICATOR_DATA_BYTES_MAX);
        let client_data_json = sized(&mut fields, "client_data_json", pb.client_data_json, CLIENT_DATA_BYTES_MAX);
        let signature = sized(&mut fields, "signature", pb.signature, SIGNATURE_BYTES_MAX);
        require!(fields; credential_id, authenticator_data, client_data_json, signature);
        Ok(Self { credential_id, authenticator_data, client_data_json, signature })
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion([redacted])")
    }
}

/// A field of 1 to `max` bytes.
fn sized(fields: &mut Fields, path: &str, value: Bytes, max: usize) -> Option<Bytes> {
    let fits = (1..=max).contains(&value.len());
    if !fits {
        fields.wrong(path, format!("must be 1 to {max} bytes"));
    }
    fits.then_some(value)
}

/// Registers a passkey for the session's customer, and returns its credential id. `source` is where the
/// caller is.
///
/// # Errors
/// [`Error::CredentialNotOffered`], [`Error::FactorsInsufficient`], [`Error::ChallengeNotFound`],
/// [`Error::ChallengeExpired`], [`Error::Invalid`] which says what is not right, [`Error::CredentialsMax`],
/// [`Error::SessionInvalid`] where it has ended meanwhile, and failures inside.
pub async fn register_passkey(
    ctx: &Context,
    session: &SignedIn,
    new: NewPasskey,
    source: Option<IpAddr>,
) -> Result<Bytes, Error> {
    Desk::of(ctx).register_passkey(session, new, source).await
}

/// Forgets a passkey of the session's customer. `source` is where the caller is.
///
/// # Errors
/// [`Error::PasskeyNotFound`], [`Error::SessionInvalid`] where it has ended meanwhile, and failures inside.
pub async fn remove_passkey(
    ctx: &Context,
    session: &SignedIn,
    credential_id: &[u8],
    source: Option<IpAddr>,
) -> Result<(), Error> {
    Desk::of(ctx).remove_passkey(session, credential_id, source).await
}

/// The customer's passkeys, in the order in which they were registered.
///
/// # Errors
/// Failures inside.
pub async fn list_passkeys(ctx: &Context, session: &SignedIn) -> Result<Vec<Passkey>, Error> {
    Desk::of(ctx).list_passkeys(session).await
}

/// The relying party id; none where passkeys are not offered.
#[must_use]
pub fn relying_party_id(ctx: &Context) -> Option<&str> {
    ctx.policy.offered().contains(&Factor::Passkey).then_some(())?;
    ctx.auth.passkeys.as_ref().map(|passkeys| passkeys.party.id())
}

/// What a new passkey of this customer is registered for: 32 bytes, always the same ones, that say nothing.
#[must_use]
pub fn passkey_user_handle(ctx: &Context, session: &SignedIn) -> Bytes {
    Bytes::copy_from_slice(ctx.lookup.passkey_user(&session.customer).as_bytes())
}

#[async_trait]
impl Credential for Assertion {
    const FACTOR: Factor = Factor::Passkey;

    async fn verify(self, desk: &Desk<'_>, attempt: Attempt<'_>) -> Result<Proved, Error> {
        let passkeys = desk.passkeys()?;
        let stored = desk.repository.load(&Passkey::at(&self.credential_id)).await?;
        let credential = stored.as_ref().map(|stored| credential_of(&stored.value)).transpose()?;
        let assertion = webauthn::Assertion {
            authenticator_data: &self.authenticator_data,
            client_data_json: &self.client_data_json,
            signature: &self.signature,
        };
        let verdict = webauthn::verify(&passkeys.party, &attempt.sign_in.challenge, credential.as_ref(), assertion);
        match (verdict, stored) {
            (Ok(sign_count), Some(stored)) => {
                let customer = customer_of(&stored.value)?;
                let after = After::PasskeyUsed { credential_id: self.credential_id, sign_count };
                Ok(Proved { customer, device: None, after })
            }
            (Err(Refused::Counter), Some(stored)) => {
                desk.suspect_clone(&stored, Some(attempt.origin)).await?;
                Err(Error::IdentityNotVerified)
            }
            (Ok(_), None) | (Err(_), _) => Err(Error::IdentityNotVerified),
        }
    }
}

impl Desk<'_> {
    /// Notes that a passkey was used, with its new counter. Of two assertions with the same counter, which
    /// were both right when they were looked at, the second one is refused here; so is one whose passkey was
    /// removed meanwhile.
    pub(super) async fn settle_passkey(
        &self,
        changes: Changes,
        credential_id: &Bytes,
        sign_count: u32,
    ) -> Result<Changes, Error> {
        let stored = self.repository.load(&Passkey::at(credential_id)).await?.ok_or(Error::IdentityNotVerified)?;
        if !webauthn::may_follow(stored.value.sign_count, sign_count) {
            self.suspect_clone(&stored, None).await?;
            return Err(Error::IdentityNotVerified);
        }
        let used = Passkey { sign_count, used_at_ms: millis_of(self.clock.now()), ..stored.value };
        Ok(changes.replace(stored.version, &used))
    }

    /// The passkeys that are offered.
    fn passkeys(&self) -> Result<&Passkeys, Error> {
        self.auth.passkeys.as_ref().ok_or(Error::CredentialNotOffered)
    }

    /// Tells the audit trail of a right signature with a counter that did not increase: there may be a copy of
    /// the authenticator, or two assertions have overtaken each other.
    async fn suspect_clone(&self, stored: &Stored<Passkey>, source: Option<IpAddr>) -> Result<(), Error> {
        let passkey = &stored.value;
        tracing::warn!(customer = passkey.customer_id, "a passkey's counter did not increase; it may have a copy");
        let entry = self.of_passkey(Act::IdentityRefused, &customer_of(passkey)?, &passkey.credential_id, source);
        let entry = entry.factor(Factor::Passkey).outcome(Told::Refused("passkey_clone_suspected"));
        Ok(audit::note(self.repository, &entry).await?)
    }

    /// What the audit trail says of a passkey, which goes by the digest of its id.
    fn of_passkey(&self, act: Act, customer: &CustomerId, credential_id: &[u8], source: Option<IpAddr>) -> Entry {
        let entry = Entry::new(self.clock.now(), act).customer(customer).evidence(&Digest::of(credential_id));
        match source {
            Some(source) => entry.by(Actor::Source(source)),
            None => entry,
        }
    }
}

fn customer_of(passkey: &Passkey) -> Result<CustomerId, Damaged> {
    passkey.customer_id.parse().map_err(|_| Damaged { kind: "passkey", field: "customer_id" })
}

fn credential_of(passkey: &Passkey) -> Result<webauthn::Credential, Damaged> {
    let key = PublicKey::from_parts(passkey.algorithm, &passkey.public_key);
    Ok(webauthn::Credential {
        key: key.ok_or(Damaged { kind: "passkey", field: "public_key" })?,
        sign_count: passkey.sign_count,
        backup_eligible: passkey.backup_eligible,
    })
}
