//! Signed bytes: who said this, and was it their certificate's time to say it?
//!
//! What one party signs and another verifies travels as `{body, key_id, signature}`. The signature is
//! pure Ed25519 (RFC 8032) over `"bankside.v1/<Message>" ‖ 0x00 ‖ body`: the name keeps a signature on
//! one kind of message from standing under another, and the zero byte ends the name unambiguously.
//! The body is the serialised message exactly as it was signed; nobody serialises it again.
//!
//! The key's certificate is a leaf under the network's authority. It names its holder by one SPIFFE id
//! and carries the extended key usage [`SIGNING_EKU_OID`], so that a TLS certificate cannot sign and a
//! signing certificate cannot open a connection.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use webpki::EndEntityCert;
use zeroize::Zeroize;

use crate::identity::{IdentityError, LeafCertificate, SpiffeId};

mod files;
mod trust;

pub use files::{TrustBytes, TrustFileError, TrustFiles};
pub use trust::{Revocation, SigningCertificate, SigningTrust};

/// What a signing certificate's extended key usage must contain, in dotted form.
///
/// It stands under the arc for UUIDs, 2.25 (ITU-T X.667), which needs no registration: the last number
/// is the UUID 9f8c2e4b-cdf4-4eb3-a86a-81815d5bf205 as an integer.
pub const SIGNING_EKU_OID: &str = "2.25.212075111886690232778414629332086157829";

/// [`SIGNING_EKU_OID`] as the contents of a DER object identifier, without tag and length.
pub const SIGNING_EKU_DER: &[u8] = &[
    0x69, 0x82, 0xbf, 0x8c, 0x97, 0x92, 0xf9, 0xdf, 0xa2, 0xba, 0xe7, 0xa8, 0xb5, 0xa0, 0xb0, 0x95, 0xea, 0xef, 0xe4,
    0x05,
];

/// The length of a signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// What stands before an Ed25519 key in a DER subject public key info (RFC 8410, section 4).
const ED25519_SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Which certificate a signature belongs to: the first 16 bytes of SHA-256 of the certificate's DER,
/// written as 32 lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// The id of the key in this certificate.
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest::digest(&digest::SHA256, certificate_der).as_ref()[..16]);
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = SigningError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| SigningError::KeyId)?;
        bytes.try_into().map(Self).map_err(|_| SigningError::KeyId)
    }
}

/// A private signing key with the certificate that vouches for it. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    // ring offers no wiping of key pairs; the PEM and DER copies on the way here are wiped.
    key: Arc<Ed25519KeyPair>,
    key_id: KeyId,
    identity: SpiffeId,
    certificate_der: CertificateDer<'static>,
}

impl Signer {
    /// Takes a signing certificate (the first one in the PEM text) and its PKCS #8 private key.
    ///
    /// The chain is not checked here: whoever verifies does that, and [`SigningTrust::certificate`]
    /// is there for a process that wants to be told at its start.
    ///
    /// # Errors
    /// [`SigningError`] where either text is no PEM of its kind, the key is not Ed25519, the
    /// certificate names nobody, or the key is not the certificate's.
    pub fn from_pem(cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, SigningError> {
        let certificate_der =
            CertificateDer::from_pem_slice(cert_pem).map_err(|e| SigningError::CertificatePem(e.to_string()))?;
        let mut key_der = PrivatePkcs8KeyDer::from_pem_slice(key_pem).map_err(|_| SigningError::KeyPem)?;
        // A key file without the public half is fine (OpenSSL writes such), because the public half
        // is compared with the certificate's right below.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key_der.secret_pkcs8_der());
        key_der.zeroize();
        let key = key.map_err(|_| SigningError::Key)?;
        let leaf = LeafCertificate::parse(&certificate_der)?;
        if ed25519_key_of(&certificate_der)? != key.public_key().as_ref() {
            return Err(SigningError::KeyMismatch);
        }
        Ok(Self { key: Arc::new(key), key_id: KeyId::of(&certificate_der), identity: leaf.id, certificate_der })
    }

    /// Which certificate the signatures belong to.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// In whose name it signs.
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The certificate, in DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate_der
    }

    /// Signs `body` as a serialised `bankside.v1.<message>`.
    pub fn sign(&self, message: &'static str, body: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.key.sign(&signed_bytes(message, body)).as_ref());
        signature
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Why something cannot sign, or a signature doesn't count. No variant carries key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The text holds no PEM certificate.
    #[error("no certificate can be read from the PEM text: {0}")]
    CertificatePem(String),
    /// The text holds no PKCS #8 private key.
    #[error("no PKCS #8 private key (BEGIN PRIVATE KEY) can be read from the PEM text")]
    KeyPem,
    /// The private key is of another kind.
    #[error("the private key is not an Ed25519 key")]
    Key,
    /// Key and certificate belong to different pairs.
    #[error("the private key is not the one in the certificate")]
    KeyMismatch,
    /// The certificate names nobody, or more than one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate's key is of another kind.
    #[error("the certificate's key is not an Ed25519 key")]
    NotEd25519,
    /// An authority's certificate cannot be used.
    #[error("the authority's certificate cannot be used: {0}")]
    Authority(String),
    /// No authority was given, so that nothing could ever be trusted.
    #[error("no authority's certificate was given")]
    NoAuthority,
    /// The certificate doesn't lead to the network's authority.
    #[error("the certificate does not lead to the network's authority: {0}")]
    Chain(String),
    /// The certificate was not issued for signing messages.
    #[error("the certificate was not issued for signing (extended key usage {SIGNING_EKU_OID})")]
    NotForSigning,
    /// The certificate revocation list cannot be read, or is not the authority's.
    #[error("the revocation list cannot be used: {0}")]
    RevocationList(&'static str),
    /// The text is not a key id.
    #[error("a key id is 32 lower-case hexadecimal characters")]
    KeyId,
    /// The certificate was not valid when the message was signed.
    #[error("the certificate was not valid at the time of signing")]
    OutsideValidity,
    /// The certificate was revoked by the time at which the message was signed.
    #[error("the certificate was revoked by the time of signing")]
    Revoked,
    /// The signature is not that of this key on these bytes.
    #[error("the signature is wrong")]
    BadSignature,
}

/// The bytes under the signature: name, zero byte, body.
fn signed_bytes(message: &str, body: &[u8]) -> Vec<u8> {
    [b"bankside.v1/", message.as_bytes(), &[0], body].concat()
}

/// The Ed25519 public key in a certificate.
fn ed25519_key_of(certificate_der: &CertificateDer<'_>) -> Result<[u8; 32], SigningError> {
    let certificate =
        EndEntityCert::try_from(certificate_der).map_err(|e| IdentityError::Certificate(e.to_string()))?;
    certificate
        .subject_public_key_info()
        .strip_prefix(ED25519_SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .ok_or(SigningError::NotEd25519)
}

#[cfg(test)]
mod tests;
