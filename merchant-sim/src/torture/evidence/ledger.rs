//! Reading the card network's ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use mesh::clock::SystemClock;
use mesh::store::limits::PAGE_ITEMS_MAX;
use mesh::store::{PageRequest, Store};
use proto::ids::AcquirerId;
use proto::pb;

use super::{AttemptKey, Entry, Standing};
use crate::card_network::Ledger;

/// A time at which everything that is decided late is decided.
const LATER: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads every authorization of an acquirer, as it will be when nothing is pending any more.
///
/// # Errors
/// An entry can't be read.
pub(in crate::torture) async fn read(
    store: Arc<dyn Store>,
    acquirer: &AcquirerId,
) -> Result<BTreeMap<AttemptKey, Entry>> {
    let ledger = Ledger::new(store, Arc::new(SystemClock::new()));
    let later = SystemTime::now() + LATER;
    let (mut entries, mut after) = (BTreeMap::new(), None);
    loop {
        let page = PageRequest { after, limit: PAGE_ITEMS_MAX };
        let (found, next) = ledger.list(acquirer, page).await?;
        for (id, entry) in found {
            let (state, code) = entry.state.at(later);
            let entry = match state {
                pb::CardNetworkState::Approved => {
                    let asked = entry.asked.context("an approval of nothing")?;
                    let (merchant, amount) = (asked.merchant.to_string(), asked.amount.minor_units());
                    Entry::Approved(Standing { code, merchant, amount })
                }
                pb::CardNetworkState::Declined | pb::CardNetworkState::Reversed => Entry::NotApproved,
                pb::CardNetworkState::Pending | pb::CardNetworkState::Unspecified => Entry::Unknown,
            };
            entries.insert((id.issuer.to_string(), id.authorization.to_string()), entry);
        }
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(entries),
        }
    }
}
