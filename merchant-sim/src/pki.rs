//! A fresh authority for one network, and the certificates and keys of everybody in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use certs::authority::{AUTHORITY_LIFETIME, Authority, Crl, DAY, HostName, LeafRequest, Reason};
use certs::files::{Access, read, replace, write_new};
use mesh::identity::{LeafCertificate, Role, TrustDomain};
use mesh::sealing::at_rest::{KeyEncryptionKey, KeyVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::topology::KeyPair;

/// How long the certificates last: as long as the authority lets a TLS certificate last, so that a
/// sandbox can be left alone for a year.
const LIFETIME: Duration = DAY.saturating_mul(397);

/// The folder of the authority inside the network's.
const AUTHORITY_FOLDER: &str = "authority";

/// The authority of a network in a folder.
#[derive(Debug)]
pub struct Pki {
    authority: Authority,
    folder: PathBuf,
    now: SystemTime,
}

impl Pki {
    /// Makes a new authority in `folder`.
    ///
    /// # Errors
    /// There is one already, or the files can't be written.
    pub fn create(folder: &Path, trust_domain: &TrustDomain, now: SystemTime) -> Result<Self> {
        let mut authority = Authority::create(trust_domain.clone(), "Bankside simulation", AUTHORITY_LIFETIME, now)?;
        authority.save(&folder.join(AUTHORITY_FOLDER), now)?;
        Ok(Self { authority, folder: folder.to_owned(), now })
    }

    /// The authority that was made in `folder` earlier, with a fresh revocation list.
    ///
    /// # Errors
    /// There is none, or its files can't be used.
    pub fn open(folder: &Path, now: SystemTime) -> Result<Self> {
        let own = folder.join(AUTHORITY_FOLDER);
        let mut authority = Authority::load(&own)?;
        authority.save_revocations(&own, now, Crl::LIFETIME)?;
        Ok(Self { authority, folder: folder.to_owned(), now })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(AUTHORITY_FOLDER).join("ca.pem")
    }

    /// The authority's revocation list.
    #[must_use]
    pub fn revocations(&self) -> PathBuf {
        self.folder.join(AUTHORITY_FOLDER).join("crl.pem")
    }

    /// A certificate for a server on this machine, with which it also calls others.
    ///
    /// # Errors
    /// The id is none, or the files can't be written.
    pub fn server(&self, role: Role, member: &str) -> Result<KeyPair> {
        let hosts = ["localhost", "127.0.0.1"].map(str::parse::<HostName>);
        let hosts = hosts.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.issue(LeafRequest::server(role, member.parse()?, hosts), role, member)
    }

    /// A certificate for calls alone.
    ///
    /// # Errors
    /// As [`Pki::server`].
    pub fn client(&self, role: Role, member: &str) -> Result<KeyPair> {
        self.issue(LeafRequest::client(role, member.parse()?), role, member)
    }

    /// A certificate for signing messages.
    ///
    /// # Errors
    /// As [`Pki::server`].
    pub fn signing(&self, role: Role, member: &str) -> Result<KeyPair> {
        self.issue(LeafRequest::signing(role, member.parse()?), role, member)
    }

    /// A signing certificate that was made earlier, in a folder of its own.
    ///
    /// # Errors
    /// As [`Pki::server`], and there is one in the folder already.
    pub fn signing_since(&self, role: Role, member: &str, since: SystemTime, folder: &Path) -> Result<KeyPair> {
        let issued = self.authority.issue(&LeafRequest::signing(role, member.parse()?).lasting(LIFETIME), since)?;
        let (certificate, key) = issued.save(folder)?;
        Ok(KeyPair { certificate, key })
    }

    /// Puts a fresh server certificate and key in the place of these, while whoever uses them runs.
    ///
    /// # Errors
    /// As [`Pki::server`].
    pub fn renew(&self, role: Role, member: &str, files: &KeyPair) -> Result<()> {
        let hosts = ["localhost", "127.0.0.1"].map(str::parse::<HostName>);
        let hosts = hosts.into_iter().collect::<Result<Vec<_>, _>>()?;
        let request = LeafRequest::server(role, member.parse()?, hosts).lasting(LIFETIME);
        let issued = self.authority.issue(&request, self.now)?;
        replace(&files.key, issued.key_pem.as_bytes(), Access::Owner)?;
        Ok(replace(&files.certificate, issued.certificate_pem().as_bytes(), Access::Everybody)?)
    }

    /// Revokes a certificate, because somebody else may have its key, and makes the next list.
    ///
    /// # Errors
    /// The file is no certificate, or the list can't be written.
    pub fn revoke(&mut self, certificate: &Path) -> Result<()> {
        let der = CertificateDer::from_pem_slice(&read(certificate)?)
            .with_context(|| format!("{} is no certificate", certificate.display()))?;
        let serial = LeafCertificate::parse(&der)?.serial;
        let now = SystemTime::now();
        self.authority.revoke(&serial, Reason::KeyCompromise, None, now)?;
        self.authority.save_revocations(&self.folder.join(AUTHORITY_FOLDER), now, Crl::LIFETIME)?;
        Ok(())
    }

    fn issue(&self, request: LeafRequest, role: Role, member: &str) -> Result<KeyPair> {
        let issued = self.authority.issue(&request.lasting(LIFETIME), self.now)?;
        let (certificate, key) = issued.save(&self.folder.join("pki").join(format!("{role}-{member}")))?;
        Ok(KeyPair { certificate, key })
    }
}

/// Writes a fresh key of 32 bytes, in the form that vaults and the platform's tickets have in common.
///
/// # Errors
/// The file is there already or can't be written, or the system gives no random bytes.
pub fn own_key(path: &Path) -> Result<()> {
    let (_, bytes) = KeyEncryptionKey::generate(KeyVersion::new(1)).context("no key")?;
    let line = format!("1:{}\n", data_encoding::HEXLOWER.encode(bytes.as_slice()));
    Ok(write_new(path, line.as_bytes(), Access::Owner)?)
}
