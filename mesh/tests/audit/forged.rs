//! Lines with good hashes of their own, from a hand that can write the files.

use mesh::audit::{
    BATCH_MAX, Break, CheckError, CheckOptions, Checked, Head, LineFault, OpenError, Published, check, restart,
};
use proto::digest::Digest;

use super::world::{Folder, now, record, write};

const AT: &str = "\"at\":\"2026-11-24T10:00:00.000Z\"";

/// The line of this content, with its hash.
fn line(content: &str) -> String {
    format!("{content},\"hash\":\"{}\"}}\n", Digest::of(content.as_bytes()))
}

fn broken(result: Result<Checked, CheckError>) -> Break {
    match result.unwrap_err() {
        CheckError::Broken { broken, .. } => broken,
        error @ (CheckError::Io { .. } | CheckError::Nothing { .. }) => panic!("{error}"),
    }
}

#[test]
fn a_good_hash_alone_is_no_good_line() {
    let folder = Folder::new();
    let last = *folder.fill(10..=12).last().unwrap();
    let good = std::fs::read_to_string(folder.newest()).unwrap();
    let nothing = "0".repeat(64);
    let unreadable = Break::Line(LineFault::Unreadable);
    for (content, expected) in [
        // Nothing may be said twice, or anew where the trail has not ended.
        (format!("{{\"n\":5,\"seq\":12,{AT},\"act\":\"x\",\"prev\":\"{}\"", last.hash), Break::Seq { n: 5 }),
        (
            format!("{{\"n\":5,\"seq\":13,{AT},\"act\":\"trail_restarted\",\"prev\":\"{nothing}\""),
            Break::Beginning { n: 5 },
        ),
        (
            format!("{{\"n\":5,\"seq\":13,{AT},\"act\":\"trail_begun\",\"prev\":\"{nothing}\""),
            Break::Beginning { n: 5 },
        ),
        (format!("{{\"n\":5,\"seq\":13,\"at\":\"today\",\"act\":\"x\",\"prev\":\"{}\"", last.hash), unreadable),
        (format!("{{\"n\":5,\"seq\":13,{AT},\"n\":5,\"act\":\"x\",\"prev\":\"{}\"", last.hash), unreadable),
        (format!("{{\"n\":0,\"seq\":13,{AT},\"act\":\"x\",\"prev\":\"{}\"", last.hash), unreadable),
    ] {
        write(&folder.newest(), (good.clone() + &line(&content)).as_bytes());
        assert_eq!(broken(folder.check()), expected, "{content}");
        assert!(matches!(folder.open(Some(last)), Err(OpenError::Damaged { line: 5, .. })), "{content}");
    }
}

/// It would hide what stood behind the cut.
#[test]
fn a_beginning_that_the_store_has_not_noted_is_refused() {
    let folder = Folder::new();
    let heads = folder.fill(10..=12);
    let known = *heads.last().unwrap();
    assert_eq!(restart(&folder.options(), Some(known), "no reason", now()).unwrap().n, 5);
    assert!(matches!(folder.open(Some(known)), Err(OpenError::Ahead { known: 4, found: 5 })));
    // The files alone tell of it, and a head of what was cut is missed.
    assert_eq!(folder.check().unwrap().restarts, [5]);
    let cut = Head { n: 5, seq: 13, hash: Digest::of(b"cut") };
    let heads = vec![Published { n: cut.n, hash: cut.hash }];
    assert_eq!(broken(check(&folder.path(), &CheckOptions { heads, after: None })), Break::Published { n: 5 });
}

#[test]
fn no_more_than_a_batch_can_be_ahead_of_what_is_known() {
    let folder = Folder::new();
    let known = *folder.fill(10..=12).last().unwrap();
    let batch: Vec<_> = (13..).take(BATCH_MAX).map(record).collect();
    let mut trail = folder.open(Some(known)).unwrap().trail;
    let head = trail.append(&batch).unwrap();
    drop(trail);
    assert_eq!(folder.open(Some(known)).unwrap().ahead.len(), BATCH_MAX);
    folder.open(Some(head)).unwrap().trail.append(&[record(1000)]).unwrap();
    let found = head.n + 1;
    assert!(matches!(folder.open(Some(known)), Err(OpenError::Ahead { known: 4, found: n }) if n == found));
}

/// A damage is not taken for a cut, which an operator would look for elsewhere.
#[test]
fn zero_bytes_before_the_known_head_are_a_damage_and_named() {
    let folder = Folder::new();
    let known = *folder.fill(10..=12).last().unwrap();
    let mut bytes = std::fs::read(folder.newest()).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 20;
    bytes[third] = 0;
    write(&folder.newest(), &bytes);
    let opened = folder.open(Some(known));
    assert!(matches!(opened, Err(OpenError::Damaged { line: 3, .. })), "{opened:?}");
}
