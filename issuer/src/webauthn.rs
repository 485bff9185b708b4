//! What a relying party checks of a passkey: W3C Web Authentication Level 2, sections 7.1 and 7.2, with
//! the backup flags of Level 3.
//!
//! Everything here is a function of its arguments; who a credential belongs to, and what is kept of it, is
//! the business of `auth`. What this bank asks for beyond the standard, or leaves out:
//!
//! - User verification is always demanded, because a passkey counts for two kinds of proof.
//! - The algorithms are ES256 and EdDSA with Ed25519. Keys are checked to be points of their curve.
//! - Attestation statements are read past and not judged: the bank doesn't choose its customers'
//!   authenticators. A registration is trusted because of the session that it is made in.
//! - Whose an assertion is follows from its credential id alone. The user handle, which section 7.2 compares with
//!   it, is not asked for: no signature covers it, so that it could only repeat what the id says.
//! - A page in another site's frame (`crossOrigin`, `topOrigin`) is refused, and so is the binding to a
//!   connection's token, which no server here negotiates.
//! - Extensions are read past. A member of the client data that is not known is ignored, as the standard
//!   asks; a known one that stands there twice is refused.

use bytes::Bytes;
use ring::digest::{SHA256, digest};

mod attestation;
mod authenticator;
mod cbor;
mod client;
mod key;

pub use key::PublicKey;

use authenticator::AuthenticatorData;
use client::{Ceremony, ClientData};

/// The longest client data, in bytes. Browsers make some 150; the rest is for members of the future.
pub const CLIENT_DATA_BYTES_MAX: usize = 4096;
/// The longest attestation object, in bytes. A statement with a chain of certificates takes 5 KB.
pub const ATTESTATION_OBJECT_BYTES_MAX: usize = 16 * 1024;
/// The longest authenticator data of an assertion, in bytes: 37, and what extensions may add.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 1024;
/// The longest signature, in bytes: that of P-256 in DER.
pub const SIGNATURE_BYTES_MAX: usize = 72;
/// The shortest credential id, in bytes (section 4, "Credential ID": at least 100 bits of entropy).
pub const CREDENTIAL_ID_BYTES_MIN: usize = 16;
/// The longest credential id, in bytes (section 4, "Credential ID").
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

/// Who asks for passkeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    id_digest: [u8; 32],
    origins: Vec<String>,
}

impl RelyingParty {
    /// The relying party with this id, a domain, whose pages and apps have these origins.
    #[must_use]
    pub fn new(id: &str, origins: Vec<String>) -> Self {
        Self { id: id.to_owned(), id_digest: sha256(id.as_bytes()), origins }
    }

    /// Its id, for example `bank.example`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A credential that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its public key.
    pub key: PublicKey,
    /// The counter of its signatures, as it was last seen; zero where the authenticator has none.
    pub sign_count: u32,
    /// Whether it can be copied to the customer's other devices. It stays what it was at registration.
    pub backup_eligible: bool,
}

/// What a browser brings from `navigator.credentials.get`.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// The authenticator data.
    pub authenticator_data: &'a [u8],
    /// The client data, JSON as the browser made it.
    pub client_data_json: &'a [u8],
    /// The signature over both.
    pub signature: &'a [u8],
}

/// Why a registration or an assertion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The client data are no JSON object with the members that it must have.
    #[error("must be the client data as the browser made them")]
    ClientData,
    /// The client data are of the other ceremony.
    #[error("must be of the right type: webauthn.create for a registration, webauthn.get for an assertion")]
    Type,
    /// The client data answer another challenge.
    #[error("must answer the challenge")]
    Challenge,
    /// The client data come from an origin that is not the bank's.
    #[error("must come from an origin of this bank")]
    Origin,
    /// The client data come from a frame in another site's page.
    #[error("must come from a page that stands in no other site's frame")]
    CrossOrigin,
    /// The client data claim to be bound to a connection.
    #[error("must not be bound to a connection's token, which is not offered")]
    TokenBinding,
    /// The attestation object is not readable, or more than that.
    #[error("must be an attestation object as the browser made it")]
    AttestationObject,
    /// The authenticator data are not readable, or more than that.
    #[error("must hold authenticator data of the right form, and nothing after them")]
    AuthenticatorData,
    /// The credential is of another relying party.
    #[error("must be of this bank's relying party id")]
    RelyingPartyId,
    /// The authenticator did not notice anybody.
    #[error("must tell that the user was present")]
    UserNotPresent,
    /// The authenticator did not make sure who it was.
    #[error("must tell that the user was verified")]
    UserNotVerified,
    /// A credential is said to have a copy that can't have one, or its being copyable has changed.
    #[error("must have backup flags that agree")]
    Backup,
    /// The length of the credential's id.
    #[error("must have a credential id of 16 to 1,023 bytes")]
    CredentialId,
    /// The key is of an algorithm that is not offered.
    #[error("must have a key of ES256 (-7) or EdDSA with Ed25519 (-8)")]
    Algorithm,
    /// The key is not readable, or no point of its curve.
    #[error("must have a COSE key that is a point of its curve")]
    Key,
    /// There is no such credential.
    #[error("must be of a registered credential")]
    Unknown,
    /// The signature is not that of the credential.
    #[error("must be signed by the credential")]
    Signature,
    /// The counter did not increase, so that there may be two of the authenticator.
    #[error("must have a counter that has increased")]
    Counter,
}

impl Refused {
    /// Whether it is the client data of a registration that is wrong, and not its attestation object.
    #[must_use]
    pub fn is_of_client_data(self) -> bool {
        match self {
            Self::ClientData | Self::Type | Self::Challenge | Self::Origin | Self::CrossOrigin | Self::TokenBinding => {
                true
            }
            Self::AttestationObject
            | Self::AuthenticatorData
            | Self::RelyingPartyId
            | Self::UserNotPresent
            | Self::UserNotVerified
            | Self::Backup
            | Self::CredentialId
            | Self::Algorithm
            | Self::Key
            | Self::Unknown
            | Self::Signature
            | Self::Counter => false,
        }
    }
}

/// Registers what a browser brings from `navigator.credentials.create` (section 7.1): the new credential
/// and its id, which the caller makes sure is nobody's yet.
///
/// # Errors
/// [`Refused`].
pub fn register(
    party: &RelyingParty,
    challenge: &[u8; 32],
    client_data_json: &[u8],
    attestation_object: &[u8],
) -> Result<(Bytes, Credential), Refused> {
    register_with(party, challenge, client_data_json, attestation_object, UserVerification::Demanded)
}

/// Verifies what a browser brings from `navigator.credentials.get` (section 7.2), and returns the
/// credential's new counter. Without a credential the work is the same, and ends with [`Refused::Unknown`].
///
/// # Errors
/// [`Refused`].
pub fn verify(
    party: &RelyingParty,
    challenge: &[u8; 32],
    credential: Option<&Credential>,
    assertion: Assertion<'_>,
) -> Result<u32, Refused> {
    verify_with(party, challenge, credential, assertion, UserVerification::Demanded)
}

/// Whether a counter may follow another one (section 7.2, step 21): authenticators without a counter
/// stay at zero, and all others count up.
#[must_use]
pub fn may_follow(stored: u32, received: u32) -> bool {
    received > stored || (stored == 0 && received == 0)
}

/// Whether the authenticator must have made sure who its user is. The bank always demands it; the
/// standard's own test vectors mostly do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserVerification {
    Demanded,
    #[cfg(test)]
    NotDemanded,
}

fn register_with(
    party: &RelyingParty,
    challenge: &[u8; 32],
    client_data_json: &[u8],
    attestation_object: &[u8],
    verification: UserVerification,
) -> Result<(Bytes, Credential), Refused> {
    ClientData::parse(client_data_json)?.check(Ceremony::Create, challenge, party)?;
    let data = attestation::authenticator_data(attestation_object)?;
    let data = AuthenticatorData::parse(data)?;
    data.check(party, verification)?;
    let new = data.credential.ok_or(Refused::AuthenticatorData)?;
    let key = PublicKey::parse(new.cose_key)?;
    let credential = Credential { key, sign_count: data.sign_count, backup_eligible: data.is_backup_eligible() };
    Ok((Bytes::copy_from_slice(new.id), credential))
}

fn verify_with(
    party: &RelyingParty,
    challenge: &[u8; 32],
    credential: Option<&Credential>,
    assertion: Assertion<'_>,
    verification: UserVerification,
) -> Result<u32, Refused> {
    // Up to the signature nothing depends on the credential but which keys it is verified with.
    ClientData::parse(assertion.client_data_json)?.check(Ceremony::Get, challenge, party)?;
    let data = AuthenticatorData::parse(assertion.authenticator_data)?;
    data.check(party, verification)?;
    if data.credential.is_some() {
        return Err(Refused::AuthenticatorData);
    }
    let signed = [assertion.authenticator_data, sha256(assertion.client_data_json).as_slice()].concat();
    let is_right = key::verify_alike(credential.map(|credential| &credential.key), &signed, assertion.signature);
    let credential = credential.ok_or(Refused::Unknown)?;
    if !is_right {
        return Err(Refused::Signature);
    }
    if data.is_backup_eligible() != credential.backup_eligible {
        return Err(Refused::Backup);
    }
    if !may_follow(credential.sign_count, data.sign_count) {
        return Err(Refused::Counter);
    }
    Ok(data.sign_count)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

#[cfg(test)]
pub(crate) mod soft;

#[cfg(test)]
mod tests;
