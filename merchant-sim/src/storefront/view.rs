//! The demo shops' pages as templates.

use anyhow::Result;
use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::StatusCode;
use mesh::web::amount;

use super::basket::{Basket, Number, QUANTITY_MAX};
use super::counter::Standing;
use super::ledger::Entry;
use super::pages::{Assets, Visit};
use super::texts::Texts;

/// What every page has around its content.
pub(super) struct Frame {
    texts: &'static Texts,
    style: String,
    icon: String,
    /// The shop's name, or what all of them are called.
    name: &'static str,
    is_shop: bool,
    in_basket: u32,
    entrance: String,
}

impl Frame {
    /// The page with all shops.
    pub(super) fn index(texts: &'static Texts, assets: &Assets) -> Self {
        Self {
            texts,
            style: assets.style.path().to_owned(),
            icon: assets.icon.path().to_owned(),
            name: "Bankside",
            is_shop: false,
            in_basket: 0,
            entrance: String::new(),
        }
    }

    /// A page of one shop.
    pub(super) fn shop(visit: &Visit<'_>) -> Self {
        Self {
            name: visit.counter.stall.name.of(visit.language),
            is_shop: true,
            in_basket: visit.basket.as_ref().map_or(0, Basket::count),
            entrance: visit.entrance.to_owned(),
            ..Self::index(Texts::of(visit.language), visit.assets)
        }
    }
}

/// The entrance of a shop, on the page with all of them.
pub(super) struct Door {
    pub(super) merchant: &'static str,
    pub(super) name: &'static str,
    pub(super) tagline: &'static str,
    pub(super) way: &'static str,
    pub(super) pictures: Vec<String>,
    pub(super) address: String,
}

#[derive(Template)]
#[template(path = "storefront/shops.html")]
pub(super) struct ShopsPage {
    pub(super) frame: Frame,
    pub(super) doors: Vec<Door>,
}

/// Something on a shelf, in a basket or in an order.
pub(super) struct Item {
    sku: &'static str,
    name: &'static str,
    picture: String,
    quantity: u32,
    price: String,
}

#[derive(Template)]
#[template(path = "storefront/shop.html")]
pub(super) struct ShopPage {
    frame: Frame,
    tagline: &'static str,
    way: &'static str,
    goods: Vec<Item>,
}

impl ShopPage {
    pub(super) fn new(visit: &Visit<'_>) -> Result<Self> {
        let stall = visit.counter.stall;
        let frame = Frame::shop(visit);
        let goods = stall.products.iter().map(|product| item(visit, product.sku, 1));
        Ok(Self {
            tagline: stall.tagline.of(visit.language),
            way: frame.texts.way(stall.way),
            goods: goods.collect::<Result<_>>()?,
            frame,
        })
    }
}

#[derive(Template)]
#[template(path = "storefront/basket.html")]
pub(super) struct BasketPage {
    frame: Frame,
    number: Number,
    goods: Vec<Item>,
    quantity_max: u32,
    total: String,
}

impl BasketPage {
    pub(super) fn new(visit: &Visit<'_>) -> Result<Self> {
        let basket = visit.basket.clone().map_or_else(Basket::empty, Ok)?;
        let goods = basket.lines.iter().map(|line| item(visit, line.product.sku, line.quantity));
        Ok(Self {
            frame: Frame::shop(visit),
            goods: goods.collect::<Result<_>>()?,
            quantity_max: QUANTITY_MAX,
            total: amount(visit.counter.money(basket.total())?),
            number: basket.number,
        })
    }
}

#[derive(Template)]
#[template(path = "storefront/order.html")]
pub(super) struct OrderPage {
    frame: Frame,
    entry: Entry,
    standing: Standing,
    heading: &'static str,
    hint: &'static str,
    tone: &'static str,
    declined: bool,
    answer: Option<&'static str>,
    goods: Vec<Item>,
    total: String,
    may_cancel: bool,
    heard: usize,
    /// What follows the order, as long as something can happen to it.
    script: Option<String>,
}

impl OrderPage {
    pub(super) fn new(visit: &Visit<'_>, entry: Entry, standing: Standing) -> Result<Self> {
        let frame = Frame::shop(visit);
        let (heading, hint) = frame.texts.state(standing);
        let open = matches!(standing, Standing::Open { .. });
        let goods = entry.lines.iter().map(|line| item(visit, &line.sku, line.quantity));
        Ok(Self {
            heading,
            hint,
            tone: tone(standing),
            declined: matches!(standing, Standing::Open { declined: true }),
            answer: visit.counter.answer(&entry).and_then(|outcome| frame.texts.cancel_answer(outcome)),
            goods: goods.collect::<Result<_>>()?,
            total: amount(visit.counter.money(entry.minor_units)?),
            may_cancel: open && visit.owns(&entry),
            heard: visit.counter.heard(&entry)?,
            script: open.then(|| visit.assets.script.path().to_owned()),
            frame,
            entry,
            standing,
        })
    }
}

/// An order in the list.
pub(super) struct Listed {
    entry: Entry,
    standing: Standing,
    state: &'static str,
    tone: &'static str,
    what: String,
    total: String,
    may_cancel: bool,
}

#[derive(Template)]
#[template(path = "storefront/orders.html")]
pub(super) struct OrdersPage {
    frame: Frame,
    orders: Vec<Listed>,
}

impl OrdersPage {
    pub(super) fn new(visit: &Visit<'_>, orders: Vec<(Entry, Standing)>) -> Result<Self> {
        let frame = Frame::shop(visit);
        let listed = orders.into_iter().map(|(entry, standing)| {
            let goods = entry.lines.iter().map(|line| item(visit, &line.sku, line.quantity));
            let names: Vec<String> = goods
                .map(|item| item.map(|item| format!("{} × {}", item.name, item.quantity)))
                .collect::<Result<_>>()?;
            Ok(Listed {
                state: frame.texts.state(standing).0,
                tone: tone(standing),
                what: names.join(", "),
                total: amount(visit.counter.money(entry.minor_units)?),
                may_cancel: matches!(standing, Standing::Open { .. }),
                entry,
                standing,
            })
        });
        Ok(Self { orders: listed.collect::<Result<_>>()?, frame })
    }
}

/// A page that says what went wrong, and the way on.
#[derive(Template)]
#[template(path = "storefront/problem.html")]
pub(super) struct ProblemPage {
    frame: Frame,
    heading: &'static str,
    hint: &'static str,
    way_on: &'static str,
    way_on_text: &'static str,
}

impl ProblemPage {
    /// With a way to another page of the shop.
    pub(super) fn new(frame: Frame, said: impl FnOnce(&Texts) -> (&'static str, &'static str), way_on: WayOn) -> Self {
        let (heading, hint) = said(frame.texts);
        let (way_on, way_on_text) = match way_on {
            WayOn::Goods => ("/", frame.texts.go_on),
            WayOn::Basket => ("/basket", frame.texts.back_to_basket),
            WayOn::Orders => ("/orders", frame.texts.orders),
        };
        Self { frame, heading, hint, way_on, way_on_text }
    }
}

/// Where somebody goes on who met a problem.
#[derive(Clone, Copy, Debug)]
pub(super) enum WayOn {
    Goods,
    Basket,
    Orders,
}

/// A page as an answer.
pub(super) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the demo shops cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// So many of one thing, with what they cost together. What isn't sold any more keeps its line.
fn item(visit: &Visit<'_>, sku: &str, quantity: u32) -> Result<Item> {
    let Some(product) = visit.counter.stall.product(sku) else {
        return Ok(Item { sku: "", name: "–", picture: String::new(), quantity, price: String::new() });
    };
    Ok(Item {
        sku: product.sku,
        name: product.name.of(visit.language),
        picture: visit.assets.picture(product.sku),
        quantity,
        price: amount(visit.counter.money(product.price * i64::from(quantity))?),
    })
}

const fn tone(standing: Standing) -> &'static str {
    match standing {
        Standing::Open { .. } => "busy",
        Standing::Paid => "good",
        Standing::Cancelled | Standing::Expired | Standing::Failed => "bad",
    }
}
