//! What the customer knows: national id, user code and password.

use async_trait::async_trait;
use mesh::{
    secret::SecretString,
    store::{KeyRange, PageRequest},
};
use proto::{
    authorization::Factor,
    fields::{Fields, Invalid},
    ids::DeviceId,
    pb, require,
};
use zeroize::Zeroizing;

use super::{
    Desk,
    challenges::SignIn,
    credential::{After, Attempt, Credential, Proved},
    decoy::Decoy,
    passwords::{
        BUSY_RETRY_AFTER, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, USER_CODE_CHARACTERS_MAX, USER_CODE_CHARACTERS_MIN,
    },
};
use crate::{
    audit::Act,
    domain::{ids::CustomerId, lockout::Verdict, national_id::NationalId},
    error::Error,
    records::{self, Customer, INDEX_CUSTOMER_BY_NATIONAL_ID},
    repository::Changes,
    vault::{Tag, open_password_hash, seal_password_hash},
};

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
    /// Whether nobody else has proved anything under the challenge.
    joins: bool,
    /// Whether the user code is the customer's.
    user_code_right: bool,
    /// The password's hash, encrypted.
    sealed_password_hash: bytes::Bytes,
    /// Under which name tries are counted.
    lockout_name: String,
}

#[async_trait]
impl Credential for Knowledge {
    const FACTOR: Factor = Factor::Knowledge;

    /// One path for everybody: nothing before the last decision depends on what was right.
    async fn verify(self, desk: &Desk<'_>, attempt: Attempt<'_>) -> Result<Proved, Error> {
        let Attempt { sign_in, origin, turn } = attempt;
        let turn = match turn {
            Some(turn) => turn,
            None => desk.auth.passwords.turn().await.map_err(|_| Error::Overloaded(BUSY_RETRY_AFTER))?,
        };
        let Self { national_id, user_code, password } = self;
        let candidate = desk.candidate(&national_id, user_code.expose(), sign_in).await?;
        let tells = |act| {
            let entry = desk.entry(act, origin).factor(Factor::Knowledge).challenge(&sign_in.challenge);
            if candidate.known { entry.customer(&candidate.customer) } else { entry.unknown_customer() }
        };
        let verdict =
            desk.count_try(&candidate.lockout_name, &tells(Act::IdentityTried), &tells(Act::PasswordLocked)).await?;
        let hash = open_password_hash(desk.vault, &candidate.customer, &candidate.sealed_password_hash)
            .map_err(|error| Error::internal("opening a password hash", error))?;
        let allowed = verdict == Verdict::Allowed;
        let may_succeed = candidate.known & candidate.joins & candidate.user_code_right & allowed;
        let compared = desk
            .auth
            .passwords
            .verify(turn, hash, password, may_succeed)
            .await
            .map_err(|error| Error::internal("verifying a password", error))?;
        if !(may_succeed & compared.right) {
            return Err(Error::IdentityNotVerified);
        }
        let Candidate { customer, lockout_name, .. } = candidate;
        let after = After::PasswordRight { lockout_name, renewed: compared.renewed };
        Ok(Proved { customer, device: None, after })
    }
}

impl Desk<'_> {
    async fn candidate(&self, national_id: &NationalId, user_code: &str, sign_in: &SignIn) -> Result<Candidate, Error> {
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
        let credential = self.repository.load(&records::Credential::at(&customer)).await?;
        Ok(match (found, credential) {
            (Some(_), Some(credential)) => Candidate {
                lockout_name: lockout_name(&customer, sign_in.device_of(&customer)),
                known: true,
                joins: sign_in.may_be_of(&customer),
                customer,
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
            joins: true,
            user_code_right: user_code.matches(&[0; 32]),
            sealed_password_hash: self.auth.decoy.sealed_password_hash(),
            lockout_name: Decoy::lockout_name(national_id),
        }
    }

    /// Forgets the tries, and stores the hash anew where its cost is out of date.
    pub(super) async fn settle_password(
        &self,
        changes: Changes,
        customer: &CustomerId,
        lockout_name: &str,
        renewed: Option<&Zeroizing<String>>,
    ) -> Result<Changes, Error> {
        let changes = self.forget_tries(changes, lockout_name).await?;
        match renewed {
            Some(hash) => self.renew_hash(changes, customer, hash).await,
            None => Ok(changes),
        }
    }

    async fn renew_hash(&self, changes: Changes, customer: &CustomerId, hash: &str) -> Result<Changes, Error> {
        let Some(credential) = self.repository.load(&records::Credential::at(customer)).await? else {
            return Ok(changes);
        };
        let sealed = seal_password_hash(self.vault, customer, hash)
            .map_err(|error| Error::internal("sealing a password hash", error))?;
        let value = records::Credential { sealed_password_hash: sealed.into(), ..credential.value };
        Ok(changes.replace(credential.version, &value))
    }
}

/// Under which name a customer's tries are counted. Those from a bound device of theirs that has proved itself
/// under the same challenge count apart, so that a stranger's guesses never lock customers out of their own
/// device. Another customer's device gives nobody more guesses.
pub(super) fn lockout_name(customer: &CustomerId, device: Option<&DeviceId>) -> String {
    device.map_or_else(|| customer.to_string(), |device| format!("{customer}/{device}"))
}
