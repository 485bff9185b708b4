//! Opening everybody's books when everything has stopped: each store is copied first, and the copy is opened, so
//! that what the servers left stays as they left it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use mesh::store::Store;
use mesh::store::sled::{Options, SledStore};
use proto::ids::MerchantId;

use super::evidence::{Evidence, acquirer, issuer, ledger, secrets, shops, trail};
use super::follower::Follower;
use super::ground::Ground;
use super::world::World;

/// Memory for each copy's page cache, in bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Reads everything.
///
/// # Errors
/// A store doesn't open, or something in it can't be read.
pub(super) async fn read(
    ground: &Ground,
    world: &World,
    followers: &[Follower],
    run: (SystemTime, SystemTime),
) -> Result<Evidence> {
    let topology = &ground.topology;
    let copies = topology.folder.join("copies");
    let mut evidence = Evidence { tales: world.journal.tales(), ..Evidence::default() };
    evidence.heard = shops::read(topology)?;
    evidence.watched = followers.iter().map(|follower| (follower.merchant().to_owned(), follower.events())).collect();
    for place in &topology.issuers {
        let folder = place.files.data.join("audit");
        let (trail, customers) =
            trail::read(&folder, &place.files.log).with_context(|| format!("the audit trail of {}", place.id))?;
        let store = open(&place.files.data, &copies.join(&place.id), &format!("issuer/{}", place.id)).await?;
        let named = issuer::named(&evidence.tales, &place.id, &customers);
        let repository = ::issuer::repository::Repository::new(Arc::clone(&store));
        let books = issuer::read(&repository, place, named, trail).await;
        store.close().await;
        evidence.issuers.push(books.with_context(|| format!("the books of {}", place.id))?);
    }
    let place = topology.acquirers.first().context("the network has no acquirer")?;
    let store = open(&ground.card_network.data, &copies.join("card-network"), "card-network").await?;
    let entries = ledger::read(Arc::clone(&store), &place.id.parse()?).await;
    store.close().await;
    evidence.ledger = entries.context("the card network's ledger")?;
    let store = open(&place.files.data, &copies.join(&place.id), &format!("acquirer/{}", place.id)).await?;
    let merchants: Vec<MerchantId> =
        topology.merchants.iter().map(|merchant| Ok(merchant.id.parse()?)).collect::<Result<_>>()?;
    let repository = ::acquirer::repository::Repository::new(Arc::clone(&store));
    let books = acquirer::read(&repository, &merchants, &evidence.issuers, &evidence.ledger, run).await;
    store.close().await;
    evidence.acquirer = books.with_context(|| format!("the books of {}", place.id))?;
    evidence.offences = secrets::search(topology, &world.secrets, &ground.card_network.data)?;
    evidence.offences.extend(secrets::panics(topology)?);
    Ok(evidence)
}

async fn open(data: &Path, copy: &Path, owner: &str) -> Result<Arc<dyn Store>> {
    let (from, to) = (data.to_owned(), copy.to_owned());
    tokio::task::spawn_blocking(move || copy_folder(&from, &to)).await.context("copying a store panicked")??;
    open_in_place(copy, owner).await
}

/// Opens a store where it is.
///
/// # Errors
/// It doesn't open.
pub(super) async fn open_in_place(data: &Path, owner: &str) -> Result<Arc<dyn Store>> {
    let (data, owner) = (data.to_owned(), owner.to_owned());
    let opened = tokio::task::spawn_blocking(move || {
        let options = Options::new(owner.as_str()).cache_bytes(CACHE_BYTES);
        SledStore::open(&data, options).with_context(|| format!("the store of {owner}"))
    });
    Ok(Arc::new(opened.await.context("opening a store panicked")??))
}

/// Copies a folder with everything in it.
///
/// # Errors
/// Something can't be read or written.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}
