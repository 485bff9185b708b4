//! A directory counts only as far as the operator signed it, and answers who owns a BIN.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use proptest::prelude::*;
use proto::{
    directory::{Entry, Limits, MemberStatus},
    signed::{Signed, SignedBody},
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType,
};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::signing::{SIGNING_EKU_DER, Signer, SigningError};

pub(super) const DOMAIN: &str = "pay.example";

pub(super) struct Network {
    ca: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Network {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "network authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = params.self_signed(&key).unwrap().der().clone();
        Self { ca, issuer: Issuer::new(params, key) }
    }

    pub(super) fn signer(&self, path: &str) -> Signer {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, path);
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{DOMAIN}/{path}").try_into().unwrap())];
        let mut usage = vec![
            0x30,
            u8::try_from(SIGNING_EKU_DER.len() + 2).unwrap(),
            0x06,
            u8::try_from(SIGNING_EKU_DER.len()).unwrap(),
        ];
        usage.extend_from_slice(SIGNING_EKU_DER);
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], usage)];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signer::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    pub(super) fn trust(&self) -> SigningTrust {
        SigningTrust::new([self.ca.clone()]).unwrap()
    }

    pub(super) fn load(&self, operator: &Signer, entries: Vec<pb::Signed>) -> Result<Directory, DirectoryError> {
        let file = pb::DirectoryFile {
            entries,
            operator_certificates: vec![operator.certificate_der().to_vec().into()],
            ..Default::default()
        };
        Directory::from_file(&file.encode_to_vec(), &self.trust(), &DOMAIN.parse().unwrap())
    }
}

pub(super) fn bank(id: &str, signer: &Signer, bins: &[(u32, u32)]) -> Entry {
    Entry {
        member: id.parse().unwrap(),
        role: MemberRole::Issuer,
        version: 1,
        status: MemberStatus::Active,
        name_zh_tw: "銀行".into(),
        name_en: "Bank".into(),
        logo_svg: String::new(),
        app_link: Some("https://app.bank.example/".parse().unwrap()),
        endpoint: "https://bank.example:8443".parse().unwrap(),
        bin_ranges: bins.iter().map(|(first, last)| BinRange::new(*first, *last).unwrap()).collect(),
        signing_certificates: vec![Bytes::copy_from_slice(signer.certificate_der())],
        limits: Limits {
            amount_max: vec![proto::money::Money::new("TWD".parse().unwrap(), 100).unwrap()],
            authorizations_per_second: 1,
        },
        signed_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    }
}

pub(super) fn sign(by: &Signer, entry: &Entry) -> pb::Signed {
    let body = entry.to_pb().encode_to_vec();
    pb::Signed {
        key_id: by.key_id().to_string(),
        signature: by.sign(pb::DirectoryEntry::NAME, &body).to_vec().into(),
        body: body.into(),
    }
}

#[test]
fn a_bin_leads_to_its_bank() {
    let network = Network::new();
    let operator = network.signer("operator/ops");
    let (a, b) = (network.signer("issuer/bank-a"), network.signer("issuer/bank-b"));
    let mut left = bank("bank-c", &network.signer("issuer/bank-c"), &[(40_000_000, 99_999_999)]);
    left.signing_certificates = vec![Bytes::copy_from_slice(network.signer("issuer/bank-c").certificate_der())];
    left.status = MemberStatus::Removed;
    let entries = vec![
        sign(&operator, &bank("bank-a", &a, &[(40_000_000, 40_000_099), (52_000_000, 52_000_000)])),
        sign(&operator, &bank("bank-b", &b, &[(40_000_100, 40_000_199)])),
        sign(&operator, &left),
    ];
    let directory = network.load(&operator, entries).unwrap();
    let owner = |bin| directory.owner_of(Bin(bin)).map(|member| member.entry().member.to_string());
    for (bin, expected) in [
        (39_999_999, None),
        (40_000_000, Some("bank-a")),
        (40_000_099, Some("bank-a")),
        (40_000_100, Some("bank-b")),
        (40_000_200, None),
        (52_000_000, Some("bank-a")),
        (52_000_001, None),
    ] {
        assert_eq!(owner(bin).as_deref(), expected, "{bin}");
    }
    assert!(directory.issuer(&"bank-a".parse().unwrap()).unwrap().is_active());
    assert!(!directory.issuer(&"bank-c".parse().unwrap()).unwrap().is_active());
    assert!(directory.acquirer(&"bank-a".parse().unwrap()).is_none());
}

#[test]
fn an_entry_that_the_operator_did_not_sign_does_not_count() {
    let network = Network::new();
    let (operator, other) = (network.signer("operator/ops"), network.signer("operator/other"));
    let signer = network.signer("issuer/bank-a");
    let entry = bank("bank-a", &signer, &[(40_000_000, 40_000_099)]);
    let fault = |result: Result<Directory, DirectoryError>| {
        let error = result.unwrap_err();
        let DirectoryError::Entry { fault, .. } = error else { panic!("{error}") };
        fault
    };
    assert_eq!(fault(network.load(&operator, vec![sign(&other, &entry)])), EntryFault::OperatorUnknown);
    let mut altered = sign(&operator, &entry);
    let dearer = Entry { version: 2, ..entry.clone() };
    altered.body = dearer.to_pb().encode_to_vec().into();
    assert_eq!(fault(network.load(&operator, vec![altered])), EntryFault::Signature(SigningError::BadSignature));
    // An issuer's key cannot act as the operator's.
    assert!(matches!(
        network.load(&signer, vec![sign(&signer, &entry)]),
        Err(DirectoryError::Operator(CertificateFault::OtherHolder(_)))
    ));
    // Another network's operator is nobody here.
    let elsewhere = Network::new().signer("operator/ops");
    assert!(matches!(
        network.load(&elsewhere, vec![sign(&elsewhere, &entry)]),
        Err(DirectoryError::Operator(CertificateFault::Unusable(_)))
    ));
}

#[test]
fn a_certificate_of_another_bank_is_noticed() {
    let network = Network::new();
    let operator = network.signer("operator/ops");
    for path in ["issuer/bank-b", "acquirer/bank-a", "merchant/bank-a"] {
        let entry = bank("bank-a", &network.signer(path), &[(40_000_000, 40_000_099)]);
        let error = network.load(&operator, vec![sign(&operator, &entry)]).unwrap_err().to_string();
        assert!(error.contains("signing_certificates[0]") && error.contains(path), "{error}");
    }
}

#[test]
fn overlaps_and_repeats_are_refused() {
    let network = Network::new();
    let operator = network.signer("operator/ops");
    let (a, b) = (network.signer("issuer/bank-a"), network.signer("issuer/bank-b"));
    let one = sign(&operator, &bank("bank-a", &a, &[(40_000_000, 40_000_099)]));
    let two = sign(&operator, &bank("bank-b", &b, &[(40_000_099, 40_000_100)]));
    assert!(matches!(network.load(&operator, vec![one.clone(), two]), Err(DirectoryError::Overlap(..))));
    assert!(matches!(network.load(&operator, vec![one.clone(), one]), Err(DirectoryError::Twice(_))));
    assert_eq!(
        Directory::from_file(b"\xff", &network.trust(), &DOMAIN.parse().unwrap()).unwrap_err(),
        DirectoryError::NotADirectory
    );
}

#[test]
fn a_member_verifies_what_it_signed_and_nothing_else() {
    let network = Network::new();
    let operator = network.signer("operator/ops");
    let signer = network.signer("issuer/bank-a");
    let directory =
        network.load(&operator, vec![sign(&operator, &bank("bank-a", &signer, &[(40_000_000, 40_000_099)]))]).unwrap();
    let member = directory.issuer(&"bank-a".parse().unwrap()).unwrap();
    let body = Bytes::from_static(b"a request");
    let signed = Signed {
        key_id: signer.key_id().to_string().parse().unwrap(),
        signature: signer.sign(pb::AuthorizationRequest::NAME, &body),
        body,
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    assert_eq!(member.verify::<pb::AuthorizationRequest>(&signed, at), Ok(()));
    // The same bytes do not count as another message.
    assert!(member.verify::<pb::ResolveRequest>(&signed, at).is_err());
    let other = network.signer("issuer/bank-a");
    let foreign = Signed { key_id: other.key_id().to_string().parse().unwrap(), ..signed };
    assert_eq!(member.verify::<pb::AuthorizationRequest>(&foreign, at), Err(SignatureError::KeyUnknown));
}

#[test]
fn a_head_must_speak_of_these_entries() {
    let network = Network::new();
    let operator = network.signer("operator/ops");
    let signer = network.signer("issuer/bank-a");
    let verifier = EntryVerifier::new(network.trust(), DOMAIN.parse().unwrap(), &[operator.certificate_der()]).unwrap();
    let member = || verifier.member(sign(&operator, &bank("bank-a", &signer, &[(40_000_000, 40_000_099)]))).unwrap();
    let digest = Directory::new([member()], None).unwrap().digest();
    let head =
        |entry_count, entries_digest| Head { directory_version: 1, entry_count, entries_digest, signed_at: UNIX_EPOCH };
    assert!(Directory::new([member()], Some(head(1, digest))).is_ok());
    for wrong in [head(2, digest), head(1, Digest::of(b"other")), head(0, digest)] {
        assert_eq!(Directory::new([member()], Some(wrong)).unwrap_err(), DirectoryError::HeadMismatch);
    }
}

/// One change of a member: its version, whether it has left, and where its BINs begin.
type Step = (usize, bool, u32, u32);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Changing a directory entry by entry comes to the same as making it anew from its entries.
    #[test]
    fn a_changed_directory_is_the_one_made_anew(
        steps in proptest::collection::vec((0usize..6, proptest::bool::weighted(0.1), 0u32..40, 1u32..4), 1..24),
        batch in 1usize..4,
    ) {
        let network = Network::new();
        let operator = network.signer("operator/ops");
        let verifier =
            EntryVerifier::new(network.trust(), DOMAIN.parse().unwrap(), &[operator.certificate_der()]).unwrap();
        let ids = ["bank-f", "bank-b", "bank-e", "bank-a", "bank-d", "bank-c"];
        let signers: Vec<Signer> = ids.iter().map(|id| network.signer(&format!("issuer/{id}"))).collect();
        let mut versions = [0u64; 6];
        let mut changed = Directory::default();
        let mut entries: HashMap<usize, Entry> = HashMap::new();
        for group in steps.chunks(batch) {
            let mut offered = entries.clone();
            let mut members = Vec::new();
            for (who, leaves, first, length) in group {
                let step: Step = (*who, *leaves, *first, *length);
                let (who, leaves, first, length) = step;
                let first = 40_000_000 + first;
                let mut entry = bank(ids[who], &signers[who], &[(first, first + length), (50_000_000 + first, 50_000_000 + first)]);
                versions[who] += 1;
                entry.version = versions[who];
                if leaves {
                    entry.status = MemberStatus::Removed;
                }
                members.push(verifier.member(sign(&operator, &entry)).unwrap());
                offered.insert(who, entry);
            }
            let has_returned = |(who, entry): (&usize, &Entry)| {
                entries.get(who).is_some_and(|held| held.status == MemberStatus::Removed) && entry.status == MemberStatus::Active
            };
            let anew = Directory::new(
                offered.values().map(|entry| verifier.member(sign(&operator, entry)).unwrap()),
                None,
            );
            match (changed.with(members), anew) {
                (Ok(next), Ok(anew)) => {
                    prop_assert_eq!(next.digest(), anew.digest());
                    prop_assert_eq!(next.bin_ranges(), anew.bin_ranges());
                    let ids = |directory: &Directory| directory.members().map(|m| m.entry().member.to_string()).collect::<Vec<_>>();
                    prop_assert_eq!(ids(&next), ids(&anew));
                    for bin in 39_999_999..40_000_045 {
                        let owner = |directory: &Directory| directory.owner_of(Bin(bin)).map(|m| m.entry().clone());
                        prop_assert_eq!(owner(&next), owner(&anew));
                    }
                    let after: MemberId = "bank-c".parse().unwrap();
                    prop_assert!(next.members_after(&after).all(|member| member.entry().member > after));
                    (changed, entries) = (next, offered);
                }
                // Overlaps are found in both; only the change knows who had left before.
                (Err(DirectoryError::Overlap(..)), Err(DirectoryError::Overlap(..))) => {}
                (Err(DirectoryError::HasLeft(_)), _) => {
                    let left_within = group.iter().any(|(_, leaves, ..)| *leaves);
                    prop_assert!(left_within || offered.iter().any(has_returned));
                }
                (changed, anew) => prop_assert!(false, "{changed:?} and {anew:?}"),
            }
        }
    }
}
