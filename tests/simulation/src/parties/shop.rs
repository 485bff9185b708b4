//! The shops: they make orders, cancel some, hear of each, and follow the stream of events besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use proto::{
    authorization::Carried,
    event::{OrderEvent, OrderState},
    order::SignedOrder,
    pb,
};

use crate::{
    chance::Chance,
    mistake::Mistake,
    model::OrderPlan,
    party::Party,
    pki::Pki,
    wire::{Message, Reply, call},
    world::World,
};

/// How long a shop waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it looks at the stream.
const WATCH_EVERY: Duration = Duration::from_secs(15);

/// What a shop has durably on its own books.
#[derive(Debug, Default)]
pub struct Books(Mutex<Kept>);

/// The same, looked at.
#[derive(Debug, Default)]
pub struct Kept {
    /// The orders that it has, by number, as they were signed.
    pub orders: BTreeMap<u64, SignedOrder>,
    /// The cancels that have ended, by number.
    pub cancelled: BTreeSet<u64>,
    /// The events that it was told, by order id, in the order in which each came first.
    pub told: BTreeMap<String, Vec<OrderEvent>>,
    /// The same from the stream.
    pub watched: BTreeMap<String, Vec<OrderEvent>>,
    /// Where the stream goes on.
    pub cursor: String,
    /// The sum of the approvals, in minor units.
    pub takings: i64,
}

impl Books {
    /// Looks at the books.
    pub fn open(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a shop's process: it goes on with whatever its books say is not done.
pub fn start(world: &Arc<World>, shop: Party) {
    let host = world.host(shop);
    for plan in world.plan.orders.iter().filter(|plan| plan.shop == shop) {
        host.spawn(sell(Arc::clone(world), plan.clone()));
    }
    host.spawn(follow(Arc::clone(world), shop));
}

/// One call at the shop's port.
pub fn serve(world: &Arc<World>, shop: Party, message: Message) -> Reply {
    let Message::Notify(bytes) = message else { return Reply::Status(Box::new(tonic::Status::unimplemented("no"))) };
    match event(bytes) {
        Some(event) => {
            let mut books = world.books(shop).open();
            let known = books.told.entry(event.order.to_string()).or_default();
            let is_new = known.iter().all(|other| other.position != event.position);
            if is_new {
                known.push(event.clone());
            }
            let counts = is_new || world.mistake == Some(Mistake::ShopCountsTwice);
            if counts
                && event.state == OrderState::Approved
                && event.authorization.as_ref().is_some_and(|it| it.decision.is_approved())
            {
                books.takings += event.amount.minor_units();
            }
            drop(books);
            world.watch(|watch| watch.notified(shop, &event, is_new));
            Reply::Done
        }
        None => {
            world.fails("merchant-hears", || format!("{shop} got an event that the acquirer has not signed"));
            Reply::Done
        }
    }
}

/// A verified event.
fn event(bytes: Bytes) -> Option<OrderEvent> {
    let signed = pb::Signed::decode(bytes).ok()?;
    let Carried { signed, says } = Carried::<OrderEvent>::parse(signed).ok()?;
    let acquirer = Party::Acquirer.id().parse().ok()?;
    Pki::get().directory.acquirer(&acquirer)?.verify::<pb::OrderEvent>(&signed, says.occurred_at).ok()?;
    Some(says)
}

async fn sell(world: Arc<World>, plan: OrderPlan) {
    let clock = world.clock(plan.shop);
    let now = world.engine.now();
    clock.sleep(plan.at.saturating_sub(now)).await;
    let order = loop {
        if let Some(order) = world.books(plan.shop).open().orders.get(&plan.number).cloned() {
            break order;
        }
        let asked =
            ask(&world, plan.shop, plan.number, Message::Create(wish(&plan, plan.units).encode_to_vec().into()));
        if let Some(Reply::Bytes(bytes)) = asked.await
            && let Ok(made) = pb::CreateOrderResponse::decode(bytes)
            && let Some(order) = made.signed_order.and_then(|signed| SignedOrder::parse(signed).ok())
        {
            world.watch(|watch| watch.made(plan.number, &order));
            world.books(plan.shop).open().orders.insert(plan.number, order.clone());
            break order;
        }
        clock.sleep(Duration::from_millis(500)).await;
    };
    repeat(&world, &plan, &order).await;
    let Some(cancel) = plan.cancel else { return };
    clock.sleep((plan.at + cancel).saturating_sub(world.engine.now())).await;
    cancel_until_sure(&world, &plan, &order).await;
}

/// The same wish again must give the same order, and another wish under its reference none.
async fn repeat(world: &Arc<World>, plan: &OrderPlan, order: &SignedOrder) {
    let mut chance = Chance::about(world.plan.seed, &["repeat".into(), plan.number.into()]);
    if !chance.permille(400) {
        return;
    }
    let same = Message::Create(wish(plan, plan.units).encode_to_vec().into());
    if let Some(Reply::Bytes(bytes)) = ask(world, plan.shop, plan.number, same).await {
        let again = pb::CreateOrderResponse::decode(bytes).ok().and_then(|made| made.signed_order);
        if again != Some(order.signed.to_pb()) {
            world.fails("same-answer", || format!("order {} was made again otherwise", plan.number));
        }
    }
    let other = Message::Create(wish(plan, plan.units + 1).encode_to_vec().into());
    if let Some(Reply::Bytes(_)) = ask(world, plan.shop, plan.number, other).await {
        world.fails("same-answer", || {
            format!("another content made an order under the reference of order {}", plan.number)
        });
    }
}

async fn cancel_until_sure(world: &Arc<World>, plan: &OrderPlan, order: &SignedOrder) {
    let clock = world.clock(plan.shop);
    let id = order.order.id.to_string();
    while !world.books(plan.shop).open().cancelled.contains(&plan.number) {
        let wish = pb::CancelOrderRequest { order_id: id.clone() }.encode_to_vec();
        if let Some(Reply::Bytes(bytes)) = ask(world, plan.shop, plan.number, Message::Cancel(wish.into())).await
            && let Ok(answer) = pb::CancelOrderResponse::decode(bytes)
        {
            let outcome = answer.outcome();
            world.tell(|| format!("{} hears {outcome:?} of its cancel of order {}", plan.shop, plan.number));
            world.watch(|watch| watch.cancel_answered(plan.number, &id, outcome));
            if outcome != pb::CancelOutcome::Pending {
                world.books(plan.shop).open().cancelled.insert(plan.number);
            }
        }
        clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Reads the stream of events from its cursor on, now and then.
async fn follow(world: Arc<World>, shop: Party) {
    let clock = world.clock(shop);
    loop {
        clock.sleep(WATCH_EVERY).await;
        let cursor = world.books(shop).open().cursor.clone();
        let Some(Reply::Stream(messages)) = ask(&world, shop, 0, Message::Watch(cursor)).await else { continue };
        for message in messages {
            let read = pb::WatchOrdersResponse::decode(message).ok();
            let read = read.and_then(|read| Some((read.cursor, event(read.event?.encode_to_vec().into())?)));
            let Some((cursor, event)) = read else {
                world.fails("merchant-hears", || format!("{shop} can't read its stream"));
                return;
            };
            let mut books = world.books(shop).open();
            books.cursor = cursor;
            let known = books.watched.entry(event.order.to_string()).or_default();
            let expected = u32::try_from(known.len()).unwrap_or(u32::MAX) + 1;
            let (position, id) = (event.position, event.id());
            known.push(event);
            drop(books);
            if position != expected {
                world.fails("merchant-hears", || format!("the stream shows {id} where position {expected} should be"));
            }
        }
    }
}

async fn ask(world: &Arc<World>, shop: Party, number: u64, message: Message) -> Option<Reply> {
    let clock = world.clock(shop);
    tokio::select! {
        biased;
        reply = call(world, shop, Party::Acquirer, number, message) => reply.ok(),
        () = clock.sleep(PATIENCE) => None,
    }
}

/// A shop's reference for an order.
#[must_use]
pub fn reference(number: u64) -> String {
    format!("R-{number}")
}

fn wish(plan: &OrderPlan, units: i64) -> pb::CreateOrderRequest {
    let price = Some(pb::Money { currency_code: "TWD".to_owned(), minor_units: units });
    pb::CreateOrderRequest {
        merchant_reference: reference(plan.number),
        amount: price.clone(),
        lines: vec![pb::OrderLine { description: "A book".to_owned(), quantity: 1, unit_price: price }],
        return_url: "https://shop.example/done".to_owned(),
        expires_after: Some(proto::time::duration_to_pb(plan.life)),
        delivery_hint: String::new(),
    }
}
