//! What the demo shops answer to a browser.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequestParts, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, http};
use http::StatusCode;
use http::header::SET_COOKIE;
use http::request::Parts;
use mesh::web::{Asset, Language, cookie, sse};
use serde::Deserialize;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::WatchStream;

use super::basket::{Basket, Number};
use super::catalogue::Stall;
use super::counter::{Counter, Trouble, Wish};
use super::ledger::{Entry, owner};
use super::texts::Texts;
use super::view::{BasketPage, Door, Frame, OrderPage, OrdersPage, ProblemPage, ShopPage, ShopsPage, WayOn, show};

/// The cookies' names.
const BASKET: &str = "basket";
const SHOPPER: &str = "shopper";

/// How long a browser keeps a basket, and the right to cancel its orders.
const COOKIE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The times to pay that a shopper can choose from: the acquirer's default, a long one, and its shortest.
const TIMES: [Duration; 3] = [Duration::from_secs(15 * 60), Duration::from_secs(60 * 60), Duration::from_secs(60)];

/// The longest recipient and city together that an order's delivery hint holds, in characters; both are cut.
const HINT_PART_CHARACTERS: usize = 20;

/// The files that the pages are made with.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) icon: Asset,
    pub(super) script: Asset,
    /// By the names of the products.
    pub(super) pictures: Vec<(&'static str, Asset)>,
}

impl Assets {
    /// Where a product's picture is.
    pub(super) fn picture(&self, sku: &str) -> String {
        let picture = self.pictures.iter().find(|(own, _)| *own == sku);
        picture.map(|(_, picture)| picture.path().to_owned()).unwrap_or_default()
    }

    fn mount<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        let pictures = self.pictures.iter().map(|(_, picture)| picture);
        pictures.chain([&self.style, &self.icon, &self.script]).fold(routes, |routes, asset| asset.mount(routes))
    }
}

/// The page with all shops, each with its address.
pub(super) fn index(doors: Vec<(&'static Stall, String)>, assets: Arc<Assets>) -> Router {
    let mounted = assets.mount(Router::new());
    mounted.route("/", get(async move |Speaks(language): Speaks| all_shops(&doors, &assets, language)))
}

fn all_shops(doors: &[(&'static Stall, String)], assets: &Assets, language: Language) -> Response {
    let texts = Texts::of(language);
    let doors = doors.iter().map(|(stall, address)| Door {
        merchant: stall.merchant,
        name: stall.name.of(language),
        tagline: stall.tagline.of(language),
        way: texts.way(stall.way),
        pictures: stall.products.iter().take(3).map(|product| assets.picture(product.sku)).collect(),
        address: address.clone(),
    });
    show(StatusCode::OK, &ShopsPage { frame: Frame::index(texts, assets), doors: doors.collect() })
}

/// One shop's pages.
pub(super) fn shop(counter: Arc<Counter>, entrance: String, assets: Arc<Assets>) -> Router {
    let routes = Router::new()
        .route("/", get(goods))
        .route("/basket", get(basket).post(change_basket))
        .route("/checkout", post(check_out).get(async || Redirect::to("/basket")))
        .route("/orders", get(orders))
        .route("/o/{number}", get(order))
        .route("/o/{number}/events", get(events))
        .route("/o/{number}/cancel", post(cancel).get(back_to_order));
    let shop = Arc::new(Shop { counter, entrance, assets: Arc::clone(&assets) });
    assets.mount(routes).fallback(nothing_here).with_state(shop)
}

struct Shop {
    counter: Arc<Counter>,
    entrance: String,
    assets: Arc<Assets>,
}

/// The language that a browser asks for.
struct Speaks(Language);

impl<S: Send + Sync> FromRequestParts<S> for Speaks {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Language::preferred(&parts.headers)))
    }
}

/// A browser, by its cookies.
struct Shopper {
    language: Language,
    secret: Option<String>,
    basket: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Shopper {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            language: Language::preferred(&parts.headers),
            secret: cookie::get(&parts.headers, SHOPPER).filter(|secret| Number::parse(secret).is_some()),
            basket: cookie::get(&parts.headers, BASKET),
        })
    }
}

/// A shopper at a shop.
pub(super) struct Visit<'a> {
    pub(super) counter: &'a Counter,
    pub(super) entrance: &'a str,
    pub(super) assets: &'a Assets,
    pub(super) language: Language,
    pub(super) basket: Option<Basket>,
    /// Whose orders they are.
    owner: Option<String>,
}

impl Visit<'_> {
    /// Whether this browser made an order.
    pub(super) fn owns(&self, entry: &Entry) -> bool {
        self.owner.as_deref() == Some(entry.owner.as_str())
    }

    fn problem(&self, status: StatusCode, said: Said, way_on: WayOn) -> Response {
        show(status, &ProblemPage::new(Frame::shop(self), said, way_on))
    }

    fn trouble(&self, trouble: &Trouble) -> Response {
        match trouble {
            Trouble::Ordered => return Redirect::to("/orders").into_response(),
            Trouble::TooLarge => {
                let said: Said = |texts| (texts.too_large, texts.too_large_hint);
                return self.problem(StatusCode::UNPROCESSABLE_ENTITY, said, WayOn::Basket);
            }
            Trouble::Acquirer(_) | Trouble::Own(_) => {}
        }
        tracing::warn!(merchant = self.counter.merchant(), %trouble, "a demo shop cannot do what it is asked for");
        let said: Said = |texts| (texts.unavailable, texts.unavailable_hint);
        self.problem(StatusCode::SERVICE_UNAVAILABLE, said, WayOn::Basket)
    }
}

/// What is wrong, in two sentences.
type Said = fn(&Texts) -> (&'static str, &'static str);

impl Shop {
    fn visit(&self, shopper: &Shopper) -> Visit<'_> {
        let basket = shopper.basket.as_deref().and_then(|cookie| Basket::parse(cookie, self.counter.stall));
        Visit {
            counter: &self.counter,
            entrance: &self.entrance,
            assets: &self.assets,
            language: shopper.language,
            basket,
            owner: shopper.secret.as_deref().map(owner),
        }
    }
}

async fn goods(State(shop): State<Arc<Shop>>, shopper: Shopper) -> Response {
    let visit = shop.visit(&shopper);
    shown(&visit, ShopPage::new(&visit))
}

async fn basket(State(shop): State<Arc<Shop>>, shopper: Shopper) -> Response {
    let visit = shop.visit(&shopper);
    shown(&visit, BasketPage::new(&visit))
}

/// A change of the basket: one more of something, or so many of it.
#[derive(Deserialize)]
struct Change {
    add: Option<String>,
    set: Option<String>,
    quantity: Option<u32>,
}

async fn change_basket(
    State(shop): State<Arc<Shop>>,
    shopper: Shopper,
    change: Result<Form<Change>, FormRejection>,
) -> Response {
    let visit = shop.visit(&shopper);
    let back = Redirect::to("/basket");
    let (Ok(Form(change)), Ok(mut basket)) = (change, visit.basket.clone().map_or_else(Basket::empty, Ok)) else {
        return back.into_response();
    };
    let product = |sku: Option<String>| sku.and_then(|sku| visit.counter.stall.product(&sku));
    if let Some(product) = product(change.add) {
        basket.add(product);
    } else if let (Some(product), Some(quantity)) = (product(change.set), change.quantity) {
        basket.put(product, quantity);
    }
    // A number that an order has taken is never that of another basket.
    if visit.counter.find(basket.number.as_str()).is_some()
        && let Ok(fresh) = Basket::empty()
    {
        basket.number = fresh.number;
    }
    ([(SET_COOKIE, cookie::set(BASKET, &basket.to_cookie(), Some(COOKIE_LIFE)))], back).into_response()
}

#[derive(Deserialize)]
struct Checkout {
    basket: String,
    recipient: String,
    city: String,
    time: usize,
}

async fn check_out(
    State(shop): State<Arc<Shop>>,
    shopper: Shopper,
    form: Result<Form<Checkout>, FormRejection>,
) -> Response {
    let visit = shop.visit(&shopper);
    let Ok(Form(form)) = form else { return Redirect::to("/basket").into_response() };
    // A second click comes when the first may have emptied the basket: the form's number finds the order.
    let earlier = visit.counter.find(&form.basket).filter(|entry| visit.owns(entry));
    if let Some(entry) = earlier {
        return Redirect::to(&entry.payment_url).into_response();
    }
    let basket = visit.basket.clone().filter(|basket| basket.number.as_str() == form.basket && basket.count() > 0);
    let (Some(basket), Some(time)) = (basket, TIMES.get(form.time)) else {
        return Redirect::to("/basket").into_response();
    };
    let secret = match shopper.secret.clone().map_or_else(|| Number::fresh().map(|secret| secret.to_string()), Ok) {
        Ok(secret) => secret,
        Err(error) => return visit.trouble(&Trouble::Own(error)),
    };
    let delivery = format!("{} · {}", masked(&form.recipient), cut(&form.city));
    let wish = Wish { time_to_pay: *time, delivery, language: visit.language };
    match visit.counter.check_out(&basket, &owner(&secret), &wish).await {
        Ok(entry) => {
            let mut response = Redirect::to(&entry.payment_url).into_response();
            for header in [cookie::forget(BASKET), cookie::set(SHOPPER, &secret, Some(COOKIE_LIFE))] {
                response.headers_mut().append(SET_COOKIE, header);
            }
            response
        }
        Err(trouble) => visit.trouble(&trouble),
    }
}

async fn orders(State(shop): State<Arc<Shop>>, shopper: Shopper) -> Response {
    let visit = shop.visit(&shopper);
    let mut orders = Vec::new();
    for entry in visit.owner.as_deref().map(|owner| visit.counter.of(owner)).unwrap_or_default() {
        match visit.counter.standing(&entry).await {
            Ok(standing) => orders.push((entry, standing)),
            Err(trouble) => return visit.trouble(&trouble),
        }
    }
    shown(&visit, OrdersPage::new(&visit, orders))
}

async fn order(State(shop): State<Arc<Shop>>, shopper: Shopper, number: Path<String>) -> Response {
    let visit = shop.visit(&shopper);
    let Some(entry) = visit.counter.find(&number) else { return missing(&visit) };
    match visit.counter.standing(&entry).await {
        Ok(standing) => shown(&visit, OrderPage::new(&visit, entry, standing)),
        Err(trouble) => visit.trouble(&trouble),
    }
}

/// One event for every notification about the order: how many there were.
async fn events(State(shop): State<Arc<Shop>>, number: Path<String>) -> Response {
    let Some(entry) = shop.counter.find(&number) else { return StatusCode::NOT_FOUND.into_response() };
    let mut told = None;
    let counter = Arc::clone(&shop.counter);
    let events = WatchStream::new(counter.news()).filter_map(move |_| {
        let heard = counter.heard(&entry).ok()?;
        (told.replace(heard) != Some(heard)).then(|| sse::Event::default().data(heard.to_string()))
    });
    sse::answer(events)
}

async fn cancel(State(shop): State<Arc<Shop>>, shopper: Shopper, number: Path<String>) -> Response {
    let visit = shop.visit(&shopper);
    let Some(entry) = visit.counter.find(&number) else { return missing(&visit) };
    if !visit.owns(&entry) {
        return visit.problem(StatusCode::FORBIDDEN, |texts| (texts.not_yours, texts.not_yours_hint), WayOn::Orders);
    }
    match visit.counter.cancel(&entry).await {
        Ok(()) => Redirect::to(&format!("/o/{}", entry.number)).into_response(),
        Err(trouble) => visit.trouble(&trouble),
    }
}

async fn back_to_order(Path(number): Path<String>) -> Response {
    let number = Number::parse(&number);
    Redirect::to(&number.map_or_else(|| "/orders".to_owned(), |number| format!("/o/{number}"))).into_response()
}

async fn nothing_here(State(shop): State<Arc<Shop>>, shopper: Shopper) -> Response {
    missing(&shop.visit(&shopper))
}

fn missing(visit: &Visit<'_>) -> Response {
    visit.problem(StatusCode::NOT_FOUND, |texts| (texts.not_found, texts.not_found_hint), WayOn::Goods)
}

fn shown<T: askama::Template>(visit: &Visit<'_>, page: Result<T>) -> Response {
    match page {
        Ok(page) => show(StatusCode::OK, &page),
        Err(error) => visit.trouble(&Trouble::Own(error)),
    }
}

/// A name as strangers may see it: the first letter of each word.
fn masked(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '-').filter_map(|word| word.chars().next());
    let words: Vec<String> = words.filter(|first| first.is_alphanumeric()).map(|first| format!("{first}***")).collect();
    cut(&words.join(" "))
}

/// A text with nothing in it that an order can't hold.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(HINT_PART_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_masked() {
        for (name, shown) in [
            ("王小明", "王***"),
            ("Wang Xiao-Ming", "W*** X*** M***"),
            ("  ", ""),
            ("<b>x", ""),
            ("a b c d e f g h", "a*** b*** c*** d*** "),
        ] {
            assert_eq!(masked(name), shown, "{name}");
        }
        assert_eq!(cut("Tai\u{7}pei\n"), "Taipei");
    }
}
