//! What is changed, removed, put in, moved or cut is named.

use mesh::audit::{Break, CheckError, CheckOptions, OpenError, Published, check};
use proptest::prelude::*;

use super::world::{Folder, place, write};

/// The offset at which each line ends.
fn ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect()
}

fn line_of(bytes: &[u8], at: usize) -> u64 {
    1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn a_flipped_bit_in_any_byte_is_named_at_its_line() {
    let folder = Folder::new();
    let heads = folder.fill(10..=12);
    let file = folder.newest();
    let good = std::fs::read(&file).unwrap();
    for at in 0..good.len() {
        // A bit of each rank over the file; the last byte's flip alone would wait for a writer, so that it is below.
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        if at + 1 == good.len() {
            continue;
        }
        write(&file, &bytes);
        assert_eq!(place(folder.check()), (file.clone(), line_of(&good, at)), "byte {at}");
        let refused = folder.open(Some(heads[3])).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Damaged { path, line, .. } if *path == file && *line == line_of(&good, at)),
            "byte {at}: {refused}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "a refused trail stays as it is");
    }
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() ^= 1;
    write(&file, &bytes);
    assert_eq!(place(folder.check()), (file.clone(), 4));
    assert!(matches!(folder.open(Some(heads[3])), Err(OpenError::Behind { known: 4, found: 3 })));
    write(&file, &good);
    assert_eq!(folder.check().unwrap().head, heads[3]);
}

#[test]
fn every_bit_of_one_line_counts() {
    let folder = Folder::new();
    folder.fill(10..=11);
    let file = folder.newest();
    let good = std::fs::read(&file).unwrap();
    let ends = ends(&good);
    for at in ends[0]..ends[1] {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            write(&file, &bytes);
            assert_eq!(place(folder.check()), (file.clone(), 2), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn lines_removed_swapped_repeated_or_put_in_are_named() {
    let folder = Folder::new();
    let heads = folder.fill(10..=14);
    let file = folder.newest();
    let lines = folder.lines();
    let other = {
        let other = Folder::new();
        other.fill(20..=24);
        other.lines()
    };
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        write(&file, (lines.join("\n") + "\n").as_bytes());
        (folder.check(), folder.open(Some(heads[5])))
    };
    let broken = |result: Result<_, CheckError>| match result.unwrap_err() {
        CheckError::Broken { line, broken, .. } => (line, broken),
        error @ (CheckError::Io { .. } | CheckError::Nothing { .. }) => panic!("{error}"),
    };
    for (change, line, expected) in [
        (&(|lines: &mut Vec<String>| drop(lines.remove(2))) as &dyn Fn(&mut Vec<String>), 3, number(3, 4)),
        (&|lines: &mut Vec<String>| drop(lines.remove(0)), 1, Break::Name { found: 2 }),
        (&|lines: &mut Vec<String>| lines.swap(2, 3), 3, number(3, 4)),
        (&|lines: &mut Vec<String>| lines.insert(3, lines[2].clone()), 4, number(4, 3)),
        (&|lines: &mut Vec<String>| lines.insert(3, other[2].clone()), 4, number(4, 3)),
        // A line of another trail in the place of one of ours: its hash is its own, but it follows another.
        (&|lines: &mut Vec<String>| lines[3] = other[3].clone(), 4, Break::Prev { n: 4 }),
        (&|lines: &mut Vec<String>| lines[3] = lines[3].replace("customer", "Customer"), 4, hash_differs()),
        (&|lines: &mut Vec<String>| lines[3].insert(1, ' '), 4, hash_differs()),
        (&|lines: &mut Vec<String>| lines.insert(3, String::new()), 4, Break::Line(mesh::audit::LineFault::NoHash)),
        (&|lines: &mut Vec<String>| lines[3] = "x".repeat(70_000), 4, Break::TooLong),
    ] {
        let (checked, opened) = with(change);
        assert_eq!(broken(checked), (line, expected));
        assert!(matches!(&opened, Err(OpenError::Damaged { line: at, .. }) if *at == line), "{opened:?}");
    }
    // The last line alone leaves no mark behind; who knows the head notices.
    let (checked, opened) = with(&|lines| drop(lines.pop()));
    assert_eq!(checked.unwrap().head, heads[4]);
    assert!(matches!(opened, Err(OpenError::Behind { known: 6, found: 5 })));
    let options = CheckOptions { heads: vec![Published { n: 6, hash: heads[5].hash }], after: None };
    let shorter = check(&folder.path(), &options);
    assert_eq!(broken(shorter), (5, Break::Shorter { last: 5, published: 6 }));
}

fn number(expected: u64, found: u64) -> Break {
    Break::Number { expected, found }
}

fn hash_differs() -> Break {
    Break::Line(mesh::audit::LineFault::HashDiffers)
}

/// Whoever writes the whole trail anew, with good hashes, is found out by any head that was given out.
#[test]
fn a_trail_written_anew_is_not_the_one_whose_heads_were_published() {
    let (ours, forged) = (Folder::new(), Folder::new());
    let heads = ours.fill(10..=14);
    forged.fill(11..=18);
    forged.check().unwrap();
    let against = |head: &mesh::audit::Head| {
        let options = CheckOptions { heads: vec![Published { n: head.n, hash: head.hash }], after: None };
        check(&forged.path(), &options)
    };
    for head in &heads[1..] {
        let line = place(against(head)).1;
        assert_eq!(line, head.n);
        assert!(matches!(against(head), Err(CheckError::Broken { broken: Break::Published { n }, .. }) if n == head.n));
        assert!(matches!(forged.open(Some(*head)), Err(OpenError::Other { n }) if n == head.n));
    }
}

#[test]
fn a_cut_at_any_byte_is_repaired_only_behind_the_known_head() {
    let folder = Folder::new();
    let heads = folder.fill(10..=12);
    let file = folder.newest();
    let good = std::fs::read(&file).unwrap();
    let ends = ends(&good);
    for cut in 0..good.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        // The line before the cut, the one that is cut, and now and then all the others.
        let near = |n: u64| cut % 25 == 0 || (whole as u64..=whole as u64 + 1).contains(&n);
        for known in heads.iter().filter(|known| near(known.n)) {
            write(&file, &good[..cut]);
            let opened = folder.open(Some(*known));
            if (known.n as usize) <= whole {
                let opened = opened.unwrap();
                assert_eq!(opened.trail.head(), heads[whole - 1], "cut at {cut}");
                assert_eq!(opened.ahead, heads[known.n as usize..whole]);
                let torn = cut - ends[whole - 1];
                assert_eq!(opened.repaired.map(|repair| (repair.line, repair.bytes)), expected_repair(whole, torn));
                assert_eq!(std::fs::read(&file).unwrap(), good[..ends[whole - 1]]);
            } else {
                let found = whole as u64;
                assert!(
                    matches!(opened, Err(OpenError::Behind { known: n, found: f }) if n == known.n && f == found),
                    "cut at {cut}, n={} known: {opened:?}",
                    known.n
                );
                assert_eq!(std::fs::read(&file).unwrap(), good[..cut], "a refused trail stays as it is");
            }
        }
    }
}

fn expected_repair(whole: usize, torn: usize) -> Option<(u64, u64)> {
    (torn > 0).then_some((whole as u64 + 1, torn as u64))
}

/// How much of a file is kept, by where its lines end.
type Keep = fn(&[usize]) -> usize;

/// Some cuts side by side, because each check waits a while for somebody who might be writing.
#[test]
fn a_check_names_a_cut_line() {
    let check_cut = |line: u64, keep: Keep| {
        let folder = Folder::new();
        folder.fill(10..=12);
        let file = folder.newest();
        let good = std::fs::read(&file).unwrap();
        let cut = keep(&ends(&good));
        write(&file, &good[..cut]);
        assert_eq!(place(folder.check()), (file, line), "cut at {cut}");
    };
    let cuts: [(u64, Keep); 4] = [(1, |_| 0), (1, |_| 1), (2, |ends| ends[1] - 1), (4, |ends| ends[2] + 1)];
    std::thread::scope(|scope| cuts.map(|(line, keep)| scope.spawn(move || check_cut(line, keep))).map(|_| ()));
}

/// A cut in a file that is not the newest one is never a crash's doing.
#[test]
fn an_older_file_that_is_cut_missing_or_emptied_is_named() {
    let folder = Folder::new().file_bytes(700);
    let heads = folder.fill(10..=19);
    let files = folder.files();
    assert!(files.len() >= 4);
    let known = heads.last().copied();
    for older in &files[..files.len() - 1] {
        let good = std::fs::read(older).unwrap();
        for keep in [0, 1, good.len() / 2 + 3, good.len() - 1] {
            write(older, &good[..keep]);
            assert_eq!(place(folder.check()).0, *older);
            let refused = folder.open(known).unwrap_err();
            assert!(matches!(&refused, OpenError::Damaged { path, .. } if path == older), "{keep}: {refused}");
        }
        // Cut at a line's end: the next file doesn't go on from there.
        write(older, &good[..ends(&good)[0]]);
        let next = &files[files.iter().position(|file| file == older).unwrap() + 1];
        if ends(&good).len() > 1 {
            assert_eq!(place(folder.check()), (next.clone(), 1));
            assert!(matches!(folder.open(known), Err(OpenError::Damaged { path, line: 1, .. }) if path == *next));
        }
        write(older, &good);
        let aside = older.with_extension("aside");
        std::fs::rename(older, &aside).unwrap();
        assert_eq!(place(folder.check()), (next.clone(), 1));
        // The oldest may be kept elsewhere.
        assert_eq!(folder.open(known).is_ok(), *older == files[0]);
        std::fs::rename(aside, older).unwrap();
        folder.check().unwrap();
    }
    std::fs::remove_file(files.last().unwrap()).unwrap();
    assert!(matches!(folder.open(known), Err(OpenError::Behind { .. })), "the newest file is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any splice of any bytes: either the trail is byte for byte what it was, or a check against the last head fails.
    #[test]
    fn no_splice_is_overlooked(
        at in 0usize..2000,
        removed in 0usize..600,
        added in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let folder = Folder::new();
        let heads = folder.fill(10..=13);
        let file = folder.newest();
        let good = std::fs::read(&file).unwrap();
        let from = at.min(good.len());
        let to = (from + removed).min(good.len());
        let mut bytes = good[..from].to_vec();
        bytes.extend_from_slice(&added);
        bytes.extend_from_slice(&good[to..]);
        // The end of a line stays, so that the check need not wait for a writer.
        if bytes.last() != Some(&b'\n') { bytes.push(b'\n'); }
        let same = bytes == good;
        write(&file, &bytes);
        let last = heads[4];
        let options = CheckOptions { heads: vec![Published { n: last.n, hash: last.hash }], after: None };
        let checked = check(&folder.path(), &options);
        prop_assert_eq!(checked.is_ok(), same, "{:?}", checked);
        // The writer takes nothing else either: it refuses, or cuts back to exactly what it knows.
        let opened = folder.open(Some(last));
        prop_assert!(opened.is_ok() || !same);
        prop_assert!(opened.is_err() || std::fs::read(&file).unwrap() == good);
    }
}
