//! Who is who: merchants, signers and the directory.

use acquirer::{
    domain::merchant::{Profile, ReturnPrefix, Terms},
    keys::Seal,
};
use certs::authority::Issued;
use mesh::{
    directory::Directory,
    signing::{Signer, SigningTrust},
};
use prost::Message as _;
use proto::{
    money::Money,
    order::Merchant,
    pb,
    signed::{Signed, SignedBody},
};

use super::bank::{ACQUIRER, DOMAIN, Parts, start, twd};

pub(crate) fn profile(id: &str, day_max: Option<Money>) -> Profile {
    let mut terms = Terms::default();
    terms.allow(twd(100_000), day_max).unwrap();
    Profile {
        merchant: Merchant {
            id: id.parse().unwrap(),
            display_name: "Shop".into(),
            domain: "shop.example".into(),
            category: "5942".parse().unwrap(),
        },
        terms,
        return_urls: vec![ReturnPrefix::new("https://shop.example/done".parse().unwrap()).unwrap()],
        notification: day_max.map(|_| "https://shop.example:9443".parse().unwrap()),
    }
}

pub(crate) fn signer(issued: &Issued) -> Signer {
    Signer::from_pem(issued.certificate_pem().as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

pub(crate) fn sign<M: SignedBody>(signer: &Signer, message: &M) -> Signed {
    Seal::new(signer.clone()).sign(message)
}

/// The directory of one acquirer and two issuers.
pub(crate) fn directory(parts: &Parts, status_of_a: pb::MemberStatus) -> Directory {
    let limits = |units| pb::MemberLimits { amount_max: vec![twd(units).to_pb()], authorizations_per_second: 100 };
    let entry = |id: &str, role: pb::MemberRole, issued: &Issued, bin: Option<u32>| pb::DirectoryEntry {
        member_id: id.into(),
        role: role.into(),
        version: 1,
        status: if id == "bank-a" { status_of_a.into() } else { pb::MemberStatus::Active.into() },
        name_zh_tw: "銀行".into(),
        name_en: "Bank".into(),
        logo_svg: String::new(),
        app_link: bin.map(|_| format!("https://app.{id}.example/pay")).unwrap_or_default(),
        endpoint: format!("https://{id}.example:443"),
        bin_ranges: bin.map(|first| pb::BinRange { first, last: first + 99 }).into_iter().collect(),
        signing_certificates: vec![bytes::Bytes::copy_from_slice(&issued.certificate)],
        limits: Some(limits(1_000_000)),
        signed_at: None,
    };
    let entries = vec![
        entry(ACQUIRER, pb::MemberRole::Acquirer, &parts.acquirer, None),
        entry("bank-a", pb::MemberRole::Issuer, &parts.issuers[0], Some(40_000_000)),
        entry("bank-b", pb::MemberRole::Issuer, &parts.issuers[1], Some(52_000_000)),
    ];
    let file = certs::directory::sign(entries, &parts.operator, None, start()).unwrap();
    let trust = SigningTrust::new([parts.authority.certificate().clone()]).unwrap();
    Directory::from_file(&file.encode_to_vec(), &trust, &DOMAIN.parse().unwrap()).unwrap()
}
