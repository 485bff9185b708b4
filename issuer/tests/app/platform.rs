//! A bank that pays by way of a platform: a code from the bank picker brings the order once, and the ticket travels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::StatusCode;
use issuer::{app::Platform, config::AppPlatformConfig, domain::policy::Policy};
use mesh::{
    access::{AccessTable, Rule},
    identity::Role,
    serve::Server,
    status::Refusal,
    tls::{ServerTls, TlsIdentity},
};
use proto::{
    order::SignedOrder,
    pb::{
        self,
        checkout_server::{Checkout, CheckoutServer},
        select_bank_request::Order,
    },
    reason::Reason,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Request, Response, Status, service::Routes};

use super::{
    bank::{Bank, LIN},
    pki::Pki,
    world::Card,
};

/// The platform's port for devices, with codes that the test gives out.
#[derive(Clone, Default)]
struct Hub {
    codes: Arc<Mutex<HashMap<String, pb::Signed>>>,
    redeemed: Arc<Mutex<HashMap<String, Bytes>>>,
}

#[tonic::async_trait]
impl Checkout for Hub {
    async fn publish_order(
        &self,
        _: Request<pb::PublishOrderRequest>,
    ) -> Result<Response<pb::PublishOrderResponse>, Status> {
        Err(Status::unimplemented("not of a bank's app"))
    }

    async fn get_checkout(
        &self,
        _: Request<pb::GetCheckoutRequest>,
    ) -> Result<Response<pb::GetCheckoutResponse>, Status> {
        Err(Status::unimplemented("not of a bank's app"))
    }

    async fn select_bank(
        &self,
        request: Request<pb::SelectBankRequest>,
    ) -> Result<Response<pb::SelectBankResponse>, Status> {
        let request = request.into_inner();
        assert!(matches!(request.order, Some(Order::SignedOrder(_))));
        let ticket = Bytes::from(format!("selected by {}", request.bank_id));
        Ok(Response::new(pb::SelectBankResponse { ticket, ..Default::default() }))
    }

    async fn redeem_code(
        &self,
        request: Request<pb::RedeemCodeRequest>,
    ) -> Result<Response<pb::RedeemCodeResponse>, Status> {
        let request = request.into_inner();
        let unknown = || Refusal::new(Code::NotFound, Reason::CodeNotFound, "there is no such code").into_status();
        let order = self.codes.lock().unwrap().get(&request.code).cloned().ok_or_else(unknown)?;
        assert_eq!(request.device_nonce.len(), 16);
        let mut redeemed = self.redeemed.lock().unwrap();
        if *redeemed.entry(request.code).or_insert(request.device_nonce.clone()) != request.device_nonce {
            return Err(unknown());
        }
        let (signed_order, ticket) = (Some(order), Bytes::from_static(b"redeemed"));
        Ok(Response::new(pb::RedeemCodeResponse { signed_order, ticket, expires_at: None }))
    }
}

impl Hub {
    async fn serve(&self, pki: &Pki) -> (Platform, DropGuard) {
        pki.member(Role::Platform, "hub");
        let identity = TlsIdentity::load_web(&pki.path("hub/server.pem"), &pki.path("hub/server.key")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let table = AccessTable::new(
            ["SelectBank", "RedeemCode"].map(|rpc| Rule::anyone(format!("/bankside.v1.Checkout/{rpc}").leak())),
        );
        let routes = Routes::default().add_service(CheckoutServer::new(self.clone()));
        let stop = CancellationToken::new();
        let server = Server::grpc("hub", listener, ServerTls::device(identity), table, routes);
        tokio::spawn(server.serve(stop.clone()));
        let config = AppPlatformConfig { endpoint, authority: pki.path("ca/ca.pem") };
        (Platform::new(&config, true).unwrap(), stop.drop_guard())
    }

    fn give(&self, code: &str, order: &SignedOrder) {
        self.codes.lock().unwrap().insert(code.to_owned(), order.signed.to_pb());
    }
}

#[tokio::test]
async fn a_code_brings_the_order_once_and_its_ticket_travels() {
    let (pki, hub) = (Pki::new(), Hub::default());
    let (platform, _serving) = hub.serve(&pki).await;
    let bank = Bank::beside(Policy::one_factor(), Some(platform)).await;
    let order = bank.order();
    hub.give("CODE", &order);
    let mut browser = bank.browser();
    let visit = browser.post("/pay", &[("link", "#c=CODE")]).await.leads_to();
    assert_eq!(browser.post("/pay", &[("link", "#c=CODE")]).await.leads_to(), visit, "a reload is the same visit");

    for (code, mut other) in [("CODE", bank.browser()), ("NONE", browser.clone())] {
        let used = other.post("/pay", &[("link", &format!("#c={code}"))]).await;
        assert_eq!((used.status, used.kind()), (StatusCode::GONE, "problem"));
        assert!(used.has("choose your bank again"), "{}", used.html);
    }
    browser.sign_in(&visit, LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
    assert_eq!(tickets(&bank), ["redeemed"]);
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_redeemed_again_by_the_same_browser() {
    let (pki, hub) = (Pki::new(), Hub::default());
    let (platform, _serving) = hub.serve(&pki).await;
    let bank = Bank::beside(Policy::one_factor(), Some(platform)).await;
    hub.give("CODE", &bank.order());
    let mut browser = bank.browser();
    browser.get("/pay").await;
    // Nothing of the first answer reaches the browser.
    let lost = browser.clone().post("/pay", &[("link", "#c=CODE")]).await.leads_to();
    assert_eq!(browser.post("/pay", &[("link", "#c=CODE")]).await.leads_to(), lost);
    assert_eq!(browser.get(&lost).await.kind(), "open");
}

#[tokio::test]
async fn an_order_from_a_qr_code_gets_its_ticket_from_the_platform() {
    let (pki, hub) = (Pki::new(), Hub::default());
    let (platform, serving) = hub.serve(&pki).await;
    let bank = Bank::beside(Policy::one_factor(), Some(platform)).await;
    let (mut browser, visit) = bank.paying(&bank.order(), LIN).await;
    let confirm = browser.pick(&visit, Card::First).await;
    let charge = browser.post(&confirm, &[]).await.leads_to();
    browser.until(&charge, &["approved"]).await;
    assert_eq!(tickets(&bank), ["selected by bank-aurora"]);

    // Without the platform there is a page that says so, and a way on.
    drop(serving);
    let link = proto::link::payment_link(&"https://a.example/pay".parse().unwrap(), &bank.order().signed.to_pb());
    let away = bank.browser().post("/pay", &[("link", &link)]).await;
    assert_eq!((away.status, away.kind()), (StatusCode::SERVICE_UNAVAILABLE, "problem"));
    assert!(away.has("Nothing was charged") && away.has("Try again"), "{}", away.html);
}

fn tickets(bank: &Bank) -> Vec<String> {
    let requests = bank.world.hop.requests.lock().unwrap();
    let ticket = |request: &pb::AuthorizeRequest| request.route.as_ref().unwrap().ticket.clone();
    requests.iter().map(|request| String::from_utf8(ticket(request).to_vec()).unwrap()).collect()
}
