//! The commands as an operator types them.

use std::fs;

use clap::CommandFactory;
use tempfile::TempDir;

use super::*;

/// 2026-01-01.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

struct Desk(TempDir);

impl Desk {
    /// A desk with an authority in `ca`.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a folder"));
        desk.run("authority --trust-domain pay.example --out @/ca").expect("made");
        desk
    }

    /// Runs a command, in which `@` stands for the desk's folder, and returns its output.
    fn run(&self, line: &str) -> Result<String, String> {
        let folder = self.0.path().display().to_string();
        let words = line.split_whitespace().map(|word| word.replace('@', &folder));
        let cli = Cli::try_parse_from(std::iter::once("certs".to_owned()).chain(words)).map_err(|e| e.to_string())?;
        let mut out = Vec::new();
        let code = execute(cli, now(), &mut out).map_err(|e| format!("{e:#}"))?;
        let text = String::from_utf8(out).expect("UTF-8");
        if code == ExitCode::SUCCESS { Ok(text) } else { Err(text) }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn from_nothing_to_a_signed_directory() {
    let desk = Desk::new();
    let host = "--dns bank-a.example --ip 127.0.0.1";
    desk.run(&format!("server --authority @/ca --role issuer --id bank-a {host} --out @/bank-a")).expect("issued");
    desk.run("signing --authority @/ca --role issuer --id bank-a --out @/bank-a").expect("issued");
    desk.run("client --authority @/ca --role operator --id network --out @/operator").expect("issued");
    desk.run("signing --authority @/ca --role operator --id network --out @/operator").expect("issued");
    let banks = r#"
        [[bank]]
        id = "bank-a"
        role = "issuer"
        version = 1
        status = "active"
        name_zh_tw = "甲銀行"
        name_en = "Bank A"
        app_link = "https://app.bank-a.example/pay"
        endpoint = "https://bank-a.example:8443"
        bin_ranges = ["400000"]
        signing_certificates = ["bank-a/signing.pem"]
        [bank.limits]
        authorizations_per_second = 50
        amount_max = [{ currency = "TWD", minor_units = 10000000 }]
    "#;
    fs::write(desk.path("banks.toml"), banks).expect("written");
    let sign = "directory sign --entries @/banks.toml --operator-cert @/operator/signing.pem \
                --operator-key @/operator/signing.key --out @/directory.pb";
    desk.run(sign).expect("signed");
    let before = fs::read(desk.path("directory.pb")).expect("there");
    desk.run(sign).expect("signed again");
    assert_eq!(fs::read(desk.path("directory.pb")).expect("there"), before, "an unchanged directory keeps its bytes");
    let shown = desk.run("directory show @/directory.pb --ca @/ca/ca.pem").expect("clean");
    assert!(shown.contains("甲銀行") && shown.contains("all right"), "{shown}");
    let unchecked = desk.run("directory show @/directory.pb").expect("clean");
    assert!(unchecked.contains("not checked"), "{unchecked}");
    desk.run("inspect @/ca/ca.pem @/ca/crl.pem @/bank-a/server.pem @/bank-a/server.key @/directory.pb").expect("clean");
}

#[test]
fn revoking_shows_in_list_and_inspection() {
    let desk = Desk::new();
    desk.run("client --authority @/ca --role merchant --id shop-1 --out @/shop").expect("issued");
    let record = fs::read_to_string(desk.path("ca/issued.tsv")).expect("there");
    let serial = record.split('\t').nth(1).expect("a serial").to_owned();
    assert!(record.contains("client\tspiffe://pay.example/merchant/shop-1"), "{record}");
    desk.run("inspect @/shop/client.pem @/ca/ca.pem @/ca/crl.pem").expect("clean");
    let said =
        desk.run("revoke --authority @/ca --certificate @/shop/client.pem --reason key-compromise").expect("revoked");
    assert!(said.contains(&serial), "{said}");
    let warned =
        desk.run("inspect @/shop/client.pem @/ca/ca.pem @/ca/crl.pem").expect_err("a warning and its exit code");
    assert!(warned.contains("It was revoked on 2026-01-01"), "{warned}");
    let since = "--unsafe-since 2025-12-01T00:00:00Z";
    desk.run(&format!("revoke --authority @/ca --serial {serial} {since}")).expect("revoked");
    let list = desk.run("crl --authority @/ca --days 7").expect("made");
    assert!(list.contains("no. 4") && list.contains("2026-01-08"), "{list}");
    assert!(desk.run("inspect @/ca/crl.pem").expect("clean").contains("unsafe since 2025-12-01"));
}

#[test]
fn only_the_authority_that_issued_a_certificate_revokes_it() {
    let desk = Desk::new();
    desk.run("authority --trust-domain pay.example --out @/next-ca").expect("made");
    desk.run("client --authority @/ca --role merchant --id shop --out @/shop").expect("issued");
    let refused = desk.run("revoke --authority @/next-ca --certificate @/shop/client.pem").expect_err("another's");
    assert!(refused.contains("was not issued by this authority"), "{refused}");
    let list = fs::read(desk.path("next-ca/crl.pem")).expect("the first list");
    // A serial number that was mistyped revokes nothing, and the certificate would go on unnoticed.
    let refused = desk.run("revoke --authority @/next-ca --serial 1234").expect_err("never issued");
    assert!(refused.contains("issued.tsv"), "{refused}");
    assert_eq!(fs::read(desk.path("next-ca/crl.pem")).expect("the same list"), list);
}

#[test]
fn what_exists_is_neither_overwritten_nor_recorded_again() {
    let desk = Desk::new();
    let issue = "client --authority @/ca --role merchant --id shop-1 --out @/shop";
    desk.run(issue).expect("issued");
    let key = fs::read(desk.path("shop/client.key")).expect("there");
    let refused = desk.run(issue).expect_err("taken");
    assert!(refused.contains("client.key exists and is not overwritten"), "{refused}");
    assert_eq!(fs::read(desk.path("shop/client.key")).expect("there"), key);
    assert_eq!(fs::read_to_string(desk.path("ca/issued.tsv")).expect("there").lines().count(), 1);
    assert!(desk.run("authority --trust-domain pay.example --out @/ca").expect_err("taken").contains("ca.key"));
}

#[test]
fn wrong_commands_say_what_is_wrong() {
    let desk = Desk::new();
    for (line, words) in [
        ("server --authority @/ca --role issuer --id bank-a --out @/x", "at least one DNS name"),
        ("server --authority @/ca --role bank --id bank-a --dns a.example --out @/x", "none of acquirer"),
        ("client --authority @/ca --role issuer --id Bank --out @/x", "member id"),
        ("client --authority @/ca --role issuer --id bank-a --days 0 --out @/x", "1 to 398 days"),
        ("client --authority @/none --role issuer --id bank-a --out @/x", "none"),
        ("signing --authority @/ca --role merchant --id shop-1 --out @/x", "signs nothing"),
        ("authority --trust-domain Pay --out @/y", "trust domain"),
        ("revoke --authority @/ca", "--serial"),
        ("revoke --authority @/ca --serial xy", "hexadecimal"),
        ("revoke --authority @/ca --serial 01 --unsafe-since today", "2026-11-24T08:00:00Z"),
        ("revoke --authority @/ca --certificate @/ca/ca.pem", "ca.pem"),
        ("crl --authority @/ca --days 91", "1 to 90 days"),
        ("directory show @/none.pb", "none.pb does not exist"),
        ("inspect @/none.pem", "none.pem"),
    ] {
        let said = desk.run(line).expect_err("refused");
        assert!(said.contains(words), "{line}: {said}");
    }
    assert!(!desk.path("x").exists() && !desk.path("y").exists());
}
