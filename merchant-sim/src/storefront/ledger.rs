//! The shop's own record of its orders: one line of JSON each, on the disk before the shopper is led to pay.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use certs::files::make_folder;
use proto::digest::Digest;
use serde::{Deserialize, Serialize};

/// The file in the shop's folder.
const FILE: &str = "orders.jsonl";

/// An order, as the shop keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The merchant whose order it is.
    pub(super) merchant: String,
    /// The shop's number of it, once its basket's.
    pub(super) number: String,
    /// The acquirer's id.
    pub(super) order_id: String,
    /// Where it is paid.
    pub(super) payment_url: String,
    /// Whose it is: the digest of the secret that the shopper's browser keeps.
    pub(super) owner: String,
    /// What was bought.
    pub(super) lines: Vec<Bought>,
    /// What it costs, in minor units of the shop's currency.
    pub(super) minor_units: i64,
}

/// So many of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bought {
    pub(super) sku: String,
    pub(super) quantity: u32,
}

/// All orders of the demo shops.
#[derive(Debug)]
pub(super) struct Ledger {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// In the order in which they were made.
    entries: Vec<Entry>,
    by_number: HashMap<String, usize>,
}

impl Ledger {
    /// Opens the ledger in a folder, or begins one.
    ///
    /// # Errors
    /// The file can't be used, or holds something else.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let path = folder.join(FILE);
        let shown = path.display();
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {shown}"))?;
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
        // A line that a crash cut short was never acknowledged; what is written next must not join it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole).context("a file's length")?)?;
        let entries = text[..whole].lines().map(|line| serde_json::from_str(line).context("a line is no order"));
        let entries: Vec<Entry> = entries.collect::<Result<_>>().with_context(|| format!("{shown} is no ledger"))?;
        let by_number = entries.iter().enumerate().map(|(place, entry)| (entry.number.clone(), place)).collect();
        Ok(Self { kept: Mutex::new(Kept { file, entries, by_number }) })
    }

    /// Keeps an order; returns what is kept under its number, which is the earlier one where there is one.
    ///
    /// # Errors
    /// The file can't be written.
    pub(super) fn keep(&self, entry: Entry) -> Result<Entry> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.by_number.get(&entry.number) {
            return Ok(kept.entries[*place].clone());
        }
        let line = format!("{}\n", serde_json::to_string(&entry)?);
        kept.file.write_all(line.as_bytes()).context("the shop's ledger cannot be written")?;
        kept.file.sync_data().context("the shop's ledger cannot be written")?;
        let place = kept.entries.len();
        kept.by_number.insert(entry.number.clone(), place);
        kept.entries.push(entry.clone());
        Ok(entry)
    }

    /// The order of a shop with a number.
    pub(super) fn find(&self, merchant: &str, number: &str) -> Option<Entry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = &kept.entries[*kept.by_number.get(number)?];
        (entry.merchant == merchant).then(|| entry.clone())
    }

    /// The latest orders of a shopper at a shop, the newest first.
    pub(super) fn of(&self, merchant: &str, owner: &str, count_max: usize) -> Vec<Entry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = kept.entries.iter().rev().filter(|entry| entry.merchant == merchant && entry.owner == owner);
        own.take(count_max).cloned().collect()
    }
}

/// What stands for a shopper in the ledger. The secret itself is the browser's alone.
pub(super) fn owner(secret: &str) -> String {
    Digest::of_parts([b"shopper\0".as_slice(), secret.as_bytes()]).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(number: &str) -> Entry {
        Entry {
            merchant: "shop-a".to_owned(),
            number: number.to_owned(),
            order_id: format!("ord_{number}"),
            payment_url: "http://pay.localhost/1".to_owned(),
            owner: owner("secret"),
            lines: vec![Bought { sku: "vase".to_owned(), quantity: 2 }],
            minor_units: 5,
        }
    }

    #[test]
    fn orders_are_found_again_by_their_shop_and_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.keep(entry("a")).unwrap();
        ledger.keep(entry("b")).unwrap();
        drop(ledger);
        let ledger = Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.find("shop-a", "a").unwrap(), entry("a"));
        assert_eq!(ledger.find("shop-b", "a"), None);
        assert_eq!(ledger.of("shop-a", &owner("secret"), 9), [entry("b"), entry("a")]);
        assert_eq!(ledger.of("shop-a", &owner("guess"), 9), []);
        assert_eq!(ledger.of("shop-a", &owner("secret"), 1), [entry("b")]);
    }

    #[test]
    fn the_first_order_under_a_number_stays() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let first = ledger.keep(entry("a")).unwrap();
        assert_eq!(ledger.keep(Entry { order_id: "ord_other".to_owned(), ..entry("a") }).unwrap(), first);
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_line_that_was_cut_short_is_dropped_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::open(folder.path()).unwrap().keep(entry("a")).unwrap();
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{}", &text[..30])).unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.keep(entry("b")).unwrap();
        drop(ledger);
        assert_eq!(Ledger::open(folder.path()).unwrap().of("shop-a", &owner("secret"), 9), [entry("b"), entry("a")]);
    }
}
