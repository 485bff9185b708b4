//! Random histories: nothing unfinished ever goes, and nobody is ever told two things.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Order,
    Pay(usize),
    Decline(usize),
    Reversed(usize),
    Cancel(usize),
    Acknowledge,
    Park,
    Reverse,
    Days(u32),
    ClockBack(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Order),
        3 => (0..8usize).prop_map(Step::Pay),
        1 => (0..8usize).prop_map(Step::Decline),
        1 => (0..8usize).prop_map(Step::Reversed),
        1 => (0..8usize).prop_map(Step::Cancel),
        2 => Just(Step::Acknowledge),
        1 => Just(Step::Park),
        1 => Just(Step::Reverse),
        4 => (1..12_u32).prop_map(Step::Days),
        1 => (1..40_u32).prop_map(Step::ClockBack),
        1 => Just(Step::Restart),
    ]
}

struct History {
    bank: Bank,
    orders: Vec<KeptOrder>,
    results: HashMap<u8, (Sent, Carried<AuthorizationResult>)>,
    number: u8,
}

impl History {
    async fn new() -> Self {
        Self { bank: prepared().await, orders: Vec::new(), results: HashMap::new(), number: 0 }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Order => {
                self.number += 1;
                self.orders.push(self.bank.order(&format!("R-{}", self.number), 10).await);
            }
            Step::Pay(order) => self.authorize(order, Answer::Approve).await,
            Step::Decline(order) => self.authorize(order, Answer::Decline(DeclineReason::LostCard)).await,
            Step::Reversed(order) => self.authorize(order, Answer::Unreachable).await,
            Step::Cancel(order) => {
                if let Some(order) = self.newest(order) {
                    let cancelled = self.bank.orders.cancel(&shop(), order.id()).await;
                    assert!(matches!(cancelled, Ok(_) | Err(Error::OrderNotFound)), "{cancelled:?}");
                }
            }
            Step::Acknowledge => acknowledge(&self.bank).await,
            Step::Park => park(&self.bank).await,
            Step::Reverse => {
                self.bank.authorizer.send_reversals().await.unwrap();
            }
            Step::Days(count) => self.days(count).await,
            Step::ClockBack(count) => {
                let now = self.bank.clock.now();
                self.bank.clock.set(now - DAY * count);
                run(&self.bank).await;
                self.bank.clock.set(now);
            }
            Step::Restart => {
                self.bank = self.bank.restarted();
                retention(&self.bank).prepare().await.unwrap();
            }
        }
    }

    fn newest(&self, back: usize) -> Option<KeptOrder> {
        self.orders.iter().rev().nth(back).cloned()
    }

    async fn authorize(&mut self, order: usize, answer: Answer) {
        let Some(order) = self.newest(order) else { return };
        self.number += 1;
        let request = self.bank.a.request(&order, self.number, self.bank.clock.now());
        let asked = self.bank.network.asked().len();
        self.bank.network.next([answer]);
        let result = self.bank.authorize(&request).await.unwrap();
        if self.bank.network.asked().len() == asked {
            self.bank.network.forget_script();
        }
        self.results.insert(self.number, (request, result));
    }

    /// Days with one run each, and around each run the check of what it may not touch.
    async fn days(&mut self, count: u32) {
        for _ in 0..count {
            self.bank.clock.advance(DAY);
            let (protected, waiting, parked) = self.protected().await;
            let reversals_before = reversals(&self.bank).await;
            let removed = run(&self.bank).await;
            for order in &protected {
                assert!(is_kept(&self.bank, order).await, "{:?} was not finished", order.reference);
            }
            let (waits_now, parked_now) =
                (super::count(&self.bank, outbox::DUE).await, super::count(&self.bank, outbox::PARKED_SINCE).await);
            assert_eq!((waits_now, parked_now + usize::try_from(removed.parked).unwrap()), (waiting, parked));
            assert_eq!(reversals(&self.bank).await, reversals_before);
            self.bank.orders.expire_due().await.unwrap();
        }
        self.nobody_is_told_two_things().await;
    }

    /// The orders that no run may remove now, and how many notifications wait and are parked.
    async fn protected(&self) -> (Vec<KeptOrder>, usize, usize) {
        let store = self.bank.context.repository.store();
        let mut protected = Vec::new();
        for order in &self.orders {
            let kept = self.bank.context.repository.load::<KeptOrder>(order.id().as_str().as_bytes()).await.unwrap();
            let Some(kept) = kept else { continue };
            let range = KeyRange::prefix(order.id().as_str().as_bytes());
            let waits = store.scan(outbox::HEADS, range, PageRequest::first(1)).await.unwrap();
            let young = order.created_at() + periods().orders > self.bank.clock.now();
            if !kept.entity.state.is_final() || !waits.items.is_empty() || young {
                protected.push(order.clone());
            }
        }
        (protected, super::count(&self.bank, outbox::DUE).await, super::count(&self.bank, outbox::PARKED_SINCE).await)
    }

    async fn nobody_is_told_two_things(&self) {
        for (request, result) in self.results.values() {
            let must_be_there =
                request.request.says.signed_at + periods().orders + periods().results > self.bank.clock.now();
            match self.bank.authorize(request).await {
                Ok(again) => assert_eq!(again.signed, result.signed),
                refused => {
                    assert!(!must_be_there, "a result went before its time: {refused:?}");
                    outside(refused);
                }
            }
            match self.bank.resolve(&self.bank.a, self.bank.question(request)).await {
                Ok(Resolution::Result(again)) => assert_eq!(again, result.signed),
                refused => outside(refused),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_unfinished_goes(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new().await;
            for step in steps {
                history.take(step).await;
            }
            history.days(60).await;
        });
    }
}
