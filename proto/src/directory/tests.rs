//! An entry keeps its rules, and names the field that breaks one.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn issuer() -> Entry {
    Entry {
        member: "bank-a".parse().unwrap(),
        role: MemberRole::Issuer,
        version: 1,
        status: MemberStatus::Active,
        name_zh_tw: "甲銀行".into(),
        name_en: "Bank A".into(),
        logo_svg: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>".into(),
        app_link: Some("https://app.bank-a.example/pay".parse().unwrap()),
        endpoint: "https://bank-a.example:8443".parse().unwrap(),
        bin_ranges: vec![BinRange::new(40_000_000, 40_000_099).unwrap()],
        signing_certificates: vec![Bytes::from_static(b"certificate")],
        limits: Limits {
            amount_max: vec![Money::new("TWD".parse().unwrap(), 10_000_000).unwrap()],
            authorizations_per_second: 50,
        },
        signed_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    }
}

#[test]
fn an_entry_survives_the_wire() {
    assert_eq!(Entry::parse(issuer().to_pb()), Ok(issuer()));
}

#[test]
fn every_wrong_field_is_named_by_its_path() {
    type Spoil = fn(&mut pb::DirectoryEntry);
    let cases: [(&str, Spoil); 15] = [
        ("member_id", |e| e.member_id = "Bank A".into()),
        ("role", |e| e.role = 9),
        ("version", |e| e.version = 0),
        ("status", |e| e.status = 0),
        ("name_zh_tw", |e| e.name_zh_tw.clear()),
        ("logo_svg", |e| e.logo_svg = "<svg onload=\"x\"/>".into()),
        ("app_link", |e| e.app_link = "bank-a://pay".into()),
        ("endpoint", |e| e.endpoint = "bank-a:8443".into()),
        ("bin_ranges", |e| e.bin_ranges.clear()),
        ("bin_ranges[0].last", |e| e.bin_ranges[0].last = 39_999_999),
        ("bin_ranges[1]", |e| e.bin_ranges.push(pb::BinRange { first: 40_000_050, last: 40_000_200 })),
        ("signing_certificates", |e| e.signing_certificates.clear()),
        ("limits.amount_max[0].minor_units", |e| e.limits.as_mut().unwrap().amount_max[0].minor_units = 0),
        ("limits.authorizations_per_second", |e| e.limits.as_mut().unwrap().authorizations_per_second = 0),
        ("signed_at", |e| e.signed_at = None),
    ];
    for (path, spoil) in cases {
        let mut pb = issuer().to_pb();
        spoil(&mut pb);
        let invalid = Entry::parse(pb).unwrap_err();
        assert_eq!(invalid.violations[0].path, path, "{invalid}");
    }
}

#[test]
fn limits_are_per_currency() {
    let limits = issuer().limits;
    let money = |code: &str, units| Money::new(code.parse().unwrap(), units).unwrap();
    assert!(limits.allow(money("TWD", 10_000_000)));
    assert!(!limits.allow(money("TWD", 10_000_001)));
    assert!(!limits.allow(money("USD", 1)));
}
