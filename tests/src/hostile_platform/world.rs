//! A real acquirer, two real issuers, a shop and its customers' devices, with the hostile platform between
//! them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::{
    app::App,
    customers::{self, Card, Customer},
    network::{Network, certificate, domain},
    roles::{self, PLATFORM},
    running::{Bound, Running},
    shop::Shop,
};
use acquirer::config::AcquirerConfig;
use bytes::Bytes;
use issuer::config::IssuerConfig;
use mesh::{directory::Directory, identity::Role, signing::Signer};
use proto::{directory::Entry, order::SignedOrder, pb};
use tokio::net::TcpListener;
use tonic::Status;

use super::{
    book::Book,
    loot::Loot,
    messages::{Answered, Asked},
    server::{Hostile, Serving, Trick},
};

pub(crate) const ACQUIRER: &str = "acquirer-one";
pub(crate) const AURORA: &str = "bank-aurora";
pub(crate) const BOREALIS: &str = "bank-borealis";
/// The acquirer and the two issuers.
pub(crate) const FOLLOWERS: u32 = 3;
/// Customers of each bank. Each of them has one charge under way at a time, so that the funds can be
/// compared before and after it.
pub(crate) const CUSTOMERS: u32 = 6;
/// What an order is over, in minor units.
pub(crate) const PRICE: i64 = 129_900;

const AURORA_BIN: u32 = 40_000_000;
const BOREALIS_BIN: u32 = 52_000_000;

/// Everybody.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) shop: Shop,
    pub(crate) aurora: Issuer,
    pub(crate) borealis: Issuer,
    pub(crate) acquirer: Running,
    /// The acquirer's entry in the directory, and the one before it.
    pub(crate) entries: [Entry; 2],
    pub(crate) ledger: Mutex<Vec<Paid>>,
    pub(crate) serving: Serving,
}

/// A bank and its app.
pub(crate) struct Issuer {
    pub(crate) id: &'static str,
    pub(crate) bin: u32,
    pub(crate) app: App,
    pub(crate) running: Running,
}

/// A charge that was submitted and has ended.
#[derive(Clone, Debug)]
pub(crate) struct Paid {
    pub(crate) issuer: &'static str,
    pub(crate) customer: u32,
    pub(crate) order: SignedOrder,
    pub(crate) charge: pb::Charge,
}

impl Issuer {
    pub(crate) fn customer(&self, number: u32) -> Customer {
        Customer { number, bin: self.bin }
    }

    /// How many results it has not believed.
    pub(crate) fn disbelieved(&self) -> u64 {
        self.running.number("bankside_issuer_results_untrusted_total")
    }
}

impl World {
    pub(crate) async fn new() -> Arc<Self> {
        let network = Network::new();
        let _ = roles::platform(&network);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let platform = listener.local_addr().unwrap();
        let text = roles::acquirer(&network, ACQUIRER);
        network.write("acquirer.toml", text + &roles::membership(ACQUIRER, platform));
        let acquirer = Bound::<AcquirerConfig>::new(&network.path("acquirer.toml")).await;
        let acquirer_at = acquirer.address("listen.members");
        let aurora = bind_issuer(&network, AURORA, platform).await;
        let borealis = bind_issuer(&network, BOREALIS, platform).await;

        let retired = network.signer(Role::Acquirer, ACQUIRER);
        let former = network.acquirer_entry(ACQUIRER, acquirer_at);
        let current = with_key(&former, &network.renew_signer(Role::Acquirer, ACQUIRER));
        let entries = [
            current.clone(),
            network.issuer_entry(AURORA, aurora.address("listen.devices"), &[(AURORA_BIN, AURORA_BIN + 99)]),
            network.issuer_entry(BOREALIS, borealis.address("listen.devices"), &[(BOREALIS_BIN, BOREALIS_BIN + 99)]),
        ];
        let file = network.directory_file(&entries);
        network.write("directory.binpb", &file);
        let digest = Directory::from_file(&file, &network.trust(), &domain()).unwrap().digest().to_bytes();
        let signed = entries.iter().map(|entry| network.signed_entry(entry)).collect();
        let book = Book::new(signed, digest, network.operator(), network.signer(Role::Platform, PLATFORM));
        let loot = Loot::new(&network, ACQUIRER, AURORA, retired);
        let serving = Hostile::serve(&network, listener, (ACQUIRER, acquirer_at), loot, book);

        let shop = Shop::join(&network, ACQUIRER, acquirer_at);
        let acquirer = acquirer.run(acquirer::run);
        let aurora = run_issuer(&network, AURORA, AURORA_BIN, aurora).await;
        let borealis = run_issuer(&network, BOREALIS, BOREALIS_BIN, borealis).await;
        let (entries, ledger) = ([current, former], Mutex::default());
        Arc::new(Self { network, shop, aurora, borealis, acquirer, entries, ledger, serving })
    }

    pub(crate) fn hostile(&self) -> &Hostile {
        &self.serving.hostile
    }

    /// A charge that nobody attacks, remembered by the platform.
    pub(crate) async fn pay(&self, issuer: &Issuer, customer: u32, card: Card) -> (Asked, Answered) {
        let order = self.shop.place(PRICE).await;
        let recorder = Arc::new(Recorder::default());
        self.hostile().attack(order.digest.to_bytes(), recorder.clone());
        let session = issuer.app.sign_in(&issuer.customer(customer), &order.signed.to_pb()).await.unwrap();
        let charge = session.pay(card, ticket()).await.unwrap();
        self.enter(issuer, customer, &order, charge.end().await);
        recorder.taken()
    }

    /// Notes a charge that has ended.
    pub(crate) fn enter(&self, issuer: &Issuer, customer: u32, order: &SignedOrder, charge: pb::Charge) {
        let paid = Paid { issuer: issuer.id, customer, order: order.clone(), charge };
        self.ledger.lock().unwrap().push(paid);
    }
}

/// Does what an honest platform does, and keeps the first request and its answer.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Option<(Asked, Answered)>>);

impl Recorder {
    pub(crate) fn taken(&self) -> (Asked, Answered) {
        self.0.lock().unwrap().clone().expect("a request has come by")
    }
}

#[tonic::async_trait]
impl Trick for Recorder {
    async fn relay(&self, hostile: &Hostile, asked: Asked) -> Result<Answered, Status> {
        let answered = hostile.forward(&asked).await?;
        self.0.lock().unwrap().get_or_insert((asked, answered.clone()));
        Ok(answered)
    }
}

/// The hostile platform looks at no ticket.
pub(crate) fn ticket() -> Bytes {
    Bytes::from_static(b"a ticket of the hostile platform's")
}

fn with_key(entry: &Entry, signer: &Signer) -> Entry {
    Entry { version: entry.version + 1, signing_certificates: vec![certificate(signer)], ..entry.clone() }
}

async fn bind_issuer(network: &Network, id: &str, platform: SocketAddr) -> Bound<IssuerConfig> {
    let text = roles::issuer(network, id);
    // The customers are loaded before there is a copy of the platform's directory.
    network.write(&format!("{id}.import.toml"), text.clone() + roles::direct());
    network.write(&format!("{id}.toml"), text + &roles::membership(id, platform));
    Bound::new(&network.path(format!("{id}.toml"))).await
}

async fn run_issuer(network: &Network, id: &'static str, bin: u32, bound: Bound<IssuerConfig>) -> Issuer {
    let people: Vec<_> = (0..CUSTOMERS).map(|number| Customer { number, bin }).collect();
    customers::import(network, &format!("{id}.import.toml"), &people).await;
    let app = App::new(network, bound.address("listen.devices"));
    Issuer { id, bin, app, running: bound.run(issuer::run) }
}
