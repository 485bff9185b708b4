//! Beginning units, in a closed loop or an open one.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::{JoinSet, LocalSet};

use super::outcome::{Ended, Order, Outcome, Tally};
use super::pool::Pool;

/// How often the open loop looks what is due.
const TICK: Duration = Duration::from_millis(1);

/// How often it is tried, once no more units are begun, whether the servers do what they did before; and how long.
const TRY_PAUSE: Duration = Duration::from_millis(50);
const TRIES_TIME_MAX: Duration = Duration::from_secs(20);

/// One kind of load.
pub(super) trait Work: 'static {
    /// What one unit needs.
    type Unit: 'static;

    /// How many units may be under way at one time.
    fn room(&self) -> u64;

    /// Has one more unit made by the servers, or finds that they refuse to.
    fn make(self: Rc<Self>) -> impl Future<Output = Option<Self::Unit>> + 'static;

    /// Does one unit, and gives it back where nothing was done with it.
    fn go(self: Rc<Self>, unit: Self::Unit) -> impl Future<Output = (Ended, Option<Self::Unit>)> + 'static;
}

/// What the units of a run share. All of them are on one thread, so that nothing is locked.
struct Run<W: Work> {
    work: Rc<W>,
    pool: RefCell<Pool<W::Unit>>,
    tally: RefCell<Tally>,
    under_way: Cell<u64>,
    over: Instant,
}

/// Does what is ordered, and leaves in the pool what can be used again.
///
/// # Errors
/// The pool runs out.
pub(super) async fn drive<W: Work>(work: W, pool: &mut Pool<W::Unit>, order: Order) -> Result<Outcome> {
    let time = Duration::from_secs_f64(order.seconds);
    let begin = Instant::now();
    let run = Rc::new(Run {
        work: Rc::new(work),
        pool: RefCell::new(std::mem::take(pool)),
        tally: RefCell::new(Tally::new()?),
        under_way: Cell::new(0),
        over: begin + time,
    });
    let driven = LocalSet::new()
        .run_until(async {
            match order.callers {
                Some(callers) => closed(&run, callers).await,
                None => open(&run, begin, order.per_second).await,
            }
        })
        .await;
    *pool = run.pool.take();
    driven?;
    let tally = run.tally.replace(Tally::new()?);
    Ok(tally.finish(time))
}

async fn closed<W: Work>(run: &Rc<Run<W>>, callers: u32) -> Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let run = Rc::clone(run);
        tasks.spawn_local(async move {
            while Instant::now() < run.over {
                let Some(unit) = run.take() else { bail!("the prepared units ran out") };
                run.begin();
                Rc::clone(&run).one(unit, Instant::now()).await;
            }
            Ok(())
        });
    }
    while let Some(caller) = tasks.join_next().await {
        caller??;
    }
    Ok(())
}

async fn open<W: Work>(run: &Rc<Run<W>>, begin: Instant, per_second: f64) -> Result<()> {
    let mut tasks = JoinSet::new();
    let mut due = begin;
    let pause = Duration::from_secs_f64(1.0 / per_second);
    while due < run.over {
        let now = Instant::now();
        while due <= now && due < run.over {
            if run.under_way.get() < run.work.room() {
                let Some(unit) = run.take() else { bail!("the prepared units ran out") };
                run.begin();
                tasks.spawn_local(Rc::clone(run).one(unit, due));
            } else {
                run.tally.borrow_mut().counts.held_back += 1;
            }
            due += pause;
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(TICK).await;
    }
    // Meanwhile what is under way comes to its end.
    let recovered = Rc::clone(run).recovered().await;
    run.tally.borrow_mut().counts.recovered_ms = recovered.map(|took| took.as_secs_f64() * 1e3);
    while let Some(unit) = tasks.join_next().await {
        unit?;
    }
    Ok(())
}

impl<W: Work> Run<W> {
    fn take(&self) -> Option<W::Unit> {
        self.pool.borrow_mut().pop_front()
    }

    fn begin(&self) {
        self.under_way.set(self.under_way.get() + 1);
        self.tally.borrow_mut().counts.begun += 1;
    }

    /// Tries until a unit that is new is both made and done, and says how long after the load that was; none where
    /// it takes too long.
    async fn recovered(self: Rc<Self>) -> Option<Duration> {
        let trying = async {
            let mut unit = None;
            loop {
                unit = match unit {
                    Some(unit) => match Rc::clone(&self.work).go(unit).await {
                        (Ended::Good, _) => return self.over.elapsed(),
                        (Ended::Refused | Ended::RefusedBare | Ended::Late | Ended::Failed(_), back) => back,
                    },
                    None => Rc::clone(&self.work).make().await,
                };
                tokio::time::sleep(TRY_PAUSE).await;
            }
        };
        tokio::time::timeout(TRIES_TIME_MAX, trying).await.ok()
    }

    async fn one(self: Rc<Self>, unit: W::Unit, due: Instant) {
        let (ended, back) = Rc::clone(&self.work).go(unit).await;
        self.under_way.set(self.under_way.get() - 1);
        self.pool.borrow_mut().extend(back);
        let now = Instant::now();
        self.tally.borrow_mut().end(ended, now - due, now <= self.over);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Takes one unit in two, and refuses the other. Whether new ones are made is up to
    /// what is given.
    struct Half<M: Fn() -> bool> {
        asked: Cell<u64>,
        makes: M,
    }

    fn half() -> Half<impl Fn() -> bool> {
        Half { asked: Cell::new(0), makes: || true }
    }

    impl<M: Fn() -> bool + 'static> Work for Half<M> {
        type Unit = u64;

        fn room(&self) -> u64 {
            100
        }

        async fn make(self: Rc<Self>) -> Option<u64> {
            (self.makes)().then_some(0)
        }

        async fn go(self: Rc<Self>, unit: u64) -> (Ended, Option<u64>) {
            self.asked.set(self.asked.get() + 1);
            tokio::task::yield_now().await;
            if self.asked.get().is_multiple_of(2) { (Ended::Good, None) } else { (Ended::Refused, Some(unit)) }
        }
    }

    #[tokio::test]
    async fn an_open_loop_begins_what_is_due_and_gets_back_what_was_refused() {
        let mut pool: Pool<u64> = (0..1_000).collect();
        let order = Order::open(1_000.0, Duration::from_millis(100));
        let outcome = drive(half(), &mut pool, order).await.unwrap();
        assert_eq!(outcome.begun, 100);
        let good = outcome.good + outcome.good_after;
        assert_eq!(good + outcome.refused, 100);
        assert_eq!(pool.len() as u64, 1_000 - good);
        assert!(outcome.recovered_ms.is_some_and(|took| took < 3_000.0), "{outcome:?}");
    }

    #[tokio::test]
    async fn it_is_measured_how_long_nothing_is_done_after_the_load() {
        let mut pool: Pool<u64> = (0..1_000).collect();
        let begin = Instant::now();
        let makes = move || begin.elapsed() > Duration::from_millis(500);
        let work = Half { asked: Cell::new(0), makes };
        let outcome = drive(work, &mut pool, Order::open(1_000.0, Duration::from_millis(100))).await.unwrap();
        assert!(outcome.recovered_ms.is_some_and(|took| took >= 400.0), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_closed_loop_ends_in_time_and_an_empty_pool_is_an_error() {
        let mut pool: Pool<u64> = (0..100_000).collect();
        let order = Order::closed(4, Duration::from_millis(5));
        assert!(drive(half(), &mut pool, order).await.unwrap().begun >= 4);
        let mut empty = Pool::new();
        assert!(drive(half(), &mut empty, order).await.is_err());
    }
}
