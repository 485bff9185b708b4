//! A real platform and a real acquirer, with members on all sides that a test plays: their certificates and
//! keys are genuine, and what they do with them is up to the test.

use std::{collections::BTreeMap, sync::Mutex, time::SystemTime};

use crate::{
    bank::{self, Bank},
    customers::{Card, Customer},
    network::{Network, OPERATOR, twd},
    roles::{self, PLATFORM, TICKET_SECRET},
    running::{Bound, Running},
    shop::Shop,
};
use acquirer::config::AcquirerConfig;
use bytes::Bytes;
use mesh::{channel::MeshChannel, identity::Role};
use platform::{
    config::PlatformConfig,
    ticket::{TicketKey, TicketKeys},
};
use prost::Message as _;
use proto::{
    authorization::Request,
    digest::Digest,
    directory::{Entry, MemberStatus},
    ids::AuthorizationId,
    order::SignedOrder,
    pb,
};
use tokio::net::TcpListener;
use tonic::Status;

use super::mirror;

/// The real acquirer.
pub(crate) const HARBOR: &str = "acq-harbor";
/// An acquirer that a test plays: it answers for another authorization.
pub(crate) const MIRROR: &str = "acq-mirror";
/// An acquirer that is suspended.
pub(crate) const CLOSED: &str = "acq-closed";

pub(crate) const AURORA: &str = "bank-aurora";
pub(crate) const BOREALIS: &str = "bank-borealis";
/// A bank that is suspended from the beginning.
pub(crate) const STERLING: &str = "bank-sterling";
/// A bank with genuine certificates that has no entry.
pub(crate) const STRANGER: &str = "bank-stranger";
/// A bank that may start one authorization per second, of a dollar at most.
pub(crate) const SLOW: &str = "bank-slow";

/// What an order is over, in minor units.
pub(crate) const PRICE: i64 = 129_900;

/// The most that the acquirer lets a bank's word alone pay, in minor units.
pub(crate) const EASY_MAX: i64 = 1_000_000;

const AURORA_BIN: u32 = 40_000_000;
const BOREALIS_BIN: u32 = 52_000_000;

/// Everybody.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) platform: Running,
    pub(crate) hub: std::net::SocketAddr,
    pub(crate) devices: std::net::SocketAddr,
    pub(crate) acquirer: Running,
    pub(crate) harbor: std::net::SocketAddr,
    pub(crate) shop: Shop,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) tickets: TicketKeys,
    /// Authorizations of which the acquirer must know nothing in the end.
    pub(crate) refused: Mutex<Vec<(String, String)>>,
    /// Authorizations that the shop must have heard of in the end, and how each ended.
    pub(crate) heard: Mutex<Vec<(String, String)>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let network = Network::new();
        network.write("platform.toml", roles::platform(&network));
        let platform = Bound::<PlatformConfig>::new(&network.path("platform.toml")).await;
        let (hub, devices) = (platform.address("listen.members"), platform.address("listen.devices"));
        let text = roles::acquirer(&network, HARBOR) + &roles::membership(HARBOR, hub) + &authentication();
        network.write("acquirer.toml", text);
        let acquirer = Bound::<AcquirerConfig>::new(&network.path("acquirer.toml")).await;
        let harbor = acquirer.address("listen.members");
        let mirror = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entries = entries(&network, harbor, mirror.local_addr().unwrap());
        network.join(Role::Issuer, STRANGER);
        network.write("directory.binpb", network.directory_file(&entries));
        mirror::serve(&network, mirror);
        let shop = Shop::join(&network, HARBOR, harbor);
        Self {
            platform: platform.run(platform::run),
            acquirer: acquirer.run(acquirer::run),
            entries: entries.into_iter().map(|entry| (entry.member.to_string(), entry)).collect(),
            tickets: TicketKeys::new(TicketKey::new(1, &TICKET_SECRET), None),
            refused: Mutex::default(),
            heard: Mutex::default(),
            network,
            hub,
            devices,
            harbor,
            shop,
        }
    }

    /// A party's connection to the platform.
    pub(crate) fn to_hub(&self, role: Role, id: &str) -> MeshChannel {
        self.network.channel((role, id), (Role::Platform, PLATFORM), self.hub)
    }

    /// An issuer's connection to the acquirer, past the platform.
    pub(crate) fn to_harbor(&self, role: Role, id: &str) -> MeshChannel {
        self.network.channel((role, id), (Role::Acquirer, HARBOR), self.harbor)
    }

    /// The operator's connection to the platform.
    pub(crate) fn operator(&self) -> MeshChannel {
        self.to_hub(Role::Operator, OPERATOR)
    }

    pub(crate) fn bank(&self, id: &'static str) -> Bank {
        Bank { id, signer: self.network.signer(Role::Issuer, id) }
    }

    /// The platform's genuine ticket.
    pub(crate) fn ticket(&self, bank: &str, order: &Digest) -> Bytes {
        self.tickets.issue(&bank.parse().unwrap(), order, SystemTime::now() + std::time::Duration::from_secs(600))
    }

    /// An honest request of a bank's with a good card of its own.
    pub(crate) fn request(&self, bank: &Bank, order: &SignedOrder) -> Request {
        bank.request(order, &card(bank.id))
    }

    /// A request as it travels, with a genuine ticket.
    pub(crate) fn message(&self, bank: &Bank, request: &Request) -> pb::AuthorizeRequest {
        bank.message(request, self.ticket(bank.id, &request.order.digest))
    }

    /// Sends a request, and returns the decision in a word. Notes whose result is to leave no trace.
    pub(crate) async fn send(&self, by: &MeshChannel, message: pb::AuthorizeRequest) -> Result<String, Status> {
        let route = message.route.clone().unwrap();
        match bank::authorize(by, message).await {
            Ok(answer) => Ok(decision(&answer.result.unwrap())),
            Err(status) => {
                let ids = (route.issuer_id, route.authorization_id);
                self.refused.lock().unwrap().push(ids);
                Err(status)
            }
        }
    }

    /// Asks what became of a request, and returns the decision in a word.
    pub(crate) async fn ask(
        &self,
        by: &MeshChannel,
        question: pb::ResolveAuthorizationRequest,
    ) -> Result<String, Status> {
        use pb::resolve_authorization_response::Outcome;

        match bank::resolve(by, question).await?.outcome.unwrap() {
            Outcome::Result(result) => Ok(decision(&result)),
            Outcome::Pending(_) => Ok("PENDING".into()),
        }
    }

    /// Notes that the shop hears of this authorization.
    pub(crate) fn is_heard(&self, authorization: &AuthorizationId, decision: &str) {
        self.heard.lock().unwrap().push((authorization.to_string(), decision.to_owned()));
    }

    /// The numbers that tell what the platform has done with requests.
    pub(crate) fn numbers(&self) -> BTreeMap<String, u64> {
        let text = self.platform.metrics.exposition();
        let of_requests =
            |line: &&str| line.starts_with("bankside_relay_") || line.starts_with("bankside_requests_refused_total");
        let parse = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        text.lines().filter(of_requests).map(parse).collect()
    }
}

/// Above an amount the acquirer demands two kinds of proof and a consent.
fn authentication() -> String {
    format!(
        "[[authentication.rules]]\namount_up_to = [{{ currency = \"TWD\", minor_units = {EASY_MAX} }}]\n\
         [[authentication.rules]]\nkinds = 2\nconsent = true\n"
    )
}

/// A bank's card that the card network approves.
pub(crate) fn card(bank: &str) -> proto::card::CardData {
    let bin = if bank == BOREALIS { BOREALIS_BIN } else { AURORA_BIN };
    Customer { number: 1, bin }.card(Card::Good)
}

/// A result's decision in a word.
pub(crate) fn decision(result: &pb::Signed) -> String {
    let says = pb::AuthorizationResult::decode(result.body.clone()).unwrap();
    match says.decision() {
        pb::Decision::Approved => "APPROVED".into(),
        pb::Decision::Declined => says.decline_reason().as_str_name().trim_start_matches("DECLINE_REASON_").into(),
        pb::Decision::Unspecified => panic!("a result without a decision"),
    }
}

fn entries(network: &Network, harbor: std::net::SocketAddr, mirror: std::net::SocketAddr) -> Vec<Entry> {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    for id in [AURORA, BOREALIS, STERLING, SLOW] {
        network.join(Role::Issuer, id);
    }
    for id in [MIRROR, CLOSED] {
        network.join(Role::Acquirer, id);
    }
    let mut slow = network.issuer_entry(SLOW, nowhere, &[(35_301_100, 35_301_199)]);
    slow.limits.authorizations_per_second = 1;
    slow.limits.amount_max = vec![twd(100)];
    let suspended = |entry: Entry| Entry { status: MemberStatus::Suspended, ..entry };
    vec![
        network.acquirer_entry(HARBOR, harbor),
        network.acquirer_entry(MIRROR, mirror),
        suspended(network.acquirer_entry(CLOSED, nowhere)),
        network.issuer_entry(AURORA, nowhere, &[(AURORA_BIN, AURORA_BIN + 99)]),
        network.issuer_entry(BOREALIS, nowhere, &[(BOREALIS_BIN, BOREALIS_BIN + 99)]),
        suspended(network.issuer_entry(STERLING, nowhere, &[(60_110_000, 60_110_099)])),
        slow,
    ]
}
