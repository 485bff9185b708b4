//! The operations port and its command: what was given up is listed and sent again, by our own people alone.

use std::{
    ffi::OsString,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use acquirer::outbox::TRY_FOR;
use certs::authority::LeafRequest;
use mesh::{
    access::{AccessTable, Rule},
    channel::{MeshChannel, within},
    clock::{Clock as _, ManualClock},
    identity::Role,
    serve::Server,
    status::{reason_of, violations_of},
    tls::{ExpectedServer, ServerTls, TlsIdentity},
};
use prost::Message as _;
use proto::pb::{
    self,
    acquirer_operations_client::AcquirerOperationsClient,
    merchant_notification_server::{MerchantNotification, MerchantNotificationServer},
    replay_notifications_request::Of,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Response, Status, service::Routes};

use super::{
    platform::{authorize, order, request},
    site::{Running, Site, WAIT, host},
};

/// A shop that is away until it is told to listen.
#[derive(Clone, Default)]
struct Shop {
    listens: Arc<AtomicBool>,
    /// The ids of the events that it took.
    took: Arc<Mutex<Vec<String>>>,
    /// How often anything came.
    came: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl MerchantNotification for Shop {
    async fn notify_order_event(
        &self,
        request: Request<pb::NotifyOrderEventRequest>,
    ) -> Result<Response<pb::NotifyOrderEventResponse>, Status> {
        *self.came.lock().unwrap() += 1;
        if !self.listens.load(Ordering::SeqCst) {
            return Err(Status::unavailable("stocktaking"));
        }
        let event = pb::OrderEvent::decode(request.into_inner().event.unwrap().body).unwrap();
        self.took.lock().unwrap().push(event.event_id);
        Ok(Response::new(pb::NotifyOrderEventResponse {}))
    }
}

impl Shop {
    /// Opens it where the site's configuration will look for it.
    async fn open(site: &Site) -> (Self, DropGuard) {
        let folder = site.path().join("shop-server");
        let certificate = LeafRequest::server(Role::Merchant, "shop-books".parse().unwrap(), vec![host()]);
        site.authority.issue(&certificate, SystemTime::now()).unwrap().save(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let (shop, stop) = (Self::default(), CancellationToken::new());
        let table =
            AccessTable::new([Rule::roles("/bankside.v1.MerchantNotification/NotifyOrderEvent", &[Role::Acquirer])]);
        let tls = ServerTls::mutual(site.identity_from(&folder, "server")).unwrap();
        let routes = Routes::new(MerchantNotificationServer::new(shop.clone()));
        tokio::spawn(Server::grpc("shop", listener, tls, table, routes).serve(stop.clone()));
        site.configure(&with_port(site).replace("https://127.0.0.1:9443", &address));
        (shop, stop.drop_guard())
    }
}

fn with_port(site: &Site) -> String {
    site.config().replace("#[listen.operations]\n#address", "[listen.operations]\naddress")
}

/// The client of whoever calls with this certificate.
fn client(acquirer: &Running, identity: Arc<TlsIdentity>) -> AcquirerOperationsClient<MeshChannel> {
    let expected = ExpectedServer::member(Role::Acquirer, "acquirer-one".parse().unwrap());
    let address = format!("https://{}", acquirer.operations.unwrap());
    AcquirerOperationsClient::new(MeshChannel::new(&address, identity, expected).unwrap())
}

fn own(site: &Site) -> Arc<TlsIdentity> {
    site.identity_from(&site.path().join("certs"), "server")
}

async fn listed(client: &mut AcquirerOperationsClient<MeshChannel>) -> Vec<pb::ParkedNotification> {
    let request = pb::ListParkedNotificationsRequest::default();
    client.list_parked_notifications(within(request, WAIT)).await.unwrap().into_inner().notifications
}

async fn replay(client: &mut AcquirerOperationsClient<MeshChannel>, of: Option<Of>) -> Result<u32, Status> {
    let request = pb::ReplayNotificationsRequest { of };
    Ok(client.replay_notifications(within(request, WAIT)).await?.into_inner().orders)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let met = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT, met).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Runs `acquirer operate` and returns how it exited.
async fn operate(site: &Site, words: &[&str]) -> String {
    let mut arguments: Vec<OsString> = vec!["acquirer operate".into(), "--config".into()];
    arguments.push(site.path().join("acquirer.toml").into_os_string());
    arguments.extend(words.iter().map(OsString::from));
    // On a thread that knows no runtime, as the main one of a process.
    let process = || std::thread::spawn(move || acquirer::operate_command(arguments)).join();
    let exit = tokio::task::spawn_blocking(process).await.unwrap().expect("no panic");
    format!("{exit:?}")
}

fn exit(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_notification_is_listed_and_replayed_in_order() {
    let site = Site::new();
    let (shop, _open) = Shop::open(&site).await;
    let clock = Arc::new(ManualClock::new(SystemTime::now()));
    let acquirer = Running::start_by(&site, Arc::clone(&clock) as _).await;
    let mut ours = client(&acquirer, own(&site));
    assert_eq!(listed(&mut ours).await, []);

    // A decline and a cancellation: two events of one order.
    let made = order(&acquirer, &site).await;
    let order_id = made.order.id.to_string();
    authorize(acquirer.channel(&site, "bank-a"), &request(&site, &made, 1)).await;
    let mut orders = acquirer.orders(&site, "shop-books");
    let cancel = pb::CancelOrderRequest { order_id: order_id.clone() };
    orders.cancel_order(within(cancel, WAIT)).await.unwrap();
    let order = pb::get_order_request::Order::OrderId(order_id.clone());
    let ask = pb::GetOrderRequest { order: Some(order) };
    let mut unacknowledged = async || {
        let answer = orders.get_order(within(ask.clone(), WAIT)).await.unwrap().into_inner();
        answer.notifications.unwrap()
    };
    // Not only has it come to the shop: a try that is under way when the clock is set would be one that took too long.
    let now = proto::time::to_pb(clock.now());
    until("the first event was tried and is tried again later", async || {
        let next = unacknowledged().await.next_try_at.unwrap();
        (next.seconds, next.nanos) > (now.seconds, now.nanos)
    })
    .await;
    assert!(*shop.came.lock().unwrap() > 0);
    clock.advance(TRY_FOR);
    until("both events are parked", async || unacknowledged().await.parked == 2).await;

    let [parked] = &listed(&mut ours).await[..] else { panic!("an order stands in the list once") };
    assert_eq!((parked.order_id.as_str(), parked.merchant_id.as_str()), (order_id.as_str(), "shop-books"));
    assert_eq!((parked.event_id.as_str(), parked.position), (format!("{order_id}.1").as_str(), 1));
    assert_eq!(parked.state(), pb::OrderState::Open);
    assert!(parked.tries > 0 && parked.last_failure.contains("Unavailable"), "{parked:?}");
    assert!(!parked.last_failure.contains("stocktaking"), "a shop's own words are not shown");

    let server = format!("https://{}", acquirer.operations.unwrap());
    assert_eq!(operate(&site, &["--server", &server, "list"]).await, exit(0));
    shop.listens.store(true, Ordering::SeqCst);
    assert_eq!(operate(&site, &["--server", &server, "replay", "--order", &order_id]).await, exit(0));
    until("both events arrive", async || shop.took.lock().unwrap().len() == 2).await;
    assert_eq!(*shop.took.lock().unwrap(), [format!("{order_id}.1"), format!("{order_id}.2")]);
    until("nothing is left", async || listed(&mut ours).await.is_empty()).await;
    assert_eq!(replay(&mut ours, Some(Of::OrderId(order_id))).await.unwrap(), 0, "a second time there is nothing");
    assert_eq!(replay(&mut ours, Some(Of::MerchantId("shop-books".into()))).await.unwrap(), 0);
    acquirer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_acquirer_itself_operates_it() {
    let site = Site::new();
    site.configure(&with_port(&site));
    let other = LeafRequest::client(Role::Acquirer, "acquirer-two".parse().unwrap());
    site.authority.issue(&other, SystemTime::now()).unwrap().save(&site.path().join("acquirer-two")).unwrap();
    let acquirer = Running::start(&site).await;
    for member in ["acquirer-two", "bank-a", "shop-books"] {
        let mut theirs = client(&acquirer, site.identity(member));
        let refused = theirs.list_parked_notifications(pb::ListParkedNotificationsRequest::default()).await;
        assert_eq!(reason_of(&refused.unwrap_err()).as_deref(), Some("ROLE_NOT_ALLOWED"), "{member} lists");
        let refused = replay(&mut theirs, Some(Of::MerchantId("shop-books".into()))).await;
        assert_eq!(reason_of(&refused.unwrap_err()).as_deref(), Some("ROLE_NOT_ALLOWED"), "{member} replays");
    }
    // And the operations are on no other port.
    let members = MeshChannel::new(
        &format!("https://{}", acquirer.members),
        own(&site),
        ExpectedServer::member(Role::Acquirer, "acquirer-one".parse().unwrap()),
    );
    let mut elsewhere = AcquirerOperationsClient::new(members.unwrap());
    let refused = elsewhere.list_parked_notifications(pb::ListParkedNotificationsRequest::default()).await;
    assert!(matches!(refused.unwrap_err().code(), Code::PermissionDenied | Code::Unimplemented));

    let mut ours = client(&acquirer, own(&site));
    for (of, code, reason) in [
        (None, Code::InvalidArgument, "INVALID_FIELD"),
        (Some(Of::OrderId("x".into())), Code::InvalidArgument, "INVALID_FIELD"),
        (Some(Of::OrderId(format!("ord_{}", "a".repeat(26)))), Code::NotFound, "ORDER_NOT_FOUND"),
        (Some(Of::MerchantId("shop-none".into())), Code::NotFound, "MERCHANT_UNKNOWN"),
    ] {
        let refused = replay(&mut ours, of.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason_of(&refused).as_deref()), (code, Some(reason)), "{of:?}");
    }
    let request = pb::ListParkedNotificationsRequest { page_size: 101, page_token: "no token!".into() };
    let refused = ours.list_parked_notifications(within(request, WAIT)).await.unwrap_err();
    let fields: Vec<String> = violations_of(&refused).into_iter().map(|(path, _)| path).collect();
    assert_eq!(fields, ["page_size", "page_token"]);
    acquirer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_says_what_to_do() {
    let site = Site::new();
    assert_eq!(operate(&site, &["list"]).await, exit(64), "without a port the table is missing");
    site.configure(&with_port(&site));
    let acquirer = Running::start(&site).await;
    let server = format!("https://{}", acquirer.operations.unwrap());
    for wrong in [&["list"][..], &["replay"], &["replay", "--order", "a", "--merchant", "b"], &["forget"]] {
        let words: Vec<&str> = match wrong {
            ["list"] => vec!["--server", "nowhere", "list"],
            others => ["--server", &server].iter().chain(others.iter()).copied().collect(),
        };
        assert_eq!(operate(&site, &words).await, exit(64), "{words:?}");
    }
    let refused = operate(&site, &["--server", &server, "replay", "--merchant", "shop-none"]).await;
    assert_eq!(refused, exit(1), "the acquirer refuses what it does not know");
    acquirer.stop().await;

    // The command itself, as a person meets it.
    let run = |words: &[&str]| {
        let file = site.path().join("acquirer.toml");
        let command = std::process::Command::new(env!("CARGO_BIN_EXE_acquirer"))
            .args(["operate", "--config"])
            .arg(&file)
            .args(words)
            .output()
            .unwrap();
        (command.status.code(), String::from_utf8(command.stderr).unwrap())
    };
    let (code, said) = run(&["replay"]);
    assert!(
        code == Some(64)
            && said.contains("acquirer operate --config <FILE> replay <--order <ORDER>|--merchant <MERCHANT>>"),
        "{said}"
    );
    site.configure(&site.config().replace("[listen.operations]\naddress", "#[listen.operations]\n#address"));
    let (code, said) = run(&["list"]);
    assert!(code == Some(64) && said.contains("listen.operations") && said.contains("--server"), "{said}");
}
