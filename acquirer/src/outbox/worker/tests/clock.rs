//! A clock that is set, and what is due by it.

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[tokio::test]
async fn what_was_queued_while_the_clock_was_ahead_is_delivered_once_it_is_right() {
    let mut bench = Bench::new();
    bench.clock.set(start() + YEAR);
    bench.queue("shop-a", 1, 1).await;
    bench.queue("shop-a", 1, 2).await;
    bench.clock.set(start());
    // One that is due by the right clock does not hide the others.
    bench.queue("shop-a", 2, 1).await;
    bench.run();
    bench.until_empty().await;
    bench.end().await;
    let mut heard = bench.script.heard();
    let first = heard.iter().position(|id| *id == event_id(1, 1)).unwrap();
    let second = heard.iter().position(|id| *id == event_id(1, 2)).unwrap();
    assert!(first < second, "in order all the same");
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 3);
}

#[tokio::test]
async fn a_worker_that_sleeps_notices_within_a_minute_that_the_clock_went_back() {
    let mut bench = Bench::new();
    bench.clock.set(start() + YEAR);
    bench.script.set("shop-a", Manner::Refuses);
    bench.queue("shop-a", 1, 1).await;
    bench.run();
    bench.until_tried(1, 1, 1).await;
    bench.script.set("shop-a", Manner::Accepts);
    bench.clock.set(start());
    bench.clock.advance(LOOK_PERIOD);
    bench.until_empty().await;
    bench.end().await;
}

#[tokio::test]
async fn a_clock_that_goes_back_prolongs_nobodys_72_hours() {
    let mut bench = Bench::new();
    bench.script.set("shop-a", Manner::Refuses);
    bench.clock.set(start() + YEAR);
    bench.queue("shop-a", 1, 1).await;
    bench.run();
    bench.until_tried(1, 1, 1).await;
    bench.clock.set(start());
    bench.clock.advance(LOOK_PERIOD);
    let second = bench.until_tried(1, 1, 2).await;
    assert_eq!(second.first_try, Some(bench.clock.now()), "its time begins anew by the right clock");
    bench.end().await;
}
