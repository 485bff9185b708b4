//! The vault of an issuer that is serving: its keys change under it, and one of its cards is damaged.

use std::{fs, future::Future, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use issuer::{
    config::VaultFiles,
    domain::charge::State,
    keys::VaultKeys,
    records,
    repository::{Changes, Outcome, Repository},
    service::issuer_auth::IssuerAuthService,
    tasks::rotation,
    vault::needs,
};
use mesh::{
    clock::Clock as _,
    sealing::at_rest::{KeyRing, KeyVersion},
    status::reason_of,
    store::{Event, Seq, Store, Topic},
};
use proto::pb::{self, issuer_auth_server::IssuerAuth as _, verify_identity_request::Proof};
use tempfile::TempDir;
use tonic::Request;

use super::world::{Card, Run, World, eventually};

/// The key file of a running issuer.
struct KeyFile {
    folder: TempDir,
}

impl KeyFile {
    fn new(versions: &[u8]) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.write(&text(versions), 0o600);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kek")
    }

    /// Replaces the file as a whole, as an operator's tool does.
    fn write(&self, text: &str, mode: u32) {
        let new = self.folder.path().join("kek.new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    fn keys(&self) -> VaultKeys {
        let files = VaultFiles { keys: Some(self.path()), keys_env: None, rotation_rate: 1 };
        VaultKeys::load(&files, &std::collections::BTreeMap::new()).unwrap()
    }
}

/// The world's own key has version 1.
fn text(versions: &[u8]) -> String {
    versions.iter().map(|version| format!("{version}:{}\n", format!("{:02x}", version + 6).repeat(32))).collect()
}

/// Begins to look after the vault of a run, whose records move as fast as they can.
fn look_after(run: &Run, file: &KeyFile) {
    tokio::spawn(rotation::run(Arc::clone(&run.ctx), file.keys(), 100_000));
}

/// Lets time go by until a condition holds.
async fn as_time_goes_by<F: Future<Output = bool>>(world: &World, condition: impl Fn() -> F) {
    eventually(async || {
        world.clock.advance(Duration::from_millis(250));
        condition().await
    })
    .await;
}

async fn needed(world: &World) -> Vec<u32> {
    needs::indexed(world.disk.as_ref()).await.unwrap().into_keys().map(KeyVersion::number).collect()
}

/// A number of the vault, once it is shown.
fn number(run: &Run, name: &str) -> Option<i64> {
    let text = run.ctx.metrics.exposition();
    let line = text.lines().find_map(|line| line.strip_prefix("bankside_issuer_vault_")?.strip_prefix(name));
    line.map(|value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn a_new_key_comes_in_while_customers_pay_and_the_old_one_goes() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    look_after(&run, &file);
    let mut paid = 0;
    let mut pay = async |world: &World, run: &Run| {
        paid += 1;
        run.submit(paid, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
        assert!(matches!(run.until_final(paid).await.state, State::Approved { .. }));
    };
    pay(&world, &run).await;
    for next in [2u8, 3] {
        file.write(&text(&[next - 1, next]), 0o600);
        as_time_goes_by(&world, async || run.ctx.keys.vault.current().number() == u32::from(next)).await;
        pay(&world, &run).await;
        as_time_goes_by(&world, async || needed(&world).await == [u32::from(next)]).await;
        as_time_goes_by(&world, async || number(&run, "records_left") == Some(0)).await;
        file.write(&text(&[next]), 0o600);
        as_time_goes_by(&world, async || run.ctx.keys.vault.versions().len() == 1).await;
        pay(&world, &run).await;
    }
    assert_eq!(number(&run, "key_version"), Some(3));
    assert_eq!(number(&run, "records_stuck"), Some(0));
    // Seven cards and the key of the look-up hashes, twice.
    assert_eq!(number(&run, "records_moved_total"), Some(16));
    assert_eq!(number(&run, "keys_refused_total"), Some(0));
}

#[tokio::test]
async fn a_bad_key_file_changes_nothing_and_the_next_good_one_counts() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    look_after(&run, &file);
    let other = format!("1:{}\n2:{}", "ee".repeat(32), "08".repeat(32));
    let bad = [
        ("no key at all".to_owned(), 0o600),
        (text(&[1, 2]), 0o644),
        (text(&[2]), 0o600),
        (other, 0o600),
        (String::new(), 0o600),
    ];
    for (seen, (text, mode)) in (1..).zip(bad) {
        file.write(&text, mode);
        as_time_goes_by(&world, async || number(&run, "keys_refused_total") == Some(seen)).await;
        assert_eq!(run.ctx.keys.vault.versions(), [KeyVersion::new(1)], "{seen}");
        let charge = u8::try_from(seen).unwrap();
        run.submit(charge, &world.acquirer.order("TWD", 1_000), Card::First).await.unwrap();
        assert!(matches!(run.until_final(charge).await.state, State::Approved { .. }), "{seen}");
    }
    fs::remove_file(file.path()).unwrap();
    as_time_goes_by(&world, async || number(&run, "keys_refused_total") == Some(6)).await;
    file.write(&text(&[1, 2]), 0o600);
    as_time_goes_by(&world, async || run.ctx.keys.vault.current().number() == 2).await;
    as_time_goes_by(&world, async || needed(&world).await == [2]).await;
}

#[tokio::test]
async fn a_retired_key_that_records_still_need_is_not_let_go() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    let card = damage(&world, Card::First, 20).await;
    look_after(&run, &file);
    file.write(&text(&[1, 2]), 0o600);
    as_time_goes_by(&world, async || run.ctx.keys.vault.current().number() == 2).await;
    as_time_goes_by(&world, async || number(&run, "records_stuck") == Some(1)).await;
    file.write(&text(&[2]), 0o600);
    as_time_goes_by(&world, async || number(&run, "keys_refused_total") == Some(1)).await;
    assert_eq!(run.ctx.keys.vault.versions().len(), 2);
    // Once the record is restored it moves, and the key may go.
    replace(&world, card).await;
    as_time_goes_by(&world, async || run.ctx.keys.vault.versions().len() == 1).await;
    assert_eq!(needed(&world).await, [2]);
}

#[tokio::test]
async fn a_damaged_card_is_given_up_by_name_and_all_others_are_served() {
    let (world, run) = World::new().await;
    damage(&world, Card::First, 90).await;
    let order = world.acquirer.order("TWD", 30_000);
    run.submit(1, &order, Card::First).await.unwrap();
    assert_eq!(run.until_final(1).await.state, State::Abandoned);
    assert_eq!(world.account("credit-lin").await, (100_000, 0, 0));
    assert!(world.acquirer.received().is_empty(), "nothing was sent");
    let opened = issuer::vault::open_card(
        &run.ctx.keys.vault,
        &"lin".parse().unwrap(),
        &Card::First.id(),
        &load(&world, Card::First).await.sealed_data,
    );
    let said = opened.unwrap_err().to_string();
    assert_eq!(said, format!("card {}: the record cannot be decrypted", Card::First.id()));

    run.submit(2, &order, Card::Second).await.unwrap();
    assert!(matches!(run.until_final(2).await.state, State::Approved { .. }));
}

/// What waits for the audit trail about the vault: the words of each entry, whatever separates them.
async fn told(world: &World) -> Vec<String> {
    let waiting = world.disk.events(&Topic::new("audit").unwrap(), Seq::new(0), 64).await.unwrap();
    let words = |event: &Event| {
        let text = String::from_utf8_lossy(&event.body).into_owned();
        let words =
            text.split(|c: char| c.is_control() || c == '\u{fffd}').filter(|word| word.len() > 1 || *word == "2");
        words.collect::<Vec<_>>().join(" ")
    };
    waiting.iter().map(words).filter(|words| words.contains("vault_")).collect()
}

/// Looks after the vault for some minutes, and is killed then.
async fn live(world: &World, run: &Run, file: &KeyFile) {
    let looking = tokio::spawn(rotation::run(Arc::clone(&run.ctx), file.keys(), 100_000));
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(61));
        super::world::settle_down().await;
    }
    looking.abort();
}

#[tokio::test]
async fn a_new_key_and_the_end_of_the_move_are_told_once_whichever_process_comes_to_it() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    needs::admit(world.disk.as_ref(), &file.keys().vault()).await.unwrap();
    live(&world, &run, &file).await;
    assert_eq!(told(&world).await, [] as [&str; 0], "nothing has moved to the first key");

    file.write(&text(&[1, 2]), 0o600);
    let both = file.keys();
    rotation::adopt(&run.ctx, &ring(&[1]), Arc::clone(both.ring())).await.unwrap();
    // A process moves the last record, and dies before it has said so.
    let (store, vault) = (Arc::clone(&world.disk), both.vault());
    let mut walk = rotation::Sweep::new(store.as_ref(), &vault);
    while walk.step().await.unwrap().is_some() {}
    assert_eq!(needed(&world).await, [2]);
    for _ in 0..2 {
        live(&world, &run, &file).await;
    }
    let lines = told(&world).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, act) in lines.iter().zip(["vault_key_taken", "vault_rotated"]) {
        assert!(line.ends_with(&format!("act {act} actor issuer key_version 2")), "{lines:?}");
    }
}

/// What was sealed under the former key just before may be committed a moment later.
#[tokio::test]
async fn the_end_of_the_move_is_not_told_before_the_last_write_under_the_former_key_has_come_in() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    needs::admit(world.disk.as_ref(), &file.keys().vault()).await.unwrap();
    look_after(&run, &file);
    file.write(&text(&[1, 2]), 0o600);
    as_time_goes_by(&world, async || run.ctx.keys.vault.current().number() == 2).await;
    let taken = world.clock.elapsed();
    as_time_goes_by(&world, async || told(&world).await.iter().any(|line| line.contains("vault_rotated"))).await;
    assert!(world.clock.elapsed() - taken >= Duration::from_secs(4), "{:?}", world.clock.elapsed() - taken);
}

/// Its secret lies in memory, where no walk over the store finds it.
#[tokio::test]
async fn an_unknown_customer_is_refused_as_before_once_the_first_key_is_gone() {
    let (_world, run) = World::new().await;
    let service = IssuerAuthService::new(Arc::clone(&run.ctx));
    let refused = async || {
        let begun = service.start_authentication(Request::new(pb::StartAuthenticationRequest::default())).await;
        let knowledge = pb::KnowledgeProof {
            national_id: "A123456789".into(),
            user_code: "nobody".into(),
            password: "correct horse battery".into(),
        };
        let proof = pb::VerifyIdentityRequest {
            challenge_id: begun.unwrap().into_inner().challenge_id,
            proof: Some(Proof::Knowledge(knowledge)),
        };
        reason_of(&service.verify_identity(Request::new(proof)).await.unwrap_err())
    };
    let before = refused().await;
    assert_eq!(before.as_deref(), Some("IDENTITY_NOT_VERIFIED"));
    for (former, next) in [(&[1][..], &[1, 2][..]), (&[1, 2], &[2])] {
        rotation::adopt(&run.ctx, &ring(former), Arc::new(ring(next))).await.unwrap();
        let mut walk = rotation::Sweep::new(run.ctx.repository.store().as_ref(), &run.ctx.keys.vault);
        while walk.step().await.unwrap().is_some() {}
    }
    assert_eq!(run.ctx.keys.vault.versions(), [KeyVersion::new(2)]);
    assert_eq!(refused().await, before);
}

#[tokio::test]
async fn a_damaged_record_is_told_by_its_name() {
    let (world, run) = World::new().await;
    let file = KeyFile::new(&[1]);
    damage(&world, Card::First, 20).await;
    look_after(&run, &file);
    file.write(&text(&[1, 2]), 0o600);
    as_time_goes_by(&world, async || number(&run, "records_stuck") == Some(1)).await;
    let lines = told(&world).await;
    let damaged = lines.iter().find(|line| line.contains("vault_record_damaged")).expect("it is told");
    assert!(damaged.contains(&format!("card {}", Card::First.id())), "{lines:?}");
}

fn ring(versions: &[u8]) -> KeyRing {
    KeyRing::parse(&text(versions)).unwrap()
}

async fn load(world: &World, card: Card) -> records::Card {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<dyn Store>);
    durable.load(&records::Card::at(&card.id())).await.unwrap().unwrap().value
}

/// Flips a bit of a card on the disk; how it was before.
async fn damage(world: &World, card: Card, at: usize) -> records::Card {
    let before = load(world, card).await;
    let mut bytes = before.sealed_data.to_vec();
    bytes[at] ^= 1;
    replace(world, records::Card { sealed_data: bytes.into(), ..before.clone() }).await;
    before
}

async fn replace(world: &World, card: records::Card) {
    let durable = Repository::new(Arc::clone(&world.disk) as Arc<dyn Store>);
    let key = records::Card::at(&card.card_option_id.parse().unwrap());
    let stored = durable.load(&key).await.unwrap().unwrap();
    let changes = Changes::new().replace(stored.version, &card);
    assert_eq!(durable.commit(changes).await.unwrap(), Outcome::Committed);
}
