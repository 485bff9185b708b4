//! The stream of events that the page's script follows.

use axum::body::BodyDataStream;
use tokio_stream::StreamExt as _;

use super::*;

/// An open stream, and what of it was not looked at yet.
struct Stream {
    body: BodyDataStream,
    read: String,
}

impl Stream {
    async fn open(bench: &Bench) -> Self {
        let request = Request::builder().uri(format!("{}/events", bench.path)).body(Body::empty()).unwrap();
        let response = bench.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        Self { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next event's data; none at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                assert!(data.is_none() || event.contains("event: state"), "{event}");
                self.read = rest.to_owned();
                match data {
                    Some(data) => return Some(data),
                    None => continue,
                }
            }
            let piece =
                tokio::time::timeout(Duration::from_secs(10), self.body.next()).await.expect("an event in time")?;
            self.read.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }
}

impl Bench {
    async fn change(&self, state: State) {
        let key = signed_order().order.id;
        let mut kept = self.repository.load::<KeptOrder>(key.as_str().as_bytes()).await.unwrap().unwrap();
        kept.entity.state = state;
        let outcome = self.repository.commit(Changes::new().update(&kept)).await.unwrap();
        assert!(matches!(outcome, repository::Outcome::Committed(_)));
    }
}

#[tokio::test]
async fn every_change_is_told_at_once_until_the_last() {
    let bench = Bench::with(State::Open(course(0))).await;
    let mut stream = Stream::open(&bench).await;
    assert_eq!(stream.next().await.as_deref(), Some("open.0"));
    // The clock stands still, so that only the commits themselves can wake the follower.
    for (state, told) in [
        (authorizing(), "busy.0"),
        (State::Open(course(1)), "declined.1"),
        (State::Open(course(2)), "declined.2"),
        (State::Approved(course(2)), "paid.2"),
    ] {
        bench.change(state).await;
        assert_eq!(stream.next().await.as_deref(), Some(told));
    }
    assert_eq!(stream.next().await, None);
    let mut later = Stream::open(&bench).await;
    assert_eq!((later.next().await.as_deref(), later.next().await), (Some("paid.2"), None));
}

#[tokio::test]
async fn the_deadline_is_told_though_nobody_wrote_anything() {
    let bench = Bench::with(State::Open(course(0))).await;
    let mut stream = Stream::open(&bench).await;
    assert_eq!(stream.next().await.as_deref(), Some("open.0"));
    bench.clock.advance(Duration::from_millis(899_000));
    while bench.clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    bench.clock.advance(Duration::from_millis(1_001));
    assert_eq!((stream.next().await.as_deref(), stream.next().await), (Some("expired.0"), None));
}

#[tokio::test]
async fn nobody_is_followed_who_is_not_there() {
    let bench = Bench::with(State::Open(course(0))).await;
    let unknown = format!("/pay/{}/events", OrderId::from_random([8; 16]));
    assert_eq!(bench.send("GET", &unknown, "en").await.status, StatusCode::NOT_FOUND);
    let mut stream = Stream::open(&bench).await;
    assert_eq!(stream.next().await.as_deref(), Some("open.0"));
    while bench.clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while bench.clock.sleepers() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_order_has_so_many_followers_and_a_place_comes_free_again() {
    let bench = Bench::with(State::Open(course(0))).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(Stream::open(&bench).await);
    }
    let events = format!("{}/events", bench.path);
    let refused = bench.send("GET", &events, "en").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key(RETRY_AFTER));
    assert_eq!(bench.page().await.status, StatusCode::OK, "the page is shown all the same");
    drop(streams.pop());
    let freed = async {
        // Looking doesn't follow: a head has no body.
        while bench.send("HEAD", &events, "en").await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.expect("a place in time");
}
