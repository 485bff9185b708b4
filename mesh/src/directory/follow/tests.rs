//! A copy takes what is genuine and newer, and nothing else.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message as _;
use proto::{
    directory::{Entry, Head, MemberStatus},
    pb::watch_banks_response::Update,
};

use super::super::{
    Directory, Freshness, HEAD_AGE_MAX,
    fault::{CertificateFault, EntryFault, SignatureError},
    tests::{DOMAIN, Network, bank, sign},
};
use super::*;
use crate::signing::Signer;

const NOW: fn() -> SystemTime = || UNIX_EPOCH + Duration::from_secs(1_790_000_000);

/// A platform that says what the test wants it to say.
struct Platform {
    network: Network,
    operator: Signer,
    hub: Signer,
    banks: Vec<(Entry, Signer)>,
}

impl Platform {
    fn new() -> Self {
        let network = Network::new();
        let banks = [("bank-a", 40_000_000), ("bank-b", 41_000_000), ("bank-c", 42_000_000)]
            .map(|(id, bin)| {
                let signer = network.signer(&format!("issuer/{id}"));
                (bank(id, &signer, &[(bin, bin + 99)]), signer)
            })
            .into();
        Self { operator: network.signer("operator/ops"), hub: network.signer("platform/hub"), network, banks }
    }

    fn entry(&self, entry: &Entry) -> pb::WatchBanksResponse {
        self.entry_by(&self.operator, entry)
    }

    fn entry_by(&self, operator: &Signer, entry: &Entry) -> pb::WatchBanksResponse {
        let entry = pb::EntryChanged {
            entry: Some(sign(operator, entry)),
            operator_certificate: Bytes::copy_from_slice(operator.certificate_der()),
            directory_version: 1,
        };
        pb::WatchBanksResponse { update: Some(Update::Entry(entry)) }
    }

    fn head(&self, version: u64, entries: &[&Entry], signed_at: SystemTime) -> pb::WatchBanksResponse {
        self.head_by(&self.hub, version, entries, signed_at)
    }

    fn head_by(&self, hub: &Signer, version: u64, entries: &[&Entry], signed_at: SystemTime) -> pb::WatchBanksResponse {
        let verifier =
            EntryVerifier::new(self.network.trust(), DOMAIN.parse().unwrap(), &[self.operator.certificate_der()])
                .unwrap();
        let members = entries.iter().map(|entry| verifier.member(sign(&self.operator, entry)).unwrap());
        let directory = Directory::new(members, None).unwrap();
        let head = Head {
            directory_version: version,
            entry_count: u32::try_from(directory.len()).unwrap(),
            entries_digest: directory.digest(),
            signed_at,
        };
        let body = head.to_pb().encode_to_vec();
        let head = pb::Signed {
            key_id: hub.key_id().to_string(),
            signature: hub.sign("DirectoryHead", &body).to_vec().into(),
            body: body.into(),
        };
        let platform_certificate = Bytes::copy_from_slice(hub.certificate_der());
        pb::WatchBanksResponse {
            update: Some(Update::Head(pb::HeadRenewed { head: Some(head), platform_certificate })),
        }
    }

    /// A copy of the first two banks at version 2.
    fn replica(&self) -> Replica {
        let mut replica = Replica::empty(self.network.trust(), DOMAIN.parse().unwrap());
        let (a, b) = (&self.banks[0].0, &self.banks[1].0);
        for entry in [a, b] {
            assert!(replica.apply(self.entry(entry), NOW()).unwrap().is_none());
        }
        replica.apply(self.head(2, &[a, b], NOW()), NOW()).unwrap().unwrap();
        replica
    }
}

use super::super::EntryVerifier;

#[test]
fn entries_come_into_force_with_their_head_alone() {
    let platform = Platform::new();
    let mut replica = platform.replica();
    assert_eq!((replica.version(), replica.directory().len()), (2, 2));
    let [a, b, c] = [0, 1, 2].map(|i| &platform.banks[i].0);
    let suspended = Entry { version: 2, status: MemberStatus::Suspended, ..a.clone() };
    replica.apply(platform.entry(&suspended), NOW()).unwrap();
    replica.apply(platform.entry(c), NOW()).unwrap();
    assert!(replica.directory().member(&a.member).unwrap().is_active(), "no head has confirmed it");
    let directory = replica.apply(platform.head(4, &[&suspended, b, c], NOW()), NOW()).unwrap().unwrap();
    assert!(!directory.member(&a.member).unwrap().is_active());
    assert_eq!((replica.version(), directory.len()), (4, 3));
    // A fresh head over the same entries, and health, which changes nothing.
    let later = NOW() + Duration::from_secs(300);
    replica.apply(platform.head(4, &[&suspended, b, c], later), later).unwrap().unwrap();
    assert_eq!(replica.directory().head().unwrap().signed_at, later);
    let health = Update::Health(pb::HealthChanged { bank_id: "bank-a".into(), health: 2 });
    assert!(replica.apply(pb::WatchBanksResponse { update: Some(health) }, later).unwrap().is_none());
}

#[test]
fn an_entry_that_the_platform_made_up_or_altered_is_refused() {
    let platform = Platform::new();
    let mut replica = platform.replica();
    let thief = Entry { version: 2, name_en: "Thief".into(), ..platform.banks[0].0.clone() };
    // Signed by the platform itself, which shows its own certificate as the operator's.
    let error = replica.apply(platform.entry_by(&platform.hub, &thief), NOW()).unwrap_err();
    assert!(matches!(error, DirectoryError::Operator(CertificateFault::OtherHolder(_))), "{error}");
    // By another network's operator.
    let elsewhere = Network::new().signer("operator/ops");
    let error = replica.apply(platform.entry_by(&elsewhere, &thief), NOW()).unwrap_err();
    assert!(matches!(error, DirectoryError::Operator(CertificateFault::Unusable(_))), "{error}");
    // The operator's signature, moved to other bytes.
    let mut moved = platform.entry(&platform.banks[0].0);
    if let Some(Update::Entry(changed)) = &mut moved.update {
        changed.entry.as_mut().unwrap().body = thief.to_pb().encode_to_vec().into();
    }
    let error = replica.apply(moved, NOW()).unwrap_err();
    assert!(matches!(error, DirectoryError::Entry { fault: EntryFault::Signature(_), .. }), "{error}");
    // With another bank's key in it.
    let mut swapped = thief.clone();
    swapped.signing_certificates = vec![Bytes::copy_from_slice(platform.banks[1].1.certificate_der())];
    let error = replica.apply(platform.entry(&swapped), NOW()).unwrap_err();
    assert!(matches!(error, DirectoryError::Entry { fault: EntryFault::Certificate(0, _), .. }), "{error}");
    assert_eq!((replica.version(), replica.directory().len()), (2, 2));
}

#[test]
fn nothing_goes_back_in_time() {
    let platform = Platform::new();
    let mut replica = platform.replica();
    let [a, b] = [0, 1].map(|i| &platform.banks[i].0);
    let second = Entry { version: 2, status: MemberStatus::Removed, ..a.clone() };
    let later = NOW() + Duration::from_secs(10);
    replica.apply(platform.entry(&second), later).unwrap();
    replica.apply(platform.head(3, &[&second, b], later), later).unwrap();
    // An old entry, one as old with other content, and one that brings back who has left.
    let forked = Entry { name_en: "Other".into(), ..second.clone() };
    for (old, offered) in [(a, 1), (&forked, 2)] {
        let error = replica.apply(platform.entry(old), later).unwrap_err();
        let expected = DirectoryError::Older { member: a.member.clone(), held: 2, offered };
        assert_eq!(error, expected);
    }
    let back = Entry { version: 3, status: MemberStatus::Active, ..a.clone() };
    assert_eq!(replica.apply(platform.entry(&back), later).unwrap_err(), DirectoryError::HasLeft(a.member.clone()));
    // An old head, one of an earlier moment, and one of the future.
    let head = |version, at| platform.head(version, &[&second, b], at);
    for (version, at) in [(2, later), (3, NOW())] {
        let error = replica.apply(head(version, at), later).unwrap_err();
        assert_eq!(error, DirectoryError::HeadOlder { held: 3, offered: version });
    }
    let future = later + Duration::from_secs(61);
    assert_eq!(replica.apply(head(3, future), later).unwrap_err(), DirectoryError::HeadFromFuture);
    assert!(replica.apply(head(3, later + Duration::from_secs(60)), later).unwrap().is_some());
    // The entry in force may come again.
    assert!(replica.apply(platform.entry(&second), later).unwrap().is_none());
}

#[test]
fn a_head_that_hides_or_adds_an_entry_is_refused() {
    let platform = Platform::new();
    let [a, b, c] = [0, 1, 2].map(|i| &platform.banks[i].0);
    let suspended = Entry { version: 2, status: MemberStatus::Suspended, ..a.clone() };
    for entries in [&[a][..], &[a, b, c], &[&suspended, b]] {
        let mut replica = platform.replica();
        let error = replica.apply(platform.head(3, entries, NOW()), NOW()).unwrap_err();
        assert_eq!(error, DirectoryError::HeadMismatch);
        assert_eq!((replica.version(), replica.directory().len()), (2, 2));
    }
    // Entries that came and were never confirmed are gone after the next beginning.
    let mut replica = platform.replica();
    replica.apply(platform.entry(c), NOW()).unwrap();
    replica.forget_pending();
    replica.apply(platform.head(2, &[a, b], NOW()), NOW()).unwrap().unwrap();
}

#[test]
fn a_head_is_the_platforms_alone() {
    let platform = Platform::new();
    let [a, b] = [0, 1].map(|i| &platform.banks[i].0);
    let mut replica = platform.replica();
    for (signer, expected) in [(&platform.operator, "operator/ops"), (&platform.banks[0].1, "issuer/bank-a")] {
        let error = replica.apply(platform.head_by(signer, 3, &[a, b], NOW()), NOW()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let elsewhere = Network::new().signer("platform/hub");
    let error = replica.apply(platform.head_by(&elsewhere, 3, &[a, b], NOW()), NOW()).unwrap_err();
    assert!(matches!(error, DirectoryError::Platform(CertificateFault::Unusable(_))), "{error}");
    // A good certificate beside somebody else's signature.
    let mut borrowed = platform.head_by(&elsewhere, 3, &[a, b], NOW());
    if let Some(Update::Head(head)) = &mut borrowed.update {
        head.platform_certificate = Bytes::copy_from_slice(platform.hub.certificate_der());
    }
    let error = replica.apply(borrowed, NOW()).unwrap_err();
    assert_eq!(error, DirectoryError::HeadSignature(SignatureError::KeyUnknown));
}

#[test]
fn a_kept_copy_is_taken_up_whole_or_not_at_all() {
    let platform = Platform::new();
    let replica = platform.replica();
    let file = replica.snapshot().unwrap().to_file();
    let (trust, domain) = (platform.network.trust(), DOMAIN.parse().unwrap());
    let mut taken = Replica::from_file(&file, &trust, &domain).unwrap();
    assert_eq!((taken.version(), taken.directory().digest()), (2, replica.directory().digest()));
    // It goes on from there, with the same rules.
    let old = platform.head(1, &[&platform.banks[0].0, &platform.banks[1].0], NOW());
    assert!(matches!(taken.apply(old, NOW()), Err(DirectoryError::HeadOlder { held: 2, offered: 1 })));
    let edited = |edit: fn(&mut pb::DirectoryFile)| {
        let mut file = pb::DirectoryFile::decode(file.as_slice()).unwrap();
        edit(&mut file);
        Directory::from_file(&file.encode_to_vec(), &trust, &domain).map(|directory| directory.len())
    };
    assert_eq!(edited(|_| ()), Ok(2));
    assert_eq!(edited(|file| drop(file.entries.pop())), Err(DirectoryError::HeadMismatch));
    assert!(matches!(edited(|file| file.platform_certificates.clear()), Err(DirectoryError::Platform(_))));
    assert!(edited(|file| file.head.as_mut().unwrap().body = Bytes::from_static(b"\x08\x09")).is_err());
    assert!(Replica::empty(trust, domain).snapshot().is_none());
}

#[test]
fn a_copy_is_stale_an_hour_after_its_head_and_a_file_never() {
    let platform = Platform::new();
    let replica = platform.replica();
    let handle = DirectoryHandle::followed(Directory::default());
    assert!(handle.freshness(NOW()).is_stale(), "nobody has vouched for it");
    handle.publish(Arc::clone(replica.directory()));
    for (at, expected) in [
        (NOW() - Duration::from_secs(30), Freshness::Fresh),
        (NOW() + HEAD_AGE_MAX, Freshness::Fresh),
        (NOW() + HEAD_AGE_MAX + Duration::from_millis(1), Freshness::Stale),
    ] {
        assert_eq!(handle.freshness(at), expected);
    }
    let direct = DirectoryHandle::new(Directory::default());
    assert_eq!(direct.freshness(NOW() + HEAD_AGE_MAX * 1_000), Freshness::Direct);
}

#[test]
fn what_was_revoked_meanwhile_verifies_nothing_later() {
    let platform = Platform::new();
    let mut replica = platform.replica();
    let (a, signer) = &platform.banks[0];
    let body = Bytes::from_static(b"a request");
    let signed = proto::signed::Signed {
        key_id: signer.key_id().to_string().parse().unwrap(),
        signature: signer.sign("AuthorizationRequest", &body),
        body,
    };
    let verify = |replica: &Replica, at| {
        replica.directory().member(&a.member).unwrap().verify::<pb::AuthorizationRequest>(&signed, at)
    };
    let since = NOW() + Duration::from_secs(60);
    let certificate = platform.network.trust().certificate(signer.certificate_der()).unwrap();
    let revocation = crate::signing::Revocation { serial: certificate.serial().clone(), since };
    let trust = platform.network.trust().with_revoked([revocation]);
    let judged = replica.judged_by(&trust).unwrap();
    assert_eq!((judged.version(), judged.directory().digest()), (2, replica.directory().digest()));
    assert_eq!(verify(&replica, since), Ok(()), "by what was known before");
    assert_eq!(verify(&judged, since - Duration::from_secs(1)), Ok(()));
    assert!(verify(&judged, since).is_err());
    // Entries that come later are judged by it too, and one without a head keeps what it has.
    let mut first = Replica::empty(trust.clone(), DOMAIN.parse().unwrap());
    first.apply(platform.entry(a), NOW()).unwrap();
    first.apply(platform.head(2, &[a], NOW()), NOW()).unwrap();
    assert!(verify(&first, since).is_err());
    // Another network's authorities refuse all of it, and the copy stays.
    assert!(replica.judged_by(&Network::new().trust()).is_err());
    assert!(replica.apply(platform.head(2, &[a, &platform.banks[1].0], since), since).is_ok());
}

#[test]
fn the_operators_file_is_a_beginning_for_whoever_holds_nothing() {
    let platform = Platform::new();
    let [a, b] = [0, 1].map(|i| &platform.banks[i].0);
    let file = pb::DirectoryFile {
        entries: vec![sign(&platform.operator, a)],
        operator_certificates: vec![Bytes::copy_from_slice(platform.operator.certificate_der())],
        ..Default::default()
    };
    let mut replica = Replica::empty(platform.network.trust(), DOMAIN.parse().unwrap());
    replica.begin_with(&file.encode_to_vec()).unwrap();
    assert_eq!((replica.version(), replica.directory().len()), (0, 1));
    assert!(replica.snapshot().is_none(), "nobody has vouched for it, so that it is no copy to keep");
    assert!(replica.judged_by(&platform.network.trust()).is_ok());
    assert!(replica.begin_with(b"no directory").is_err());
    // The platform goes on from there, and can't take it back.
    let older = Entry { version: 1, name_en: "Other".into(), ..a.clone() };
    assert!(matches!(replica.apply(platform.entry(&older), NOW()), Err(DirectoryError::Older { .. })));
    replica.apply(platform.entry(b), NOW()).unwrap();
    replica.apply(platform.head(7, &[a, b], NOW()), NOW()).unwrap().unwrap();
    assert_eq!(replica.version(), 7);
}
