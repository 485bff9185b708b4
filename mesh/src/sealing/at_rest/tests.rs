use std::fs;

use data_encoding::BASE64;

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
