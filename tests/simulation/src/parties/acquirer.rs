//! The acquirer: its services, tasks and outbox are the real ones, over the simulated store, card network and wires.

use std::{fmt, sync::Arc, time::Duration};

use acquirer::{
    authorize::Authorizer,
    config::Limits,
    context::{Context, Merchants},
    device_check::DeviceTokens,
    domain::{
        authentication::Policy,
        merchant::{Profile, ReturnPrefix, Terms},
        same_device::SameDevice,
    },
    keys::{Seal, SealingKeys},
    network::{AuthorizationNetwork, Inquiry, NetworkDecision, NetworkError, NetworkId, NetworkRequest, Sale},
    orders::Orders,
    outbox::{Courier, DeliveryError, Worker},
    repository::Repository,
    service::{AuthorizationService, OrdersService},
    tasks,
};
use async_trait::async_trait;
use bytes::Bytes;
use mesh::{store::Store, telemetry::Metrics};
use prost::Message as _;
use proto::{
    ids::MerchantId,
    money::Money,
    order::Merchant,
    pb::{
        self, authorization_client::AuthorizationClient, authorization_server::AuthorizationServer,
        order_service_client::OrderServiceClient, order_service_server::OrderServiceServer,
    },
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use crate::{
    disk,
    mistake::Mistake,
    party::Party,
    pki::{self, Pki, peer},
    serve::until_open,
    wire::{Broken, Message, Reply, call},
    world::World,
};

/// How long a reader of the stream stays.
const WATCH_FOR: Duration = Duration::from_millis(50);

/// The services of a running acquirer.
#[derive(Clone)]
pub struct Services {
    authorization: AuthorizationClient<AuthorizationServer<AuthorizationService>>,
    orders: OrderServiceClient<OrderServiceServer<OrdersService>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// Starts the acquirer's process over what is on its disk, as its role does it.
pub fn start(world: &Arc<World>) {
    let party = Party::Acquirer;
    let store: Arc<dyn Store> = Arc::new(disk::Engine::open(world, party));
    let clock = world.clock(party);
    let entropy = world.entropy(party);
    let context = Arc::new(Context {
        acquirer: party.id().parse().expect("invariant: a constant"),
        merchants: Merchants::new(Party::SHOPS.map(profile)),
        limits: Limits::default(),
        authentication: Policy::default(),
        same_device: SameDevice::default(),
        device_tokens: DeviceTokens::new(&[3; 32]),
        public_url: "https://pay.example/".parse().expect("invariant: a constant"),
        repository: Repository::new(Arc::clone(&store)),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        seal: Seal::new(Pki::get().acquirer.clone()),
        sealing_keys: SealingKeys::new(pki::vault()),
        platform: Some(Party::Platform.id().parse().expect("invariant: a constant")),
        directory: world.directory(),
        reversals: Notify::new(),
    });
    let authorizer = Authorizer::new(Arc::clone(&context), Arc::new(CardNetwork { world: Arc::clone(world) }));
    let orders = Orders::new(Arc::clone(&context));
    let courier = Arc::new(Wire { world: Arc::clone(world) });
    let outbox = Worker::new(store, Arc::clone(&clock), entropy, courier, &Metrics::new());
    let stop = CancellationToken::new();
    let host = world.host(party);
    host.spawn(tasks::expire_orders(orders.clone(), stop.clone()));
    if world.mistake != Some(Mistake::NoAcquirerRecovery) {
        host.spawn(tasks::recover_authorizations(Arc::clone(&authorizer), clock, stop.clone()));
    }
    if world.mistake != Some(Mistake::NoReversals) {
        host.spawn(tasks::send_reversals(Arc::clone(&authorizer), context, stop.clone()));
    }
    host.spawn(outbox.run(stop));
    let services = Services {
        authorization: AuthorizationClient::new(AuthorizationService::server(authorizer)),
        orders: OrderServiceClient::new(OrdersService::server(orders)),
    };
    world.roles(|roles| roles.acquirer = Some(services));
}

/// One call at the acquirer's port.
pub async fn serve(world: &Arc<World>, from: Party, message: Message) -> Reply {
    let services = until_open(world, Party::Acquirer, || world.roles(|roles| roles.acquirer.clone())).await;
    match answer(world, services, from, message).await {
        Ok(reply) => reply,
        Err(status) => Reply::Status(Box::new(status)),
    }
}

async fn answer(world: &Arc<World>, services: Services, from: Party, message: Message) -> Result<Reply, Status> {
    let Services { mut authorization, mut orders } = services;
    Ok(match message {
        Message::Authorize(bytes) => {
            let request: pb::AuthorizeRequest = decode(bytes)?;
            let from = caller(world, from, request.route.as_ref());
            Reply::Bytes(authorization.authorize(by(from, request)).await?.into_inner().encode_to_vec().into())
        }
        Message::Resolve(bytes) => {
            let answer = authorization.resolve_authorization(by(from, decode(bytes)?)).await?;
            Reply::Bytes(answer.into_inner().encode_to_vec().into())
        }
        Message::Create(bytes) => {
            Reply::Bytes(orders.create_order(by(from, decode(bytes)?)).await?.into_inner().encode_to_vec().into())
        }
        Message::Cancel(bytes) => {
            let mut answer = orders.cancel_order(by(from, decode(bytes)?)).await?.into_inner();
            if world.mistake == Some(Mistake::CancelsTooSoon) && answer.outcome() == pb::CancelOutcome::Pending {
                answer.set_outcome(pb::CancelOutcome::Cancelled);
            }
            Reply::Bytes(answer.encode_to_vec().into())
        }
        Message::Watch(cursor) => {
            let mut stream = orders.watch_orders(by(from, pb::WatchOrdersRequest { cursor })).await?.into_inner();
            let clock = world.clock(Party::Acquirer);
            let mut events = Vec::new();
            let end = clock.elapsed() + WATCH_FOR;
            loop {
                let left = end.saturating_sub(clock.elapsed());
                tokio::select! {
                    biased;
                    event = stream.message() => match event? {
                        Some(event) => events.push(event.encode_to_vec().into()),
                        None => break,
                    },
                    () = clock.sleep(left) => break,
                }
            }
            Reply::Stream(events)
        }
        Message::Notify(_)
        | Message::Submit(_)
        | Message::Look(..)
        | Message::CardAuthorize(_)
        | Message::CardInquire(..)
        | Message::CardReverse(..) => return Err(Status::unimplemented("not served here")),
    })
}

/// Who is on the line: by its certificate, or, as a mistake, by what the message says.
fn caller(world: &World, from: Party, route: Option<&pb::AuthorizationRoute>) -> Party {
    let named = route.and_then(|route| Party::ISSUERS.into_iter().find(|party| party.id() == route.issuer_id));
    match named {
        Some(named) if world.mistake == Some(Mistake::TrustsTheRoute) => named,
        Some(_) | None => from,
    }
}

fn decode<M: prost::Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|_| Status::invalid_argument("no such message"))
}

fn by<M>(party: Party, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(peer(party));
    request
}

fn profile(shop: Party) -> Profile {
    let twd = |units| Money::new("TWD".parse().expect("invariant: a currency"), units).expect("invariant: positive");
    let mut terms = Terms::default();
    let day_max = (shop == Party::Books).then(|| twd(3_000));
    terms.allow(twd(10_000), day_max).expect("invariant: one currency");
    let return_url = "https://shop.example/done".parse().expect("invariant: a constant");
    Profile {
        merchant: Merchant {
            id: shop.id().parse().expect("invariant: a constant"),
            display_name: "Shop".to_owned(),
            domain: "shop.example".to_owned(),
            category: "5942".parse().expect("invariant: a constant"),
        },
        terms,
        return_urls: vec![ReturnPrefix::new(return_url).expect("invariant: a constant")],
        notification: Some("https://shop.example:9443".parse().expect("invariant: a constant")),
    }
}

/// The wire to the card network.
#[derive(Debug)]
struct CardNetwork {
    world: Arc<World>,
}

impl CardNetwork {
    async fn ask(&self, id: &NetworkId, message: Message) -> Result<Reply, NetworkError> {
        let about = self.world.watch(|watch| watch.number_of_authorization(id.authorization.as_str()));
        call(&self.world, Party::Acquirer, Party::CardNetwork, about, message)
            .await
            .map_err(|Broken| NetworkError::Unreachable("the connection broke".into()))
    }

    /// What the mistake of the run makes of an amount.
    fn slipped(&self, amount: Money) -> Money {
        if self.world.mistake != Some(Mistake::AmountSlips) {
            return amount;
        }
        amount.checked_add(amount).unwrap_or(amount)
    }
}

#[async_trait]
impl AuthorizationNetwork for CardNetwork {
    async fn authorize(&self, mut request: NetworkRequest) -> Result<NetworkDecision, NetworkError> {
        let id = request.id.clone();
        request.amount = self.slipped(request.amount);
        let reply = self.ask(&id, Message::CardAuthorize(Box::new(request))).await?;
        if let Reply::Card(decision) = reply {
            return Ok(decision);
        }
        Err(if matches!(reply, Reply::CardOther) { NetworkError::OtherContent } else { strange(&reply) })
    }

    async fn inquire(&self, id: &NetworkId, sale: &Sale) -> Result<Inquiry, NetworkError> {
        let sale = Sale { amount: self.slipped(sale.amount), merchant: sale.merchant.clone() };
        let reply = self.ask(id, Message::CardInquire(id.clone(), sale)).await?;
        if let Reply::CardKnows(inquiry) = reply {
            return Ok(inquiry);
        }
        Err(if matches!(reply, Reply::CardOther) { NetworkError::OtherContent } else { strange(&reply) })
    }

    async fn reverse(&self, id: &NetworkId, sale: &Sale) -> Result<(), NetworkError> {
        let sale = Sale { amount: self.slipped(sale.amount), merchant: sale.merchant.clone() };
        let reply = self.ask(id, Message::CardReverse(id.clone(), sale)).await?;
        if matches!(reply, Reply::Done) {
            return Ok(());
        }
        Err(if matches!(reply, Reply::CardOther) { NetworkError::OtherContent } else { strange(&reply) })
    }
}

fn strange(reply: &Reply) -> NetworkError {
    NetworkError::Unreachable(format!("answered {reply:?}").into())
}

/// The wires to the shops.
#[derive(Debug)]
struct Wire {
    world: Arc<World>,
}

#[async_trait]
impl Courier for Wire {
    async fn deliver(&self, merchant: &MerchantId, event: pb::Signed) -> Result<(), DeliveryError> {
        let shop = Party::SHOPS.into_iter().find(|shop| shop.id() == merchant.as_str());
        let shop = shop.ok_or(DeliveryError::NoEndpoint)?;
        let said = pb::OrderEvent::decode(event.body.clone()).unwrap_or_default();
        let about = self.world.watch(|watch| watch.number_of_reference(&said.merchant_reference));
        if self.world.mistake == Some(Mistake::CourierLies) && self.world.lies(&said.event_id) {
            return Ok(());
        }
        let message = Message::Notify(event.encode_to_vec().into());
        match call(&self.world, Party::Acquirer, shop, about, message).await {
            Ok(Reply::Done) => Ok(()),
            Ok(_) | Err(Broken) => Err(DeliveryError::Refused(Code::Unavailable)),
        }
    }
}
