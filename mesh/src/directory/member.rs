//! One member of the directory, and the check that makes one out of a signed entry.

use std::time::SystemTime;

use proto::{
    authorization::Carried,
    digest::Digest,
    directory::{BinRange, Entry, Head, MemberRole, MemberStatus},
    pb,
    signed::{Signed, SignedBody},
};

use super::fault::{CertificateFault, DirectoryError, EntryFault, SignatureError};
use crate::{
    identity::{Role, TrustDomain},
    signing::{KeyId, SigningCertificate, SigningTrust},
};

/// How many of the operator's certificates count at one time: the newest, its predecessors of the
/// last years, and some for emergencies.
pub const OPERATOR_CERTIFICATES_MAX: usize = 16;

/// The largest signed head: two numbers, a digest and a time.
const SIGNED_HEAD_BYTES_MAX: usize = 512;

/// One member: its entry, verified, with its signing certificates ready for use.
#[derive(Debug)]
pub struct Member {
    pub(super) entry: Entry,
    pub(super) signed: Signed,
    pub(super) digest: Digest,
    certificates: Vec<SigningCertificate>,
}

impl Member {
    /// What the operator signed.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The bytes that the operator signed, to hand on.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.signed
    }

    /// The digest of the entry's body.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it may start something new.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.entry.status == MemberStatus::Active
    }

    /// Its signing certificates, the newest first.
    #[must_use]
    pub fn certificates(&self) -> &[SigningCertificate] {
        &self.certificates
    }

    /// The BINs that are its own now: a member that has left holds none.
    #[must_use]
    pub fn bins_in_force(&self) -> &[BinRange] {
        match self.entry.status {
            MemberStatus::Active | MemberStatus::Suspended => &self.entry.bin_ranges,
            MemberStatus::Removed => &[],
        }
    }

    /// Verifies something that this member must have signed.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify<M: SignedBody>(&self, signed: &Signed, signed_at: SystemTime) -> Result<(), SignatureError> {
        let named = |certificate: &&SigningCertificate| certificate.key_id().to_string() == signed.key_id.as_str();
        let certificate = self.certificates.iter().find(named).ok_or(SignatureError::KeyUnknown)?;
        Ok(certificate.verify(M::NAME, &signed.body, &signed.signature, signed_at)?)
    }

    /// Whether this entry may take the place of `held`, which is of the same member: an entry that is
    /// older, or as old and different, is an attempt to turn back time.
    pub(super) fn check_follows(&self, held: &Self) -> Result<(), DirectoryError> {
        let (offered, known) = (self.entry.version, held.entry.version);
        let is_older = offered < known || (offered == known && self.digest != held.digest);
        if is_older {
            return Err(DirectoryError::Older { member: self.entry.member.clone(), held: known, offered });
        }
        if held.entry.status == MemberStatus::Removed && self.entry.status != MemberStatus::Removed {
            return Err(DirectoryError::HasLeft(self.entry.member.clone()));
        }
        Ok(())
    }
}

/// Verifies entries against the operator's certificates, and heads against the platform's.
#[derive(Clone)]
pub struct EntryVerifier {
    trust: SigningTrust,
    domain: TrustDomain,
    operators: Vec<SigningCertificate>,
}

impl EntryVerifier {
    /// A verifier that trusts these operators' certificates as far as they lead to the network's
    /// authority and name an operator of this trust domain.
    ///
    /// # Errors
    /// [`DirectoryError::Operator`].
    pub fn new<C: AsRef<[u8]>>(
        trust: SigningTrust,
        domain: TrustDomain,
        operators: &[C],
    ) -> Result<Self, DirectoryError> {
        let mut verifier = Self { trust, domain, operators: Vec::new() };
        for der in operators {
            verifier.trust_operator(der.as_ref())?;
        }
        Ok(verifier)
    }

    /// Trusts one more of the operator's certificates. One that is known already changes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::Operator`] where it is no operator's, [`DirectoryError::ManyOperators`].
    pub fn trust_operator(&mut self, der: &[u8]) -> Result<(), DirectoryError> {
        if self.operators.iter().any(|known| known.der().as_ref() == der) {
            return Ok(());
        }
        let certificate =
            certificate_of_role(&self.trust, &self.domain, Role::Operator, der).map_err(DirectoryError::Operator)?;
        if self.operators.len() == OPERATOR_CERTIFICATES_MAX {
            return Err(DirectoryError::ManyOperators);
        }
        self.operators.push(certificate);
        Ok(())
    }

    /// The operator's certificates that count.
    #[must_use]
    pub fn operators(&self) -> &[SigningCertificate] {
        &self.operators
    }

    /// Whom everything must lead to.
    pub(super) const fn trust(&self) -> &SigningTrust {
        &self.trust
    }

    /// The network.
    pub(super) const fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Verifies one signed entry, and that each certificate in it is that member's.
    ///
    /// # Errors
    /// [`DirectoryError`], which names the member as far as it is known.
    pub fn member(&self, entry: pb::Signed) -> Result<Member, DirectoryError> {
        let Carried { signed, says: entry } = Carried::<Entry>::parse(entry)?;
        let fault = |fault| DirectoryError::Entry { member: entry.member.clone(), fault };
        let operator = self.operator(&signed).ok_or_else(|| fault(EntryFault::OperatorUnknown))?;
        operator
            .verify(pb::DirectoryEntry::NAME, &signed.body, &signed.signature, entry.signed_at)
            .map_err(|error| fault(EntryFault::Signature(error)))?;
        let role = match entry.role {
            MemberRole::Issuer => Role::Issuer,
            MemberRole::Acquirer => Role::Acquirer,
        };
        let mut certificates = Vec::with_capacity(entry.signing_certificates.len());
        for (i, der) in entry.signing_certificates.iter().enumerate() {
            let certificate = certificate_of_role(&self.trust, &self.domain, role, der)
                .map_err(|error| fault(EntryFault::Certificate(i, error)))?;
            if certificate.identity().member().as_str() != entry.member.as_str() {
                return Err(fault(EntryFault::Certificate(
                    i,
                    CertificateFault::OtherHolder(certificate.identity().to_string()),
                )));
            }
            certificates.push(certificate);
        }
        let digest = signed.digest();
        Ok(Member { entry, signed, digest, certificates })
    }

    /// Verifies the platform's word about the whole, against the certificate that came with it.
    ///
    /// # Errors
    /// [`DirectoryError::Malformed`], [`DirectoryError::Platform`], [`DirectoryError::HeadSignature`].
    pub fn head(&self, head: pb::Signed, platform_certificate: &[u8]) -> Result<(Signed, Head), DirectoryError> {
        let signed = Signed::parse(head, SIGNED_HEAD_BYTES_MAX)?;
        let head = Head::parse(signed.decode()?)?;
        let platform = certificate_of_role(&self.trust, &self.domain, Role::Platform, platform_certificate)
            .map_err(DirectoryError::Platform)?;
        if platform.key_id().to_string() != signed.key_id.as_str() {
            return Err(DirectoryError::HeadSignature(SignatureError::KeyUnknown));
        }
        platform
            .verify(pb::DirectoryHead::NAME, &signed.body, &signed.signature, head.signed_at)
            .map_err(|error| DirectoryError::HeadSignature(error.into()))?;
        Ok((signed, head))
    }

    fn operator(&self, signed: &Signed) -> Option<&SigningCertificate> {
        let key_id: KeyId = signed.key_id.as_str().parse().ok()?;
        self.operators.iter().find(|operator| operator.key_id() == key_id)
    }
}

impl std::fmt::Debug for EntryVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryVerifier").field("operators", &self.operators).finish_non_exhaustive()
    }
}

fn certificate_of_role(
    trust: &SigningTrust,
    domain: &TrustDomain,
    role: Role,
    der: &[u8],
) -> Result<SigningCertificate, CertificateFault> {
    let certificate = trust.certificate(der)?;
    let identity = certificate.identity();
    if identity.role() == role && identity.trust_domain() == domain {
        Ok(certificate)
    } else {
        Err(CertificateFault::OtherHolder(identity.to_string()))
    }
}
