//! `WatchBanks` as a member reads it.

use proto::pb::watch_banks_response::Update;
use tokio_stream::StreamExt as _;

use super::super::watch::Updates;
use super::*;
use crate::testing::{soon, until};

impl Desk {
    async fn watch(&self, role: Role, id: &str, after_version: u64) -> Result<Updates, Status> {
        let request = self.network.request(role, id, pb::WatchBanksRequest { after_version });
        self.service.watch_banks(request).await.map(tonic::Response::into_inner)
    }

    async fn rename(&self, member: &str, name: &str) -> u64 {
        let renamed = next(&self.held(member), |entry| entry.name_en = name.to_owned());
        self.put(self.network.sign(&renamed)).await.unwrap()
    }
}

async fn update(stream: &mut Updates) -> Update {
    soon("an update", stream.next()).await.expect("the stream goes on").expect("no end").update.expect("an update")
}

/// The directory versions of the entries that come before the next head, and the head.
async fn up_to_head(stream: &mut Updates) -> (Vec<u64>, proto::directory::Head) {
    let mut versions = Vec::new();
    loop {
        match update(stream).await {
            Update::Entry(entry) => versions.push(entry.directory_version),
            Update::Head(renewed) => {
                let head = prost::Message::decode(renewed.head.unwrap().body).unwrap();
                return (versions, proto::directory::Head::parse(head).unwrap());
            }
            Update::Health(_) => {}
        }
    }
}

#[tokio::test]
async fn a_stream_brings_everything_and_then_what_changes() {
    let desk = Desk::new().await;
    let mut stream = desk.watch(Role::Acquirer, "acq-1", 0).await.unwrap();
    let (versions, head) = up_to_head(&mut stream).await;
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!((head.directory_version, head.entry_count), (3, 3));
    assert_eq!(head.entries_digest, desk.context.directory.current().digest());
    desk.rename("bank-a", "A").await;
    let (versions, head) = up_to_head(&mut stream).await;
    assert_eq!((versions.as_slice(), head.directory_version), (&[4][..], 4));
    desk.network.clock.advance(Duration::from_secs(300));
    desk.context.register.refresh().await.unwrap();
    let (versions, renewed) = up_to_head(&mut stream).await;
    assert_eq!(versions, [0; 0]);
    assert_eq!((renewed.directory_version, renewed.signed_at), (4, desk.network.now()));
}

#[tokio::test]
async fn a_stream_goes_on_where_the_member_left_off() {
    let desk = Desk::new().await;
    for name in ["A", "B", "C"] {
        desk.rename("bank-a", name).await;
    }
    desk.rename("bank-b", "B").await;
    for (after, expected) in
        [(0, vec![3, 6, 7]), (3, vec![6, 7]), (5, vec![6, 7]), (6, vec![7]), (7, vec![]), (99, vec![])]
    {
        let mut stream = desk.watch(Role::Issuer, "bank-b", after).await.unwrap();
        let (versions, head) = up_to_head(&mut stream).await;
        assert_eq!((versions, head.directory_version), (expected, 7), "after {after}");
    }
}

#[tokio::test]
async fn a_suspended_member_hears_of_it_and_its_stream_ends() {
    let desk = Desk::new().await;
    let mut streams = Vec::new();
    for (role, id) in [(Role::Issuer, "bank-a"), (Role::Issuer, "bank-b"), (Role::Acquirer, "acq-1")] {
        let mut stream = desk.watch(role, id, 3).await.unwrap();
        up_to_head(&mut stream).await;
        streams.push(stream);
    }
    desk.suspend(&next(&desk.held("bank-a"), |entry| entry.status = MemberStatus::Suspended)).await.unwrap();
    for stream in &mut streams {
        assert_eq!(up_to_head(stream).await.0, [4]);
    }
    let ended = soon("the end", streams[0].next()).await.unwrap().unwrap_err();
    assert_refused(&ended, Code::PermissionDenied, "MEMBER_SUSPENDED", None);
    assert!(soon("the end", streams[0].next()).await.is_none());
    let refused = desk.watch(Role::Issuer, "bank-a", 0).await.unwrap_err();
    assert_refused(&refused, Code::PermissionDenied, "MEMBER_SUSPENDED", None);
    // The others read on, also when the member has left.
    desk.remove(&next(&desk.held("bank-a"), |entry| entry.status = MemberStatus::Removed)).await.unwrap();
    assert_eq!(up_to_head(&mut streams[1]).await.0, [5]);
    let refused = desk.watch(Role::Issuer, "bank-a", 0).await.unwrap_err();
    assert_refused(&refused, Code::PermissionDenied, "MEMBER_SUSPENDED", None);
}

#[tokio::test]
async fn a_stranger_gets_no_stream() {
    let desk = Desk::new().await;
    for (role, id) in
        [(Role::Issuer, "bank-z"), (Role::Issuer, "acq-1"), (Role::Acquirer, "bank-a"), (Role::Merchant, "bank-a")]
    {
        let refused = desk.watch(role, id, 0).await.unwrap_err();
        assert_refused(&refused, Code::PermissionDenied, "MEMBER_UNKNOWN", None);
    }
}

#[tokio::test]
async fn health_comes_with_the_stream() {
    let desk = Desk::new().await;
    let [a, b] = ["bank-a", "bank-b"].map(|id| id.parse().unwrap());
    desk.context.health.keep([&a, &b]);
    desk.context.health.note(&a, Health::Healthy);
    let mut stream = desk.watch(Role::Acquirer, "acq-1", 3).await.unwrap();
    up_to_head(&mut stream).await;
    let health = |update| match update {
        Update::Health(changed) => (changed.bank_id.clone(), changed.health()),
        Update::Entry(_) | Update::Head(_) => panic!("health was expected"),
    };
    assert_eq!(health(update(&mut stream).await), ("bank-a".to_owned(), pb::BankHealth::Healthy));
    desk.context.health.note(&b, Health::Unreachable);
    assert_eq!(health(update(&mut stream).await), ("bank-b".to_owned(), pb::BankHealth::Unreachable));
}

#[tokio::test]
async fn a_member_that_does_not_read_is_cut_off() {
    let desk = Desk::new().await;
    let mut stream = desk.watch(Role::Acquirer, "acq-1", 0).await.unwrap();
    up_to_head(&mut stream).await;
    // More than the buffer holds, so that the task waits for its reader; and the reader waits for nothing.
    let bank = "bank-a".parse().unwrap();
    desk.context.health.keep([&bank]);
    for _ in 0..20 {
        desk.context.health.note(&bank, Health::Healthy);
        desk.context.health.note(&bank, Health::Unreachable);
    }
    until("a sender that waits", || desk.network.clock.sleepers() > 0).await;
    desk.network.clock.advance(Duration::from_secs(4));
    until("a sender that gives up", || desk.network.clock.sleepers() == 0).await;
    let mut count = 0;
    let ended = loop {
        match soon("the end", stream.next()).await.expect("an end with a reason") {
            Ok(_) => count += 1,
            Err(status) => break status,
        }
    };
    assert_refused(&ended, Code::ResourceExhausted, "OVERLOADED", None);
    assert!(count <= 16, "{count} updates were held");
}

#[tokio::test]
async fn a_platform_that_stops_says_so() {
    let desk = Desk::new().await;
    let mut stream = desk.watch(Role::Acquirer, "acq-1", 3).await.unwrap();
    up_to_head(&mut stream).await;
    desk.context.stop.cancel();
    let ended = soon("the end", stream.next()).await.unwrap().unwrap_err();
    assert_refused(&ended, Code::Unavailable, "UNAVAILABLE", None);
}
