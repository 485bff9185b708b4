//! The network dies, the acquirer is killed, or both, each at a step that is known.

use acquirer::network::Behaviour;
use merchant_sim::process::Process;
use proto::authorization::Decision;
use proto::pb::card_network_fault::What;
use proto::pb::{CardNetworkCall, CardNetworkFailure, CardNetworkFault, CardNetworkState};

use super::faults::{failure, of_request};
use super::payer::{Payment, unavailable};
use super::site::{Site, until};

const NEVER: prost_types::Duration = prost_types::Duration { seconds: 3_600, nanos: 0 };

/// A fault of the next call of this kind.
fn next(call: CardNetworkCall, what: What) -> CardNetworkFault {
    CardNetworkFault { calls: vec![call.into()], times: 1, what: Some(what), ..Default::default() }
}

struct Stage {
    site: Site,
    network: Process,
    acquirer: Process,
    payments: Vec<Payment>,
}

impl Stage {
    /// Pays over this amount while the network fails like this.
    async fn pay(&mut self, amount: i64, faults: Vec<CardNetworkFault>) {
        self.site.fail(faults).await;
        let payment = self.site.pay(amount, Behaviour::Approve).await;
        self.payments.push(payment);
    }

    async fn kill_acquirer(&mut self) {
        self.acquirer.kill().unwrap();
    }

    async fn network_dies(&mut self) {
        Site::dead(&mut self.network).await;
    }

    async fn start_network(&mut self) {
        self.network = self.site.start_network().await;
    }

    async fn start_acquirer(&mut self) {
        self.acquirer = self.site.start_acquirer().await;
    }

    async fn last_ends(&mut self, decision: Option<Decision>, state: CardNetworkState) {
        let payment = self.payments.last_mut().unwrap();
        let amount = payment.amount;
        let found = self.site.result(payment).await;
        assert_eq!(Some(found).filter(|one| !one.is_approved()), decision, "{amount}");
        until("the network's word", async || {
            self.site.entry(payment).await.is_some_and(|entry| entry.state() == state)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whatever_step_both_books_agree() {
    use CardNetworkCall::{Authorize, Inquire, Reverse};
    use CardNetworkFailure::{DiesAfter, DiesBefore, Lost, Silent};
    use CardNetworkState::{Approved, Reversed};

    let site = Site::new(false);
    let (network, acquirer) = (site.start_network().await, site.start_acquirer().await);
    let mut stage = Stage { site, network, acquirer, payments: Vec::new() };

    // The network dies with the request in its hands, before it has done anything and after.
    stage.pay(201, vec![of_request(201, failure(DiesBefore))]).await;
    stage.network_dies().await;
    stage.start_network().await;
    stage.last_ends(Some(unavailable()), Reversed).await;
    stage.pay(202, vec![of_request(202, failure(DiesAfter))]).await;
    stage.network_dies().await;
    let payment = stage.payments.last_mut().unwrap();
    assert_eq!(stage.site.result(payment).await, unavailable(), "nobody can tell, so it is declined");
    // And the acquirer before it could send the reversal.
    stage.kill_acquirer().await;
    stage.start_network().await;
    stage.start_acquirer().await;
    stage.last_ends(Some(unavailable()), Reversed).await;

    // The acquirer is killed while the network has decided and not answered: the next one asks.
    stage.pay(203, vec![next(Authorize, What::AnswersAfter(NEVER))]).await;
    stage.site.faults_met().await;
    until("the decision", async || stage.site.entry(stage.payments.last().unwrap()).await.is_some()).await;
    stage.kill_acquirer().await;
    stage.start_acquirer().await;
    stage.last_ends(None, Approved).await;

    // It is killed while its request is lost.
    stage.pay(204, vec![next(Authorize, failure(Lost))]).await;
    stage.site.faults_met().await;
    stage.kill_acquirer().await;
    stage.start_acquirer().await;
    stage.last_ends(Some(unavailable()), Reversed).await;

    // The network dies after it has taken the reversal and before it has acknowledged it.
    stage.pay(205, vec![next(Authorize, failure(Lost)), next(Reverse, failure(DiesAfter))]).await;
    stage.network_dies().await;
    stage.start_network().await;
    stage.last_ends(Some(unavailable()), Reversed).await;
    until("the acknowledgement", async || {
        stage.site.entry(stage.payments.last().unwrap()).await.is_some_and(|entry| entry.reversals >= 2)
    })
    .await;

    // The acquirer is killed while it inquires.
    let silent = vec![next(Authorize, failure(Silent)), next(Inquire, failure(Silent))];
    stage.pay(206, silent).await;
    stage.site.faults_met().await;
    stage.kill_acquirer().await;
    stage.start_acquirer().await;
    stage.last_ends(None, Approved).await;

    // It is killed while it reverses.
    stage.pay(207, vec![next(Authorize, failure(Lost)), next(Reverse, failure(Silent))]).await;
    stage.site.faults_met().await;
    stage.kill_acquirer().await;
    stage.start_acquirer().await;
    stage.last_ends(Some(unavailable()), Reversed).await;

    let Stage { site, mut payments, .. } = stage;
    site.reconcile(&mut payments).await;
}
