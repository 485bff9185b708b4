//! Every warning appears where it should, and a clean network has none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mesh::identity::Role;
use rcgen::{CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, SanType};
use tempfile::TempDir;

use super::*;
use crate::authority::{AUTHORITY_LIFETIME, Authority, Crl, DAY, LeafRequest, Reason};

const ID: &str = "spiffe://pay.example/issuer/bank-a";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// A folder with an authority and three leaves of bank-a.
struct Network {
    folder: TempDir,
    authority: Authority,
}

impl Network {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut authority =
            Authority::create("pay.example".parse().expect("a domain"), "Pilot", AUTHORITY_LIFETIME, now())
                .expect("an authority");
        authority.save(folder.path(), now()).expect("saved");
        let member = || "bank-a".parse().expect("an id");
        let host = "localhost".parse().expect("a name");
        for request in [
            LeafRequest::server(Role::Issuer, member(), vec![host]),
            LeafRequest::client(Role::Issuer, member()),
            LeafRequest::signing(Role::Issuer, member()),
        ] {
            authority.issue(&request, now()).expect("issued").save(folder.path()).expect("saved");
        }
        Self { folder, authority }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn inspect(&self, files: &[&str], time: SystemTime) -> Vec<Report> {
        let paths: Vec<_> = files.iter().map(|file| self.path(file)).collect();
        inspect(&paths, time).expect("readable")
    }

    /// The warnings about the first of the files, and its description.
    fn first(&self, files: &[&str], time: SystemTime) -> (String, String) {
        let report = self.inspect(files, time).into_iter().next().expect("a report");
        (report.warnings.join(" "), report.to_string())
    }
}

/// A certificate that the authority would never issue, signed by itself.
fn odd(network: &Network, alter: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "odd");
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY * 90).into();
    params.subject_alt_names = vec![uri(ID), SanType::DnsName("localhost".try_into().expect("ASCII"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    alter(&mut params);
    let pem = params.self_signed(&key).expect("a certificate").pem();
    fs::write(network.path("odd.pem"), pem).expect("written");
    network.first(&["odd.pem"], now()).0
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

#[test]
fn a_clean_network_has_no_warnings() {
    let network = Network::new();
    let files = [
        "ca.pem",
        "crl.pem",
        "server.pem",
        "client.pem",
        "signing.pem",
        "server.key",
        "client.key",
        "signing.key",
        "ca.key",
    ];
    for report in network.inspect(&files, now()) {
        assert_eq!(report.warnings, Vec::<String>::new(), "{report}");
    }
}

#[test]
fn it_says_who_may_do_what() {
    let network = Network::new();
    for (file, words) in [
        ("ca.pem", "it issues certificates for spiffe://pay.example"),
        ("crl.pem", "It revokes nothing"),
        (
            "server.pem",
            "the issuer bank-a (spiffe://pay.example/issuer/bank-a). It may be a TLS server and call servers over TLS.",
        ),
        ("client.pem", "It may call servers over TLS."),
        ("signing.pem", "It may sign messages."),
        ("signing.key", "A private key (Ed25519)"),
        ("server.key", "A private key (ECDSA P-256)"),
    ] {
        let (_, said) = network.first(&[file], now());
        assert!(said.contains(words), "{file}: {said}");
        assert!(!said.contains("BEGIN"), "{said}");
    }
    let (_, said) = network.first(&["server.pem", "ca.pem"], now());
    for words in ["(90 days left)", "localhost", "whose signature is right", "SHA-256 "] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, said) = network.first(&["signing.key", "signing.pem"], now());
    assert!(said.contains("belongs to") && said.contains("issuer signing"), "{said}");
}

#[test]
fn time_brings_warnings() {
    let network = Network::new();
    let warned = |file, time| network.first(&[file], time).0;
    assert!(warned("server.pem", now() + DAY * 80).contains("It ends in 10 days"));
    assert!(warned("server.pem", now() + DAY * 91).contains("It has expired; issue a new one"));
    assert!(warned("server.pem", now() - DAY).contains("not valid yet"));
    assert!(warned("ca.pem", now() + AUTHORITY_LIFETIME + DAY).contains("everything that it issued"));
    assert!(warned("crl.pem", now() + Crl::LIFETIME + DAY).contains("out of date"));
}

#[test]
fn wrong_names_and_uses_are_seen() {
    let network = Network::new();
    let warned = |alter: &dyn Fn(&mut CertificateParams)| odd(&network, alter);
    assert_eq!(warned(&|_| {}), "");
    assert!(warned(&|p| p.subject_alt_names.push(uri(ID))).contains("2 URI names"));
    assert!(warned(&|p| p.subject_alt_names = vec![uri("https://pay.example")]).contains("not of the form"));
    assert!(warned(&|p| p.subject_alt_names.clear()).contains("no URI name"));
    assert!(warned(&|p| p.subject_alt_names = vec![uri(ID)]).contains("no DNS name and no IP address"));
    assert!(warned(&|p| p.extended_key_usages.clear()).contains("states no extended key usage"));
    assert!(warned(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]).contains("of no use"));
    assert!(warned(&|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::Any)).contains("used for anything"));
    let operator = "spiffe://pay.example/operator/network";
    let misplaced = warned(&|p| p.subject_alt_names[0] = uri(operator));
    assert!(misplaced.contains("An operator has no business in this network to be a TLS server"), "{misplaced}");
    let unreadable = [0x30, 6, 0x86, 1, b'x', 0x86, 1, 0xff].to_vec();
    let both = warned(&|p| {
        p.subject_alt_names.clear();
        p.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], unreadable.clone())];
    });
    assert!(both.contains("2 URI names"), "{both}");
}

#[test]
fn things_that_do_not_belong_together_are_seen() {
    let (network, other) = (Network::new(), Network::new());
    fs::copy(other.path("ca.pem"), network.path("other-ca.pem")).expect("copied");
    fs::copy(other.path("crl.pem"), network.path("other-crl.pem")).expect("copied");
    let warned = |files: &[&str]| network.first(files, now()).0;
    assert!(warned(&["server.pem", "other-ca.pem"]).contains("None of the authorities"));
    assert_eq!(warned(&["server.pem", "other-ca.pem", "ca.pem"]), "");
    assert!(warned(&["other-crl.pem", "ca.pem"]).contains("None of the authorities"));
    assert!(warned(&["server.key", "client.pem"]).contains("belongs to none of the certificates"));
    assert_eq!(warned(&["server.key", "client.pem", "server.pem"]), "");
}

#[test]
fn a_revoked_certificate_is_seen_where_the_list_is_at_hand() {
    let mut network = Network::new();
    let leaf = CertificateDer::from_pem_slice(&fs::read(network.path("server.pem")).expect("there")).expect("PEM");
    let serial = mesh::identity::LeafCertificate::parse(&leaf).expect("a leaf").serial;
    network.authority.revoke(&serial, Reason::KeyCompromise, Some(now() - DAY), now()).expect("revoked");
    network.authority.save_revocations(network.folder.path(), now(), Crl::LIFETIME).expect("saved");
    assert!(network.first(&["server.pem", "crl.pem"], now()).0.contains("It was revoked on 2026-01-01"));
    assert_eq!(network.first(&["client.pem", "crl.pem"], now()).0, "");
    let (_, said) = network.first(&["crl.pem"], now());
    assert!(said.contains(&serial.to_string()) && said.contains("unsafe since 2025-12-31"), "{said}");
}

#[test]
fn an_open_key_file_is_seen() {
    let network = Network::new();
    fs::set_permissions(network.path("server.key"), fs::Permissions::from_mode(0o640)).expect("mode set");
    let (warned, _) = network.first(&["server.key"], now());
    assert!(warned.contains("mode 640") && warned.contains("chmod 600"), "{warned}");
}

#[test]
fn strange_files_are_told_apart() {
    let network = Network::new();
    let write = |name: &str, contents: &[u8]| fs::write(network.path(name), contents).expect("written");
    write("text", b"hello");
    write("empty", b"");
    write("broken.pem", b"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n");
    write("cut.pem", b"-----BEGIN CERTIFICATE-----\nMAAA\n");
    for file in ["text", "empty", "broken.pem", "cut.pem"] {
        assert!(!network.first(&[file], now()).0.is_empty(), "{file}");
    }
    let der = CertificateDer::from_pem_slice(&fs::read(network.path("server.pem")).expect("there")).expect("PEM");
    write("server.der", &der);
    assert!(network.first(&["server.der"], now()).1.contains("the issuer bank-a"));
    let both =
        [fs::read(network.path("server.pem")), fs::read(network.path("ca.pem"))].map(|f| f.expect("there")).concat();
    write("chain.pem", &both);
    let reports = network.inspect(&["chain.pem"], now());
    assert_eq!(reports.len(), 2);
    assert!(reports[1].source.ends_with("chain.pem (no. 2)"), "{}", reports[1].source);
    let missing = inspect(&[network.path("missing.pem")], now()).expect_err("missing");
    assert!(missing.to_string().contains("missing.pem"));
}
