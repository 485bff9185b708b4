//! With a copy of the bank directory that is too old nothing new begins, and everything else goes on.

use std::time::Duration;

use acquirer::{authorize::Resolution, error::Error};
use mesh::{
    clock::Clock as _,
    directory::{HEAD_AGE_MAX, Member},
};
use proto::{
    authorization::{AuthorizationResult, Carried, DeclineReason},
    directory::Head,
};

use super::bank::{Bank, approved, declined};

impl Bank {
    /// Lets a platform vouch for the directory in force, now.
    fn vouch(&self) {
        let directory = self.context.directory.current();
        let head = Head {
            directory_version: 1,
            entry_count: u32::try_from(directory.len()).unwrap(),
            entries_digest: directory.digest(),
            signed_at: self.clock.now(),
        };
        self.context.directory.replace(directory.with::<Member>([]).unwrap().with_head(head).unwrap());
    }
}

fn result(resolution: Resolution) -> Carried<AuthorizationResult> {
    let Resolution::Result(signed) = resolution else { panic!("{resolution:?}") };
    Carried::<AuthorizationResult>::parse(signed.to_pb()).unwrap()
}

#[tokio::test]
async fn a_stale_directory_starts_nothing_and_answers_for_what_was() {
    let bank = Bank::new();
    bank.vouch();
    let first = bank.order("R-1", 100).await;
    let sent = bank.a.request(&first, 1, bank.clock.now());
    let paid = bank.authorize(&sent).await.unwrap();
    bank.clock.advance(HEAD_AGE_MAX);
    let second = bank.order("R-2", 100).await;
    let at_the_edge = bank.a.request(&second, 2, bank.clock.now());
    assert!(approved(&bank.authorize(&at_the_edge).await.unwrap()));

    bank.clock.advance(Duration::from_millis(1));
    let third = bank.order("R-3", 100).await;
    let late = bank.a.request(&third, 3, bank.clock.now());
    let refused = bank.authorize(&late).await;
    assert!(matches!(refused, Err(Error::DirectoryStale)), "{refused:?}");
    assert_eq!(bank.network.asked().len(), 2, "the card network heard nothing of it");
    assert_eq!(bank.authorize(&sent).await.unwrap().signed, paid.signed, "a recorded result is given out");
    assert_eq!(result(bank.resolve(&bank.a, bank.question(&sent)).await.unwrap()).signed, paid.signed);

    // The platform is back: the same bytes are taken.
    bank.vouch();
    assert!(approved(&bank.authorize(&late).await.unwrap()));
}

#[tokio::test]
async fn what_was_refused_as_stale_gets_its_tombstone_by_asking() {
    let bank = Bank::new();
    bank.vouch();
    bank.clock.advance(HEAD_AGE_MAX + Duration::from_millis(1));
    let order = bank.order("R-1", 100).await;
    let request = bank.a.request(&order, 1, bank.clock.now());
    assert!(matches!(bank.authorize(&request).await, Err(Error::DirectoryStale)));
    let tombstone = result(bank.resolve(&bank.a, bank.question(&request)).await.unwrap());
    assert_eq!(declined(&tombstone), Some(DeclineReason::NeverReceived));
    bank.vouch();
    assert_eq!(bank.authorize(&request).await.unwrap().signed, tombstone.signed, "and keeps it for ever");
}
