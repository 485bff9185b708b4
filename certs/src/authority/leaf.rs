//! Leaf certificates: what they may be used for, by whom, and for how long.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use mesh::identity::{CertificateSerial, MemberId, Role, SpiffeId};
use mesh::signing::{KeyId, SIGNING_EKU_DER};
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
};
use rustls_pki_types::{CertificateDer, DnsName};
use zeroize::Zeroizing;

use super::{Authority, AuthorityError, DAY, check_lifetime, distinguished_name, issue, random_serial, validity};
use crate::files::{self, Access, FileError};

/// The object identifier of the extended key usage extension (RFC 5280, section 4.2.1.12).
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// What a leaf certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A TLS server, which is a TLS client of other members' servers too: ECDSA P-256, extended key
    /// usages serverAuth and clientAuth, DNS names or IP addresses beside the SPIFFE id.
    Server,
    /// A TLS client: ECDSA P-256, extended key usage clientAuth.
    Client,
    /// The signer of messages: Ed25519, the network's own extended key usage and no other.
    Signing,
}

impl Purpose {
    /// The purpose in one word, which is also the name of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Signing => "signing",
        }
    }

    /// How long such a certificate lasts unless told otherwise.
    pub fn lifetime(self) -> Duration {
        match self {
            Self::Server | Self::Client => DAY * 90,
            Self::Signing => DAY * 365,
        }
    }

    /// How long such a certificate may last.
    pub fn lifetime_max(self) -> Duration {
        match self {
            Self::Server | Self::Client => DAY * 398,
            Self::Signing => DAY * 730,
        }
    }

    /// Whether a party in this role does what the certificate is for.
    ///
    /// An operator runs no server that others call; a merchant signs nothing.
    pub fn fits(self, role: Role) -> bool {
        match (self, role) {
            (Self::Server, Role::Operator) | (Self::Signing, Role::Merchant) => false,
            (Self::Server | Self::Signing, Role::Acquirer | Role::Issuer | Role::Platform) => true,
            (Self::Server, Role::Merchant) | (Self::Signing, Role::Operator) => true,
            (Self::Client, _) => true,
        }
    }
}

impl Purpose {
    /// Where such a certificate and its key are saved in `folder`, certificate first. Both names are
    /// looked at before anything is made, so that a taken one doesn't leave a lonely file behind.
    ///
    /// # Errors
    /// [`FileError::Exists`].
    pub fn vacant_paths(self, folder: &Path) -> Result<(PathBuf, PathBuf), FileError> {
        let certificate = folder.join(format!("{self}.pem"));
        let key = folder.join(format!("{self}.key"));
        for path in [&key, &certificate] {
            if path.symlink_metadata().is_ok() {
                return Err(FileError::Exists(path.clone()));
            }
        }
        Ok((certificate, key))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ordinary TLS clients compare with the address they call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostName {
    /// A DNS name.
    Dns(DnsName<'static>),
    /// An IP address.
    Ip(IpAddr),
}

impl FromStr for HostName {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        DnsName::try_from(text.to_owned()).map(Self::Dns).map_err(|_| AuthorityError::HostName(text.to_owned()))
    }
}

impl HostName {
    fn alternative_name(&self) -> Result<SanType, AuthorityError> {
        match self {
            Self::Dns(name) => Ok(SanType::DnsName(name.as_ref().try_into().map_err(issue)?)),
            Self::Ip(address) => Ok(SanType::IpAddress(*address)),
        }
    }
}

/// What a leaf certificate should say.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    role: Role,
    member: MemberId,
    purpose: Purpose,
    host_names: Vec<HostName>,
    lifetime: Duration,
}

impl LeafRequest {
    /// A TLS server's certificate, with which it also calls others.
    pub fn server(role: Role, member: MemberId, host_names: Vec<HostName>) -> Self {
        Self { host_names, ..Self::new(Purpose::Server, role, member) }
    }

    /// A TLS client's certificate.
    pub fn client(role: Role, member: MemberId) -> Self {
        Self::new(Purpose::Client, role, member)
    }

    /// A signing certificate.
    pub fn signing(role: Role, member: MemberId) -> Self {
        Self::new(Purpose::Signing, role, member)
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The same with another lifetime than its purpose's usual one.
    #[must_use]
    pub fn lasting(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    fn new(purpose: Purpose, role: Role, member: MemberId) -> Self {
        Self { role, member, purpose, host_names: Vec::new(), lifetime: purpose.lifetime() }
    }
}

/// A certificate that was issued, with its private key.
pub struct Issued {
    /// The certificate in DER.
    pub certificate: CertificateDer<'static>,
    /// The private key: PKCS #8 in PEM, wiped when dropped.
    pub key_pem: Zeroizing<String>,
    /// Whom it names.
    pub id: SpiffeId,
    /// What it is for.
    pub purpose: Purpose,
    /// Its serial number, by which it is revoked.
    pub serial: CertificateSerial,
    /// The last moment of its validity.
    pub not_after: SystemTime,
}

impl Issued {
    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The id under which signed messages name the certificate.
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.certificate)
    }

    /// Saves `<purpose>.key` (mode 0600) and `<purpose>.pem` into `folder` and returns their paths,
    /// certificate first. Nothing is overwritten.
    ///
    /// # Errors
    /// [`FileError`], which names the file.
    pub fn save(&self, folder: &Path) -> Result<(PathBuf, PathBuf), FileError> {
        let (certificate, key) = self.purpose.vacant_paths(folder)?;
        files::make_folder(folder)?;
        files::write_new(&key, self.key_pem.as_bytes(), Access::Owner)?;
        files::write_new(&certificate, self.certificate_pem().as_bytes(), Access::Everybody)?;
        Ok((certificate, key))
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({} certificate of {}, serial {})", self.purpose, self.id, self.serial)
    }
}

impl Authority {
    /// Makes a fresh key and issues its certificate, valid from `now`.
    ///
    /// # Errors
    /// [`AuthorityError`] where the role doesn't fit, host names are missing, the lifetime is beyond
    /// its maximum, or the certificate would outlive the authority.
    pub fn issue(&self, request: &LeafRequest, now: SystemTime) -> Result<Issued, AuthorityError> {
        let (role, purpose) = (request.role, request.purpose);
        if !purpose.fits(role) {
            return Err(AuthorityError::Role(match purpose {
                Purpose::Signing => format!("a {role} signs nothing, so there is no signing certificate for one"),
                Purpose::Server | Purpose::Client => {
                    format!("an {role} runs no server; issue a client certificate instead")
                }
            }));
        }
        if purpose == Purpose::Server && request.host_names.is_empty() {
            return Err(AuthorityError::NoHostName);
        }
        let what = match purpose {
            Purpose::Server => "a server certificate",
            Purpose::Client => "a client certificate",
            Purpose::Signing => "a signing certificate",
        };
        check_lifetime(what, request.lifetime, purpose.lifetime_max())?;
        let id = SpiffeId::new(self.trust_domain.clone(), role, request.member.clone());
        let mut params = self.leaf_params(request, &id)?;
        (params.not_before, params.not_after) = validity(now, request.lifetime)?;
        if SystemTime::from(params.not_after) > self.not_after {
            let end = time::OffsetDateTime::from(self.not_after).date();
            return Err(AuthorityError::OutlivesAuthority(end.to_string()));
        }
        let serial = random_serial()?;
        params.serial_number = Some(serial.clone());
        let algorithm = match purpose {
            Purpose::Server | Purpose::Client => &PKCS_ECDSA_P256_SHA256,
            Purpose::Signing => &PKCS_ED25519,
        };
        let key = Zeroizing::new(KeyPair::generate_for(algorithm).map_err(issue)?);
        let certificate = params.signed_by(&*key, &self.issuer()?).map_err(issue)?;
        Ok(Issued {
            certificate: certificate.der().clone(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            id,
            purpose,
            serial: CertificateSerial::from_bytes(&serial.to_bytes()),
            not_after: params.not_after.into(),
        })
    }

    fn leaf_params(&self, request: &LeafRequest, id: &SpiffeId) -> Result<CertificateParams, AuthorityError> {
        let mut params = CertificateParams::default();
        let unit = format!("{} {}", request.role, request.purpose);
        params.distinguished_name = distinguished_name(&self.trust_domain, &unit, request.member.as_str());
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into().map_err(issue)?)];
        for name in &request.host_names {
            params.subject_alt_names.push(name.alternative_name()?);
        }
        // Saying "no authority" explicitly also gives the leaf its subject key identifier.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        match request.purpose {
            Purpose::Server => {
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            }
            Purpose::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Signing => params.custom_extensions = vec![signing_usage()],
        }
        Ok(params)
    }
}

/// The extended key usage of a signing certificate. It is written byte by byte, because its last
/// number is a UUID and rcgen's object identifiers end at 64 bits.
fn signing_usage() -> CustomExtension {
    // Both lengths stay below 128, where DER writes a length in one byte.
    let length = |bytes: usize| u8::try_from(bytes).unwrap_or_default();
    let mut content = vec![0x30, length(SIGNING_EKU_DER.len() + 2), 0x06, length(SIGNING_EKU_DER.len())];
    content.extend(SIGNING_EKU_DER);
    CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, content)
}

/// Public bytes as PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
