//! A directory holds for its operator's key, and every way of spoiling one is refused with words.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mesh::identity::MemberId;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use super::*;
use crate::authority::{AUTHORITY_LIFETIME, Authority, DAY, LeafRequest};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn id(text: &str) -> MemberId {
    text.parse().expect("an id")
}

struct Network {
    folder: TempDir,
    authority: Authority,
    operator: Signer,
}

impl Network {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let domain = "pay.example".parse().expect("a domain");
        let authority = Authority::create(domain, "Pilot", AUTHORITY_LIFETIME, now()).expect("an authority");
        for (role, member) in [(Role::Issuer, "bank-a"), (Role::Issuer, "bank-b"), (Role::Acquirer, "bank-c")] {
            let issued = authority.issue(&LeafRequest::signing(role, id(member)), now()).expect("issued");
            issued.save(&folder.path().join(member)).expect("saved");
        }
        let operator = signer(&authority, Role::Operator, "network");
        Self { folder, authority, operator }
    }

    fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.authority.certificate().clone()]).expect("an authority")
    }

    /// The description of the three banks, after `alter`.
    fn describe(&self, alter: impl FnOnce(String) -> String) -> PathBuf {
        let path = self.folder.path().join("banks.toml");
        fs::write(&path, alter(BANKS.to_owned())).expect("written");
        path
    }

    fn sign(&self, alter: impl FnOnce(String) -> String, earlier: Option<&Directory>) -> Result<Directory, String> {
        let entries = entries_from_toml(&self.describe(alter)).map_err(|e| e.to_string())?;
        let file = sign(entries, &self.operator, earlier, now()).map_err(|e| e.to_string())?;
        Directory::parse("directory.pb", &file.encode_to_vec()).map_err(|e| e.to_string())
    }

    fn refused(&self, from: &str, to: &str) -> String {
        assert!(BANKS.contains(from), "{from}");
        self.sign(|text| text.replacen(from, to, 1), None).map(|_| ()).expect_err("refused")
    }
}

fn signer(authority: &Authority, role: Role, member: &str) -> Signer {
    let issued = authority.issue(&LeafRequest::signing(role, id(member)), now()).expect("issued");
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).expect("a signer")
}

const BANKS: &str = r#"
[[bank]]
id = "bank-a"
role = "issuer"
version = 1
status = "active"
name_zh_tw = "甲銀行"
name_en = "Bank A"
app_link = "https://app.bank-a.example/pay"
endpoint = "https://bank-a.example:8443"
bin_ranges = ["400000", "40000200-40000299"]
signing_certificates = ["bank-a/signing.pem"]
limits = { authorizations_per_second = 50, amount_max = [{ currency = "TWD", minor_units = 10000000 }] }

[[bank]]
id = "bank-b"
role = "issuer"
version = 4
status = "suspended"
name_zh_tw = "乙銀行"
name_en = "Bank B"
app_link = "https://app.bank-b.example/pay"
endpoint = "https://bank-b.example:8443"
bin_ranges = ["500000"]
signing_certificates = ["bank-b/signing.pem"]
limits = { authorizations_per_second = 50, amount_max = [{ currency = "TWD", minor_units = 10000000 }] }

[[bank]]
id = "bank-c"
role = "acquirer"
version = 1
status = "active"
name_zh_tw = "丙銀行"
name_en = "Bank C"
endpoint = "https://bank-c.example:8443"
signing_certificates = ["bank-c/signing.pem"]
limits = { authorizations_per_second = 500 }
"#;

#[test]
fn a_signed_directory_holds() {
    let network = Network::new();
    let directory = network.sign(|text| text, None).expect("signed");
    directory.verify(&network.trust()).expect("holds");
    let members: Vec<_> = directory.entries.iter().map(|e| e.says.member.to_string()).collect();
    assert_eq!(members, ["bank-a", "bank-b", "bank-c"]);
    let first = &directory.entries[0].says;
    assert_eq!((first.version, first.signed_at, first.bin_ranges.len()), (1, now(), 2));
    assert_eq!(first.name_zh_tw, "甲銀行");
    // Under another network's authority it doesn't.
    assert!(directory.verify(&Network::new().trust()).is_err());
}

#[test]
fn an_altered_entry_does_not_hold() {
    let network = Network::new();
    let directory = network.sign(|text| text, None).expect("signed");
    let mut altered = directory.clone();
    let body = altered.entries[0].signed.body.to_vec();
    let at = body.windows(6).position(|w| w == b"Bank A").expect("the name is in the body");
    let mut body = body;
    body[at + 5] = b'X';
    altered.entries[0].signed.body = body.into();
    let refused = altered.verify(&network.trust()).expect_err("refused").to_string();
    assert!(refused.contains("bank-a") && refused.contains("signature is wrong"), "{refused}");
    let mut unsigned = directory;
    unsigned.operator_certificates.clear();
    assert!(unsigned.verify(&network.trust()).expect_err("refused").to_string().contains("does not bring"));
}

#[test]
fn only_an_operator_signs() {
    let network = Network::new();
    let bank = signer(&network.authority, Role::Issuer, "bank-a");
    let entries = entries_from_toml(&network.describe(|text| text)).expect("described");
    assert!(matches!(sign(entries, &bank, None, now()), Err(DirectoryError::NotAnOperator(_))));
    // A bank that signs nevertheless, with a program of its own, is found out.
    let mut directory = network.sign(|text| text, None).expect("signed");
    let pb = sign_entry(&directory.entries[0].says, &bank);
    directory.entries[0] = Carried::<Entry>::parse(pb).expect("well-formed");
    directory.operator_certificates.push(Bytes::copy_from_slice(bank.certificate_der()));
    let refused = directory.verify(&network.trust()).expect_err("refused").to_string();
    assert!(refused.contains("no operator"), "{refused}");
}

#[test]
fn every_error_names_bank_and_field() {
    let network = Network::new();
    for (from, to, words) in [
        ("version = 1", "version = 0", ["bank-a", "version"]),
        ("version = 1", "versoin = 1", ["banks.toml", "versoin"]),
        ("role = \"issuer\"", "role = \"bank\"", ["banks.toml", "role"]),
        ("\"400000\"", "\"4000\"", ["bank-a", "bin_ranges[0]"]),
        ("\"400000\"", "\"500000\"", ["bin_ranges", "overlap"]),
        ("https://app.bank-a", "bank-a-app://", ["bank-a", "app_link"]),
        ("bank-a/signing.pem", "bank-b/signing.pem", ["bank-a", "signing_certificates[0]"]),
        ("bank-a/signing.pem", "bank-x/signing.pem", ["bank-x/signing.pem", "cannot be read"]),
        ("bank-a/signing.pem", "bank-a/signing.key", ["bank-a/signing.key", "no PEM certificate"]),
        ("id = \"bank-b\"", "id = \"bank-a\"", ["bank-a", "bank"]),
        ("currency = \"TWD\"", "currency = \"XXX\"", ["bank-a", "amount_max[0]"]),
    ] {
        let said = network.refused(from, to);
        assert!(words.iter().all(|word| said.contains(word)), "{to}: {said}");
    }
    let twice = network.sign(|text| text.clone() + &text, None).map(|_| ()).expect_err("refused");
    assert!(twice.contains("described twice"), "{twice}");
}

#[test]
fn an_expired_newest_certificate_is_refused() {
    let network = Network::new();
    let entries = entries_from_toml(&network.describe(|text| text)).expect("described");
    let late = sign(entries, &network.operator, None, now() + DAY * 366).map(|_| ()).expect_err("refused");
    assert!(late.to_string().contains("not valid now"), "{late}");
}

#[test]
fn versions_only_increase_and_nobody_is_lost() {
    let network = Network::new();
    let first = network.sign(|text| text, None).expect("signed");
    let rename = |text: String| text.replace("\"Bank A\"", "\"Bank Alpha\"");
    let stale = network.sign(rename, Some(&first)).map(|_| ()).expect_err("refused");
    assert!(stale.contains("bank-a") && stale.contains("version = 2"), "{stale}");
    let change = |text: String| rename(text).replacen("version = 1", "version = 2", 1);
    let second = network.sign(change, Some(&first)).expect("signed");
    second.verify(&network.trust()).expect("holds");
    // What says the same keeps its bytes, so that nobody sees a second body under one version.
    assert_ne!(second.entries[0].signed, first.entries[0].signed);
    assert_eq!(second.entries[1..], first.entries[1..]);
    let lost = |text: String| text.split("\n[[bank]]").take(3).collect::<Vec<_>>().join("\n[[bank]]");
    let lost = network.sign(lost, Some(&first)).map(|_| ()).expect_err("refused");
    assert!(lost.contains("bank-c") && lost.contains("removed"), "{lost}");
}

#[test]
fn a_new_operators_key_keeps_what_the_old_one_signed() {
    let mut network = Network::new();
    let first = network.sign(|text| text, None).expect("signed");
    network.operator = signer(&network.authority, Role::Operator, "network");
    let same = network.sign(|text| text, Some(&first)).expect("signed");
    assert_eq!(same.entries, first.entries);
    assert_eq!(same.operator_certificates.len(), 2);
    same.verify(&network.trust()).expect("holds");
}

#[test]
fn what_is_no_directory_is_refused() {
    for bytes in [b"".as_slice(), b"hello"] {
        let refused = Directory::parse("x.pb", bytes).expect_err("refused");
        assert!(matches!(&refused, DirectoryError::NotADirectory(name, _) if name == "x.pb"), "{refused}");
    }
    let network = Network::new();
    let der: &CertificateDer<'_> = network.authority.certificate();
    assert!(Directory::parse("x.pb", der).is_err());
    assert!(earlier(&network.folder.path().join("none.pb")).expect("no error").is_none());
}
