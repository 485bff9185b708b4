//! The whole process: customers are imported, the server starts, a device signs in, pays and watches,
//! the server stops and starts again, and everything is still there.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use issuer::config::IssuerConfig;
use mesh::{
    boot::{self, Failure, Listeners, RoleConfig as _},
    channel::{MeshChannel, device_channel},
    clock::{SystemClock, SystemEntropy},
    identity::Role,
    sealing::SealingKey,
    signing::Signer,
    telemetry::Metrics,
};
use proto::{
    digest::Digest,
    ids::{ChargeId, OrderId},
    money::Money,
    order::{Merchant, Order},
    pb::{
        self, card_selection_client::CardSelectionClient, issuer_auth_client::IssuerAuthClient,
        verify_identity_request::Proof, verify_identity_response::Outcome,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::{
    acquirer::{Acquirer, Manner, listen},
    pki::{Pki, sign, write_secret},
};

pub(super) const CONFIG: &str = r#"
issuer_id = "bank-aurora"
trust_domain = "bankside.example"
listen.devices.address = "127.0.0.1:0"
vault.keys = "kek"
store.folder = "data"
directory.file = "directory.binpb"
card_verification = "stored"
policy.profile = "one_factor"
reflection = true
[tls]
certificate = "bank-aurora/server.pem"
key = "bank-aurora/server.key"
authority = "ca/ca.pem"
revocations = "ca/crl.pem"
[signing]
certificate = "bank-aurora/signing.pem"
key = "bank-aurora/signing.key"
"#;

pub(super) struct Running {
    pub(super) address: String,
    /// Where the configuration names it.
    pub(super) admin: Option<SocketAddr>,
    pub(super) operations: Option<SocketAddr>,
    pub(super) app: Option<SocketAddr>,
    stop: CancellationToken,
    pub(super) ended: tokio::task::JoinHandle<Result<(), Failure>>,
}

pub(super) async fn start(pki: &Pki) -> Running {
    let config: IssuerConfig = mesh::config::load(&pki.path("issuer.toml")).unwrap();
    let listeners = Listeners::bind(&config.listeners()).await.unwrap();
    let address = format!("https://{}", listeners.address("listen.devices").unwrap());
    let admin = listeners.address("listen.admin");
    let operations = listeners.address("listen.operations");
    let app = listeners.address("listen.app");
    let stop = CancellationToken::new();
    let context = boot::Context {
        listeners,
        stop: stop.clone(),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy::new()),
        metrics: Metrics::new(),
    };
    Running { address, admin, operations, app, stop, ended: tokio::spawn(issuer::run(config, context)) }
}

impl Running {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

pub(super) fn order(acquirer: &Signer) -> pb::Signed {
    let now = std::time::SystemTime::now();
    let order = Order {
        id: OrderId::from_random([1; 16]),
        acquirer: "bank-borealis".parse().unwrap(),
        merchant: Merchant {
            id: "bookshop".parse().unwrap(),
            display_name: "Bookshop".into(),
            domain: "books.example".into(),
            category: "5942".parse().unwrap(),
        },
        amount: Money::new("TWD".parse().unwrap(), 129_900).unwrap(),
        lines_digest: Digest::of(b"lines"),
        created_at: now,
        expires_at: now + Duration::from_secs(900),
        return_url: "https://books.example/".parse().unwrap(),
        sealing_key: *SealingKey::generate().public().as_bytes(),
        delivery_hint: String::new(),
        device_check_url: None,
    };
    sign(acquirer, &order.to_pb()).to_pb()
}

pub(super) async fn sign_in(device: &MeshChannel, order: pb::Signed) -> bytes::Bytes {
    let mut auth = IssuerAuthClient::new(device.clone());
    let started = auth
        .start_authentication(pb::StartAuthenticationRequest { order: Some(order), ..Default::default() })
        .await
        .unwrap();
    let knowledge = pb::KnowledgeProof {
        national_id: "A123456789".into(),
        user_code: "mei-lin".into(),
        password: "correct horse battery".into(),
    };
    let request = pb::VerifyIdentityRequest {
        challenge_id: started.into_inner().challenge_id,
        proof: Some(Proof::Knowledge(knowledge)),
    };
    match auth.verify_identity(request).await.unwrap().into_inner().outcome {
        Some(Outcome::Session(session)) => session.session_token,
        Some(Outcome::Missing(_)) | None => panic!("the customer is not signed in"),
    }
}

/// Imports the sample's customers, as an operator does it.
pub(super) async fn import(config: &Path) -> String {
    let customers = Path::new(env!("CARGO_MANIFEST_DIR")).join("customers.sample.toml");
    let arguments =
        ["issuer import".into(), "--config".into(), config.as_os_str().to_owned(), customers.into_os_string()];
    let exit = tokio::task::spawn_blocking(move || issuer::import_command(arguments)).await.unwrap();
    format!("{exit:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_import_to_a_paid_order_and_over_a_restart() {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    let served = Acquirer::new(acquirer.clone(), Manner::Approve);
    let serving = tokio::spawn(served.clone().serve(listener, pki.identity("bank-borealis"), stop.clone()));
    std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, address)).unwrap();
    write_secret(&pki.path("kek"), &format!("1:{}\n", "7f".repeat(32)));
    std::fs::write(pki.path("issuer.toml"), CONFIG).unwrap();

    let success = format!("{:?}", std::process::ExitCode::SUCCESS);
    for _ in 0..2 {
        assert_eq!(import(&pki.path("issuer.toml")).await, success);
    }
    let running = start(&pki).await;
    let device = device_channel(&running.address, &pki.path("ca/ca.pem")).unwrap();
    let order = order(&acquirer);
    let session_token = sign_in(&device, order.clone()).await;
    assert_ne!(import(&pki.path("issuer.toml")).await, success, "the running server holds the store");
    let mut cards = CardSelectionClient::new(device);
    let request = pb::ListCardOptionsRequest { session_token: session_token.clone(), ..Default::default() };
    let options = cards.list_card_options(request).await.unwrap().into_inner().card_options;
    let card = options.iter().find(|option| option.label == "Everyday Credit").unwrap();
    let charge_id = ChargeId::from_random([1; 16]).to_string();
    let request = pb::SubmitChargeRequest {
        session_token: session_token.clone(),
        charge_id: charge_id.clone(),
        order: Some(order),
        card_option_id: card.card_option_id.clone(),
        ..Default::default()
    };
    cards.submit_charge(request).await.unwrap();
    let request = pb::WatchChargeRequest {
        session_token: session_token.clone(),
        charge_id: charge_id.clone(),
        ..Default::default()
    };
    let mut stream = cards.watch_charge(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(change) = stream.message().await.unwrap() {
        last = change.charge;
    }
    let paid = last.unwrap();
    assert_eq!((paid.state(), paid.approval_code.as_str()), (pb::ChargeState::Approved, "A1B2C3"));
    assert_eq!(served.callers.lock().unwrap().len(), 1);
    running.stop().await;

    let running = start(&pki).await;
    let device = device_channel(&running.address, &pki.path("ca/ca.pem")).unwrap();
    let mut cards = CardSelectionClient::new(device);
    let request = pb::GetChargeRequest { session_token: session_token.clone(), charge_id, ..Default::default() };
    assert_eq!(cards.get_charge(request).await.unwrap().into_inner().charge, Some(paid));
    let request = pb::ListCardOptionsRequest { session_token, ..Default::default() };
    let options = cards.list_card_options(request).await.unwrap().into_inner().card_options;
    let left = options.iter().find(|option| option.label == "Everyday Credit").unwrap().available.clone();
    assert_eq!(left.unwrap().minor_units, 10_000_000 - 129_900);
    running.stop().await;
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_named() {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    let (_listener, address) = listen().await;
    let directory = pki.directory(&issuer, &acquirer, address);
    std::fs::write(pki.path("issuer.toml"), CONFIG).unwrap();
    std::fs::write(pki.path("directory.binpb"), b"no directory").unwrap();
    write_secret(&pki.path("kek"), "no key\n");
    let failure = async || start(&pki).await.ended.await.unwrap().unwrap_err();

    let wrong_directory = failure().await;
    assert_eq!(wrong_directory.code(), 64);
    assert!(wrong_directory.to_string().contains("directory.binpb"), "{wrong_directory}");

    std::fs::write(pki.path("directory.binpb"), directory).unwrap();
    let wrong_key = failure().await;
    assert_eq!(wrong_key.code(), 64);
    assert!(wrong_key.to_string().contains("key file"), "{wrong_key}");
    assert!(!wrong_key.to_string().contains("no key"), "what a key file holds is not repeated: {wrong_key}");

    write_secret(&pki.path("good.kek"), &format!("1:{}\n", "7f".repeat(32)));
    std::fs::write(pki.path("issuer.toml"), CONFIG.replace("\"kek\"", "\"good.kek\"")).unwrap();
    let other = pki.member(Role::Issuer, "bank-cumulus");
    std::fs::write(pki.path("directory.binpb"), pki.directory(&other, &acquirer, address)).unwrap();
    let no_entry = failure().await;
    assert_eq!(no_entry.code(), 64);
    assert!(no_entry.to_string().contains("no entry of bank-aurora"), "{no_entry}");

    let others = CONFIG.replace("bank-aurora/server", "bank-borealis/server");
    std::fs::write(pki.path("issuer.toml"), others).unwrap();
    let wrong_certificate = failure().await;
    assert_eq!(wrong_certificate.code(), 64);
    assert!(wrong_certificate.to_string().contains("`tls.certificate`"), "{wrong_certificate}");

    let others = CONFIG.replace("bank-aurora/signing", "bank-borealis/signing");
    std::fs::write(pki.path("issuer.toml"), others).unwrap();
    let wrong_signer = failure().await;
    assert_eq!(wrong_signer.code(), 64);
    assert!(wrong_signer.to_string().contains("bank-borealis"), "{wrong_signer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_read_on_a_port_of_their_own() {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    let (_listener, address) = listen().await;
    std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, address)).unwrap();
    write_secret(&pki.path("kek"), &format!("1:{}\n", "7f".repeat(32)));
    std::fs::write(pki.path("issuer.toml"), CONFIG).unwrap();
    let running = start(&pki).await;
    assert_eq!(running.admin, None, "no such port is named");
    running.stop().await;

    let port = "listen.admin.address = \"127.0.0.1:0\"";
    std::fs::write(pki.path("issuer.toml"), format!("{port}{CONFIG}")).unwrap();
    let running = start(&pki).await;
    let mut numbers = TcpStream::connect(running.admin.unwrap()).await.unwrap();
    numbers.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let read = tokio::time::timeout(Duration::from_secs(30), numbers.read_to_string(&mut text));
    read.await.expect("an answer in time").unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("bankside_requests_answered_total{port=\"devices\"} 0\n"),
        "{text}"
    );
    running.stop().await;
}
