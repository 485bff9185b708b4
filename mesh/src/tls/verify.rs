//! The checks on top of the chain: who may be at the other end.

use crate::identity::{MemberId, Role, SpiffeId, TrustDomain, spiffe_id_of};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Whom an outgoing connection must reach, beside the DNS name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedServer {
    role: Role,
    /// `None` accepts every member in the role.
    members: Option<BTreeSet<MemberId>>,
}

impl ExpectedServer {
    /// One member in one role.
    #[must_use]
    pub fn member(role: Role, member: MemberId) -> Self {
        Self::any_of(role, [member])
    }

    /// One of several members in one role.
    #[must_use]
    pub fn any_of(role: Role, members: impl IntoIterator<Item = MemberId>) -> Self {
        Self { role, members: Some(members.into_iter().collect()) }
    }

    /// Any member in a role. Only right where what is sent doesn't depend on which one it is.
    #[must_use]
    pub fn any(role: Role) -> Self {
        Self { role, members: None }
    }

    fn accepts(&self, id: &SpiffeId) -> bool {
        id.role() == self.role && self.members.as_ref().is_none_or(|members| members.contains(id.member()))
    }
}

impl fmt::Display for ExpectedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.members {
            None => write!(f, "any {}", self.role),
            Some(members) => {
                let names: Vec<String> = members.iter().map(ToString::to_string).collect();
                write!(f, "{} {}", self.role, names.join(" or "))
            }
        }
    }
}

/// Why a certificate with a good chain is refused all the same.
#[derive(Debug, thiserror::Error)]
enum Unwelcome {
    #[error("{0}")]
    Name(#[from] crate::identity::IdentityError),
    #[error("the certificate is of the trust domain {0}, not ours")]
    TrustDomain(TrustDomain),
    #[error("reached {reached}, expected {expected}")]
    AnotherServer { reached: SpiffeId, expected: String },
}

impl From<Unwelcome> for Error {
    fn from(unwelcome: Unwelcome) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unwelcome))))
    }
}

fn member_of(cert: &CertificateDer<'_>, trust_domain: &TrustDomain) -> Result<SpiffeId, Unwelcome> {
    let id = spiffe_id_of(cert)?;
    if id.trust_domain() == trust_domain { Ok(id) } else { Err(Unwelcome::TrustDomain(id.trust_domain().clone())) }
}

/// Judges a client: the chain, its revocation, then exactly one SPIFFE id of our trust domain.
#[derive(Debug)]
pub(super) struct MemberClients {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) trust_domain: TrustDomain,
}

impl ClientCertVerifier for MemberClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        member_of(end_entity, &self.trust_domain)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Judges a server: the chain, its revocation and its DNS name or address, then who it is.
#[derive(Debug)]
pub(super) struct MemberServer {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    pub(super) trust_domain: TrustDomain,
    pub(super) expected: ExpectedServer,
}

impl ServerCertVerifier for MemberServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let reached = member_of(end_entity, &self.trust_domain)?;
        if !self.expected.accepts(&reached) {
            let expected = self.expected.to_string();
            return Err(Unwelcome::AnotherServer { reached, expected }.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
