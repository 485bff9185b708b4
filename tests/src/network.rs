//! A network: its authority, its members' certificates and keys in a temporary folder, and its operator.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use certs::{
    authority::{AUTHORITY_LIFETIME, Authority, Crl, DAY, LeafRequest, Reason},
    files::{Access, write_new},
};
use mesh::{
    channel::MeshChannel,
    config::TlsFiles,
    identity::{CertificateSerial, Role, TrustDomain},
    signing::{Signer, SigningTrust},
    tls::{ExpectedServer, TlsIdentity},
};
use prost::Message as _;
use proto::{
    directory::{BinRange, Entry, Limits, MemberRole, MemberStatus},
    money::Money,
    pb,
    signed::{Signed, SignedBody},
};

/// The network's name.
pub const DOMAIN: &str = "pay.example";
/// Its operator.
pub const OPERATOR: &str = "operator-one";

/// A network's files.
pub struct Network {
    folder: tempfile::TempDir,
    authority: Mutex<Authority>,
    operator: Signer,
    /// A day ago, so that what is signed hours ago can be made.
    began: SystemTime,
    /// The TLS certificates' serial numbers, by the holder's folder.
    serials: Mutex<HashMap<String, CertificateSerial>>,
}

impl Network {
    /// A fresh authority, and an operator with a certificate for calls and one for signing.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let began = SystemTime::now() - DAY;
        let mut authority = Authority::create(domain(), "Tests", AUTHORITY_LIFETIME, began).unwrap();
        authority.save(&folder.path().join("ca"), SystemTime::now()).unwrap();
        let signing = LeafRequest::signing(Role::Operator, OPERATOR.parse().unwrap());
        let signing = authority.issue(&signing, began).unwrap();
        let operator_folder = folder.path().join(format!("operator-{OPERATOR}"));
        signing.save(&operator_folder).unwrap();
        let operator = signer_in(&operator_folder);
        let network = Self { folder, authority: Mutex::new(authority), operator, began, serials: Mutex::default() };
        network.issue(Role::Operator, OPERATOR, &LeafRequest::client(Role::Operator, OPERATOR.parse().unwrap()));
        network
    }

    /// A file or folder of the network's.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes a file that its owner alone may read.
    pub fn write_secret(&self, name: &str, text: &str) {
        write_new(&self.path(name), text.as_bytes(), Access::Owner).unwrap();
    }

    /// Makes a party: a TLS certificate in the folder `<role>-<id>`, and a signing one where the role signs.
    pub fn join(&self, role: Role, id: &str) {
        let hosts = vec!["localhost".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let member = || id.parse().unwrap();
        match role {
            Role::Acquirer | Role::Issuer | Role::Platform => {
                self.issue(role, id, &LeafRequest::server(role, member(), hosts));
                self.renew_signer(role, id);
            }
            Role::Merchant | Role::Operator => self.issue(role, id, &LeafRequest::client(role, member())),
        }
    }

    /// Gives a member another signing key, which is its only one from now on.
    pub fn renew_signer(&self, role: Role, id: &str) -> Signer {
        let folder = self.path(format!("{role}-{id}"));
        for name in ["signing.pem", "signing.key"] {
            // There is none the first time.
            let _ = fs::remove_file(folder.join(name));
        }
        self.issue(role, id, &LeafRequest::signing(role, id.parse().unwrap()));
        signer_in(&folder)
    }

    fn issue(&self, role: Role, id: &str, request: &LeafRequest) {
        let folder = format!("{role}-{id}");
        let issued = self.authority.lock().unwrap().issue(request, self.began).unwrap();
        issued.save(&self.path(&folder)).unwrap();
        if request.purpose() != certs::authority::Purpose::Signing {
            self.serials.lock().unwrap().insert(folder, issued.serial.clone());
        }
    }

    /// Puts a party's TLS certificate on the revocation list, which running servers read again.
    pub fn revoke(&self, role: Role, id: &str) {
        let serial = self.serials.lock().unwrap()[&format!("{role}-{id}")].clone();
        let now = SystemTime::now();
        let mut authority = self.authority.lock().unwrap();
        authority.revoke(&serial, Reason::KeyCompromise, None, now).unwrap();
        authority.save_revocations(&self.path("ca"), now, Crl::LIFETIME).unwrap();
    }

    /// A party's TLS files.
    #[must_use]
    pub fn tls(&self, role: Role, id: &str) -> TlsFiles {
        let purpose = match role {
            Role::Acquirer | Role::Issuer | Role::Platform => "server",
            Role::Merchant | Role::Operator => "client",
        };
        let folder = self.path(format!("{role}-{id}"));
        TlsFiles {
            certificate: folder.join(format!("{purpose}.pem")),
            key: folder.join(format!("{purpose}.key")),
            authority: self.path("ca/ca.pem"),
            revocations: Some(self.path("ca/crl.pem")),
        }
    }

    /// A party's TLS identity.
    #[must_use]
    pub fn identity(&self, role: Role, id: &str) -> Arc<TlsIdentity> {
        TlsIdentity::load(&self.tls(role, id), domain()).unwrap()
    }

    /// A party's signing key.
    #[must_use]
    pub fn signer(&self, role: Role, id: &str) -> Signer {
        signer_in(&self.path(format!("{role}-{id}")))
    }

    /// The operator's signing key.
    #[must_use]
    pub fn operator(&self) -> &Signer {
        &self.operator
    }

    /// Whom signatures in the network lead to.
    #[must_use]
    pub fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.authority.lock().unwrap().certificate().clone()]).unwrap()
    }

    /// A connection of one party to another.
    #[must_use]
    pub fn channel(&self, from: (Role, &str), to: (Role, &str), address: SocketAddr) -> MeshChannel {
        let expected = ExpectedServer::member(to.0, to.1.parse().unwrap());
        MeshChannel::new(&format!("https://{address}"), self.identity(from.0, from.1), expected).unwrap()
    }

    /// An issuer's first entry.
    #[must_use]
    pub fn issuer_entry(&self, id: &str, at: SocketAddr, bins: &[(u32, u32)]) -> Entry {
        let app_link = Some(format!("https://app.{id}.example/pay").parse().unwrap());
        let bin_ranges = bins.iter().map(|(first, last)| BinRange::new(*first, *last).unwrap()).collect();
        Entry { app_link, bin_ranges, ..self.entry(Role::Issuer, MemberRole::Issuer, id, at) }
    }

    /// An acquirer's first entry.
    #[must_use]
    pub fn acquirer_entry(&self, id: &str, at: SocketAddr) -> Entry {
        self.entry(Role::Acquirer, MemberRole::Acquirer, id, at)
    }

    fn entry(&self, party: Role, role: MemberRole, id: &str, at: SocketAddr) -> Entry {
        Entry {
            member: id.parse().unwrap(),
            role,
            version: 1,
            status: MemberStatus::Active,
            name_zh_tw: "銀行".into(),
            name_en: format!("Bank {id}"),
            logo_svg: String::new(),
            app_link: None,
            endpoint: format!("https://{at}").parse().unwrap(),
            bin_ranges: Vec::new(),
            signing_certificates: vec![certificate(&self.signer(party, id))],
            limits: Limits { amount_max: vec![twd(1_000_000_000)], authorizations_per_second: 10_000 },
            signed_at: SystemTime::now(),
        }
    }

    /// A directory file of these entries, as the operator hands it out.
    #[must_use]
    pub fn directory_file(&self, entries: &[Entry]) -> Vec<u8> {
        pb::DirectoryFile {
            entries: entries.iter().map(|entry| self.signed_entry(entry)).collect(),
            operator_certificates: vec![certificate(&self.operator)],
            ..Default::default()
        }
        .encode_to_vec()
    }

    /// The operator's signature under an entry.
    #[must_use]
    pub fn signed_entry(&self, entry: &Entry) -> pb::Signed {
        sign(&self.operator, &entry.to_pb()).to_pb()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("folder", &self.folder.path()).finish_non_exhaustive()
    }
}

/// The network's name, parsed.
#[must_use]
pub fn domain() -> TrustDomain {
    DOMAIN.parse().unwrap()
}

/// An amount in minor units of the network's one currency.
#[must_use]
pub fn twd(minor_units: i64) -> Money {
    Money::new("TWD".parse().unwrap(), minor_units).unwrap()
}

/// Serialises once and signs exactly these bytes.
#[must_use]
pub fn sign<M: SignedBody>(signer: &Signer, message: &M) -> Signed {
    let body = message.encode_to_vec();
    let signature = signer.sign(M::NAME, &body);
    Signed { body: body.into(), key_id: signer.key_id().to_string().parse().unwrap(), signature }
}

/// A signer's certificate, in DER form.
#[must_use]
pub fn certificate(signer: &Signer) -> Bytes {
    Bytes::copy_from_slice(signer.certificate_der())
}

/// A signing key under an authority of one's own, which names whomever one likes.
#[must_use]
pub fn impostor(role: Role, id: &str) -> Signer {
    let now = SystemTime::now();
    let authority = Authority::create(domain(), "Impostors", AUTHORITY_LIFETIME, now).unwrap();
    let issued = authority.issue(&LeafRequest::signing(role, id.parse().unwrap()), now).unwrap();
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

fn signer_in(folder: &Path) -> Signer {
    let [certificate, key] = ["signing.pem", "signing.key"].map(|name| fs::read(folder.join(name)).unwrap());
    Signer::from_pem(&certificate, &key).unwrap()
}
