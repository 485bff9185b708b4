//! A disk that fails or is full, and a process that dies in the middle of an append.

use std::sync::Arc;

use mesh::audit::{AppendError, Head, Record};
use proptest::prelude::*;

use super::world::{Fault, Faults, Folder, record, write};

fn records(seqs: std::ops::Range<u64>) -> Vec<Record> {
    seqs.map(record).collect()
}

#[test]
fn after_a_full_or_failing_disk_the_same_entries_are_appended_once() {
    for file_bytes in [u64::MAX, 500] {
        let faults = Arc::new(Faults::default());
        let folder = Folder::new().file_bytes(file_bytes).disk(Arc::clone(&faults) as Arc<_>);
        let mut trail = folder.open(None).unwrap().trail;
        let mut head = trail.append(&records(1..4)).unwrap();
        let mut next = 4;
        // An append of four lines takes up to eight calls of the disk, and clearing up one more.
        for fault in [Fault::Full(0), Fault::Full(1), Fault::Full(300), Fault::Full(5000), Fault::NoSync] {
            for works in 0..8 {
                let batch = records(next..next + 4);
                faults.set((0..works).map(|_| Fault::Works).chain([fault, Fault::Works, fault]));
                let mut failures = 0;
                let appended = loop {
                    match trail.append(&batch) {
                        Ok(appended) => break appended,
                        Err(AppendError::Io { .. }) => failures += 1,
                        Err(error @ (AppendError::Order { .. } | AppendError::TooMany { .. })) => panic!("{error}"),
                    }
                    assert_eq!(trail.head(), head, "a failed append changes nothing");
                    assert!(failures < 4);
                };
                faults.set([]);
                head = appended;
                next += 4;
                assert_eq!((head.n, head.seq), (next, next - 1));
            }
        }
        let checked = folder.check().unwrap();
        assert_eq!((checked.head, checked.entries), (head, next));
        drop(trail);
        assert_eq!(folder.open(Some(head)).unwrap().trail.head(), head);
    }
}

/// A batch of which only a part of the bytes came to the disk before the process died.
#[test]
fn a_batch_cut_at_any_byte_is_appended_again_as_it_was() {
    let whole = Folder::new().file_bytes(700);
    let known = *whole.fill(1..=3).last().unwrap();
    let before: Vec<_> = whole.files().iter().map(|file| std::fs::read(file).unwrap()).collect();
    let batch = records(4..9);
    let head = whole.open(Some(known)).unwrap().trail.append(&batch).unwrap();
    let after: Vec<_> = whole.files().iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(after.len() > before.len() + 1, "the batch begins more than one file");

    let added: usize = after.iter().map(Vec::len).sum::<usize>() - before.iter().map(Vec::len).sum::<usize>();
    for kept in 0..=added {
        let folder = Folder::new().file_bytes(700);
        std::fs::create_dir(folder.path()).unwrap();
        let mut room = before.iter().map(Vec::len).sum::<usize>() + kept;
        for (file, bytes) in whole.files().iter().zip(&after) {
            let taken = bytes.len().min(room);
            room -= taken;
            if taken > 0 || kept % 2 == 0 {
                // A file may also have been begun, and stand there empty; but none behind an unfinished one.
                write(&folder.path().join(file.file_name().unwrap()), &bytes[..taken]);
            }
            if taken < bytes.len() {
                break;
            }
        }
        let mut opened = folder.open(Some(known)).unwrap();
        let done = opened.ahead.len();
        assert_eq!(opened.trail.head().n, known.n + done as u64, "{kept} bytes");
        let mut expected = known;
        for (record, head) in batch.iter().zip(&opened.ahead) {
            expected = record.head_after(&expected);
            assert_eq!(*head, expected, "what was written before the crash is the entry itself");
        }
        assert_eq!(opened.trail.append(&batch[done..]).unwrap(), head, "{kept} bytes");
        assert_eq!(folder.lines(), whole.lines());
    }
}

/// After a power cut a file can have its size and not its content, which then reads as zero bytes.
#[test]
fn pages_that_were_never_written_are_cut_off_behind_the_known_head() {
    let folder = Folder::new();
    let known = *folder.fill(1..=3).last().unwrap();
    let durable = std::fs::metadata(folder.newest()).unwrap().len() as usize;
    let batch = records(4..9);
    let head = folder.open(Some(known)).unwrap().trail.append(&batch).unwrap();
    let good = std::fs::read(folder.newest()).unwrap();
    for (from, to) in [(durable, good.len()), (durable, durable + 400), (durable + 300, durable + 500)] {
        let mut bytes = good.clone();
        bytes[from..to].fill(0);
        write(&folder.newest(), &bytes);
        let mut opened = folder.open(Some(known)).unwrap();
        assert!(opened.repaired.is_some());
        let done = opened.ahead.len();
        assert_eq!(opened.trail.append(&batch[done..]).unwrap(), head);
        drop(opened);
        assert_eq!(std::fs::read(folder.newest()).unwrap(), good);
        // What is known to be durable is never cut.
        write(&folder.newest(), &bytes);
        assert!(folder.open(Some(head)).is_err());
        assert_eq!(std::fs::read(folder.newest()).unwrap(), bytes);
        write(&folder.newest(), &good);
    }
}

#[test]
fn a_beginning_that_was_cut_is_begun_again() {
    let folder = Folder::new();
    drop(folder.open(None).unwrap());
    let good = std::fs::read(folder.newest()).unwrap();
    for cut in 0..good.len() {
        write(&folder.newest(), &good[..cut]);
        assert_eq!(folder.open(None).unwrap().trail.head().n, 1, "cut at {cut}");
        assert_eq!(std::fs::read(folder.newest()).unwrap(), good);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Appends, faults and deaths in any order: every entry is in the trail exactly once.
    #[test]
    fn every_entry_is_there_once(
        steps in prop::collection::vec((1u64..6, prop::collection::vec(fault(), 0..6), any::<bool>()), 1..20),
        file_bytes in 300u64..3000,
    ) {
        let faults = Arc::new(Faults::default());
        let folder = Folder::new().file_bytes(file_bytes).disk(Arc::clone(&faults) as Arc<_>);
        let mut trail = folder.open(None).unwrap().trail;
        let mut known: Head = trail.head();
        let mut seq = 1;
        for (count, bad, dies) in steps {
            let batch = records(seq..seq + count);
            faults.set(bad);
            let appended = trail.append(&batch);
            if let (Ok(head), false) = (&appended, dies) {
                known = *head;
                seq += count;
                continue;
            }
            // The process dies, before it has noted the head; the next one goes on with the same entries.
            faults.set([]);
            drop(trail);
            let opened = folder.open(Some(known)).unwrap();
            let done = opened.ahead.len();
            trail = opened.trail;
            known = trail.append(&batch[done..]).unwrap();
            seq += count;
        }
        let checked = folder.check().unwrap();
        prop_assert_eq!((checked.entries, checked.head), (seq, known));
        prop_assert_eq!((known.n, known.seq), (seq, seq - 1));
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::Works), (0usize..900).prop_map(Fault::Full), Just(Fault::NoSync)]
}
