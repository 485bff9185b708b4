//! A network's files in a temporary folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use certs::authority::{Authority, DAY, Issued, LeafRequest};
use mesh::{
    config::TlsFiles,
    directory::Directory,
    identity::{Role, TrustDomain},
    signing::{Signer, SigningTrust},
    tls::TlsIdentity,
};
use prost::Message as _;
use proto::{
    directory::{BinRange, Entry, Limits, MemberRole, MemberStatus},
    money::Money,
    pb,
    signed::{Signed, SignedBody},
};

pub(super) struct Pki {
    pub(super) folder: tempfile::TempDir,
    authority: Authority,
    pub(super) operator: Signer,
}

impl Pki {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let mut authority = Authority::create(domain(), "Tests", DAY * 365 * 5, now).unwrap();
        authority.save(&folder.path().join("ca"), now).unwrap();
        let operator = authority.issue(&LeafRequest::signing(Role::Operator, "operator".parse().unwrap()), now);
        Self { operator: signer(&operator.unwrap()), folder, authority }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Saves a member's TLS and signing certificates into a folder of its name.
    pub(super) fn member(&self, role: Role, member: &str) -> Signer {
        let (now, folder) = (SystemTime::now(), self.path(member));
        let host = vec!["127.0.0.1".parse().unwrap()];
        let id = || member.parse().unwrap();
        self.authority.issue(&LeafRequest::server(role, id(), host), now).unwrap().save(&folder).unwrap();
        let signing = self.authority.issue(&LeafRequest::signing(role, id()), now).unwrap();
        signing.save(&folder).unwrap();
        signer(&signing)
    }

    pub(super) fn identity(&self, member: &str) -> Arc<TlsIdentity> {
        let files = TlsFiles {
            certificate: self.path(member).join("server.pem"),
            key: self.path(member).join("server.key"),
            authority: self.path("ca/ca.pem"),
            revocations: Some(self.path("ca/crl.pem")),
        };
        TlsIdentity::load(&files, domain()).unwrap()
    }

    pub(super) fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.authority.certificate().clone()]).unwrap()
    }

    /// The signed directory of one issuer and one acquirer.
    pub(super) fn directory(&self, issuer: &Signer, acquirer: &Signer, at: SocketAddr) -> Vec<u8> {
        let entries = [self.entry(issuer, MemberRole::Issuer, at), self.entry(acquirer, MemberRole::Acquirer, at)];
        let file = pb::DirectoryFile {
            entries: entries.iter().map(|entry| sign(&self.operator, &entry.to_pb()).to_pb()).collect(),
            operator_certificates: vec![self.operator.certificate_der().to_vec().into()],
            ..Default::default()
        };
        file.encode_to_vec()
    }

    pub(super) fn parsed(&self, file: &[u8]) -> Directory {
        Directory::from_file(file, &self.trust(), &domain()).unwrap()
    }

    fn entry(&self, member: &Signer, role: MemberRole, at: SocketAddr) -> Entry {
        let is_issuer = role == MemberRole::Issuer;
        Entry {
            member: member.identity().member().as_str().parse().unwrap(),
            role,
            version: 1,
            status: MemberStatus::Active,
            name_zh_tw: "銀行".into(),
            name_en: "Bank".into(),
            logo_svg: String::new(),
            app_link: is_issuer.then(|| "https://app.bank-aurora.example/pay".parse().unwrap()),
            endpoint: format!("https://{at}").parse().unwrap(),
            bin_ranges: if is_issuer { vec![BinRange::new(40_000_000, 40_000_099).unwrap()] } else { vec![] },
            signing_certificates: vec![member.certificate_der().to_vec().into()],
            limits: Limits {
                amount_max: vec![Money::new("TWD".parse().unwrap(), 10_000_000).unwrap()],
                authorizations_per_second: 100,
            },
            signed_at: SystemTime::now(),
        }
    }
}

pub(super) fn domain() -> TrustDomain {
    "bankside.example".parse().unwrap()
}

pub(super) fn signer(issued: &Issued) -> Signer {
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

pub(super) fn sign<M: SignedBody>(signer: &Signer, message: &M) -> Signed {
    let body = message.encode_to_vec();
    let signature = signer.sign(M::NAME, &body);
    Signed { body: body.into(), key_id: signer.key_id().to_string().parse().unwrap(), signature }
}

/// Writes a file that its owner alone may read.
pub(super) fn write_secret(path: &Path, text: &str) {
    certs::files::write_new(path, text.as_bytes(), certs::files::Access::Owner).unwrap();
}
