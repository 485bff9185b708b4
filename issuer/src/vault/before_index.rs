//! Sealed records of a store from before there was an index of them. They are of three kinds, and found by
//! the indexes that there were. Later kinds stand in the index from their first record on.

use mesh::store::{Cursor, Index, Item, KeyRange, PageRequest, Record, RecordId, Store, StoreError};

use super::lookup::LookupKey;
use crate::records::{Card, Credential, Entity as _, INDEX_CARD_BY_CUSTOMER, INDEX_CUSTOMER_BY_NATIONAL_ID};

/// Records looked at with one scan.
const PAGE: usize = 256;

/// A walk over such records.
#[derive(Debug, Default)]
pub(super) struct Walk {
    at: Part,
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    LookupKey,
    Cards(Option<Cursor>),
    Credentials(Option<Cursor>),
    End,
}

impl Walk {
    /// Whether records of this kind are found by the walk.
    pub(super) fn covers(id: &RecordId) -> bool {
        [LookupKey::KIND, Card::KIND, Credential::KIND].contains(&id.kind)
    }

    /// The next records, maybe none of them; `None` at the end.
    pub(super) async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<(RecordId, Record)>>, StoreError> {
        let (found, next) = match std::mem::replace(&mut self.at, Part::End) {
            Part::LookupKey => (with_records(store, [LookupKey::at().record_id()]).await?, Part::Cards(None)),
            Part::Cards(after) => {
                let (items, next) = page(store, INDEX_CARD_BY_CUSTOMER, after).await?;
                let found = items.into_iter().map(|item| (item.id, item.record)).collect();
                (found, next.map_or(Part::Credentials(None), |next| Part::Cards(Some(next))))
            }
            Part::Credentials(after) => {
                let (items, next) = page(store, INDEX_CUSTOMER_BY_NATIONAL_ID, after).await?;
                let ids = items.into_iter().map(|item| RecordId::new(Credential::KIND, item.id.key));
                (with_records(store, ids).await?, next.map_or(Part::End, |next| Part::Credentials(Some(next))))
            }
            Part::End => return Ok(None),
        };
        self.at = next;
        Ok(Some(found))
    }
}

async fn page(
    store: &dyn Store,
    index: Index,
    after: Option<Cursor>,
) -> Result<(Vec<Item>, Option<Cursor>), StoreError> {
    let page = store.scan(index, KeyRange::all(), PageRequest { after, limit: PAGE }).await?;
    Ok((page.items, page.next))
}

async fn with_records(
    store: &dyn Store,
    ids: impl IntoIterator<Item = RecordId>,
) -> Result<Vec<(RecordId, Record)>, StoreError> {
    let mut found = Vec::new();
    for id in ids {
        if let Some(record) = store.get(&id).await? {
            found.push((id, record));
        }
    }
    Ok(found)
}
