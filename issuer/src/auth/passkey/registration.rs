//! To register a passkey, to list them, and to forget one.

use std::net::IpAddr;

use bytes::Bytes;
use mesh::store::Version;
use proto::{
    authorization::Factor,
    digest::Digest,
    fields::{Fields, Invalid},
    ids::ChallengeId,
    require,
};

use super::{Desk, SignedIn, sized};
use crate::{
    audit::{Act, Outcome as Told},
    auth::sign_in::CONTENTION_TRIES_MAX,
    error::Error,
    records::{Damaged, Passkey, PasskeysOfCustomer, millis_of},
    repository::{Changes, Outcome, Stored},
    webauthn::{self, ATTESTATION_OBJECT_BYTES_MAX, CLIENT_DATA_BYTES_MAX},
};

/// The longest name of a passkey, in bytes; it is shown on a phone.
const NAME_BYTES_MAX: usize = 60;

/// A registration, well-formed as far as its sizes go.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    challenge: ChallengeId,
    display_name: String,
    client_data_json: Bytes,
    attestation_object: Bytes,
}

impl NewPasskey {
    /// What was received of a registration. `challenge` is the session's challenge by its id.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(
        challenge: &str,
        display_name: &str,
        client_data_json: Bytes,
        attestation_object: Bytes,
    ) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let challenge = fields.text("challenge_id", challenge);
        let display_name = fields.plain_text("display_name", display_name, 1, NAME_BYTES_MAX);
        let client_data_json = sized(&mut fields, "client_data_json", client_data_json, CLIENT_DATA_BYTES_MAX);
        let attestation_object =
            sized(&mut fields, "attestation_object", attestation_object, ATTESTATION_OBJECT_BYTES_MAX);
        require!(fields; challenge, display_name, client_data_json, attestation_object);
        Ok(Self { challenge, display_name, client_data_json, attestation_object })
    }
}

impl Desk<'_> {
    /// Registers a passkey. The challenge is used up, whatever comes of it.
    pub(in crate::auth) async fn register_passkey(
        &self,
        session: &SignedIn,
        new: NewPasskey,
        source: Option<IpAddr>,
    ) -> Result<Bytes, Error> {
        let passkeys = self.passkeys()?;
        if !self.policy.offered().contains(&Factor::Passkey) {
            return Err(Error::CredentialNotOffered);
        }
        self.check_kinds(session)?;
        let now = self.clock.now();
        // Another's challenge stays as it is, and its holder's.
        if self.auth.challenges.look(&new.challenge, now)?.session != Some(session.id) {
            return Err(Error::ChallengeNotFound);
        }
        let challenge = self.auth.challenges.take(&new.challenge, now)?.challenge;
        let (credential_id, credential) =
            webauthn::register(&passkeys.party, &challenge, &new.client_data_json, &new.attestation_object)
                .map_err(wrong)?;
        let passkey = Passkey {
            credential_id: credential_id.clone(),
            customer_id: session.customer.to_string(),
            display_name: new.display_name,
            algorithm: credential.key.algorithm(),
            public_key: Bytes::copy_from_slice(credential.key.as_bytes()),
            sign_count: credential.sign_count,
            backup_eligible: credential.backup_eligible,
            registered_at_ms: millis_of(now),
            used_at_ms: 0,
        };
        self.keep_passkey(session, &passkey, passkeys.max, source).await?;
        Ok(credential_id)
    }

    async fn keep_passkey(
        &self,
        session: &SignedIn,
        passkey: &Passkey,
        max: usize,
        source: Option<IpAddr>,
    ) -> Result<(), Error> {
        let digest = Digest::of(&passkey.credential_id);
        for _ in 0..CONTENTION_TRIES_MAX {
            match self.repository.load(&Passkey::under(&digest)).await? {
                // A commit of unknown outcome has made it.
                Some(stored) if stored.value == *passkey => return Ok(()),
                // The same answer whosesoever it is.
                Some(_) => return Err(Invalid::field("attestation_object", "must be of a new credential").into()),
                None => {}
            }
            let (version, mut list) = self.passkeys_of(session).await?;
            if list.digests.len() >= max {
                return Err(Error::CredentialsMax);
            }
            list.digests.push(digest.to_bytes());
            let told = self.of_passkey(Act::PasskeyRegistered, &session.customer, &passkey.credential_id, source);
            let told = told.session(&session.id).outcome(Told::Done);
            let changes = Changes::new().create(passkey).replace(version, &list).audit(&told);
            let changes = self.while_session(changes, session, None).await?;
            match self.repository.commit(changes).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// Forgets a passkey. Sessions that it proved go on, as those of a password that is changed.
    pub(in crate::auth) async fn remove_passkey(
        &self,
        session: &SignedIn,
        credential_id: &[u8],
        source: Option<IpAddr>,
    ) -> Result<(), Error> {
        let digest = Digest::of(credential_id);
        for attempt in 0..CONTENTION_TRIES_MAX {
            let found = self.repository.load(&Passkey::under(&digest)).await?;
            let own = |passkey: &Stored<Passkey>| passkey.value.customer_id == session.customer.as_str();
            let Some(passkey) = found.filter(own) else {
                // One that was there before is forgotten, whoever was first.
                return if attempt == 0 { Err(Error::PasskeyNotFound) } else { Ok(()) };
            };
            let (version, mut list) = self.passkeys_of(session).await?;
            list.digests.retain(|other| other != digest.as_bytes().as_slice());
            let told = self.of_passkey(Act::PasskeyRemoved, &session.customer, credential_id, source);
            let told = told.session(&session.id).outcome(Told::Done);
            let changes = Changes::new().remove(&passkey).replace(version, &list).audit(&told);
            let changes = self.while_session(changes, session, None).await?;
            match self.repository.commit(changes).await? {
                Outcome::Committed => return Ok(()),
                Outcome::Reload => {}
            }
        }
        Err(Error::Contended)
    }

    /// The customer's passkeys.
    pub(in crate::auth) async fn list_passkeys(&self, session: &SignedIn) -> Result<Vec<Passkey>, Error> {
        let (_, list) = self.passkeys_of(session).await?;
        let mut passkeys = Vec::new();
        for digest in list.digests {
            let digest = digest.as_ref().try_into().map(Digest::from_bytes);
            let digest = digest.map_err(|_| Damaged { kind: "passkeys", field: "digests" })?;
            // One that was removed since the list was read is left out.
            passkeys.extend(self.repository.load(&Passkey::under(&digest)).await?.map(|stored| stored.value));
        }
        Ok(passkeys)
    }

    async fn passkeys_of(&self, session: &SignedIn) -> Result<(Version, PasskeysOfCustomer), Error> {
        let stored = self.repository.load(&PasskeysOfCustomer::at(&session.customer)).await?;
        let none = || PasskeysOfCustomer { customer_id: session.customer.to_string(), digests: Vec::new() };
        Ok(stored.map_or_else(|| (Version::ABSENT, none()), |stored| (stored.version, stored.value)))
    }
}

/// What of a registration is not right, by its field.
fn wrong(refused: webauthn::Refused) -> Error {
    let field = if refused.is_of_client_data() { "client_data_json" } else { "attestation_object" };
    Invalid::field(field, refused.to_string()).into()
}
