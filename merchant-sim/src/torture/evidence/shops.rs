//! Reading the shops' logs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{Note, acquirer::note};
use crate::topology::Topology;
use crate::torture::fleet::shop_log;
use crate::torture::shop::read_log;

/// Everything that each shop heard, in the order in which it arrived.
///
/// # Errors
/// A log can't be read.
pub(in crate::torture) fn read(topology: &Topology) -> Result<BTreeMap<String, Vec<Note>>> {
    let shops = topology.merchants.iter().map(|merchant| {
        let events = read_log(&shop_log(&topology.folder, merchant))?;
        let notes: Result<Vec<Note>> = events.into_iter().map(note).collect();
        Ok((merchant.id.clone(), notes.with_context(|| format!("the log of {}", merchant.id))?))
    });
    shops.collect()
}
