//! News that must reach connections that are open already: suspensions, revocations, and a platform that has
//! been away for too long.

use std::time::{Duration, SystemTime};

use crate::{
    app::App,
    attacks::Attack,
    bank,
    customers::{self, Customer},
    network::{certificate, sign},
    roles::{self, PLATFORM},
    running::Bound,
    shop::Shop,
    wait::{self, PATIENCE, soon},
};
use acquirer::config::AcquirerConfig;
use issuer::config::IssuerConfig;
use mesh::{
    channel::{MeshChannel, within},
    identity::Role,
    status::{is_transport, reason_of, retry_after_of},
};
use prost::Message as _;
use proto::{
    directory::{Entry, MemberStatus},
    pb::{self, bank_directory_client::BankDirectoryClient},
    reason::Reason,
};

use super::world::{AURORA, BOREALIS, PRICE, SLOW, World, card, decision};

/// How long the news may take.
const NEWS: Duration = Duration::from_secs(5);

/// Plays them all: each in a network of its own.
pub(crate) fn stories() -> Vec<Attack<'static>> {
    vec![
        Attack::new("a bank that was just suspended goes on over open connections", "MEMBER_SUSPENDED", suspension()),
        Attack::new("a revoked certificate goes on over open connections", "no connection", revocation()),
        Attack::new("a bank asks for more than it may, more often than it may", "AMOUNT_LIMIT, RATE_LIMIT", limits()),
        Attack::new("a bank asks an acquirer whose directory is stale", "DIRECTORY_STALE", stale_directory()),
    ]
}

async fn follow(by: &MeshChannel) -> tonic::Streaming<pb::WatchBanksResponse> {
    let watch = pb::WatchBanksRequest { after_version: 0 };
    soon("a stream", BankDirectoryClient::new(by.clone()).watch_banks(watch)).await.unwrap().into_inner()
}

async fn end_of(mut stream: tonic::Streaming<pb::WatchBanksResponse>) -> Option<tonic::Status> {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(status) => return Some(status),
        }
    }
}

/// A suspension reaches live connections within five seconds.
async fn suspension() -> String {
    let world = World::new().await;
    let (hub, harbor) = (world.to_hub(Role::Issuer, AURORA), world.to_harbor(Role::Issuer, AURORA));
    let aurora = world.bank(AURORA);
    let order = world.shop.place(PRICE).await;
    let request = world.request(&aurora, &order);
    let message = world.message(&aurora, &request);
    let paid = bank::authorize(&hub, message.clone()).await.unwrap();
    assert_eq!(decision(paid.result.as_ref().unwrap()), "APPROVED");
    let stream = follow(&hub).await;

    let held = &world.entries[AURORA];
    let entry = Entry { version: held.version + 1, status: MemberStatus::Suspended, ..held.clone() };
    let suspend = pb::SuspendBankRequest { entry: Some(world.network.signed_entry(&entry)) };
    let mut operator = BankDirectoryClient::new(world.operator());
    operator.suspend_bank(within(suspend, PATIENCE)).await.unwrap();
    let news = async {
        let ended = end_of(stream).await.unwrap();
        assert_eq!(reason_of(&ended).as_deref(), Some("MEMBER_SUSPENDED"));
        let second = world.shop.place(PRICE).await;
        for channel in [&hub, &harbor] {
            // The acquirer hears of it by the platform's stream, which takes a moment.
            loop {
                let request = world.request(&aurora, &second);
                match bank::authorize(channel, world.message(&aurora, &request)).await {
                    Err(refused) => break assert_eq!(reason_of(&refused).as_deref(), Some("MEMBER_SUSPENDED")),
                    Ok(_) => tokio::task::yield_now().await,
                }
            }
        }
    };
    wait::within(NEWS, "the news of the suspension", news).await;

    // What is under way is still resolved.
    let question = aurora.question(&message, &request);
    assert_eq!(world.ask(&hub, question).await.unwrap(), "APPROVED");
    let again = bank::authorize(&hub, message).await.unwrap_err();
    reason_of(&again).unwrap_or_default()
}

/// A revoked certificate loses its live connections within five seconds.
async fn revocation() -> String {
    let world = World::new().await;
    let (hub, other) = (world.to_hub(Role::Issuer, AURORA), world.to_hub(Role::Issuer, BOREALIS));
    let stays = follow(&other).await;
    let stream = follow(&hub).await;
    let aurora = world.bank(AURORA);
    let order = world.shop.place(PRICE).await;
    let request = world.request(&aurora, &order);
    let message = world.message(&aurora, &request);
    assert!(bank::authorize(&hub, message.clone()).await.is_ok());

    world.network.revoke(Role::Issuer, AURORA);
    // The connection itself is cut, whatever is under way on it.
    let ended = wait::within(NEWS, "the end of the stream", end_of(stream)).await;
    assert!(ended.as_ref().is_none_or(|status| reason_of(status).is_none()), "{ended:?}");
    for _ in 0..2 {
        let refused = bank::authorize(&hub, message.clone()).await.unwrap_err();
        assert!(is_transport(&refused), "{refused:?}");
        let question = bank::resolve(&hub, aurora.question(&message, &request)).await.unwrap_err();
        assert!(is_transport(&question), "{question:?}");
    }
    // Nobody else's connection is.
    let still = tokio::time::timeout(Duration::ZERO, end_of(stays)).await;
    assert!(still.is_err(), "another bank's stream has ended: {still:?}");
    let borealis = world.bank(BOREALIS);
    let second = world.shop.place(PRICE).await;
    let message = world.message(&borealis, &world.request(&borealis, &second));
    assert_eq!(decision(&bank::authorize(&other, message).await.unwrap().result.unwrap()), "APPROVED");
    "no connection".into()
}

/// A bank over its limits is held back and told for how long.
async fn limits() -> String {
    let world = World::new().await;
    let hub = world.to_hub(Role::Issuer, SLOW);
    let slow = world.bank(SLOW);
    let order = world.shop.place(PRICE).await;
    let (mut over_amount, mut over_rate) = (0, 0);
    // One per second may start, and each of these is over the amount.
    while over_rate == 0 || over_amount == 0 {
        let refused = world.send(&hub, world.message(&slow, &slow.request(&order, &card(AURORA)))).await.unwrap_err();
        match reason_of(&refused).and_then(|reason| Reason::from_wire(&reason)) {
            Some(Reason::AmountLimit) => over_amount += 1,
            Some(Reason::RateLimit) => {
                let wait = retry_after_of(&refused).unwrap();
                assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
                over_rate += 1;
            }
            reason => panic!("{reason:?}: {refused:?}"),
        }
    }
    let number = |reason: &str| world.platform.number(&format!("bankside_relay_refused_total{{reason=\"{reason}\"}}"));
    assert_eq!((number("AMOUNT_LIMIT"), number("RATE_LIMIT")), (over_amount, over_rate));
    [Reason::AmountLimit, Reason::RateLimit].map(Reason::as_wire).join(", ")
}

/// With a stale directory nothing new starts, and questions are answered.
async fn stale_directory() -> String {
    const TEMPLE: &str = "acq-temple";
    const MERIDIAN: &str = "bank-meridian";
    let world = World::new().await;
    let network = &world.network;
    // The platform that these two know has been away for hours.
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let acquirer = roles::acquirer(network, TEMPLE) + &roles::membership(TEMPLE, away);
    network.write("temple.toml", acquirer);
    let issuer = roles::issuer(network, MERIDIAN);
    network.write("meridian.import.toml", issuer.clone() + roles::direct());
    network.write("meridian.toml", issuer + &roles::membership(MERIDIAN, away));
    let acquirer = Bound::<AcquirerConfig>::new(&network.path("temple.toml")).await;
    let at = acquirer.address("listen.members");
    let mut entries: Vec<Entry> = world.entries.values().cloned().collect();
    entries.push(network.acquirer_entry(TEMPLE, at));
    entries.push(network.issuer_entry(MERIDIAN, away, &[(60_110_100, 60_110_199)]));
    let file = stale(&world, &entries);
    network.write(&format!("{TEMPLE}.directory"), &file);
    network.write(&format!("{MERIDIAN}.directory"), &file);
    network.write("directory.binpb", network.directory_file(&entries));
    let people = [Customer { number: 1, bin: 60_110_100 }];
    customers::import(network, "meridian.import.toml", &people).await;
    let issuer = Bound::<IssuerConfig>::new(&network.path("meridian.toml")).await;
    let app = App::new(network, issuer.address("listen.devices"));
    let (acquirer, issuer) = (acquirer.run(acquirer::run), issuer.run(issuer::run));

    let shop = Shop::new(network, TEMPLE, at);
    let order = shop.place(PRICE).await;
    let direct = network.channel((Role::Issuer, AURORA), (Role::Acquirer, TEMPLE), at);
    let aurora = world.bank(AURORA);
    let request = world.request(&aurora, &order);
    let message = world.message(&aurora, &request);
    let refused = bank::authorize(&direct, message.clone()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("DIRECTORY_STALE"));
    assert_eq!(world.ask(&direct, aurora.question(&message, &request)).await.unwrap(), "NEVER_RECEIVED");
    // A recorded result is given out all the same.
    assert_eq!(decision(&bank::authorize(&direct, message).await.unwrap().result.unwrap()), "NEVER_RECEIVED");
    let found = shop.look(&order).await;
    assert_eq!((found.state(), found.attempts, found.last_authorization), (pb::OrderState::Open, 0, None));

    let refused = app.sign_in(&people[0], &order.signed.to_pb()).await.unwrap_err();
    issuer.stop().await;
    acquirer.stop().await;
    reason_of(&refused).unwrap_or_default()
}

/// The copy that a member keeps of the platform's directory, last vouched for an hour and a minute ago.
fn stale(world: &World, entries: &[Entry]) -> Vec<u8> {
    let file = world.network.directory_file(entries);
    let directory =
        mesh::directory::Directory::from_file(&file, &world.network.trust(), &crate::network::domain()).unwrap();
    let signed_at = SystemTime::now() - Duration::from_secs(61 * 60);
    let head = pb::DirectoryHead {
        directory_version: 1,
        entry_count: u32::try_from(entries.len()).unwrap(),
        entries_digest: directory.digest().to_bytes(),
        signed_at: Some(proto::time::to_pb(signed_at)),
    };
    let platform = world.network.signer(Role::Platform, PLATFORM);
    let mut file = pb::DirectoryFile::decode(file.as_slice()).unwrap();
    file.head = Some(sign(&platform, &head).to_pb());
    file.platform_certificates = vec![certificate(&platform)];
    file.encode_to_vec()
}
