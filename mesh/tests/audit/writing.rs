//! The lines as they are written, over several files, and what may be written at all.

use std::os::unix::fs::PermissionsExt as _;

use mesh::audit::{AppendError, BATCH_MAX, CheckOptions, OpenError, Published, Record, RecordError, check};
use proptest::prelude::*;
use proto::digest::Digest;

use super::world::{Folder, now, record};

/// The format as the documentation says it, recomputed here by other means than the trail's own.
#[test]
fn a_line_is_what_the_documentation_says() {
    let folder = Folder::new();
    folder.fill(17..=17);
    let lines = folder.lines();
    let content = |line: &str| line.split_once(",\"hash\":\"").unwrap().0.to_owned();
    let hash = |line: &str| Digest::of(content(line).as_bytes()).to_string();
    assert_eq!(
        content(&lines[0]),
        format!(
            "{{\"n\":1,\"seq\":0,\"at\":\"2026-11-18T11:06:40.123Z\",\"act\":\"trail_begun\",\
             \"owner\":\"issuer/bank-aurora\",\"prev\":\"{}\"",
            "0".repeat(64)
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "{{\"n\":2,\"seq\":17,\"at\":\"2026-11-18T11:06:40.123Z\",\"act\":\"session_ended\",\
             \"customer\":\"customer-17\",\"prev\":\"{}\",\"hash\":\"{}\"}}",
            hash(&lines[0]),
            hash(&lines[1])
        )
    );
    assert!(folder.newest().ends_with("audit-00000000000000000001.jsonl"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.newest()), mode(&folder.path())), (0o600, 0o700));
}

#[test]
fn the_chain_goes_on_over_files_and_restarts_of_the_process() {
    let folder = Folder::new().file_bytes(900);
    let mut known = *folder.fill(10..=12).last().unwrap();
    for run in 0..6u64 {
        let opened = folder.open(Some(known)).unwrap();
        assert!(opened.ahead.is_empty() && opened.repaired.is_none());
        let mut trail = opened.trail;
        let from = 100 * (run + 1);
        known = trail.append(&(from..from + 7).map(record).collect::<Vec<_>>()).unwrap();
        assert!(matches!(folder.open(Some(known)), Err(OpenError::Locked { .. })));
    }
    let checked = folder.check().unwrap();
    assert_eq!((checked.entries, checked.head, checked.restarts), (46, known, vec![]));
    assert!(folder.files().len() > 10);
    for file in folder.files() {
        assert!(std::fs::metadata(file).unwrap().len() <= 900);
    }
    // Old files may be kept elsewhere, oldest first, as long as the last head of what is kept there is known.
    let gone = folder.files()[..3].to_vec();
    let moved: u64 = gone.iter().map(|file| std::fs::read_to_string(file).unwrap().lines().count() as u64).sum();
    let last = std::fs::read_to_string(&gone[2]).unwrap().lines().last().unwrap().to_owned();
    gone.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let late = folder.check().unwrap_err().to_string();
    assert!(late.contains(&format!("begins with n={}", moved + 1)), "{late}");
    let hash = last.rsplit('"').nth(1).unwrap();
    let after: Published = format!("{moved}:{hash}").parse().unwrap();
    let options = CheckOptions { heads: vec![], after: Some(after) };
    assert_eq!(check(&folder.path(), &options).unwrap().entries, 46 - moved);
    let wrong = Published { n: moved, hash: Digest::of(b"another") };
    assert!(check(&folder.path(), &CheckOptions { heads: vec![], after: Some(wrong) }).is_err());
    folder.open(Some(known)).unwrap();
}

#[test]
fn only_what_is_new_and_in_order_is_appended() {
    let folder = Folder::new();
    let mut trail = folder.open(None).unwrap().trail;
    trail.append(&[record(5), record(9)]).unwrap();
    let before = trail.head();
    for seqs in [vec![9], vec![4], vec![10, 10], vec![12, 11]] {
        let records: Vec<Record> = seqs.into_iter().map(record).collect();
        assert!(matches!(trail.append(&records), Err(AppendError::Order { .. })));
    }
    let many: Vec<Record> = (10..11 + BATCH_MAX as u64).map(record).collect();
    assert!(matches!(trail.append(&many), Err(AppendError::TooMany { .. })));
    assert_eq!((trail.head(), folder.check().unwrap().head), (before, before));
    assert_eq!(trail.append(&[]).unwrap(), before);
}

#[test]
fn what_would_break_a_line_is_no_entry() {
    let fields = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let long = "x".repeat(257);
    for (pairs, error) in [
        (fields(&[("", "x")]), RecordError::Name),
        (fields(&[("Act", "x")]), RecordError::Name),
        (fields(&[("hash", "x")]), RecordError::Name),
        (fields(&[("a\"b", "x")]), RecordError::Name),
        (fields(&[("act", "x"), ("act", "y")]), RecordError::Name),
        (fields(&[("act", &long)]), RecordError::Value),
        (fields(&[("act", "trail_restarted")]), RecordError::OwnAct),
        ((0..33).map(|i| (format!("f{i}"), String::new())).collect(), RecordError::TooManyFields),
    ] {
        assert_eq!(Record::new(1, now(), pairs), Err(error));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the values, the lines hold, and each value can be read back as it was.
    #[test]
    fn any_value_is_kept(
        values in prop::collection::vec("\\PC{0,60}|[\\x00-\\x1f\"\\\\]{0,60}", 1..20),
        bytes in 200u64..2000,
    ) {
        let folder = Folder::new().file_bytes(bytes);
        let mut trail = folder.open(None).unwrap().trail;
        let records: Vec<Record> = values
            .iter()
            .zip(1..)
            .map(|(value, seq)| Record::new(seq, now(), [("act".to_owned(), value.clone())]).unwrap())
            .collect();
        for batch in records.chunks(3) {
            trail.append(batch).unwrap();
        }
        let checked = folder.check().unwrap();
        prop_assert_eq!(checked.head, trail.head());
        prop_assert_eq!(checked.entries as usize, values.len() + 1);
        for (line, value) in folder.lines()[1..].iter().zip(&values) {
            let read: serde_json::Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(read["act"].as_str(), Some(value.as_str()));
        }
    }
}
