//! Checking the signatures of others.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};
use x509_parser::revocation_list::RevokedCertificate;

use super::{KeyId, SIGNING_EKU_DER, SigningError, ed25519_key_of, signed_bytes};
use crate::identity::{CertificateSerial, LeafCertificate, SpiffeId, system_time};

/// From when on a certificate's signatures no longer count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which certificate. Authorities draw serials of 128 random bits, so the number alone suffices.
    pub serial: CertificateSerial,
    /// The first moment at which a signature is refused.
    pub since: SystemTime,
}

/// The network's authorities and what they have revoked.
///
/// Replace it as a whole when authorities or revocations change, and let it judge the certificates in
/// use again: a [`SigningCertificate`] remembers what was known when it was checked.
#[derive(Clone)]
pub struct SigningTrust {
    authorities: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    revoked: HashMap<CertificateSerial, SystemTime>,
}

impl SigningTrust {
    /// Trusts these authorities, given as DER certificates.
    ///
    /// # Errors
    /// [`SigningError::NoAuthority`] and [`SigningError::Authority`].
    pub fn new(ca_ders: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, SigningError> {
        let authorities: Vec<_> = ca_ders.into_iter().collect();
        if authorities.is_empty() {
            return Err(SigningError::NoAuthority);
        }
        let anchors = authorities
            .iter()
            .map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|e| SigningError::Authority(e.to_string()))?;
        Ok(Self { authorities, anchors, revoked: HashMap::new() })
    }

    /// Adds revocations. Of two for the same certificate the earlier one counts.
    ///
    /// A signature made *before* the revocation stays good: an approval doesn't vanish because its
    /// signer's key was retired later. After a key was stolen, the thief chooses `signed_at`, so the
    /// operator states in the list since when the key was no longer safe (the *invalidity date*), and
    /// whoever takes a fresh message also compares its `signed_at` with the clock.
    #[must_use]
    pub fn with_revoked(mut self, revocations: impl IntoIterator<Item = Revocation>) -> Self {
        for Revocation { serial, since } in revocations {
            self.revoked.entry(serial).and_modify(|known| *known = since.min(*known)).or_insert(since);
        }
        self
    }

    /// Adds what certificate revocation lists (RFC 5280, DER) say. An entry counts from its revocation
    /// date, or from its invalidity date where that is earlier. A list that is past its *next update* is
    /// taken too: what it revoked stays revoked. Whether a newer one is missing is for TLS to judge.
    ///
    /// # Errors
    /// [`SigningError::RevocationList`] where one cannot be read or no authority has signed it.
    pub fn with_crls<'a>(self, crl_ders: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, SigningError> {
        let mut revocations = Vec::new();
        for der in crl_ders {
            let Ok((rest, list)) = CertificateRevocationList::from_der(der) else {
                return Err(SigningError::RevocationList("it is no DER list"));
            };
            if !rest.is_empty() {
                return Err(SigningError::RevocationList("bytes follow it"));
            }
            if !self.authorities.iter().any(|authority| has_signed(authority, &list)) {
                return Err(SigningError::RevocationList("no trusted authority has signed it"));
            }
            for entry in list.iter_revoked_certificates() {
                revocations.push(Revocation {
                    serial: CertificateSerial::from_bytes(entry.raw_serial()),
                    since: since(entry)?,
                });
            }
        }
        Ok(self.with_revoked(revocations))
    }

    /// Checks a certificate once, so that each signature costs one Ed25519 verification.
    ///
    /// The chain is judged at a moment inside the certificate's own validity, so that a retired
    /// certificate can still vouch for what was signed in its time; [`SigningCertificate::verify`]
    /// judges the time. The identity is who *did* sign: the caller compares it with who should have.
    ///
    /// # Errors
    /// [`SigningError`] where the certificate names nobody, isn't for signing, has another kind of
    /// key or no chain to an authority.
    pub fn certificate(&self, der: &[u8]) -> Result<SigningCertificate, SigningError> {
        let leaf = LeafCertificate::parse(der)?;
        let certificate_der = CertificateDer::from(der.to_vec());
        let public_key = ed25519_key_of(&certificate_der)?;
        self.check_chain(&certificate_der, leaf.not_before)?;
        Ok(SigningCertificate {
            key_id: KeyId::of(der),
            identity: leaf.id,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            revoked_since: self.revoked.get(&leaf.serial).copied(),
            serial: leaf.serial,
            public_key: UnparsedPublicKey::new(&ED25519, public_key),
            der: certificate_der,
        })
    }

    /// Chain and purpose at `time`.
    fn check_chain(&self, certificate: &CertificateDer<'_>, time: SystemTime) -> Result<(), SigningError> {
        let chain = |e: webpki::Error| SigningError::Chain(e.to_string());
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        EndEntityCert::try_from(certificate)
            .map_err(chain)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                &[],
                UnixTime::since_unix_epoch(since_epoch),
                // `required`, because webpki's own usages accept a certificate that names no purpose.
                KeyUsage::required(SIGNING_EKU_DER),
                None,
                None,
            )
            .map(|_| ())
            .map_err(|e| {
                if matches!(e, webpki::Error::RequiredEkuNotFoundContext(_)) {
                    SigningError::NotForSigning
                } else {
                    chain(e)
                }
            })
    }
}

impl fmt::Debug for SigningTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningTrust")
            .field("authorities", &self.anchors.len())
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// A signing certificate whose chain was checked.
#[derive(Clone)]
pub struct SigningCertificate {
    key_id: KeyId,
    identity: SpiffeId,
    not_before: SystemTime,
    not_after: SystemTime,
    revoked_since: Option<SystemTime>,
    serial: CertificateSerial,
    public_key: UnparsedPublicKey<[u8; 32]>,
    der: CertificateDer<'static>,
}

impl SigningCertificate {
    /// The id under which signed messages name it.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// In whose name it signs.
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The first moment of its validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The last moment of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Since when its signatures don't count, as far as was known when it was checked.
    pub fn revoked_since(&self) -> Option<SystemTime> {
        self.revoked_since
    }

    /// Its serial number.
    pub fn serial(&self) -> &CertificateSerial {
        &self.serial
    }

    /// The certificate, in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Checks a signature on `body` as a serialised `bankside.v1.<message>`.
    ///
    /// `signed_at` is the time that the signed body itself names.
    ///
    /// # Errors
    /// [`SigningError::BadSignature`], [`SigningError::OutsideValidity`], [`SigningError::Revoked`].
    pub fn verify(
        &self,
        message: &'static str,
        body: &[u8],
        signature: &[u8],
        signed_at: SystemTime,
    ) -> Result<(), SigningError> {
        // The signature comes first: until it holds, `signed_at` is anybody's claim.
        self.public_key.verify(&signed_bytes(message, body), signature).map_err(|_| SigningError::BadSignature)?;
        if signed_at < self.not_before || signed_at > self.not_after {
            return Err(SigningError::OutsideValidity);
        }
        if self.revoked_since.is_some_and(|since| signed_at >= since) {
            return Err(SigningError::Revoked);
        }
        Ok(())
    }
}

impl fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCertificate")
            .field("key_id", &self.key_id)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Whether the list was issued and signed by this authority.
fn has_signed(authority: &CertificateDer<'_>, list: &CertificateRevocationList<'_>) -> bool {
    X509Certificate::from_der(authority).is_ok_and(|(_, authority)| {
        authority.subject().as_raw() == list.issuer().as_raw() && list.verify_signature(authority.public_key()).is_ok()
    })
}

/// From when on an entry counts.
fn since(entry: &RevokedCertificate<'_>) -> Result<SystemTime, SigningError> {
    let invalidity = entry.extensions().iter().find_map(|extension| {
        if let ParsedExtension::InvalidityDate(date) = extension.parsed_extension() { Some(*date) } else { None }
    });
    // An invalidity date can only lengthen the time of distrust, never shorten it.
    let since = invalidity.map_or(entry.revocation_date, |date| date.min(entry.revocation_date));
    system_time(since).map_err(|_| SigningError::RevocationList("an entry has no date after 1970"))
}
