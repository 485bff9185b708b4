//! The demo shops of a sandbox: a few products, a basket, a checkout, and the orders.
//!
//! | address | what it is |
//! |---|---|
//! | `http://shop.localhost:PORT/` | all shops |
//! | `http://<shop>.localhost:PORT/` | one shop's products |
//! | `GET /basket`, `POST /basket` | what is to be bought, and a change of it |
//! | `POST /checkout` | makes the order at the acquirer, and leads to its payment page |
//! | `GET /o/{number}` | an order; where the payment page leads back to |
//! | `GET /o/{number}/events` | tells the order's page when there is news |
//! | `POST /o/{number}/cancel` | asks the acquirer to cancel it |
//! | `GET /orders` | the orders that this browser has made |
//!
//! Each shop has a host of its own, so that none reads another's cookies, and so that the domain which a bank's
//! app shows is the one in the browser's address bar. An order counts as paid when the acquirer says so, by the
//! notification or, after a restart, by `GetOrder`: what a browser brings back to the shop proves nothing.

mod basket;
mod catalogue;
mod counter;
mod ledger;
mod pages;
mod texts;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::header::HOST;
use mesh::config::Period;
use mesh::serve::{Limits, Server};
use mesh::web::{Asset, BASE_CSS, Policy, protect};
use proto::link::WebAddress;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::network::{OpenShop, port};
use crate::topology::Topology;

use catalogue::STALLS;
use counter::Counter;
use ledger::Ledger;
use pages::Assets;

/// The name of the page with all shops, below `localhost`.
pub const NAME: &str = "shop";

/// What the address of every order begins with, behind its shop's host.
pub const ORDER_PATH: &str = "/o/";

/// The folder of the shops' own record, in the sandbox's.
const FOLDER: &str = "storefront";

/// How long requests in hand may take once the shops close: nothing that they are in the middle of outlasts
/// their process.
const DRAIN: Duration = Duration::from_secs(1);

/// The demo shops, ready to serve.
#[derive(Debug)]
pub struct Storefront {
    routes: Router,
}

/// Opens the demo shops of a network whose shops run in this process.
///
/// # Errors
/// The network has no demo shops, or their record can't be opened.
pub fn open(topology: &Topology, shops: &[OpenShop]) -> Result<Storefront> {
    Ok(Storefront { routes: routes(topology, shops)? })
}

impl Storefront {
    /// Serves until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let limits = Limits { drain: Period::new(DRAIN), ..Limits::default() };
        Server::http("storefront", listener, None, self.routes).limits(limits).serve(stop).await;
    }
}

/// The pages of all shops, told apart by the host that the browser asked for.
fn routes(topology: &Topology, shops: &[OpenShop]) -> Result<Router> {
    let entrance = topology.storefront.as_ref().context("this network has no demo shops")?;
    let ledger = Arc::new(Ledger::open(&topology.folder.join(FOLDER))?);
    let assets = Arc::new(Assets::new());
    let port = port(entrance)?;
    let mut hosts = HashMap::new();
    let mut doors = Vec::new();
    for stall in STALLS {
        let open = shops.iter().find(|open| open.shop.merchant().id == stall.merchant);
        let open = open.with_context(|| format!("there is no shop {}", stall.merchant))?;
        let host = format!("{}:{port}", open.shop.merchant().domain);
        let origin = format!("http://{host}");
        let acquirer = topology.acquirer_of(open.shop.merchant())?;
        let counter = Counter::new(stall, open, Arc::clone(&ledger))?;
        let pages = pages::shop(Arc::new(counter), entrance.clone(), Arc::clone(&assets));
        let policy = policy(&origin, &assets.style)?.scripts().forms_to(&acquirer.pages);
        hosts.insert(host, protect(pages, policy));
        doors.push((stall, format!("{origin}/")));
    }
    let origin = entrance.trim_end_matches('/');
    let index = protect(pages::index(doors, Arc::clone(&assets)), policy(origin, &assets.style)?);
    let name = origin.trim_start_matches("http://").to_owned();
    hosts.insert(name, index.clone());
    let hosts = Arc::new(hosts);
    // Who asks for another host has mistyped a shop's name, and finds them all.
    Ok(Router::new().fallback(move |request: Request| {
        let hosts = Arc::clone(&hosts);
        let index = index.clone();
        async move { by_host(&hosts, index, request).await }
    }))
}

async fn by_host(hosts: &HashMap<String, Router>, index: Router, request: Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
    let router = host.and_then(|host| hosts.get(&host).cloned()).unwrap_or(index);
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

fn policy(origin: &str, style: &Asset) -> Result<Policy> {
    let own: WebAddress = origin.parse().with_context(|| format!("{origin} is no address"))?;
    Ok(Policy::new(&own, style))
}

impl Assets {
    fn new() -> Self {
        let pictures = STALLS.iter().flat_map(|stall| stall.products);
        Self {
            style: Asset::css("/style", &[BASE_CSS, include_str!("../templates/storefront/shop.css")]),
            icon: Asset::svg("/icon", include_str!("../templates/storefront/icon.svg")),
            script: Asset::script("/live", include_str!("../templates/storefront/live.js")),
            pictures: pictures
                .map(|product| (product.sku, Asset::svg(&format!("/art/{}", product.sku), product.art)))
                .collect(),
        }
    }
}

/// Where the demo shops listen.
///
/// # Errors
/// The network has none, or the port is taken.
pub async fn listen(topology: &Topology) -> Result<TcpListener> {
    let entrance = topology.storefront.as_ref().context("this network has no demo shops")?;
    let address = (std::net::Ipv4Addr::LOCALHOST, port(entrance)?);
    TcpListener::bind(address).await.with_context(|| format!("the demo shops cannot listen on port {}", address.1))
}
