//! Hostile members, and hostile strangers, against a real platform and a real acquirer.
//!
//! Everybody has genuine certificates and does with them what no honest member does. Each attempt gets its
//! own reason, moves the one number that counts it, and changes nothing else: no order, no event, no
//! attempt in the acquirer's store, no version of the directory.

#![allow(clippy::unwrap_used)]

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

#[path = "hostile_members/acquirer_checks.rs"]
mod acquirer_checks;
#[path = "hostile_members/attempt.rs"]
mod attempt;
#[path = "hostile_members/live.rs"]
mod live;
#[path = "hostile_members/mirror.rs"]
mod mirror;
#[path = "hostile_members/publishing.rs"]
mod publishing;
#[path = "hostile_members/relay.rs"]
mod relay;
#[path = "hostile_members/world.rs"]
mod world;

use world::{HARBOR, PRICE, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_act_gets_its_reason_and_leaves_nothing_behind() {
    let world = World::new().await;
    let [order, poor, paid] =
        [world.shop.place(PRICE).await, world.shop.place(PRICE).await, world.shop.place(PRICE).await];
    let changes = publishing::changes(&world.operator()).await.unwrap();
    let attempts = relay::attempts(&world, &order)
        .into_iter()
        .chain(acquirer_checks::refusals(&world, &order))
        .chain(acquirer_checks::declines(&world, &poor))
        .chain(acquirer_checks::foreign_orders(&world, &order))
        .chain(acquirer_checks::direct(&world, &order))
        .chain(publishing::entries(&world))
        .chain(publishing::orders(&world, &order));
    for attempt in attempts {
        attempt.run(&world).await;
    }
    acquirer_checks::replays(&world, &paid).await;
    assert_eq!(publishing::changes(&world.operator()).await.unwrap(), changes, "the directory is as it was");
    check_events(&world).await;
    check_store(world).await;
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
