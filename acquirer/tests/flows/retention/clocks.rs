//! A clock that jumps.

use acquirer::{
    domain::retention::Marks,
    records::{ATTEMPTS_DECIDED, RetentionMarks},
};

use super::*;

async fn marks(bank: &Bank) -> Marks {
    bank.context.repository.load::<RetentionMarks>(RetentionMarks::KEY).await.unwrap().unwrap().entity.0
}

#[tokio::test]
async fn ten_years_ahead_remove_nothing() {
    let bank = prepared().await;
    let (order, request, result) = paid(&bank, "R-1", 1).await;
    acknowledge(&bank).await;
    let right = bank.clock.now();
    bank.clock.set(right + DAY * 3650);
    let retention = retention(&bank);
    for hour in 0..24 {
        let elapsed = if hour == 0 { Duration::ZERO } else { DAY / 24 };
        let removed = retention.run_once(elapsed, &CancellationToken::new()).await.unwrap();
        assert_eq!(removed, Removed::default(), "hour {hour}");
    }
    assert!(marks(&bank).await.trusted <= right + DAY * 2);
    // A restart does not make it believe.
    let next = bank.restarted();
    super::retention(&next).prepare().await.unwrap();
    assert_eq!(run(&next).await, Removed::default());
    bank.clock.set(right + DAY);
    assert!(is_kept(&bank, &order).await);
    assert_eq!(next.authorize(&request).await.unwrap().signed, result.signed);
    // Once the clock is right it goes on where it was.
    days(&bank, 10).await;
    assert!(!is_kept(&bank, &order).await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_moves_nothing_back() {
    let bank = prepared().await;
    let (_, request, _) = paid(&bank, "R-1", 1).await;
    acknowledge(&bank).await;
    days(&bank, 40).await;
    outside(bank.authorize(&request).await);
    let before = marks(&bank).await;
    let right = bank.clock.now();
    bank.clock.set(right - DAY * 38);
    assert_eq!(run(&bank).await, Removed::default());
    assert_eq!(marks(&bank).await, before);
    // Neither does a longer period, nor a restart: what was removed is gone.
    let longer = Periods { results: DAY * 4000, ..periods() };
    let next = bank.restarted();
    let clock = Arc::clone(&next.context.clock);
    let retention = Retention::new(next.context.repository.clone(), clock, longer, None, &Metrics::new());
    retention.prepare().await.unwrap();
    bank.clock.set(right);
    retention.run_once(Duration::ZERO, &CancellationToken::new()).await.unwrap();
    assert_eq!(marks(&next).await.horizon, before.horizon);
    outside(next.authorize(&request).await);
    outside(next.resolve(&next.a, next.question(&request)).await);
    assert_eq!(count(&next, ATTEMPTS_DECIDED).await, 0, "nothing was recorded of either");
}

#[tokio::test]
async fn a_new_store_does_not_speak_of_the_time_before_it() {
    let bank = prepared().await;
    let order = bank.order("R-1", 100).await;
    let before = bank.a.request(&order, 1, bank.clock.now() - Duration::from_secs(61));
    outside(bank.authorize(&before).await);
    outside(bank.resolve(&bank.a, bank.question(&before)).await);
    // The clocks of issuers may be behind by a minute.
    let skewed = bank.a.request(&order, 2, bank.clock.now() - Duration::from_secs(60));
    assert!(approved(&bank.authorize(&skewed).await.unwrap()));
}

#[tokio::test]
async fn a_store_of_before_retention_has_removed_nothing() {
    let bank = Bank::new();
    let (_, request, result) = paid(&bank, "R-1", 1).await;
    assert!(*bank.context.repository.store().watch().borrow() > Seq::START);
    retention(&bank).prepare().await.unwrap();
    let never_seen = bank.a.request(&bank.order("R-2", 1).await, 2, bank.clock.now() - DAY * 300);
    let Resolution::Result(_) = bank.resolve(&bank.a, bank.question(&never_seen)).await.unwrap() else { panic!() };
    assert_eq!(bank.authorize(&request).await.unwrap().signed, result.signed);
}
