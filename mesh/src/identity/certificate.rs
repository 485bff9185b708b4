//! Reading a party's id, and what revokes it, out of a certificate.
//!
//! Two readers look at the bytes: webpki, whose chain check everything rests on, must accept them as
//! a certificate, and x509-parser counts every name. webpki alone would not do: it silently passes
//! over names that it cannot read, so that a certificate with one good and one unreadable URI would
//! seem to have one name.

use std::fmt;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use ring::digest;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

use super::{IdentityError, SpiffeId};

/// The context tag of a URI among the subject alternative names (RFC 5280, section 4.2.1.6).
const URI_NAME_TAG: u32 = 6;

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate_der).as_ref());
        Self(bytes)
    }

    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A certificate's serial number: big-endian, as its DER has it but without leading zeros.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSerial(Vec<u8>);

impl CertificateSerial {
    /// From big-endian bytes. Leading zeros carry no meaning and are dropped, so that a serial from
    /// a certificate and the same serial from a revocation list are equal.
    pub fn from_bytes(big_endian: &[u8]) -> Self {
        let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
        Self(big_endian[zeros..].to_vec())
    }

    /// Big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Both print as lower-case hexadecimal, the way certificate tools show them.
macro_rules! hexadecimal {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )+};
}

hexadecimal!(Fingerprint, CertificateSerial);

/// What a leaf certificate says about its holder. Nothing here says that the chain is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCertificate {
    /// The only URI among its names.
    pub id: SpiffeId,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// Its serial number.
    pub serial: CertificateSerial,
    /// The first moment of its validity.
    pub not_before: SystemTime,
    /// The last moment of its validity.
    pub not_after: SystemTime,
}

impl LeafCertificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`IdentityError`] where the bytes are no certificate, or it hasn't exactly one URI name, or
    /// that name is no SPIFFE id of this network's form.
    pub fn parse(der: &[u8]) -> Result<Self, IdentityError> {
        let unreadable = |why: &dyn fmt::Display| IdentityError::Certificate(why.to_string());
        let input = CertificateDer::from(der);
        EndEntityCert::try_from(&input).map_err(|e| unreadable(&e))?;
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| unreadable(&e))?;
        if !rest.is_empty() {
            return Err(unreadable(&"bytes follow the certificate"));
        }
        Ok(Self {
            id: only_uri(&certificate)?.parse()?,
            fingerprint: Fingerprint::of(der),
            serial: CertificateSerial::from_bytes(certificate.raw_serial()),
            not_before: system_time(certificate.validity().not_before)?,
            not_after: system_time(certificate.validity().not_after)?,
        })
    }
}

/// The one SPIFFE id in a certificate.
///
/// # Errors
/// As [`LeafCertificate::parse`].
pub fn spiffe_id_of(cert_der: &[u8]) -> Result<SpiffeId, IdentityError> {
    LeafCertificate::parse(cert_der).map(|leaf| leaf.id)
}

/// Finds the only URI, counting unreadable ones too.
fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, IdentityError> {
    // A second copy of the extension is an error here, as it is for webpki.
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| IdentityError::Certificate(e.to_string()))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = 0;
    let mut readable = None;
    for name in names {
        if let GeneralName::URI(uri) = name {
            uris += 1;
            readable = Some(*uri);
        } else if let GeneralName::Invalid(tag, _) = name
            && tag.0 == URI_NAME_TAG
        {
            uris += 1;
        }
    }
    match (uris, readable) {
        (0, _) => Err(IdentityError::NoUri),
        (1, Some(uri)) => Ok(uri),
        (1, None) => Err(IdentityError::Certificate("its URI name is not ASCII text".to_owned())),
        (many, _) => Err(IdentityError::ManyUris(many)),
    }
}

/// Converts a certificate's time, which may lie before 1970 only in a broken certificate.
pub(crate) fn system_time(time: ASN1Time) -> Result<SystemTime, IdentityError> {
    u64::try_from(time.timestamp())
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or_else(|| IdentityError::Certificate("its validity has no date after 1970".to_owned()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::super::Peer;
    use super::*;

    const ID: &str = "spiffe://pay.example/issuer/bank-a";

    fn certificate(names: Vec<SanType>, extensions: Vec<CustomExtension>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.custom_extensions = extensions;
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2025, 3, 1);
        params.serial_number = Some(vec![0, 0xab, 0xcd].into());
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().expect("ASCII"))
    }

    #[test]
    fn reads_id_serial_and_validity() {
        let der = certificate(vec![dns("localhost"), uri(ID)], vec![]);
        let leaf = LeafCertificate::parse(&der).expect("a leaf");
        assert_eq!(leaf.id.to_string(), ID);
        assert_eq!(leaf.serial.to_string(), "abcd");
        assert_eq!(leaf.fingerprint, Fingerprint::of(&der));
        let days = leaf.not_after.duration_since(leaf.not_before).expect("in order").as_secs() / 86_400;
        assert_eq!(days, 59);
        let peer = Peer::of_verified_leaf(&der, ([127, 0, 0, 1], 1).into()).expect("a peer");
        assert_eq!((peer.id, peer.serial), (leaf.id, leaf.serial));
    }

    #[test]
    fn needs_exactly_one_uri() {
        let none = certificate(vec![dns("localhost")], vec![]);
        assert_eq!(spiffe_id_of(&none), Err(IdentityError::NoUri));
        assert_eq!(spiffe_id_of(&certificate(vec![], vec![])), Err(IdentityError::NoUri));
        let two = certificate(vec![uri(ID), uri("https://pay.example/")], vec![]);
        assert_eq!(spiffe_id_of(&two), Err(IdentityError::ManyUris(2)));
        let twice = certificate(vec![uri(ID), uri(ID)], vec![]);
        assert_eq!(spiffe_id_of(&twice), Err(IdentityError::ManyUris(2)));
        let foreign = certificate(vec![uri("https://pay.example/")], vec![]);
        assert_eq!(spiffe_id_of(&foreign), Err(IdentityError::NotSpiffe));
    }

    #[test]
    fn counts_a_uri_that_nobody_can_read() {
        let mut names = Vec::new();
        names.extend([0x86, ID.len() as u8]);
        names.extend(ID.as_bytes());
        names.extend([0x86, 2, 0xff, 0xfe]);
        let mut content = vec![0x30, names.len() as u8];
        content.extend(names);
        let der = certificate(vec![], vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], content)]);
        // webpki sees one name here, which is why it is not asked.
        let input = CertificateDer::from(der.as_slice());
        let seen = EndEntityCert::try_from(&input).expect("readable").valid_uri_names().count();
        assert_eq!(seen, 1);
        assert_eq!(spiffe_id_of(&der), Err(IdentityError::ManyUris(2)));
    }

    #[test]
    fn refuses_what_is_no_certificate() {
        let mut der = certificate(vec![uri(ID)], vec![]);
        assert!(matches!(spiffe_id_of(&[]), Err(IdentityError::Certificate(_))));
        der.push(0);
        assert!(matches!(spiffe_id_of(&der), Err(IdentityError::Certificate(_))));
        der.truncate(der.len() - 2);
        assert!(matches!(spiffe_id_of(&der), Err(IdentityError::Certificate(_))));
    }
}
