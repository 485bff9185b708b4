//! A network's authority and the files of its members.

use mesh::config::TlsFiles;
use mesh::identity::TrustDomain;
use mesh::tls::TlsIdentity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use time::{Duration, OffsetDateTime};

pub(crate) const DOMAIN: &str = "pay.example";

/// A certificate and its key, in PEM form.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) serial: u64,
}

/// An authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    serials: AtomicU64,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem, serials: AtomicU64::new(1) }
    }

    /// A member's certificate, good for an hour.
    pub(crate) fn member(&self, role_and_id: &str) -> Leaf {
        self.leaf(&[&spiffe(role_and_id)], Duration::hours(1))
    }

    /// A certificate with any URI names, that expires `left` from now.
    pub(crate) fn leaf(&self, uris: &[&str], left: Duration) -> Leaf {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        for uri in uris {
            let uri = (*uri).try_into().expect("an ASCII URI");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = now - Duration::hours(2);
        params.not_after = now + left;
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem(), serial }
    }

    /// A revocation list of these serial numbers.
    pub(crate) fn revocations(&self, serials: &[u64]) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked_certs = serials
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: now - Duration::hours(1),
            next_update: now + Duration::hours(1),
            crl_number: SerialNumber::from(serials.len() as u64 + 1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a list");
        list.pem().expect("PEM")
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

pub(crate) fn spiffe(role_and_id: &str) -> String {
    format!("spiffe://{DOMAIN}/{role_and_id}")
}

/// A folder with one identity's files.
pub(crate) struct Files {
    folder: tempfile::TempDir,
    has_revocations: bool,
}

impl Files {
    pub(crate) fn new(authority: &Authority, leaf: &Leaf) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder"), has_revocations: false };
        files.write("ca.pem", authority.pem());
        files.write_leaf(leaf);
        files
    }

    /// With a revocation list from the start.
    pub(crate) fn with_revocations(mut self, list: &str) -> Self {
        self.write("crl.pem", list);
        self.has_revocations = true;
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    pub(crate) fn write_leaf(&self, leaf: &Leaf) {
        self.write("own.pem", &leaf.certificate);
        self.write("own.key", &leaf.key);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    pub(crate) fn tls(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path("own.pem"),
            key: self.path("own.key"),
            authority: self.path("ca.pem"),
            revocations: self.has_revocations.then(|| self.path("crl.pem")),
        }
    }

    pub(crate) fn load(&self) -> Result<Arc<TlsIdentity>, mesh::tls::Error> {
        TlsIdentity::load(&self.tls(), domain())
    }

    pub(crate) fn identity(&self) -> Arc<TlsIdentity> {
        self.load().expect("a good identity")
    }
}

pub(crate) fn domain() -> TrustDomain {
    DOMAIN.parse().expect("a trust domain")
}
