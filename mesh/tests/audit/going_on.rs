//! An operator goes on after a loss, and a check runs beside a writer.

use std::sync::atomic::{AtomicBool, Ordering};

use mesh::audit::{Break, CheckError, CheckOptions, Head, OpenError, Published, check, restart};

use super::world::{Folder, now, record, write};

fn against(folder: &Folder, head: &Head) -> Result<mesh::audit::Checked, CheckError> {
    let options = CheckOptions { heads: vec![Published { n: head.n, hash: head.hash }], after: None };
    check(&folder.path(), &options)
}

#[test]
fn a_restart_leaves_what_is_there_and_says_what_was_known() {
    let folder = Folder::new();
    let heads = folder.fill(10..=15);
    let known = heads[6];
    let lost = std::fs::read(folder.newest()).unwrap();
    // An older copy: the last three entries are not there.
    let older = lost.split_inclusive(|byte| *byte == b'\n').take(4).flatten().copied().collect::<Vec<u8>>();
    let old = folder.newest();
    write(&old, &older);
    assert!(matches!(folder.open(Some(known)), Err(OpenError::Behind { known: 7, found: 4 })));

    let head = restart(&folder.options(), Some(known), "disk 3 was replaced", now()).unwrap();
    assert_eq!((head.n, head.seq), (8, known.seq));
    assert_eq!(std::fs::read(&old).unwrap(), older);
    let line = folder.lines().pop().unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["act"], "trail_restarted");
    assert_eq!((&said["after_n"], &said["because"]), (&"7".into(), &"disk 3 was replaced".into()));
    assert_eq!(said["after_hash"], known.hash.to_string());

    // Whoever does not note that head has not restarted.
    assert!(matches!(folder.open(Some(known)), Err(OpenError::Missing { known: 7, found: 8 })));
    let again = restart(&folder.options(), Some(known), "and again", now()).unwrap();
    assert_eq!(again.n, 9);
    let mut trail = folder.open(Some(again)).unwrap().trail;
    let last = trail.append(&[record(16)]).unwrap();
    drop(trail);

    let checked = folder.check().unwrap();
    assert_eq!((checked.entries, checked.head, &checked.restarts[..]), (7, last, &[8, 9][..]));
    // A published head of the lost entries is missed; the others are still there.
    assert!(matches!(
        against(&folder, &heads[5]),
        Err(CheckError::Broken { line: 1, broken: Break::Missing { n: 6 }, .. })
    ));
    against(&folder, &heads[3]).unwrap();
    against(&folder, &last).unwrap();
}

/// What is damaged is named until it is kept elsewhere, and the entries behind it stand by themselves.
#[test]
fn after_a_damage_the_trail_goes_on_in_a_file_of_its_own() {
    let folder = Folder::new();
    let known = *folder.fill(10..=15).last().unwrap();
    let damaged = folder.newest();
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[700] ^= 4;
    bytes.truncate(bytes.len() - 9);
    write(&damaged, &bytes);
    assert!(folder.open(Some(known)).is_err());
    let head = restart(&folder.options(), Some(known), "damaged", now()).unwrap();
    assert_eq!(head.n, 8, "the number of an unfinished line is taken too");
    folder.open(Some(head)).unwrap().trail.append(&[record(16)]).unwrap();
    assert!(matches!(folder.check(), Err(CheckError::Broken { path, .. }) if path == damaged));
    assert_eq!(std::fs::read(&damaged).unwrap(), bytes);
    std::fs::rename(&damaged, damaged.with_extension("evidence")).unwrap();
    let checked = folder.check().unwrap();
    assert_eq!((checked.entries, checked.restarts), (2, vec![8]));
}

#[test]
fn a_restart_of_nothing_is_a_beginning_that_says_so() {
    let folder = Folder::new();
    let head = restart(&folder.options(), None, "the folder was lost", now()).unwrap();
    assert_eq!((head.n, head.seq), (1, 0));
    assert_eq!(folder.check().unwrap().restarts, [1]);
    folder.open(Some(head)).unwrap();
    let trail = folder.open(Some(head)).unwrap();
    assert!(matches!(restart(&folder.options(), None, "beside it", now()), Err(OpenError::Locked { .. })));
    drop(trail);
    let long = "x".repeat(300);
    assert!(matches!(restart(&folder.options(), None, &long, now()), Err(OpenError::Record(_))));
}

#[test]
fn a_check_beside_a_writer_finds_nothing_wrong() {
    let folder = Folder::new().file_bytes(3000);
    let mut trail = folder.open(None).unwrap().trail;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seq = 1;
            while !stop.load(Ordering::Relaxed) {
                trail.append(&(seq..seq + 7).map(record).collect::<Vec<_>>()).unwrap();
                seq += 7;
            }
            seq
        });
        let mut entries = 0;
        while entries < 400 {
            let checked = folder.check().unwrap_or_else(|error| panic!("beside a writer: {error}"));
            assert!(checked.entries >= entries);
            entries = checked.entries;
        }
        stop.store(true, Ordering::Relaxed);
        let written = writer.join().unwrap();
        assert_eq!(folder.check().unwrap().entries, written);
    });
}
