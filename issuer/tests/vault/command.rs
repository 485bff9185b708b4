//! `issuer vault check` as an operator runs it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::SystemTime,
};

use issuer::{
    records::Card,
    repository::{Changes, Outcome, Repository},
};
use mesh::{
    audit::{Options as TrailOptions, Record, Trail},
    store::{
        Store,
        sled::{Options, SledStore},
    },
};
use tempfile::TempDir;

use super::bank::{PAN, fill, key_text, option, vault};

const CONFIG: &str = r#"
issuer_id = "bank-aurora"
trust_domain = "bankside.example"
listen.devices.address = "127.0.0.1:0"
store.folder = "data"
directory.file = "directory.binpb"
tls = { certificate = "a", key = "b", authority = "c" }
signing = { certificate = "a", key = "b" }
"#;

const UNKNOWN: &str = "the store was not compared with the audit trail: ";

struct Site {
    folder: TempDir,
}

impl Site {
    /// A stopped issuer with three customers.
    async fn new(vault_table: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("issuer.toml"), format!("{CONFIG}{vault_table}\n")).unwrap();
        let site = Self { folder };
        site.write_keys(&key_text(&[1]), 0o600);
        let store = site.open();
        fill(&store, &vault(&[1]), 3).await;
        store.close().await;
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write_keys(&self, text: &str, mode: u32) {
        let path = self.path().join("kek");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn open(&self) -> Arc<dyn Store> {
        let options = Options::new("issuer/bank-aurora").cache_bytes(8 << 20);
        Arc::new(SledStore::open(self.path().join("data"), options).unwrap())
    }

    /// An audit trail that tells of the store's last commit, which is returned.
    async fn write_trail(&self) -> u64 {
        let store = self.open();
        let last = store.watch().borrow().number();
        store.close().await;
        let options = TrailOptions::new(self.path().join("data").join("audit"), "issuer/bank-aurora");
        let mut trail = Trail::open(options, None, SystemTime::now()).unwrap().trail;
        let act = [("act".to_owned(), "test".to_owned())];
        trail.append(&[Record::new(last, SystemTime::now(), act).unwrap()]).unwrap();
        last
    }

    fn check(&self, variable: Option<(&str, &str)>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_issuer"));
        command.args(["vault", "check", "--config"]).arg(self.path().join("issuer.toml"));
        command.envs(variable);
        command.output().unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn a_sound_vault_exits_with_0_and_a_damaged_one_with_1() {
    let site = Site::new("vault.keys = \"kek\"").await;
    let sound = site.check(None);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    let said = out(&sound);
    assert!(said.starts_with(UNKNOWN) && said.ends_with("\nvault: 7 records, 0 damaged\n"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");

    let store = site.open();
    let repository = Repository::new(Arc::clone(&store));
    let card = repository.load(&Card::at(&option(1))).await.unwrap().unwrap();
    let mut bytes = card.value.sealed_data.to_vec();
    bytes[90] ^= 4;
    let damaged = Card { sealed_data: bytes.into(), ..card.value };
    assert_eq!(repository.commit(Changes::new().replace(card.version, &damaged)).await.unwrap(), Outcome::Committed);
    drop(repository);
    store.close().await;
    let found = site.check(None);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let said = out(&found);
    assert!(said.starts_with(&format!("damaged: card {}: the record cannot be decrypted\n", option(1))), "{said}");
    assert!(said.ends_with("\nvault: 7 records, 1 damaged\n"), "{said}");
    assert!(!format!("{found:?}").contains(PAN));
}

/// The store's file is cut short, or a bit in it flips: mostly the store opens as it was before, and all that is
/// left in it is sound. That something is gone is told by the audit trail.
#[tokio::test]
async fn a_store_that_has_lost_commits_is_named() {
    for is_cut in [false, true] {
        let site = Site::new("vault.keys = \"kek\"").await;
        let last = site.write_trail().await;
        let file = site.path().join("data").join("db");
        let mut bytes = fs::read(&file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        if is_cut {
            bytes.truncate(used / 2);
        } else {
            bytes[used / 2] ^= 4;
        }
        fs::write(&file, bytes).unwrap();
        let found = site.check(None);
        match found.status.code() {
            // The engine's own snapshot may be newer than what is left, so that it notices.
            Some(73) => assert!(error(&found).contains("data: sled cannot open its files"), "{found:?}"),
            Some(1) => {
                let said = out(&found);
                let told = format!("damaged: the store: the audit trail tells of commit {last}, ");
                assert!(said.starts_with(&told) && said.ends_with(" records, 0 damaged\n"), "{said}");
            }
            other => panic!("{other:?}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_store_as_far_as_its_trail_is_whole() {
    let site = Site::new("vault.keys = \"kek\"").await;
    site.write_trail().await;
    let sound = site.check(None);
    assert_eq!((sound.status.code(), out(&sound).as_str()), (Some(0), "vault: 7 records, 0 damaged\n"), "{sound:?}");
}

#[tokio::test]
async fn a_store_in_use_is_said_to_be() {
    let site = Site::new("vault.keys = \"kek\"").await;
    let store = site.open();
    let refused = site.check(None);
    assert_eq!(refused.status.code(), Some(73));
    let said = error(&refused);
    assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
    assert!(said.contains("checked while the issuer is stopped"), "{said}");
    store.close().await;
}

#[tokio::test]
async fn wrong_missing_and_open_keys_are_named_and_exit_with_64() {
    let site = Site::new("vault.keys = \"kek\"").await;
    let cases = [
        (key_text(&[2]), 0o600, "key version 1 is missing, and 7 records need it"),
        (format!("1:{}", "ee".repeat(32)), 0o600, "key version 1 is another key"),
        ("1:secret".to_owned(), 0o600, "line 1 of the key text"),
        (key_text(&[1]), 0o640, "chmod 600"),
    ];
    for (text, mode, expected) in cases {
        site.write_keys(&text, mode);
        let refused = site.check(None);
        let said = error(&refused);
        assert_eq!(refused.status.code(), Some(64), "{said}");
        assert!(said.contains("field `vault.keys`") && said.contains(expected), "{said}");
        assert!(!said.contains("secret") && !said.contains(&"ee".repeat(32)), "{said}");
    }
}

#[tokio::test]
async fn keys_come_from_an_environment_variable() {
    let site = Site::new("vault.keys_env = \"BANK_AURORA_KEYS\"").await;
    let unset = site.check(None);
    assert_eq!(unset.status.code(), Some(64));
    assert!(
        error(&unset).contains("field `vault.keys_env`, environment variable BANK_AURORA_KEYS"),
        "{}",
        error(&unset)
    );
    let text = key_text(&[1, 2]).trim().replace('\n', ",");
    let sound = site.check(Some(("BANK_AURORA_KEYS", &text)));
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_sound_vault() {
    let site = Site::new("vault.keys = \"kek\"").await;
    fs::rename(site.path().join("data"), site.path().join("elsewhere")).unwrap();
    let refused = site.check(None);
    assert_eq!(refused.status.code(), Some(73));
    assert!(!site.path().join("data").exists());
}
