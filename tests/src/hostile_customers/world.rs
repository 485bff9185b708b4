//! A real acquirer, a shop, and real banks with customers who have everything that one can sign in with.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use acquirer::config::AcquirerConfig;
use bytes::Bytes;
use issuer::config::IssuerConfig;
use proto::{authorization::Factor, order::SignedOrder, pb};
use tonic::Status;

use super::{
    holder::{Holder, Session},
    wire::Wire,
};
use crate::{
    app::is_final,
    attacks::{Attack, in_a_word},
    books,
    customers::{self, Customer, FUNDS},
    leap::LeapClock,
    network::Network,
    roles,
    running::{Bound, Running},
    shop::Shop,
    wait::soon,
};

const ACQUIRER: &str = "acquirer-one";
/// What an order is over, in minor units.
pub(crate) const PRICE: i64 = 129_900;
/// The number of one more customer of each bank's, who has an activation code and has not used it.
pub(crate) const CODES_UNUSED: u32 = 50;
/// The banks, and the first of each one's ten BINs, all of which the simulated card network knows.
const BANKS: [(&str, u32); 7] = [
    ("bank-aurora", 40_000_000),
    ("bank-borealis", 40_000_010),
    ("bank-cinder", 40_000_020),
    ("bank-dune", 40_000_030),
    ("bank-estuary", 40_000_040),
    ("bank-fjord", 40_000_050),
    ("bank-garrison", 40_000_060),
];

/// Whom the banks have in common.
pub(crate) struct Site {
    pub(crate) network: Network,
    pub(crate) shop: Shop,
    acquirer: Running,
}

/// A bank that runs, and its customers.
pub(crate) struct Bank {
    pub(crate) site: Arc<Site>,
    pub(crate) id: &'static str,
    pub(crate) bin: u32,
    at: SocketAddr,
    pub(crate) clock: Arc<LeapClock>,
    pub(crate) holders: Vec<Holder>,
    /// A session of each customer's, by which is looked at what the customer has.
    watching: Mutex<Vec<Bytes>>,
    /// There at all times but in the middle of a restart.
    running: Option<Running>,
    spent: Mutex<BTreeMap<u32, i64>>,
}

/// What a customer has at a bank.
#[derive(Debug, PartialEq)]
struct Belongings {
    /// What the account has left and what was honestly paid from it, in minor units.
    funds: i64,
    devices: Vec<pb::BoundDevice>,
    passkeys: Vec<pb::Passkey>,
}

impl Site {
    pub(crate) async fn new() -> Arc<Self> {
        let network = Network::new();
        network.write("acquirer.toml", roles::acquirer(&network, ACQUIRER) + roles::direct());
        let acquirer = Bound::<AcquirerConfig>::new(&network.path("acquirer.toml")).await;
        let at = acquirer.address("listen.members");
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let mut entries = vec![network.acquirer_entry(ACQUIRER, at)];
        for (id, bin) in BANKS {
            network.write(&format!("{id}.base.toml"), roles::issuer_without_policy(&network, id) + roles::direct());
            entries.push(network.issuer_entry(id, nowhere, &[(bin, bin + 9)]));
        }
        network.write("directory.binpb", network.directory_file(&entries));
        let shop = Shop::join(&network, ACQUIRER, at);
        Arc::new(Self { network, shop, acquirer: acquirer.run(acquirer::run) })
    }

    /// Stops everybody. The acquirer has nothing under way.
    pub(crate) async fn close(self) {
        let Self { network, shop, acquirer } = self;
        drop(shop);
        acquirer.stop().await;
        let store = books::open(&network.path(format!("{ACQUIRER}-data")), &format!("acquirer/{ACQUIRER}"));
        books::is_empty(&store, acquirer::records::ATTEMPTS_DECIDING, "authorizations under way").await;
        books::is_empty(&store, acquirer::records::REVERSALS_DUE, "reversals").await;
        store.close().await;
    }
}

impl Bank {
    /// Opens the bank of this number with these tables in its configuration, and so many customers.
    pub(crate) async fn open(site: &Arc<Site>, bank: usize, tables: &str, customers: u32) -> Self {
        let (id, bin) = BANKS[bank];
        let network = &site.network;
        let base = std::fs::read_to_string(network.path(format!("{id}.base.toml"))).unwrap();
        let config = format!("{id}.toml");
        network.write(&config, base + tables);
        let people: Vec<_> = (0..customers).map(|number| Customer { number, bin }).collect();
        let unused = Customer { number: CODES_UNUSED, bin };
        customers::import(network, &config, &people.iter().cloned().chain([unused]).collect::<Vec<_>>()).await;
        let bound = Bound::<IssuerConfig>::new(&network.path(&config)).await;
        let at = bound.address("listen.devices");
        let clock = Arc::new(LeapClock::new());
        let running = bound.run_by(clock.clone(), issuer::run);
        let mut holders = Vec::new();
        let mut watching = Vec::new();
        for customer in people {
            let holder = Holder::new(customer, Wire::new(network, at)).await;
            watching.push(holder.sign_in(None, &[Factor::Passkey]).await.token);
            holders.push(holder);
        }
        Self {
            site: Arc::clone(site),
            id,
            bin,
            at,
            clock,
            holders,
            watching: Mutex::new(watching),
            running: Some(running),
            spent: Mutex::default(),
        }
    }

    /// A connection of its own.
    pub(crate) fn another_wire(&self) -> Wire {
        Wire::new(&self.site.network, self.at)
    }

    pub(crate) async fn order(&self) -> SignedOrder {
        self.site.shop.place(PRICE).await
    }

    /// An attack on this bank, which must leave everything that its customers have as it is.
    pub(crate) fn attack<'a>(
        &'a self,
        what: impl Into<String>,
        expected: impl Into<String>,
        act: impl Future<Output = Result<String, Status>> + Send + 'a,
    ) -> Attack<'a> {
        Attack::new(what, expected, async move {
            let before = self.belongings().await;
            let got = in_a_word(act.await);
            assert_eq!(self.belongings().await, before, "{got}, but something has changed");
            got
        })
    }

    /// An honest act.
    pub(crate) fn control<'a>(
        &'a self,
        what: impl Into<String>,
        expected: impl Into<String>,
        act: impl Future<Output = Result<String, Status>> + Send + 'a,
    ) -> Attack<'a> {
        Attack::control(what, expected, async move { in_a_word(act.await) })
    }

    async fn belongings(&self) -> Vec<Belongings> {
        let mut all = Vec::new();
        for (place, holder) in self.holders.iter().enumerate() {
            let (session_token, cards) = self.watched(place, holder).await;
            let request = pb::ListCredentialsRequest { session_token, session_use: None };
            let mut listed = holder.wire.credentials(request).await.unwrap();
            // A proof that is right and leads nowhere is a use all the same.
            listed.devices.iter_mut().for_each(|device| device.used_at = None);
            listed.passkeys.iter_mut().for_each(|passkey| passkey.used_at = None);
            let spent = self.spent.lock().unwrap().get(&holder.customer.number).copied().unwrap_or_default();
            all.push(Belongings {
                funds: cards[0].available.as_ref().unwrap().minor_units + spent,
                devices: listed.devices,
                passkeys: listed.passkeys,
            });
        }
        all
    }

    /// A customer's cards, by a session which is renewed where time has ended it.
    async fn watched(&self, place: usize, holder: &Holder) -> (Bytes, Vec<pb::CardOption>) {
        let session_token = self.watching.lock().unwrap()[place].clone();
        let request = pb::ListCardOptionsRequest { session_token: session_token.clone(), session_use: None };
        if let Ok(cards) = holder.wire.options(request).await {
            return (session_token, cards);
        }
        let session = holder.sign_in(None, &[Factor::Passkey]).await;
        self.watching.lock().unwrap()[place] = session.token.clone();
        (session.token.clone(), session.options().await)
    }

    /// Submits a charge that is right, waits for its end, and tells it in a word.
    pub(crate) async fn pays(&self, session: &Session<'_>, request: pb::SubmitChargeRequest) -> Result<String, Status> {
        let charge_id = request.charge_id.clone();
        session.holder.wire.submit(request).await?;
        Ok(self.ends(session, &charge_id).await)
    }

    /// Waits for the end of a charge that was taken, and enters it.
    pub(crate) async fn ends(&self, session: &Session<'_>, charge_id: &str) -> String {
        let end = async {
            loop {
                let charge = session.look(charge_id).await;
                if is_final(charge.state()) {
                    return charge;
                }
                tokio::task::yield_now().await;
            }
        };
        let charge = soon("the charge's end", end).await;
        if charge.state() == pb::ChargeState::Approved {
            let amount = charge.amount.as_ref().unwrap().minor_units;
            *self.spent.lock().unwrap().entry(session.holder.customer.number).or_default() += amount;
        }
        charge.state().as_str_name().trim_start_matches("CHARGE_STATE_").into()
    }

    /// The order is as its shop made it.
    pub(crate) async fn is_untouched(&self, order: &SignedOrder) {
        let found = self.site.shop.look(order).await;
        assert_eq!((found.state(), found.attempts, found.last_authorization), (pb::OrderState::Open, 0, None));
    }

    /// Stops the bank, and starts it again. Returns how many tries of the first customer's password it has
    /// refused under the lock.
    pub(crate) async fn restart(&mut self) -> u32 {
        let network = &self.site.network;
        let bound = Bound::<IssuerConfig>::new(&network.path(format!("{}.toml", self.id))).await;
        self.at = bound.address("listen.devices");
        self.running.take().unwrap().stop().await;
        let refused = books::tries_refused(network, self.id, 0).await;
        self.running = Some(bound.run_by(self.clock.clone(), issuer::run));
        for holder in &mut self.holders {
            holder.wire = Wire::new(network, self.at);
        }
        refused
    }

    /// Stops the bank, and compares its books with what was paid.
    pub(crate) async fn close(mut self) {
        self.running.take().unwrap().stop().await;
        let spent = self.spent.into_inner().unwrap();
        let customers = u32::try_from(self.holders.len()).unwrap();
        let of = |number: u32| spent.get(&number).copied().unwrap_or_default();
        assert!(spent.values().all(|spent| *spent < FUNDS), "nobody runs out of funds");
        books::check_accounts(&self.site.network, self.id, customers, of).await;
    }
}
