//! After the last fault: everybody gets the time that is published, and whatever has not come to its end by then
//! is noted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use mesh::channel::within;
use prost::Message as _;
use proto::pb;
use proto::pb::order_service_client::OrderServiceClient;
use tokio::time::Instant;

use super::fleet::shop_log;
use super::follower::{Follower, is_final};
use super::payer::sign_in;
use super::shop::read_log;
use super::tale::{ChargeTale, Page};
use super::world::{Bank, World, is, says};
use crate::console::Console;
use crate::shop::{acquirer_channel, identity};
use crate::topology::{Merchant, Topology};

/// By when an order is final after the last repair, or after its expiry where that is later: the bound that
/// `OrderService` publishes, and the time that it takes to look.
const ORDERS_WITHIN: Duration = Duration::from_secs(33 + 7);

/// By when a charge has its result: the issuer asks at least every 30 s, waits for an answer for 10 s, and notices
/// within 70 and 30 s more that nobody works on a charge.
const CHARGES_WITHIN: Duration = Duration::from_secs(30 + 10 + 70 + 30);

/// By when a shop has heard everything: it was unwell, down or cut off for 14 s at most at one time, and in a row
/// for not much more, and the acquirer waits no more than twice as long.
const SHOPS_WITHIN: Duration = Duration::from_secs(90);

/// How long one page of orders may take.
const LIST_TIME: Duration = Duration::from_secs(10);

/// How often everybody is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// What is looked at, and who looks.
#[derive(Debug)]
pub(super) struct Settling<'a> {
    /// The shops and the banks' apps.
    pub(super) world: &'a World,
    /// As they see the network.
    pub(super) seen: &'a Topology,
    /// Who follows the shops' orders.
    pub(super) followers: &'a [Follower],
    /// Orders that nobody pays or cancels.
    pub(super) left_to_expire: &'a BTreeSet<String>,
    /// When the last fault was over.
    pub(super) healed: Instant,
}

impl Settling<'_> {
    /// Waits for the orders, the charges, the shops and the followers, and says who was late.
    ///
    /// # Errors
    /// A shop's files or its log can't be read.
    pub(super) async fn wait(&self, console: &Console) -> Result<Vec<String>> {
        console.working("waiting for the end of every order");
        let (ended, mut late) = self.orders().await?;
        console.working("waiting for the end of every charge");
        late.extend(self.charges().await?);
        console.working("waiting until every shop has heard everything");
        late.extend(self.shops(&ended).await?);
        console.done();
        Ok(late)
    }

    /// Closes what nobody has paid, and looks at the orders until each is final. Returns them by their shop.
    async fn orders(&self) -> Result<(BTreeMap<String, BTreeSet<String>>, Vec<String>)> {
        let pages: BTreeMap<String, Page> =
            self.world.journal.pages().into_iter().map(|page| (page.id(), page)).collect();
        let mut closed = BTreeSet::new();
        loop {
            let (mut ended, mut open) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
            let mut due = self.healed + ORDERS_WITHIN;
            for (place, merchant) in self.seen.merchants.iter().enumerate() {
                for order in self.list(merchant).await? {
                    let id = order.order_id.clone();
                    if is_final(order.state()) {
                        if let Some(page) = pages.get(&id) {
                            page.end(order.state());
                        }
                        ended.entry(merchant.id.clone()).or_default().insert(id);
                        continue;
                    }
                    if self.left_to_expire.contains(&id) {
                        due = due.max(Instant::now() + until_expiry(&order) + ORDERS_WITHIN);
                    } else if closed.insert(id.clone()) {
                        self.close(place, &id, pages.get(&id)).await;
                    }
                    open.push(format!("the order {id} is still {}", order.state().as_str_name()));
                }
            }
            if open.is_empty() || Instant::now() > due || self.world.give_up.is_cancelled() {
                return Ok((ended, open));
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Every order of a shop.
    async fn list(&self, merchant: &Merchant) -> Result<Vec<pb::OrderSummary>> {
        let channel = acquirer_channel(self.seen, merchant, identity(self.seen, &merchant.tls)?)?;
        let client = OrderServiceClient::new(channel);
        let (mut orders, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListOrdersRequest { page_size: 100, page_token: page_token.clone() };
            let asked = || async { client.clone().list_orders(within(request.clone(), LIST_TIME)).await };
            let Ok(page) = self.world.persist(asked).await else { return Ok(orders) };
            let page = page.into_inner();
            orders.extend(page.orders);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(orders);
            }
        }
    }

    /// The shop closes, and cancels what is open. Of some it doesn't even know, because it never got an answer.
    async fn close(&self, shop: usize, id: &str, page: Option<&Page>) {
        let Some(shop) = self.world.shops.get(shop) else { return };
        let Ok(outcome) = self.world.persist(|| shop.cancel(id)).await else { return };
        if let Some(page) = page {
            page.write(|tale| {
                tale.closed |= tale.cancels.is_empty();
                tale.cancels.push(outcome);
            });
        }
    }

    /// Asks about every charge that was taken and whose end nobody was shown.
    async fn charges(&self) -> Result<Vec<String>> {
        let mut late = Vec::new();
        for bank in &self.world.banks {
            let mut tokens: BTreeMap<String, Bytes> = BTreeMap::new();
            for page in self.world.journal.pages() {
                let of_bank = |charge: &&ChargeTale| charge.bank == bank.id && charge.end().is_none();
                let open: Vec<ChargeTale> = page.read().charges.iter().filter(of_bank).cloned().collect();
                for charge in open {
                    late.extend(self.charge(bank, &page, &charge, &mut tokens).await?);
                }
            }
        }
        Ok(late)
    }

    async fn charge(
        &self,
        bank: &Bank,
        page: &Page,
        charge: &ChargeTale,
        tokens: &mut BTreeMap<String, Bytes>,
    ) -> Result<Option<String>> {
        let (app, typed) = (bank.app(0)?, bank.credentials(&charge.customer)?);
        loop {
            let token = match tokens.get(&charge.customer) {
                Some(token) => token.clone(),
                None => match sign_in(self.world, app, None, &typed).await {
                    Some(token) => tokens.entry(charge.customer.clone()).or_insert(token).clone(),
                    None => return Ok(Some(format!("{} of {} could not sign in", charge.customer, bank.id))),
                },
            };
            match self.world.persist(|| app.charge(token.clone(), &charge.id)).await {
                Ok(shown) => {
                    let is_over = crate::device::app::is_final(shown.state());
                    let state = shown.state().as_str_name();
                    if is_over || Instant::now() > self.healed + CHARGES_WITHIN {
                        page.charge(&charge.id, |tale| tale.shown.push(shown));
                        return Ok((!is_over).then(|| format!("the charge {} is still {state}", charge.id)));
                    }
                    tokio::time::sleep(LOOK_PERIOD).await;
                }
                Err(status) if is(&status, "SESSION_INVALID") => drop(tokens.remove(&charge.customer)),
                Err(status) if is(&status, "CHARGE_NOT_FOUND") && !charge.was_taken() => return Ok(None),
                Err(status) => return Ok(Some(format!("of the charge {} its bank says {}", charge.id, says(&status)))),
            }
        }
    }

    /// Waits until each shop has heard, and each follower has seen, the end of every order.
    async fn shops(&self, ended: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>> {
        // What ended last may have ended just now.
        let deadline = Instant::now() + SHOPS_WITHIN;
        loop {
            let mut late = Vec::new();
            for merchant in &self.seen.merchants {
                let orders = ended.get(&merchant.id).cloned().unwrap_or_default();
                let heard = ends_in(&shop_log(&self.seen.folder, merchant))?;
                let waiting = orders.difference(&heard).count();
                if waiting > 0 {
                    late.push(format!("{} has not heard of the end of {waiting} orders", merchant.id));
                }
                let follower = self.followers.iter().find(|follower| follower.merchant() == merchant.id);
                let unseen = orders.iter().filter(|order| follower.is_none_or(|f| !f.has_seen_end_of(order))).count();
                if unseen > 0 {
                    late.push(format!("{} followed its orders and has not seen the end of {unseen}", merchant.id));
                }
            }
            if late.is_empty() || Instant::now() > deadline {
                return Ok(late);
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }
}

/// The orders whose end stands in a shop's log.
fn ends_in(log: &Path) -> Result<BTreeSet<String>> {
    let events = read_log(log)?;
    let says = events.into_iter().filter_map(|event| pb::OrderEvent::decode(event.body).ok());
    Ok(says.filter(|event| is_final(event.state())).map(|event| event.order_id).collect())
}

fn until_expiry(order: &pb::OrderSummary) -> Duration {
    let expires_at = order.expires_at.and_then(|time| proto::time::parse(time).ok());
    expires_at.and_then(|time| time.duration_since(SystemTime::now()).ok()).unwrap_or_default()
}
