//! Many merchants, most of them dead.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_dead_merchants_slow_nobody() {
    let mut bench = Bench::new();
    let dead: Vec<String> = (0..200).map(|number| format!("shop-{number:03}-dead")).collect();
    for ((name, order), manner) in dead.iter().zip(0..).zip([Manner::Hangs, Manner::Refuses].into_iter().cycle()) {
        bench.script.set(name, manner);
        bench.queue(name, order, 1).await;
        bench.queue(name, order, 2).await;
    }
    bench.run();
    until(async || bench.script.heard().len() >= 200).await;
    // The clock stands still, so that nothing here depends on a dead merchant's time to be over.
    for order in 0..50 {
        let name = format!("shop-{order:03}-alive");
        bench.queue(&name, 200 + order, 1).await;
        bench.queue(&name, 200 + order, 2).await;
    }
    until(async || bench.counted("acquirer_outbox_delivered_total") == 100).await;
    bench.end().await;
}

#[tokio::test]
async fn one_order_with_a_crowd_of_events_keeps_no_other_merchant_waiting() {
    let mut bench = Bench::new();
    bench.script.set("shop-busy", Manner::Hangs);
    for position in 1..=3 * u32::try_from(LOOKED_AT_MAX).unwrap() {
        bench.queue("shop-busy", 1, position).await;
    }
    bench.run();
    until(async || bench.script.on_the_line("shop-busy") == 1).await;
    bench.queue("shop-calm", 2, 1).await;
    until(async || bench.counted("acquirer_outbox_delivered_total") == 1).await;
    // Once its merchant answers, the whole crowd goes out, in order.
    bench.script.set("shop-busy", Manner::Accepts);
    bench.clock.advance(DELIVERY_TIME_MAX);
    bench.until_tried(1, 1, 1).await;
    bench.clock.advance(Duration::from_secs(1));
    until(async || bench.counted("acquirer_outbox_delivered_total") == 1 + 3 * LOOKED_AT_MAX as u64).await;
    bench.end().await;
    let heard: Vec<String> = bench.script.heard().into_iter().filter(|id| *id != event_id(2, 1)).collect();
    let expected: Vec<String> =
        std::iter::once(1).chain(1..=3 * u32::try_from(LOOKED_AT_MAX).unwrap()).map(|p| event_id(1, p)).collect();
    assert_eq!(heard, expected, "the first one twice, because its first answer never came");
}
