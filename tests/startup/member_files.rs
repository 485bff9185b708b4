//! What is wrong with the files that a configuration names: certificates, keys and directories.

use std::{fs, os::unix::fs::PermissionsExt as _};

use bytes::Bytes;
use mesh::identity::Role;
use prost::Message as _;
use proto::pb;
use tests::network::{OPERATOR, certificate, impostor, sign};

use crate::{
    cases::{ALL, Case, Kept, MEMBERS},
    site::{Kind, Site},
};

const PLATFORM: &[Kind] = &[Kind::Platform];

/// Keys and certificates that are there and don't fit.
pub(crate) fn keys() -> Vec<Case> {
    let case = |name, kinds, spoil, says| Case { name, kinds, spoil, code: 64, says };
    vec![
        case("the key of another TLS certificate", ALL, |site| other(site, "server.key"), &["{folder}/server.", "key"]),
        case(
            "another member's TLS certificate and key",
            ALL,
            |site| {
                other(site, "server.pem");
                other(site, "server.key")
            },
            &["tls.certificate"],
        ),
        case(
            "a TLS certificate of another authority",
            ALL,
            |site| {
                site.replace("ca/ca.pem", &foreign_authority(site));
                None
            },
            &["ca"],
        ),
        case(
            "a TLS certificate that is none",
            ALL,
            |site| write(site, "server.pem", "no certificate"),
            &["{folder}/server.pem"],
        ),
        case("a TLS key that is none", ALL, |site| write(site, "server.key", "no key"), &["{folder}/server.key"]),
        case("the key of another signing certificate", ALL, |site| other(site, "signing.key"), &["`{signing}`"]),
        case(
            "another member's signing certificate and key",
            ALL,
            |site| {
                other(site, "signing.pem");
                other(site, "signing.key")
            },
            &["`{signing}`", "spiffe://pay.example/"],
        ),
        case(
            "a TLS certificate for signing",
            ALL,
            |site| {
                site.replace(&format!("{}/signing.pem", site.folder()), &format!("{}/server.pem", site.folder()));
                site.replace(&format!("{}/signing.key", site.folder()), &format!("{}/server.key", site.folder()));
                None
            },
            &["`{signing}`", "Ed25519"],
        ),
        case(
            "a vault's key that others may read",
            MEMBERS,
            |site| mode(site, &format!("{}.kek", site.kind.id())),
            &["`vault.keys`", "kek", "chmod 600"],
        ),
        case(
            "a vault's key that is none",
            MEMBERS,
            |site| secret(site, &format!("{}.kek", site.kind.id())),
            &["`vault.keys`", "line 1", "hexadecimal"],
        ),
        case("a ticket key that others may read", PLATFORM, |site| mode(site, "ticket.keys"), &["ticket.keys", "600"]),
        case("a ticket key that is none", PLATFORM, |site| secret(site, "ticket.keys"), &["ticket.keys"]),
    ]
}

/// Every file that a configuration names, missing.
pub(crate) fn missing() -> Vec<Case> {
    let case = |name, kinds, spoil, says| Case { name, kinds, spoil, code: 64, says };
    vec![
        case("no TLS certificate", ALL, |site| gone(site, "server.pem"), &["{folder}/server.pem", "check the path"]),
        case("no TLS key", ALL, |site| gone(site, "server.key"), &["{folder}/server.key", "check the path"]),
        case(
            "no authority",
            ALL,
            |site| {
                site.remove("ca/ca.pem");
                None
            },
            &["ca/ca.pem", "check the path"],
        ),
        case(
            "no revocation list",
            ALL,
            |site| {
                site.remove("ca/crl.pem");
                None
            },
            &["ca/crl.pem", "check the path"],
        ),
        case("no signing certificate", ALL, |site| gone(site, "signing.pem"), &["signing.pem", "check the path"]),
        case("no signing key", ALL, |site| gone(site, "signing.key"), &["signing.key"]),
        case(
            "no vault key",
            MEMBERS,
            |site| {
                site.remove(&format!("{}.kek", site.kind.id()));
                None
            },
            &[".kek", "read"],
        ),
        case(
            "no ticket key",
            PLATFORM,
            |site| {
                site.remove("ticket.keys");
                None
            },
            &["ticket.keys", "check the path"],
        ),
        case(
            "no directory",
            ALL,
            |site| {
                site.remove("directory.binpb");
                None
            },
            &["directory.binpb"],
        ),
        case(
            "no operator's certificate",
            PLATFORM,
            |site| {
                site.remove(&format!("operator-{OPERATOR}/signing.pem"));
                None
            },
            &["signing.pem"],
        ),
    ]
}

/// Directories that are none, or are not the operator's.
pub(crate) fn directories() -> Vec<Case> {
    let case = |name, kinds, spoil, says| Case { name, kinds, spoil, code: 64, says };
    vec![
        case(
            "a directory that is none",
            ALL,
            |site| directory(site, b"no directory"),
            &["directory", "certs directory sign"],
        ),
        case(
            "half a directory",
            ALL,
            |site| {
                let whole = fs::read(site.network.path("directory.binpb")).unwrap();
                directory(site, &whole[..whole.len() / 2])
            },
            &["directory"],
        ),
        case(
            "an operator of another authority",
            ALL,
            |site| {
                let operator = impostor(Role::Operator, OPERATOR);
                signed_by(site, &operator)
            },
            &["operator"],
        ),
        case(
            "an operator who is a member",
            ALL,
            |site| {
                let member = site.network.signer(Role::Acquirer, Kind::Acquirer.id());
                signed_by(site, &member)
            },
            &["operator"],
        ),
    ]
}

/// Directories of which one entry doesn't count, and none at all.
pub(crate) fn entries() -> Vec<Case> {
    let case = |name, kinds, spoil, says| Case { name, kinds, spoil, code: 64, says };
    vec![
        case(
            "an entry that was altered",
            ALL,
            |site| {
                let mut file = file(site);
                let mut entry = pb::DirectoryEntry::decode(file.entries[0].body.clone()).unwrap();
                entry.name_en = "Renamed".into();
                file.entries[0].body = entry.encode_to_vec().into();
                directory(site, &file.encode_to_vec())
            },
            &["acquirer-one", "operator"],
        ),
        case(
            "an entry with another member's key",
            ALL,
            |site| {
                let theirs = certificate(&site.network.signer(Role::Issuer, Kind::Issuer.id()));
                let mut entries = site.entries();
                entries[0].signing_certificates = vec![theirs];
                directory(site, &site.network.directory_file(&entries))
            },
            &["acquirer-one", "signing_certificates[0]", "bank-aurora"],
        ),
        case(
            "two entries of one member",
            ALL,
            |site| {
                let [entry, _] = site.entries();
                directory(site, &site.network.directory_file(&[entry.clone(), entry]))
            },
            &["acquirer-one"],
        ),
        Case {
            kinds: MEMBERS,
            ..case(
                "no directory but a platform that is away",
                MEMBERS,
                |site| {
                    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
                    let platform = tests::roles::membership(site.kind.id(), away) + "first_directory_wait = \"1s\"\n";
                    site.edit(|text| text.replace(tests::roles::direct(), &platform));
                    None
                },
                &["there is no bank directory", "directory.file"],
            )
        },
    ]
}

fn other(site: &Site, file: &str) -> Kept {
    let theirs = match site.kind {
        Kind::Acquirer | Kind::Platform => format!("issuer-{}", Kind::Issuer.id()),
        Kind::Issuer => format!("acquirer-{}", Kind::Acquirer.id()),
    };
    site.replace(&format!("{}/{file}", site.folder()), &format!("{theirs}/{file}"));
    None
}

fn gone(site: &Site, file: &str) -> Kept {
    site.remove(&format!("{}/{file}", site.folder()));
    None
}

fn write(site: &Site, file: &str, text: &str) -> Kept {
    site.network.write(&format!("{}/{file}", site.folder()), text);
    None
}

fn mode(site: &Site, file: &str) -> Kept {
    fs::set_permissions(site.network.path(file), fs::Permissions::from_mode(0o644)).unwrap();
    None
}

fn secret(site: &Site, file: &str) -> Kept {
    site.remove(file);
    site.network.write_secret(file, "no key\n");
    None
}

fn directory(site: &Site, bytes: &[u8]) -> Kept {
    site.network.write("directory.binpb", bytes);
    None
}

fn file(site: &Site) -> pb::DirectoryFile {
    pb::DirectoryFile::decode(fs::read(site.network.path("directory.binpb")).unwrap().as_slice()).unwrap()
}

fn signed_by(site: &Site, signer: &mesh::signing::Signer) -> Kept {
    let entries = site.entries();
    let file = pb::DirectoryFile {
        entries: entries.iter().map(|entry| sign(signer, &entry.to_pb()).to_pb()).collect(),
        operator_certificates: vec![certificate(signer)],
        ..Default::default()
    };
    directory(site, &file.encode_to_vec())
}

/// Writes another authority's certificate.
fn foreign_authority(site: &Site) -> String {
    let other = tests::network::Network::new();
    let pem: Bytes = fs::read(other.path("ca/ca.pem")).unwrap().into();
    site.network.write("other-ca.pem", &pem);
    "other-ca.pem".into()
}
