//! The whole process by way of a platform: tickets, suspension, and where the directory comes from while
//! the platform is there and while it is away.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use bytes::Bytes;
use issuer::client::{AuthorizationClient as _, RelayedClient, Unanswered};
use mesh::{
    channel::{MeshChannel, device_channel},
    config::{MembershipConfig, Period},
    identity::Role,
    signing::Signer,
    status::reason_of,
};
use proto::{
    ids::ChargeId,
    pb::{self, card_selection_client::CardSelectionClient, issuer_auth_client::IssuerAuthClient},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    acquirer::{Acquirer, Manner, listen},
    direct_client::call,
    hub::Hub,
    pki::{Pki, write_secret},
    role::{CONFIG, Running, import, order, sign_in, start},
};

/// The issuer's files, and the keys of those around it.
struct Site {
    pki: Pki,
    issuer: Signer,
    acquirer: Signer,
    hub: Signer,
    directory: Vec<u8>,
}

/// A hub that answers.
struct Open {
    relay: Acquirer,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Site {
    fn new() -> Self {
        let pki = Pki::new();
        let issuer = pki.member(Role::Issuer, "bank-aurora");
        let acquirer = pki.member(Role::Acquirer, "bank-borealis");
        let hub = pki.member(Role::Platform, "hub");
        // Nothing listens at the acquirer's own address: whatever arrives came by way of the platform.
        let directory = pki.directory(&issuer, &acquirer, "127.0.0.1:9".parse().unwrap());
        std::fs::write(pki.path("directory.binpb"), &directory).unwrap();
        write_secret(&pki.path("kek"), &format!("1:{}\n", "7f".repeat(32)));
        Self { pki, issuer, acquirer, hub, directory }
    }

    fn configure(&self, listener: &TcpListener, with_file: bool, wait: &str) {
        let file = "directory.file = \"directory.binpb\"\n";
        let text = if with_file { CONFIG.to_owned() } else { CONFIG.replace(file, "") };
        let address = listener.local_addr().unwrap();
        let platform = format!(
            "[platform]\nid = \"hub\"\nendpoint = \"https://{address}\"\ndirectory_copy = \"copies/directory\"\n\
             first_directory_wait = \"{wait}\"\n"
        );
        std::fs::write(self.config(), text + &platform).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.pki.path("issuer.toml")
    }

    fn copy(&self) -> PathBuf {
        self.pki.path("copies/directory")
    }

    /// Opens the hub here, with a relay that does this.
    fn open(&self, listener: TcpListener, manner: Manner) -> Open {
        let relay = Acquirer::new(self.acquirer.clone(), manner);
        let hub = Hub::new(&self.pki, self.hub.clone(), &self.directory);
        let stop = CancellationToken::new();
        let serving = hub.serve(relay.clone(), listener, self.pki.identity("hub"), stop.clone());
        Open { relay, stop, serving: tokio::spawn(serving) }
    }

    /// Customers are imported, and the issuer runs by way of a hub whose relay does this.
    async fn running(manner: Manner) -> (Self, Open, Running) {
        let site = Self::new();
        let (listener, _) = listen().await;
        site.configure(&listener, true, "30s");
        assert_eq!(import(&site.config()).await, success());
        let hub = site.open(listener, manner);
        let running = start(&site.pki).await;
        (site, hub, running)
    }

    fn device(&self, running: &Running) -> MeshChannel {
        device_channel(&running.address, &self.pki.path("ca/ca.pem")).unwrap()
    }
}

impl Open {
    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

fn success() -> String {
    format!("{:?}", ExitCode::SUCCESS)
}

/// A customer who is signed in for an order, with a card to pay it.
struct Customer {
    cards: CardSelectionClient<MeshChannel>,
    token: Bytes,
    order: pb::Signed,
    card: String,
}

impl Customer {
    async fn new(site: &Site, running: &Running) -> Self {
        let device = site.device(running);
        let order = order(&site.acquirer);
        until_fresh(&device, &order).await;
        let token = sign_in(&device, order.clone()).await;
        let mut customer = Self { cards: CardSelectionClient::new(device), token, order, card: String::new() };
        customer.card = customer.option().await.card_option_id;
        customer
    }

    async fn option(&mut self) -> pb::CardOption {
        let request = pb::ListCardOptionsRequest { session_token: self.token.clone(), ..Default::default() };
        let options = self.cards.list_card_options(request).await.unwrap().into_inner().card_options;
        options.into_iter().find(|option| option.label == "Everyday Credit").unwrap()
    }

    async fn available(&mut self) -> i64 {
        self.option().await.available.unwrap().minor_units
    }

    async fn submit(&mut self, ticket: &[u8]) -> Result<pb::Charge, tonic::Status> {
        let request = pb::SubmitChargeRequest {
            session_token: self.token.clone(),
            charge_id: charge_id(),
            order: Some(self.order.clone()),
            card_option_id: self.card.clone(),
            ticket: Bytes::copy_from_slice(ticket),
            ..Default::default()
        };
        Ok(self.cards.submit_charge(request).await?.into_inner().charge.unwrap())
    }

    /// Follows the charge until it is in this state, or final.
    async fn until(&mut self, state: pb::ChargeState) -> pb::Charge {
        let request =
            pb::WatchChargeRequest { session_token: self.token.clone(), charge_id: charge_id(), ..Default::default() };
        let mut stream = self.cards.watch_charge(request).await.unwrap().into_inner();
        let mut last = pb::Charge::default();
        while last.state() != state
            && let Some(change) = stream.message().await.unwrap()
        {
            last = change.charge.unwrap();
        }
        last
    }
}

fn charge_id() -> String {
    ChargeId::from_random([1; 16]).to_string()
}

/// Waits until the platform has vouched for the directory, which the issuer may have begun with a file.
async fn until_fresh(device: &MeshChannel, order: &pb::Signed) {
    let fresh = async {
        while begin(device, order).await == Err("DIRECTORY_STALE".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), fresh).await.expect("a fresh directory in time");
}

/// Begins a sign-in for an order; the reason where that is refused.
async fn begin(device: &MeshChannel, order: &pb::Signed) -> Result<(), String> {
    let request = pb::StartAuthenticationRequest { order: Some(order.clone()), ..Default::default() };
    let started = IssuerAuthClient::new(device.clone()).start_authentication(request).await;
    started.map(|_| ()).map_err(|status| reason_of(&status).unwrap_or_else(|| format!("{status:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_goes_by_way_of_the_platform_with_its_ticket() {
    let (site, hub, running) = Site::running(Manner::Approve).await;
    let mut customer = Customer::new(&site, &running).await;
    let refused = customer.submit(b"").await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("TICKET_MISSING"));
    let before = customer.available().await;

    let ticket: Vec<u8> = (0..=255).collect();
    customer.submit(&ticket).await.unwrap();
    let paid = customer.until(pb::ChargeState::Approved).await;
    assert_eq!(paid.approval_code, "A1B2C3");
    assert_eq!(customer.available().await, before - 129_900, "the refused try held nothing");
    let [request] = hub.relay.requests.lock().unwrap().clone().try_into().unwrap();
    assert_eq!(request.route.unwrap().ticket, ticket, "byte for byte");
    assert_eq!(*hub.relay.callers.lock().unwrap(), ["spiffe://bankside.example/issuer/bank-aurora"]);
    running.stop().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_issuer_still_learns_what_became_of_its_charge() {
    let (site, hub, running) = Site::running(Manner::OnlyQuestions).await;
    let mut customer = Customer::new(&site, &running).await;
    let before = customer.available().await;
    customer.submit(b"ticket").await.unwrap();
    let ended = customer.until(pb::ChargeState::Declined).await;
    assert_eq!(ended.decline_reason(), pb::DeclineReason::NeverReceived);
    assert_eq!(customer.available().await, before, "the hold is released");
    running.stop().await;
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_directory_starts_nothing_and_questions_go_on() {
    let (site, hub, running) = Site::running(Manner::Refuse).await;
    let mut customer = Customer::new(&site, &running).await;
    customer.submit(b"ticket").await.unwrap();
    customer.until(pb::ChargeState::Unknown).await;
    running.stop().await;
    hub.close().await;

    // Only the operator's file is left, for which no platform vouches; the relay takes questions.
    std::fs::remove_file(site.copy()).unwrap();
    let (listener, _) = listen().await;
    site.configure(&listener, true, "30s");
    let stop = CancellationToken::new();
    let relay = Acquirer::new(site.acquirer.clone(), Manner::OnlyQuestions);
    let serving = tokio::spawn(relay.serve(listener, site.pki.identity("hub"), stop.clone()));
    let running = start(&site.pki).await;
    let device = site.device(&running);
    assert_eq!(begin(&device, &order(&site.acquirer)).await, Err("DIRECTORY_STALE".to_owned()));
    customer.cards = CardSelectionClient::new(device);
    let ended = customer.until(pb::ChargeState::Declined).await;
    assert_eq!(ended.decline_reason(), pb::DeclineReason::NeverReceived);
    let again = customer.submit(b"another ticket").await.unwrap();
    assert_eq!(again, ended, "what was submitted before is answered for");
    running.stop().await;
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_directory_is_the_platforms_and_its_copy_serves_without_it() {
    let site = Site::new();
    let (listener, _) = listen().await;
    site.configure(&listener, false, "30s");
    assert_ne!(import(&site.config()).await, success(), "there is no directory to judge the cards' BINs by");
    // The issuer starts first, and waits for the platform.
    let running = start(&site.pki).await;
    let hub = site.open(listener, Manner::Approve);
    until_fresh(&site.device(&running), &order(&site.acquirer)).await;
    running.stop().await;
    hub.close().await;

    // The platform is away: the copy is what counts, for the import too.
    assert!(site.copy().exists());
    assert_eq!(import(&site.config()).await, success());
    let running = start(&site.pki).await;
    let device = site.device(&running);
    assert_eq!(begin(&device, &order(&site.acquirer)).await, Ok(()));
    running.stop().await;
}

#[tokio::test]
async fn a_start_without_any_directory_says_what_is_missing() {
    let site = Site::new();
    let (listener, address) = listen().await;
    site.configure(&listener, false, "200ms");
    let failure = start(&site.pki).await.ended.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 64);
    let text = failure.to_string();
    for named in [address.to_string().as_str(), "copies/directory", "`directory.file`", "200ms"] {
        assert!(text.contains(named), "{named}: {text}");
    }
    // A file that is named and needed must count.
    site.configure(&listener, true, "200ms");
    std::fs::write(site.pki.path("directory.binpb"), b"no directory").unwrap();
    let failure = start(&site.pki).await.ended.await.unwrap().unwrap_err();
    assert!(failure.code() == 64 && failure.to_string().contains("`directory.file`"), "{failure}");
}

#[tokio::test]
async fn another_platform_of_the_network_gets_nothing() {
    let site = Site::new();
    site.pki.member(Role::Platform, "hub-two");
    for (shown, is_ours) in [("hub-two", false), ("bank-borealis", false), ("hub", true)] {
        let (listener, address) = listen().await;
        let relay = Acquirer::new(site.acquirer.clone(), Manner::Approve);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(relay.clone().serve(listener, site.pki.identity(shown), stop.clone()));
        let platform = MembershipConfig {
            id: "hub".parse().unwrap(),
            endpoint: format!("https://{address}"),
            directory_copy: site.copy(),
            first_directory_wait: Period::new(Duration::from_secs(1)),
        };
        let client = RelayedClient::new(&platform, site.pki.identity("bank-aurora")).unwrap();
        assert!(client.needs_ticket());
        let answer = client.authorize(&call(&site.issuer, &site.acquirer), Duration::from_secs(10)).await;
        match answer {
            Ok(_) => assert!(is_ours, "{shown}"),
            Err(error) => assert!(!is_ours && matches!(error, Unanswered::Connection(_)), "{shown}: {error}"),
        }
        assert_eq!(relay.requests.lock().unwrap().len(), usize::from(is_ours), "{shown}");
        drop(client);
        stop.cancel();
        serving.await.unwrap();
    }
}
