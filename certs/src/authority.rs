//! The network's authority: it issues every certificate and revokes what must no longer be trusted.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mesh::identity::{IdentityError, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use crate::files::{self, Access, FileError};

mod leaf;
mod revocations;

pub use leaf::{HostName, Issued, LeafRequest, Purpose};
use revocations::Revocations;
pub use revocations::{Crl, Reason, parse_serial};

/// One day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority lasts unless told otherwise.
pub const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);

/// How long an authority may last. Beyond it P-256 may no longer be what one trusts.
pub const AUTHORITY_LIFETIME_MAX: Duration = DAY.saturating_mul(7300);

/// How far before its issue a certificate becomes valid, so that a peer whose clock is behind accepts
/// it at once.
pub const BACKDATING: Duration = Duration::from_secs(5 * 60);

/// The longest name of an authority, in characters: what fits into a common name (RFC 5280) beside the
/// mark of its key.
const NAME_CHARACTERS_MAX: usize = 48;

/// Random bytes in a serial number. RFC 5280 allows 20; 16 random ones never meet twice.
const SERIAL_BYTES: usize = 16;

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const CRL_FILE: &str = "crl.pem";
const REVOCATIONS_FILE: &str = "revoked.toml";

/// A certificate authority with its key and its revocations.
///
/// It is a root that issues leaves only (path length 0). It carries no name constraints: the verifier
/// of every Bankside server, webpki, refuses any chain whose authority constrains URIs. What keeps a
/// certificate of another trust domain out is that servers compare the domain in the SPIFFE id.
pub struct Authority {
    trust_domain: TrustDomain,
    certificate: CertificateDer<'static>,
    not_after: SystemTime,
    key: Zeroizing<KeyPair>,
    revocations: Revocations,
}

impl Authority {
    /// Makes a new authority for `trust_domain`, valid from `now` for `lifetime`.
    ///
    /// `name` is shown to people; the mark of its key is appended, so that two authorities, as during
    /// an exchange, never have the same subject.
    ///
    /// # Errors
    /// [`AuthorityError::Name`], [`AuthorityError::Lifetime`], [`AuthorityError::Issue`].
    pub fn create(
        trust_domain: TrustDomain,
        name: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            return Err(AuthorityError::Name);
        }
        check_lifetime("an authority", lifetime, AUTHORITY_LIFETIME_MAX)?;
        let key = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?);
        let mut params = CertificateParams::default();
        let mark = digest::digest(&digest::SHA256, key.public_key_raw());
        let mark = data_encoding::HEXLOWER.encode(&mark.as_ref()[..4]);
        params.distinguished_name =
            distinguished_name(&trust_domain, "certificate authority", &format!("{name} {mark}"));
        let uri = format!("spiffe://{trust_domain}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(issue)?)];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(random_serial()?);
        (params.not_before, params.not_after) = validity(now, lifetime)?;
        let certificate = params.self_signed(&*key).map_err(issue)?.der().clone();
        let not_after = params.not_after.into();
        Ok(Self { trust_domain, certificate, not_after, key, revocations: Revocations::default() })
    }

    /// Saves a new authority into `folder`: `ca.pem`, `ca.key` (mode 0600), `revoked.toml`, and a
    /// first, empty `crl.pem`. Nothing is overwritten.
    ///
    /// # Errors
    /// [`AuthorityError::File`], which names the file, and [`AuthorityError::Issue`].
    pub fn save(&mut self, folder: &Path, now: SystemTime) -> Result<(), AuthorityError> {
        files::make_folder(folder)?;
        // The key goes first: a folder with a certificate and no key would look complete.
        let key = Zeroizing::new(self.key.serialize_pem());
        files::write_new(&folder.join(KEY_FILE), key.as_bytes(), Access::Owner)?;
        files::write_new(&folder.join(CERTIFICATE_FILE), self.certificate_pem().as_bytes(), Access::Everybody)?;
        self.save_revocations(folder, now, Crl::LIFETIME)?;
        Ok(())
    }

    /// Saves what was revoked, and a fresh `crl.pem` that says so.
    ///
    /// # Errors
    /// [`AuthorityError::File`], [`AuthorityError::Lifetime`] and [`AuthorityError::Issue`].
    pub fn save_revocations(
        &mut self,
        folder: &Path,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Crl, AuthorityError> {
        let crl = self.crl(now, lifetime)?;
        // The state goes first: a list whose number is used again would be worse than a number skipped.
        files::replace(&folder.join(REVOCATIONS_FILE), self.revocations.to_toml().as_bytes(), Access::Everybody)?;
        files::replace(&folder.join(CRL_FILE), crl.pem.as_bytes(), Access::Everybody)?;
        Ok(crl)
    }

    /// Loads an authority that [`Authority::save`] has saved.
    ///
    /// # Errors
    /// [`AuthorityError::File`], [`AuthorityError::Unusable`], which name the file.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let (certificate_path, key_path) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        let unusable =
            |path: &Path, why: &dyn fmt::Display| AuthorityError::Unusable(path.display().to_string(), why.to_string());
        if let Some(mode) = files::open_to_others(&key_path)? {
            let why = format!("its mode is {mode:o}; make it readable by its owner alone (chmod 600)");
            return Err(unusable(&key_path, &why));
        }
        let certificate = CertificateDer::from_pem_slice(&files::read(&certificate_path)?)
            .map_err(|e| unusable(&certificate_path, &e))?;
        let key_pem = files::read(&key_path)?;
        let key = std::str::from_utf8(&key_pem)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .map(Zeroizing::new)
            .ok_or_else(|| unusable(&key_path, &"it holds no PKCS #8 private key (BEGIN PRIVATE KEY)"))?;
        let facts = Facts::of(&certificate).map_err(|why| unusable(&certificate_path, &why))?;
        if facts.public_key != key.public_key_raw() {
            return Err(unusable(&key_path, &format!("it is not the key of {CERTIFICATE_FILE}")));
        }
        let revocations_path = folder.join(REVOCATIONS_FILE);
        let revocations = Revocations::from_toml(&files::read_text(&revocations_path)?)
            .map_err(|why| unusable(&revocations_path, &why))?;
        Ok(Self { trust_domain: facts.trust_domain, certificate, not_after: facts.not_after, key, revocations })
    }

    /// The network whose authority it is.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        leaf::pem("CERTIFICATE", &self.certificate)
    }

    /// The last moment of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it has issued this certificate: by its name, and by its signature.
    pub fn has_issued(&self, certificate: &CertificateDer<'_>) -> bool {
        let (Ok((_, own)), Ok((_, leaf))) =
            (X509Certificate::from_der(&self.certificate), X509Certificate::from_der(certificate))
        else {
            return false;
        };
        own.subject().as_raw() == leaf.issuer().as_raw() && leaf.verify_signature(Some(own.public_key())).is_ok()
    }

    /// Its name and key in the form that issues.
    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, AuthorityError> {
        Issuer::from_ca_cert_der(&self.certificate, &*self.key).map_err(issue)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

/// Why the authority refuses, or cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file's error.
    #[error(transparent)]
    File(#[from] FileError),
    /// A saved file is wrong.
    #[error("{0} cannot be used: {1}")]
    Unusable(String, String),
    /// The authority's name is wrong.
    #[error("the authority's name must have 1 to {NAME_CHARACTERS_MAX} printable characters")]
    Name,
    /// The lifetime is zero or too long.
    #[error("the lifetime of {what} must be from 1 to {max_days} days; {asked_days} were asked for")]
    Lifetime {
        /// What was to be made.
        what: &'static str,
        /// The longest, in days.
        max_days: u64,
        /// What was asked for, in days.
        asked_days: u64,
    },
    /// The certificate would be valid longer than its authority.
    #[error("the certificate would outlive its authority, which ends on {0}; shorten it or make a new authority")]
    OutlivesAuthority(String),
    /// The role doesn't do what the certificate is for.
    #[error("{0}")]
    Role(String),
    /// A server certificate without a host name.
    #[error("a server certificate needs at least one DNS name or IP address, which ordinary clients check")]
    NoHostName,
    /// A host name that no client could check.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    HostName(String),
    /// A serial number that isn't one.
    #[error("a serial number is 1 to 20 bytes in hexadecimal")]
    Serial,
    /// The dates are wrong.
    #[error("the revocation of {0}: {1}")]
    Revocation(String, &'static str),
    /// An id is wrong.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate could not be made.
    #[error("the certificate cannot be made: {0}")]
    Issue(String),
}

/// What an authority's certificate says about itself.
struct Facts {
    trust_domain: TrustDomain,
    not_after: SystemTime,
    public_key: Vec<u8>,
}

impl Facts {
    fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        if !certificate.is_ca() {
            return Err("it is not an authority's certificate".to_owned());
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|e| e.to_string())?
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let [GeneralName::URI(uri)] = names else {
            return Err("it does not name its trust domain by one URI".to_owned());
        };
        let trust_domain = uri
            .strip_prefix("spiffe://")
            .and_then(|domain| domain.parse().ok())
            .ok_or_else(|| format!("{uri} is not spiffe://<trust domain>"))?;
        let not_after = certificate.validity().not_after.to_datetime().into();
        Ok(Self { trust_domain, not_after, public_key: certificate.public_key().subject_public_key.data.to_vec() })
    }
}

/// A subject of this network. Authorities and leaves have different units, so no leaf is ever named
/// like its issuer.
fn distinguished_name(trust_domain: &TrustDomain, unit: &str, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, trust_domain.as_str());
    name.push(DnType::OrganizationalUnitName, unit);
    name.push(DnType::CommonName, common_name);
    name
}

/// From shortly before `now` until `lifetime` after it, in whole seconds.
fn validity(now: SystemTime, lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), AuthorityError> {
    let bounds = || {
        let (first, last) = (now.checked_sub(BACKDATING)?, now.checked_add(lifetime)?);
        Some((whole_seconds(first)?, whole_seconds(last)?))
    };
    bounds().ok_or_else(|| AuthorityError::Issue("its dates are beyond what a certificate can hold".to_owned()))
}

/// The time without its fraction, where it lies in the years that a certificate can hold.
fn whole_seconds(time: SystemTime) -> Option<OffsetDateTime> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

fn check_lifetime(what: &'static str, asked: Duration, max: Duration) -> Result<(), AuthorityError> {
    if asked < DAY || asked > max {
        let days = |time: Duration| time.as_secs() / DAY.as_secs();
        return Err(AuthorityError::Lifetime { what, max_days: days(max), asked_days: days(asked) });
    }
    Ok(())
}

/// A random serial number, positive and always of the same length.
fn random_serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; SERIAL_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuthorityError::Issue("the system's random source failed".to_owned()))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn issue(e: rcgen::Error) -> AuthorityError {
    AuthorityError::Issue(e.to_string())
}

#[cfg(test)]
mod tests;
