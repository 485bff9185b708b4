//! Opening every sealed record in its place, to find those that are damaged.

use std::fmt;

use mesh::{
    sealing::at_rest::Vault,
    store::{Item, KeyRange, PageRequest, RecordId, Store, StoreError, limits::PAGE_ITEMS_MAX},
};

use super::{
    Problem, RecordName,
    before_index::Walk,
    needs,
    sealed::{INDEX_KEY_VERSION, SealedKind},
};

/// What was found. Shows as the last line of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sealed records.
    pub records: usize,
    /// Those of them that don't open, or are not what belongs there.
    pub damaged: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vault: {} records, {} damaged", self.records, self.damaged)
    }
}

/// Why the check could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The store failed, or is damaged itself.
    #[error("the store cannot be read to its end: {0}")]
    Store(#[from] StoreError),
    /// The keys can't be reached, which says nothing about the records.
    #[error("{0}")]
    Keys(Problem),
}

/// Where the damaged records are told, one by one.
pub type Report<'a> = &'a mut (dyn FnMut(&RecordName, &Problem) + Send);

/// Opens every sealed record in its place. Writes nothing; what is opened is wiped at once.
///
/// # Errors
/// [`Unfinished`].
pub async fn check(store: &dyn Store, vault: &Vault, report: Report<'_>) -> Result<Summary, Unfinished> {
    let mut check = Check { vault, report, summary: Summary::default() };
    let indexed = needs::is_indexed(store).await?;
    if !indexed {
        let mut walk = Walk::default();
        while let Some(found) = walk.next(store).await? {
            found.into_iter().try_for_each(|(id, record)| check.look(&id, record.body))?;
        }
    }
    let mut page = PageRequest::first(PAGE_ITEMS_MAX);
    loop {
        let found = store.scan(INDEX_KEY_VERSION, KeyRange::all(), page).await?;
        for Item { id, record, .. } in found.items {
            if indexed || !Walk::covers(&id) {
                check.look(&id, record.body)?;
            }
        }
        let Some(next) = found.next else { return Ok(check.summary) };
        page = PageRequest::after(next, PAGE_ITEMS_MAX);
    }
}

struct Check<'a> {
    vault: &'a Vault,
    report: Report<'a>,
    summary: Summary,
}

impl Check<'_> {
    fn look(&mut self, id: &RecordId, body: bytes::Bytes) -> Result<(), Unfinished> {
        self.summary.records += 1;
        let Some(line) = SealedKind::of_record(id) else {
            self.tell(&RecordName::new("record of an unknown kind", &id.key), &Problem::Unreadable);
            return Ok(());
        };
        match line.open(self.vault, id, body) {
            Ok(()) => {}
            Err(problem) if problem.is_damage() => self.tell(&line.name(id), &problem),
            Err(problem) => return Err(Unfinished::Keys(problem)),
        }
        Ok(())
    }

    fn tell(&mut self, record: &RecordName, problem: &Problem) {
        self.summary.damaged += 1;
        (self.report)(record, problem);
    }
}
