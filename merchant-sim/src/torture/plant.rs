//! A mistake in the very files that a run leaves behind, made on purpose, so that everybody can see that the whole
//! way from the file to the exit status reports it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use acquirer::records::ATTEMPTS_DECIDED;
use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use mesh::store::{Commit, KeyRange, PageRequest, Store, Transition};

use super::books::open_in_place;
use super::fleet::shop_log;
use super::ground::Ground;
use crate::topology::Issuer;

/// What is wrong with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Plant {
    /// A shop's log lacks the last event.
    Event,
    /// A bank's account has spent one unit more.
    Unit,
    /// The acquirer has lost an authorization's result.
    Result,
    /// A bank's audit trail lacks its first line.
    Trail,
    /// A card's number stands in a log.
    Secret,
}

impl Plant {
    /// Makes it, once all servers have stopped.
    ///
    /// # Errors
    /// The run has left nothing in which it could be made.
    pub(super) async fn make(self, ground: &Ground) -> Result<()> {
        let topology = &ground.topology;
        let bank = topology.issuers.first().context("there is no bank")?;
        match self {
            Self::Event => {
                let shop = topology.merchants.first().context("there is no shop")?;
                let log = shop_log(&topology.folder, shop);
                rewrite(&log, |lines| {
                    // Every copy of it: what was heard twice and lost once was not lost.
                    let last = lines.last().cloned();
                    lines.retain(|line| Some(line) != last.as_ref());
                })
            }
            Self::Unit => one_unit_more(bank).await,
            Self::Result => {
                let place = topology.acquirers.first().context("there is no acquirer")?;
                let store = open_in_place(&place.files.data, &format!("acquirer/{}", place.id)).await?;
                let page = store.scan(ATTEMPTS_DECIDED, KeyRange::all(), PageRequest::first(1)).await?;
                let decided = page.items.into_iter().next().context("no authorization was decided")?;
                let committed = commit(&*store, Transition::new().remove(decided.id, decided.record.version)).await;
                store.close().await;
                committed
            }
            Self::Trail => {
                let folder = bank.files.data.join("audit");
                let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
                files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
                files.sort();
                rewrite(files.first().context("there is no audit trail")?, |lines| drop(lines.remove(0)))
            }
            Self::Secret => {
                let card = bank.customers.iter().find_map(|customer| customer.cards().next());
                let pan = &card.context("the bank has no card")?.pan;
                let text = fs::read_to_string(&bank.files.log)?;
                Ok(fs::write(&bank.files.log, format!("{text}a card {pan}\n"))?)
            }
        }
    }
}

async fn one_unit_more(bank: &Issuer) -> Result<()> {
    let account = bank.customers.iter().flat_map(|customer| &customer.accounts).next();
    let key = issuer::records::Account::at(&account.context("the bank has no account")?.id.parse()?);
    let store = open_in_place(&bank.files.data, &format!("issuer/{}", bank.id)).await?;
    let repository = issuer::repository::Repository::new(Arc::clone(&store));
    let kept = repository.load(&key).await?.context("the account is gone")?;
    let spoiled = issuer::records::Account { spent: kept.value.spent + 1, ..kept.value };
    let body = prost::Message::encode_to_vec(&spoiled);
    let committed = commit(&*store, Transition::new().put(key.record_id(), kept.version, body, Vec::new())).await;
    store.close().await;
    committed
}

async fn commit(store: &dyn Store, transition: Transition) -> Result<()> {
    let answer = store.commit(transition).await;
    ensure!(matches!(answer, Commit::Committed { .. }), "the mistake was not committed: {answer:?}");
    Ok(())
}

/// Changes the lines of a file.
fn rewrite(file: &Path, change: impl FnOnce(&mut Vec<String>)) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    ensure!(!lines.is_empty(), "{} is empty, so that nothing can be taken away", file.display());
    change(&mut lines);
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
