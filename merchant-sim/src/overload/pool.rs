//! Orders that are there before anybody pays them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mesh::status::retry_after_of;
use tokio::task::JoinSet;
use tonic::Status;

use crate::sample::CURRENCY;
use crate::shop::{Placed, Shop};
use crate::topology::Topology;

/// How many orders are asked for at one time: far below what the acquirer sheds.
const AT_ONCE: usize = 32;

/// How long the acquirer may go on refusing an order. After a level far beyond what it carries, and on a machine
/// that others use as well, it takes a moment until it has room; how long that may be is judged before, by the
/// level itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// What each order is over, in minor units: the least, so that limits last.
const AMOUNT: i64 = 1;

/// What is ready to be used, oldest first.
pub(super) type Pool<T> = VecDeque<T>;

/// The shop that sells: its currency is the payers', and a password is enough.
pub(super) fn shop(topology: &Topology) -> Result<Shop> {
    let fits = topology.merchants.iter().find(|shop| shop.currency == CURRENCY && shop.demand.is_none());
    Shop::new(topology, fits.context("the network has no shop for the payers")?)
}

/// Has orders made until there are so many units.
pub(super) async fn fill<T>(
    pool: &mut Pool<T>,
    count: usize,
    shop: &Shop,
    mut prepare: impl FnMut(Placed) -> Result<T>,
) -> Result<()> {
    let mut placing = JoinSet::new();
    while pool.len() < count {
        while placing.len() < AT_ONCE {
            let shop = shop.clone();
            placing.spawn(async move { place(&shop).await });
        }
        let placed =
            placing.join_next().await.context("nothing was placed")?.context("placing an order panicked")??;
        pool.push_back(prepare(placed)?);
    }
    Ok(())
}

/// Places an order once.
///
/// # Errors
/// The acquirer refuses it.
pub(super) async fn place_once(shop: &Shop) -> Result<Placed> {
    shop.place(AMOUNT).await
}

/// Places an order, and asks again when it is told to.
async fn place(shop: &Shop) -> Result<Placed> {
    let begin = Instant::now();
    loop {
        let error = match place_once(shop).await {
            Ok(placed) => return Ok(placed),
            Err(error) => error,
        };
        let wait = error.downcast_ref::<Status>().and_then(retry_after_of);
        match wait.filter(|_| begin.elapsed() < PATIENCE) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
    }
}
