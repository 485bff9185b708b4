use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;

fn vault(versions: &[u32]) -> Vault {
    // The same version has the same key in every vault of a test.
    let keys = versions.iter().map(|v| {
        let byte = u8::try_from(*v).expect("a small version");
        KeyEncryptionKey::new(KeyVersion::new(*v), &[byte; KEY_BYTES]).expect("32 bytes")
    });
    Vault::new(keys).expect("distinct versions")
}

#[test]
fn round_trip_through_storage() {
    let vault = vault(&[1]);
    let stored = vault.encrypt(b"card/7", b"4111").expect("encrypted").to_bytes();
    assert_eq!(stored.len(), 4 + AT_REST_OVERHEAD_BYTES);
    let record = Encrypted::from_bytes(&stored).expect("a record");
    assert_eq!(vault.decrypt(b"card/7", &record).expect("decrypts").as_slice(), b"4111");
    assert_ne!(stored, vault.encrypt(b"card/7", b"4111").expect("encrypted").to_bytes());
}

#[test]
fn a_record_moved_or_altered_does_not_decrypt() {
    let vault = vault(&[1]);
    let record = vault.encrypt(b"card/7", b"4111").expect("encrypted");
    assert_eq!(vault.decrypt(b"card/8", &record), Err(VaultError::Decrypt));
    let stored = record.to_bytes();
    for at in 0..stored.len() {
        let mut altered = stored.clone();
        altered[at] ^= 1;
        let outcome = Encrypted::from_bytes(&altered).and_then(|record| vault.decrypt(b"card/7", &record));
        assert!(outcome.is_err(), "byte {at}");
        assert!(Encrypted::from_bytes(&stored[..at]).and_then(|r| vault.decrypt(b"card/7", &r)).is_err());
    }
}

#[test]
fn data_keys_cannot_be_exchanged_between_records() {
    let vault = vault(&[1]);
    let one = vault.encrypt(b"card/7", b"4111").expect("encrypted");
    let other = vault.encrypt(b"card/7", b"5555").expect("encrypted");
    let mixed = Encrypted { wrapped_key: other.wrapped_key, ..one };
    assert_eq!(vault.decrypt(b"card/7", &mixed), Err(VaultError::Decrypt));
}

#[test]
fn a_replaced_key_still_reads_and_rewrapping_moves_on() {
    let record = vault(&[1]).encrypt(b"a", b"x").expect("encrypted");
    let both = vault(&[1, 2]);
    assert_eq!(both.current(), KeyVersion::new(2));
    assert_eq!(both.decrypt(b"a", &record).expect("the old key is here").as_slice(), b"x");
    let moved = both.rewrap(&record).expect("rewrapped");
    assert_eq!((moved.key_version().number(), moved.ciphertext.clone()), (2, record.ciphertext.clone()));
    assert_eq!(vault(&[2]).decrypt(b"a", &moved).expect("the new key suffices").as_slice(), b"x");
    assert_eq!(vault(&[2]).decrypt(b"a", &record), Err(VaultError::UnknownVersion(KeyVersion::new(1))));
}

#[test]
fn key_text_in_both_alphabets() {
    let (hex, base64) = ("02".repeat(KEY_BYTES), BASE64.encode(&[3; KEY_BYTES]));
    let read = Vault::parse(&format!("# keys\n\n{}\n2:{hex}\n 3 : {base64}\n", "01".repeat(KEY_BYTES)));
    let read = read.expect("three keys");
    let record = vault(&[1, 2, 3]).encrypt(b"a", b"x").expect("encrypted");
    assert_eq!(read.decrypt(b"a", &record).expect("the same keys").as_slice(), b"x");
    assert_eq!(Vault::parse("# none").expect_err("no key"), VaultError::NoKey);
    assert_eq!(
        Vault::parse(&format!("1:{hex}\n1:{hex}")).expect_err("twice"),
        VaultError::DuplicateVersion(KeyVersion::new(1))
    );
    for bad in ["1:00", "x:00", "password", &format!("-1:{hex}"), &format!("{hex}00")] {
        let refused = Vault::parse(&format!("\n{bad}")).expect_err("no key");
        assert_eq!(refused, VaultError::KeyText(2));
        assert!(!refused.to_string().contains(bad));
    }
}

#[test]
fn a_key_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vault.key");
    fs::write(&path, "01".repeat(KEY_BYTES)).expect("written");
    for (mode, fits) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        let read = Vault::from_file(&path);
        if fits {
            assert_eq!(read.expect("readable").current(), KeyVersion::new(1));
        } else {
            assert_eq!(read.expect_err("too open"), VaultError::Permissions(path.clone(), mode));
        }
    }
    let missing = Vault::from_file(&folder.path().join("none")).expect_err("missing");
    assert!(missing.to_string().contains("none"), "{missing}");
}

#[test]
fn a_generated_key_is_the_one_that_its_bytes_make() {
    let (key, bytes) = KeyEncryptionKey::generate(KeyVersion::new(5)).expect("random");
    let record = Vault::new([key]).expect("one key").encrypt(b"", b"x").expect("encrypted");
    let again = KeyEncryptionKey::new(KeyVersion::new(5), bytes.as_slice()).expect("32 bytes");
    assert!(!format!("{again:?}").contains(&data_encoding::HEXLOWER.encode(bytes.as_slice())));
    assert_eq!(Vault::new([again]).expect("one key").decrypt(b"", &record).expect("same").as_slice(), b"x");
}

/// Keys in a module of which nothing is known but what it answers: the wrapped keys have lengths of their own.
#[derive(Debug)]
struct Module {
    ring: KeyRing,
    padding: usize,
    reachable: bool,
}

impl Module {
    fn new(versions: &[u32], padding: usize) -> Self {
        let keys =
            versions.iter().map(|v| KeyEncryptionKey::new(KeyVersion::new(*v), &[9; KEY_BYTES]).expect("32 bytes"));
        Self { ring: KeyRing::new(keys).expect("distinct versions"), padding, reachable: true }
    }
}

impl WrapKeys for Module {
    fn current(&self) -> KeyVersion {
        self.ring.current()
    }

    fn versions(&self) -> Vec<KeyVersion> {
        self.ring.versions()
    }

    fn wrap(&self, data_key: &DataKey) -> Result<WrappedKey, VaultError> {
        let mut wrapped = self.ring.wrap(data_key)?;
        wrapped.bytes.extend(std::iter::repeat_n(0x5a, self.padding));
        Ok(wrapped)
    }

    fn unwrap_key(&self, version: KeyVersion, wrapped: &[u8]) -> Result<DataKey, VaultError> {
        if !self.reachable {
            return Err(VaultError::Unavailable("the slot is empty".to_owned()));
        }
        let (wrapped, padding) = wrapped.split_at_checked(60).ok_or(VaultError::Decrypt)?;
        if padding.iter().any(|byte| *byte != 0x5a) || padding.len() != self.padding {
            return Err(VaultError::Decrypt);
        }
        self.ring.unwrap_key(version, wrapped)
    }
}

/// Made apart from this code, by another implementation of AES-GCM; its key is 32 bytes of 7, its place `card/7`, its contents `4111`.
const STORED_IN_FORMAT_1: &str = include_str!("format-1.hex");

#[test]
fn what_was_stored_in_the_first_format_opens() {
    let stored = data_encoding::HEXLOWER.decode(STORED_IN_FORMAT_1.trim().as_bytes()).expect("hexadecimal");
    let vault = Vault::new([KeyEncryptionKey::new(KeyVersion::new(1), &[7; KEY_BYTES]).expect("32 bytes")]);
    let vault = vault.expect("one key");
    let record = Encrypted::from_bytes(&stored).expect("a record");
    assert_eq!(vault.decrypt(b"card/7", &record).expect("decrypts").as_slice(), b"4111");
    assert_eq!(record.to_bytes(), stored);
    assert_eq!(Encrypted::key_version_of(&stored), Some(KeyVersion::new(1)));
}

#[test]
fn a_ring_gives_way_to_a_module_and_both_are_read() {
    let vault = vault(&[1]);
    let old = vault.encrypt(b"a", b"x").expect("encrypted");
    let module: Arc<dyn WrapKeys> = Arc::new(Module::new(&[2], 300));
    vault.replace(Arc::new(Succession { current: Arc::clone(&module), former: Arc::new(ring(&[1])) }));
    assert_eq!((vault.current(), vault.versions()), (KeyVersion::new(2), vec![KeyVersion::new(1), KeyVersion::new(2)]));
    let moved = vault.rewrap(&old).expect("rewrapped");
    assert_eq!(vault.decrypt(b"a", &old).expect("the ring is here").as_slice(), b"x");
    assert_eq!((old.to_bytes()[0], old.to_bytes().len()), (1, 1 + AT_REST_OVERHEAD_BYTES));
    assert_eq!((moved.to_bytes()[0], moved.to_bytes().len()), (2, 3 + 300 + AT_REST_OVERHEAD_BYTES));
    vault.replace(module);
    assert_eq!(vault.decrypt(b"a", &moved).expect("the module suffices").as_slice(), b"x");
    assert!(vault.decrypt(b"a", &old).is_err());
}

#[test]
fn a_module_that_cannot_be_reached_is_no_damage() {
    let record = Vault::over(Arc::new(Module::new(&[1], 8))).encrypt(b"a", b"x").expect("encrypted");
    let away = Vault::over(Arc::new(Module { reachable: false, ..Module::new(&[1], 8) }));
    assert!(matches!(away.decrypt(b"a", &record), Err(VaultError::Unavailable(_))));
}

#[test]
fn a_wrapped_key_that_cannot_be_stored_is_refused() {
    let too_long = Vault::over(Arc::new(Module::new(&[1], WRAPPED_KEY_BYTES_MAX)));
    assert_eq!(too_long.encrypt(b"a", b"x"), Err(VaultError::Wrapped));
}

#[test]
fn keys_are_replaced_under_a_vault_in_use() {
    let vault = vault(&[1]);
    let before = vault.encrypt(b"a", b"x").expect("encrypted");
    vault.replace(Arc::new(ring(&[1, 2])));
    assert_eq!((vault.current(), vault.versions()), (KeyVersion::new(2), vec![KeyVersion::new(1), KeyVersion::new(2)]));
    assert_eq!(vault.encrypt(b"a", b"x").expect("encrypted").key_version(), KeyVersion::new(2));
    assert_eq!(vault.decrypt(b"a", &before).expect("the old key is here").as_slice(), b"x");
}

fn ring(versions: &[u32]) -> KeyRing {
    let lines = versions
        .iter()
        .map(|v| format!("{v}:{}", data_encoding::HEXLOWER.encode(&[u8::try_from(*v).expect("small"); 32])));
    KeyRing::parse(&lines.collect::<Vec<_>>().join(",")).expect("distinct versions")
}

#[test]
fn a_ring_that_would_lose_records_is_no_successor() {
    let former = ring(&[1, 2]);
    for fine in [&[1, 2][..], &[1, 2, 3], &[2, 3], &[2]] {
        assert_eq!(ring(fine).check_successor_of(&former), Ok(()), "{fine:?}");
    }
    for lost in [&[1][..], &[3], &[1, 3]] {
        let refused = ring(lost).check_successor_of(&former);
        assert_eq!(refused, Err(VaultError::CurrentRemoved(KeyVersion::new(2))), "{lost:?}");
    }
    let other = KeyRing::parse(&format!("1:{},2:{}", "aa".repeat(32), "02".repeat(32))).expect("two keys");
    assert_eq!(other.check_successor_of(&former), Err(VaultError::OtherKey(KeyVersion::new(1))));
    assert!(!other.is_same(&former) && former.is_same(&ring(&[1, 2])) && !former.is_same(&ring(&[2])));
}

#[test]
fn keys_from_the_environment() {
    let two = format!("1:{}, 2:{}", "01".repeat(32), "02".repeat(32));
    let environment = BTreeMap::from([("KEYS".to_owned(), two), ("WRONG".to_owned(), "hunter2".to_owned())]);
    assert!(KeyRing::from_environment("KEYS", &environment).expect("two keys").is_same(&ring(&[1, 2])));
    let unset = KeyRing::from_environment("OTHER", &environment).expect_err("not set");
    assert_eq!(unset, VaultError::Variable("OTHER".to_owned()));
    let wrong = KeyRing::from_environment("WRONG", &environment).expect_err("no key");
    assert_eq!(wrong, VaultError::KeyText(1));
    assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_record_under_any_wrapping_is_read_back_and_moves_on(
        aad in prop::collection::vec(any::<u8>(), 0..40),
        plaintext in prop::collection::vec(any::<u8>(), 0..200),
        padding in prop::sample::select(vec![0usize, 1, 4, 100, 900]),
    ) {
        let vault = Vault::over(Arc::new(Module::new(&[1], padding)));
        let record = vault.encrypt(&aad, &plaintext).expect("encrypted");
        let stored = record.to_bytes();
        let read = Encrypted::from_bytes(&stored).expect("a record");
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(Encrypted::key_version_of(&stored), Some(record.key_version()));
        let opened = vault.decrypt(&aad, &read).expect("opens");
        prop_assert_eq!(opened.as_slice(), &plaintext[..]);
        vault.replace(Arc::new(Module::new(&[1, 2], padding)));
        let moved = vault.rewrap(&read).expect("rewrapped");
        prop_assert_eq!(moved.key_version(), KeyVersion::new(2));
        vault.replace(Arc::new(Module::new(&[2], padding)));
        let moved = Encrypted::from_bytes(&moved.to_bytes()).expect("a record");
        let opened = vault.decrypt(&aad, &moved).expect("opens");
        prop_assert_eq!(opened.as_slice(), &plaintext[..]);
    }

    #[test]
    fn one_bit_or_a_cut_is_noticed_in_either_format(
        padding in prop::sample::select(vec![0usize, 5]), at in any::<prop::sample::Index>(), bit in 0u32..8,
    ) {
        let vault = Vault::over(Arc::new(Module::new(&[1], padding)));
        let stored = vault.encrypt(b"card/7", b"4111").expect("encrypted").to_bytes();
        let open = |bytes: &[u8]| Encrypted::from_bytes(bytes).and_then(|record| vault.decrypt(b"card/7", &record));
        prop_assert!(open(&stored).is_ok());
        let at = at.index(stored.len());
        let mut flipped = stored.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(open(&flipped).is_err());
        prop_assert!(open(&stored[..at]).is_err());
    }

    #[test]
    fn bytes_that_are_no_record_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        drop(Encrypted::from_bytes(&bytes).map(|record| vault(&[1]).decrypt(b"", &record)));
        let _ = Encrypted::key_version_of(&bytes);
    }
}

#[test]
fn the_version_that_stands_for_no_key_is_none() {
    let line = |version: u32| format!("{version}:{}", "ab".repeat(KEY_BYTES));
    assert_eq!(KeyRing::parse(&line(u32::MAX)).expect_err("no key"), VaultError::KeyText(1));
    assert_eq!(KeyRing::parse(&line(u32::MAX - 1)).expect("the highest").current(), KeyVersion::MAX);
}

/// Read in part it would be a good file that ends with an old key.
#[test]
fn a_key_file_that_is_too_long_is_not_read_in_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kek");
    let write = |padding: usize| {
        let line = |version: u8| format!("{version}:{}\n", format!("{version:02x}").repeat(KEY_BYTES));
        let text = format!("{}{}\n{}", line(1), "#".repeat(padding), line(2));
        fs::write(&path, &text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        text.len()
    };
    let rest = write(0);
    assert_eq!(write(64 * 1024 - rest), 64 * 1024);
    assert_eq!(KeyRing::from_file(&path).expect("as long as can be").current(), KeyVersion::new(2));
    for padding in [64 * 1024 - rest + 1, 64 * 1024] {
        write(padding);
        let refused = KeyRing::from_file(&path).expect_err("too long");
        assert_eq!(refused, VaultError::File(path.clone(), std::io::ErrorKind::FileTooLarge));
    }
}
