//! Hostile members, and hostile strangers, against a real platform and a real acquirer.
//!
//! Everybody has genuine certificates and does with them what no honest member does. Each attempt gets its
//! own reason, moves the one number that counts it, and changes nothing else: no order, no event, no
//! attempt in the acquirer's store, no version of the directory.

use std::sync::Arc;

use acquirer::{
    domain::attempt::AttemptId,
    records::Attempt as Record,
    repository::{Entity as _, Repository},
};
use mesh::store::{
    Store,
    sled::{Options, SledStore},
};
use proto::pb;

use crate::attacks::{Attack, Table, Tried, caught};

mod acquirer_checks;
mod attempt;
mod live;
mod mirror;
mod publishing;
mod relay;
mod world;

use world::{EASY_MAX, HARBOR, PRICE, World};

/// Plays them all, and looks in the end at what was kept.
pub async fn table() -> Table {
    // Each of these has a network of its own.
    let live: Vec<_> = live::stories().into_iter().map(|story| tokio::spawn(Attack::play(story))).collect();
    let world = World::new().await;
    let before = publishing::changes(&world.operator()).await.unwrap();
    let mut tried = attempts(&world).await;
    let reckoning = caught(async {
        let changes = publishing::changes(&world.operator()).await.unwrap();
        assert_eq!(changes, before, "the directory is as it was");
        check_events(&world).await;
        check_store(world).await;
    })
    .await;
    for story in live {
        tried.push(story.await.unwrap());
    }
    Table::new("hostile members: …", tried, reckoning)
}

async fn attempts(world: &World) -> Vec<Tried> {
    let [order, poor, paid] =
        [world.shop.place(PRICE).await, world.shop.place(PRICE).await, world.shop.place(PRICE).await];
    let dear = world.shop.place(EASY_MAX + 1).await;
    let attempts = relay::attempts(world, &order)
        .into_iter()
        .chain(acquirer_checks::refusals(world, &order))
        .chain(acquirer_checks::declines(world, &poor))
        .chain(acquirer_checks::unproven(world, &dear))
        .chain(acquirer_checks::foreign_orders(world, &order))
        .chain(acquirer_checks::direct(world, &order))
        .chain(publishing::entries(world))
        .chain(publishing::orders(world, &order));
    let mut tried = Vec::new();
    for attempt in attempts {
        tried.push(attempt.play(world).await);
    }
    tried.push(acquirer_checks::proven(world, &dear).play().await);
    tried.extend(acquirer_checks::replays(world, &paid).await);
    tried
}
/// The shop has heard of the payment and of the declines that count, and of nothing else.
async fn check_events(world: &World) {
    let heard = world.shop.events().await.into_iter().map(|(_, event)| {
        let outcome = event.authorization.unwrap();
        let word = match outcome.decision() {
            pb::Decision::Approved => "APPROVED",
            pb::Decision::Declined | pb::Decision::Unspecified => {
                outcome.decline_reason().as_str_name().trim_start_matches("DECLINE_REASON_")
            }
        };
        (outcome.authorization_id, word.to_owned())
    });
    assert_eq!(heard.collect::<Vec<_>>(), *world.heard.lock().unwrap());
}

/// The acquirer keeps nothing of what was refused.
async fn check_store(world: World) {
    let World { network, acquirer, refused, platform, shop, .. } = world;
    drop(shop);
    acquirer.stop().await;
    platform.stop().await;
    let folder = network.path(format!("{HARBOR}-data"));
    let store: Arc<dyn Store> = Arc::new(SledStore::open(folder, Options::new(format!("acquirer/{HARBOR}"))).unwrap());
    let repository = Repository::new(Arc::clone(&store));
    let refused = refused.into_inner().unwrap();
    assert!(refused.len() > 30, "{} refused", refused.len());
    for (issuer, authorization) in refused {
        let Ok(issuer) = issuer.parse() else { continue };
        let id = AttemptId { issuer, authorization: authorization.parse().unwrap() };
        let kept = repository.load::<Record>(&Record::key_of(&id)).await.unwrap();
        assert!(kept.is_none(), "{} is kept: {kept:?}", String::from_utf8_lossy(&kept.as_ref().unwrap().entity.key()));
    }
    store.close().await;
}
