//! The register keeps what the operator signed, in one order, for good.
#![allow(clippy::unwrap_used)]

use mesh::{directory::follow::Replica, identity::Role, store::Store};
use proptest::prelude::*;
use proto::{
    directory::{Entry, MemberStatus},
    pb::watch_banks_response::Update,
};

use super::*;
use crate::testing::{Network, domain, next, sign, store};

const OPS: &str = "spiffe://pay.example/operator/ops";

fn ops() -> SpiffeId {
    OPS.parse().unwrap()
}

async fn put(register: &Register, network: &Network, entry: &Entry) -> Result<u64, Error> {
    register.change(ChangeKind::Put, network.sign(entry), &ops()).await
}

async fn log(register: &Register) -> Vec<pb::DirectoryChange> {
    register.log(Seq::START, 100).await.unwrap().changes
}

#[tokio::test]
async fn a_restart_keeps_entries_versions_and_the_log() {
    let (network, store) = (Network::new(), store());
    let bank = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    let before = network.register(&store).await.unwrap();
    assert_eq!(put(&before, &network, &bank).await.unwrap(), 1);
    assert_eq!(put(&before, &network, &network.acquirer("acq-1")).await.unwrap(), 2);
    let suspended = next(&bank, |entry| entry.status = MemberStatus::Suspended);
    let version = before.change(ChangeKind::Suspend, network.sign(&suspended), &ops()).await.unwrap();
    assert_eq!(version, 3);

    let after = network.register(&store).await.unwrap();
    let (old, new) = (before.current(), after.current());
    assert_eq!((new.version(), new.directory().digest()), (3, old.directory().digest()));
    assert_eq!(log(&after).await, log(&before).await);
    let changed: Vec<_> = new.changed_after(0).map(|entry| entry.directory_version).collect();
    assert_eq!(changed, [2, 3], "each member once, at its latest version");
    let held = after.handle().current();
    assert_eq!(held.member(&bank.member).unwrap().entry(), &suspended);
    assert_eq!(held.head().unwrap().directory_version, 3);
}

#[tokio::test]
async fn the_log_says_who_changed_what() {
    let network = Network::new();
    let register = network.register(&store()).await.unwrap();
    let first = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    assert_eq!(register.add_first(&network.file(std::slice::from_ref(&first))).await.unwrap(), 1);
    let renamed = next(&first, |entry| entry.name_en = "Bank A".to_owned());
    put(&register, &network, &renamed).await.unwrap();
    let lines = log(&register).await;
    let told: Vec<_> =
        lines.iter().map(|line| (line.directory_version, line.changed_by.as_str(), line.entry_version)).collect();
    assert_eq!(told, [(1, "file", 1), (2, OPS, 2)]);
    let held = register.handle().current();
    assert_eq!(lines[1].entry_digest, held.member(&first.member).unwrap().digest().to_bytes());
    assert_eq!(lines[1].recorded_at, Some(time::to_pb(network.now())));

    let page = register.log(Seq::START, 1).await.unwrap();
    assert_eq!(page.changes, lines[..1]);
    let rest = register.log(page.next.unwrap(), 1).await.unwrap();
    assert_eq!((rest.changes.as_slice(), rest.next), (&lines[1..], None));
}

#[tokio::test]
async fn the_entry_in_force_offered_again_gives_the_same_answer_and_an_older_one_none() {
    let network = Network::new();
    let register = network.register(&store()).await.unwrap();
    let first = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    let second = next(&first, |entry| entry.name_en = "Bank A".to_owned());
    let forked = Entry { name_en: "Another".to_owned(), ..second.clone() };
    put(&register, &network, &first).await.unwrap();
    assert_eq!(put(&register, &network, &second).await.unwrap(), 2);
    assert_eq!(put(&register, &network, &second).await.unwrap(), 2);
    assert_eq!(log(&register).await.len(), 2);
    for (old, offered) in [(&first, 1), (&forked, 2)] {
        let refused = put(&register, &network, old).await.unwrap_err();
        assert!(
            matches!(refused, Error::Change(ChangeRefused::VersionNotIncreased { held: 2, offered: o }) if o == offered),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn the_first_directory_adds_and_never_replaces() {
    let (network, store) = (Network::new(), store());
    let entries: Vec<Entry> = (0..20)
        .map(|i| network.bank(&format!("bank-{i:02}"), &[(40_000_000 + i * 100, 40_000_099 + i * 100)]))
        .collect();
    let file = network.file(&entries);
    let register = network.register(&store).await.unwrap();
    assert_eq!(register.add_first(&file).await.unwrap(), 20);
    let removed = next(&entries[3], |entry| entry.status = MemberStatus::Removed);
    register.change(ChangeKind::Remove, network.sign(&removed), &ops()).await.unwrap();

    let again = network.register(&store).await.unwrap();
    assert_eq!(again.add_first(&file).await.unwrap(), 0);
    assert_eq!(again.current().version(), 21);
    assert_eq!(again.handle().current().member(&removed.member).unwrap().entry().status, MemberStatus::Removed);
}

#[tokio::test]
async fn a_first_directory_that_does_not_count_changes_nothing() {
    let network = Network::new();
    let register = network.register(&store()).await.unwrap();
    let bank = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    let overlapping = network.bank("bank-b", &[(40_000_099, 40_000_100)]);
    let unreachable = Entry { endpoint: "https://bank-a.example".parse().unwrap(), ..bank.clone() };
    let other_network = Network::new();
    for (file, says) in [
        (network.file(&[bank.clone(), overlapping]), "overlap"),
        (network.file(&[unreachable]), "endpoint"),
        (network.file(&[bank.clone(), bank.clone()]), "two entries"),
        (other_network.file(&[other_network.bank("bank-a", &[(40_000_000, 40_000_099)])]), "operator"),
        (b"\xff".to_vec(), "no directory file"),
    ] {
        let error = register.add_first(&file).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(register.current().directory().is_empty(), "{says}");
    }
}

#[tokio::test]
async fn an_operator_of_the_file_verifies_the_file_and_nothing_later() {
    let (network, store) = (Network::new(), store());
    let retired = network.another_signer(Role::Operator, "ops-retired");
    let bank = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    let file = pb::DirectoryFile {
        entries: vec![sign(&retired, &bank.to_pb())],
        operator_certificates: vec![Bytes::copy_from_slice(retired.certificate_der())],
        ..Default::default()
    };
    let register = network.register(&store).await.unwrap();
    register.add_first(&file.encode_to_vec()).await.unwrap();
    let renamed = next(&bank, |entry| entry.name_en = "Bank A".to_owned());
    let refused = register.change(ChangeKind::Put, sign(&retired, &renamed.to_pb()), &ops()).await.unwrap_err();
    assert!(matches!(refused, Error::EntrySignature(_)), "{refused}");
    // The old entry is verified at the next start all the same.
    let again = network.register(&store).await.unwrap();
    assert_eq!(again.current().version(), 1);
    let sent = again.current().changed_after(0).next().unwrap();
    assert_eq!(sent.operator_certificate, Bytes::copy_from_slice(retired.certificate_der()));
}

#[tokio::test]
async fn replicas_over_one_store_make_one_directory() {
    let (network, store) = (Network::new(), store());
    let (one, two) = (network.register(&store).await.unwrap(), network.register(&store).await.unwrap());
    let banks: Vec<Entry> =
        (0..8).map(|i| network.bank(&format!("bank-{i}"), &[(40_000_000 + i * 100, 40_000_099 + i * 100)])).collect();
    let (odd, even): (Vec<_>, Vec<_>) = banks.iter().partition(|bank| bank.member.as_str().as_bytes()[5] % 2 == 1);
    let all = async |register: &Register, banks: Vec<&Entry>| {
        for bank in banks {
            put(register, &network, bank).await.unwrap();
        }
    };
    tokio::join!(all(&one, odd), all(&two, even));
    one.refresh().await.unwrap();
    two.refresh().await.unwrap();
    assert_eq!((one.current().version(), two.current().version()), (8, 8));
    assert_eq!(one.current().directory().digest(), two.current().directory().digest());
    let versions: Vec<u64> = log(&one).await.into_iter().map(|line| line.directory_version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
    // What one has taken, the other refuses to take from somebody else.
    let overlapping = network.bank("bank-x", &[(40_000_000, 40_000_000)]);
    assert!(matches!(
        put(&two, &network, &overlapping).await,
        Err(Error::Change(ChangeRefused::BinRangeOverlap { .. }))
    ));
}

#[tokio::test]
async fn a_store_that_was_tampered_with_is_refused_at_the_start() {
    let (network, store) = (Network::new(), store());
    let register = network.register(&store).await.unwrap();
    let bank = network.bank("bank-a", &[(40_000_000, 40_000_099)]);
    put(&register, &network, &bank).await.unwrap();
    let repository = Repository::new(Arc::clone(&store));
    let mut stored = repository.load::<EntryRecord>(b"bank-a").await.unwrap().unwrap();
    let altered = Entry { name_en: "Thief".to_owned(), ..bank };
    stored.value.entry.as_mut().unwrap().body = altered.to_pb().encode_to_vec().into();
    let changes = Changes::new().put(stored.version, &stored.value);
    assert_eq!(repository.commit(changes).await.unwrap(), Outcome::Committed);
    let refused = network.register(&store).await.unwrap_err();
    assert!(matches!(refused, Error::StoredDirectory(DirectoryError::Entry { .. })), "{refused}");
}

#[tokio::test]
async fn a_fresh_head_is_signed_over_the_same_entries() {
    let network = Network::new();
    let register = network.register(&store()).await.unwrap();
    put(&register, &network, &network.bank("bank-a", &[(40_000_000, 40_000_099)])).await.unwrap();
    let before = register.current();
    network.clock.advance(std::time::Duration::from_secs(300));
    register.refresh().await.unwrap();
    let (old, new) = (before.directory().head().unwrap(), register.handle().current());
    let new = new.head().unwrap();
    assert_eq!((old.directory_version, old.entries_digest), (new.directory_version, new.entries_digest));
    assert_eq!(new.signed_at, network.now());
    assert_ne!(before.head(), register.current().head());
}

/// One step of the operator's, right or wrong.
#[derive(Clone, Debug)]
struct Step {
    bank: u8,
    kind: ChangeKind,
    status: MemberStatus,
    version: u64,
    resumes: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use ChangeKind::{Put, Remove, Resume, Suspend};
    use MemberStatus::{Active, Removed, Suspended};

    let kind = prop_oneof![Just(Put), Just(Suspend), Just(Resume), Just(Remove)];
    let status = prop_oneof![4 => Just(Active), 4 => Just(Suspended), 1 => Just(Removed)];
    let step = (0..3u8, kind, status, 1..6u64, any::<bool>());
    let step = step.prop_map(|(bank, kind, status, version, resumes)| Step { bank, kind, status, version, resumes });
    proptest::collection::vec(step, 1..30)
}

/// Takes what a follower that holds `replica` would be sent.
fn follow(replica: &mut Replica, published: &Published, now: SystemTime) {
    for entry in published.changed_after(replica.version()) {
        let update = pb::WatchBanksResponse { update: Some(Update::Entry(entry)) };
        assert!(replica.apply(update, now).unwrap().is_none());
    }
    let update = pb::WatchBanksResponse { update: Some(Update::Head(published.head().clone())) };
    replica.apply(update, now).unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_asked_versions_grow_who_left_stays_away_and_followers_agree(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let network = Network::new();
            let store: Arc<dyn Store> = store();
            let register = network.register(&store).await.unwrap();
            let mut replica = Replica::empty(network.trust(), domain());
            let mut left = Vec::new();
            for step in steps {
                let before = register.current();
                let first = 40_000_000 + u32::from(step.bank) * 100;
                let offered = Entry {
                    version: step.version,
                    status: step.status,
                    ..network.bank(&format!("bank-{}", step.bank), &[(first, first + 99)])
                };
                let outcome = register.change(step.kind, network.sign(&offered), &ops()).await;
                let after = register.current();
                match outcome {
                    Ok(version) if version > before.version() => {
                        prop_assert_eq!(after.version(), before.version() + 1);
                        let held = before.directory().member(&offered.member).map(|held| held.entry().version);
                        prop_assert!(held.is_none_or(|held| held < offered.version));
                    }
                    Ok(_) | Err(_) => prop_assert_eq!(after.version(), before.version()),
                }
                for member in after.directory().members() {
                    let has_left = member.entry().status == MemberStatus::Removed;
                    prop_assert!(has_left || !left.contains(&member.entry().member));
                    if has_left && !left.contains(&member.entry().member) {
                        left.push(member.entry().member.clone());
                    }
                }
                if step.resumes {
                    follow(&mut replica, &after, network.now());
                    prop_assert_eq!(replica.directory().digest(), after.directory().digest());
                }
            }
            let reopened = network.register(&store).await.unwrap();
            prop_assert_eq!(reopened.current().directory().digest(), register.current().directory().digest());
            Ok(())
        })?;
    }
}
