//! What the prober makes of the answers.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use mesh::identity::Role;
use proto::directory::MemberStatus;

use super::*;
use crate::{
    domain::change::ChangeKind,
    testing::{Network, next, soon, until},
};

/// Answers as the test says, and counts how many ask at one time.
#[derive(Debug, Default)]
struct Script {
    silent: Mutex<BTreeSet<String>>,
    kept: Mutex<BTreeSet<String>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

#[tonic::async_trait]
impl Probe for Script {
    async fn answers(&self, endpoint: &WebAddress) -> bool {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        !self.silent.lock().unwrap().contains(endpoint.as_str())
    }

    fn keep(&self, endpoints: &BTreeSet<&str>) {
        *self.kept.lock().unwrap() = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    }
}

async fn platform(network: &Network, banks: u32) -> Arc<Context> {
    let bank = |i: u32| network.bank(&format!("bank-{i:02}"), &[(40_000_000 + i, 40_000_000 + i)]);
    let members: Vec<_> = (0..banks).map(bank).chain([network.acquirer("acq-1")]).collect();
    network.platform(&members).await
}

fn health(context: &Context, bank: &str) -> Health {
    context.health.of(&bank.parse().unwrap())
}

#[tokio::test]
async fn a_bank_is_unreachable_after_two_failures_and_back_after_one_answer() {
    let network = Network::new();
    let context = platform(&network, 2).await;
    let script = Arc::new(Script::default());
    let mut prober = Prober::new(Arc::clone(&context), script.clone(), HealthLimits::default());
    prober.round().await;
    assert_eq!(health(&context, "bank-00"), Health::Healthy);
    assert_eq!(health(&context, "acq-1"), Health::Unknown, "acquirers are not picked");
    script.silent.lock().unwrap().insert("https://bank-00.example:8443".to_owned());
    prober.round().await;
    assert_eq!(health(&context, "bank-00"), Health::Healthy, "one failure is not enough");
    prober.round().await;
    assert_eq!(health(&context, "bank-00"), Health::Unreachable);
    assert_eq!(health(&context, "bank-01"), Health::Healthy);
    script.silent.lock().unwrap().clear();
    prober.round().await;
    assert_eq!(health(&context, "bank-00"), Health::Healthy);
}

#[tokio::test]
async fn a_bank_that_has_left_is_asked_no_more() {
    let network = Network::new();
    let context = platform(&network, 2).await;
    let script = Arc::new(Script::default());
    let mut prober = Prober::new(Arc::clone(&context), script.clone(), HealthLimits::default());
    prober.round().await;
    let entry = context.directory.current().member(&"bank-00".parse().unwrap()).unwrap().entry().clone();
    let removed = next(&entry, |entry| entry.status = MemberStatus::Removed);
    let by = network.peer(Role::Operator, "ops").id;
    context.register.change(ChangeKind::Remove, network.sign(&removed), &by).await.unwrap();
    prober.round().await;
    assert_eq!(health(&context, "bank-00"), Health::Unknown);
    assert_eq!(*script.kept.lock().unwrap(), ["https://bank-01.example:8443".to_owned()].into());
}

#[tokio::test]
async fn not_more_than_so_many_are_asked_at_one_time() {
    let network = Network::new();
    let context = platform(&network, 20).await;
    let script = Arc::new(Script::default());
    let limits = HealthLimits { concurrency: 3, ..HealthLimits::default() };
    Prober::new(Arc::clone(&context), script.clone(), limits).round().await;
    assert_eq!(context.health.known().len(), 20);
    assert_eq!(script.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn rounds_follow_each_other_until_the_stop() {
    let network = Network::new();
    let context = platform(&network, 1).await;
    let script = Arc::new(Script::default());
    let stop = CancellationToken::new();
    let prober = Prober::new(Arc::clone(&context), script.clone(), HealthLimits::default());
    let running = tokio::spawn(prober.run(stop.clone()));
    until("the first round", || health(&context, "bank-00") == Health::Healthy).await;
    script.silent.lock().unwrap().insert("https://bank-00.example:8443".to_owned());
    for _ in 0..2 {
        until("a pause", || network.clock.sleepers() > 0).await;
        network.clock.advance(HealthLimits::default().interval.get());
        until("the pause's end", || network.clock.sleepers() == 0).await;
    }
    until("two failures", || health(&context, "bank-00") == Health::Unreachable).await;
    stop.cancel();
    soon("the end", running).await.unwrap();
}
