//! Hostile customers and thieves at real banks: proofs played again, devices that nobody has bound, consents
//! to something else, sessions of somebody else's, and guesses.
//!
//! Whatever comes of an attack must be exactly the refusal that belongs to it, and everything that the bank's
//! customers have, money, devices and passkeys, must stay as it was. In the end the banks stop, and on each
//! account nothing is held, and what was spent is what was honestly paid.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use crate::attacks::{Table, Tried, caught, play_all};

mod consents;
mod devices;
mod guessing;
mod holder;
mod mixtures;
mod orders;
mod passkeys;
mod policies;
mod registrations;
mod replays;
mod restarts;
mod sessions;
mod small;
mod tables;
mod times;
mod vectors;
mod wire;
mod world;

use world::{Bank, Site};

/// What was tried at one bank, and whether its books add up.
type Played = (Vec<Tried>, Result<(), String>);

/// Plays them all. The banks work side by side.
pub async fn table() -> Table {
    let site = Site::new().await;
    let groups: [Pin<Box<dyn Future<Output = Played> + Send>>; 7] = [
        Box::pin(credentials(Arc::clone(&site))),
        Box::pin(bound_sessions(Arc::clone(&site))),
        Box::pin(payments(Arc::clone(&site))),
        Box::pin(small_payments(Arc::clone(&site))),
        Box::pin(late(Arc::clone(&site))),
        Box::pin(passwords(Arc::clone(&site))),
        Box::pin(codes(Arc::clone(&site))),
    ];
    let groups: Vec<_> = groups.into_iter().map(|group| tokio::spawn(caught(group))).collect();
    let (mut tried, mut faults) = (Vec::new(), Vec::new());
    for group in groups {
        match group.await.expect("what breaks is caught") {
            Ok((lines, reckoning)) => {
                tried.extend(lines);
                faults.extend(reckoning.err());
            }
            Err(broken) => faults.push(broken),
        }
    }
    let site = Arc::into_inner(site).expect("every bank has stopped");
    faults.extend(caught(site.close()).await.err());
    let reckoning = if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) };
    Table::new("a hostile customer …", tried, reckoning)
}

/// How often each answer came.
fn counted(answers: impl IntoIterator<Item = String>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for answer in answers {
        *counts.entry(answer).or_default() += 1;
    }
    counts.into_iter().map(|(answer, count)| format!("{count} {answer}")).collect::<Vec<_>>().join(", ")
}

async fn played(bank: Bank, tried: Vec<Tried>) -> Played {
    (tried, caught(bank.close()).await)
}

/// A bank where two kinds of proof sign in.
async fn credentials(site: Arc<Site>) -> Played {
    let bank = Bank::open(&site, 0, &tables::two_kinds(), 3).await;
    let mut tried = Vec::new();
    let groups = [
        replays::attacks,
        mixtures::attacks,
        orders::attacks,
        consents::attacks,
        vectors::attacks,
        passkeys::attacks,
        registrations::attacks,
        // Last, because a customer forgets a device.
        devices::attacks,
    ];
    for attacks in groups {
        tried.extend(play_all(attacks(&bank)).await);
    }
    played(bank, tried).await
}

/// A bank that binds sessions to devices.
async fn bound_sessions(site: Arc<Site>) -> Played {
    let bank = Bank::open(&site, 1, &tables::bound_sessions(), 2).await;
    let tried = play_all(sessions::attacks(&bank)).await;
    played(bank, tried).await
}

/// A bank with a rule for each amount.
async fn payments(site: Arc<Site>) -> Played {
    let bank = Bank::open(&site, 2, &tables::rules(), 2).await;
    let tried = play_all(policies::attacks(&bank)).await;
    played(bank, tried).await
}

/// A bank where small payments are easy.
async fn small_payments(site: Arc<Site>) -> Played {
    let mut bank = Bank::open(&site, 3, &tables::small_payments(), 3).await;
    let mut tried = play_all(small::attacks(&bank)).await;
    bank.restart().await;
    tried.extend(play_all(small::after_restart(&bank)).await);
    played(bank, tried).await
}

/// A bank whose clock is set forward.
async fn late(site: Arc<Site>) -> Played {
    let bank = Bank::open(&site, 4, &tables::two_kinds(), 1).await;
    let tried = play_all(times::attacks(&bank)).await;
    played(bank, tried).await
}

/// A bank where one kind of proof signs in and pays.
async fn passwords(site: Arc<Site>) -> Played {
    let mut bank = Bank::open(&site, 5, &tables::one_kind(), 6).await;
    let mut tried = play_all(guessing::passwords(&bank)).await;
    let old = restarts::before(&bank).await;
    let refused = bank.restart().await;
    tried.extend(play_all(guessing::passwords_after_restart(&bank, refused)).await);
    tried.extend(play_all(restarts::after(&bank, old)).await);
    played(bank, tried).await
}

/// A bank that bears few failures from one place.
async fn codes(site: Arc<Site>) -> Played {
    let mut bank = Bank::open(&site, 6, &tables::few_failures(), 1).await;
    let mut tried = play_all(guessing::codes(&bank)).await;
    bank.restart().await;
    tried.extend(play_all(guessing::codes_after_restart(&bank)).await);
    played(bank, tried).await
}
