//! A browser without scripts: cookies, forms, and one address after the other.

use std::{collections::BTreeMap, net::SocketAddr};

use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use proto::{link::payment_link, order::SignedOrder};
use tokio::net::TcpStream;

use super::world::{Card, within_patience};

/// A browser.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub headers: Vec<(&'static str, String)>,
    /// Everything that was ever answered, addresses and headers included.
    pub seen: Vec<String>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    /// Where it leads.
    pub(super) fn leads_to(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.html);
        self.headers[LOCATION].to_str().unwrap().to_owned()
    }

    /// What kind of page it is.
    pub(super) fn kind(&self) -> &str {
        self.after("data-page=\"").unwrap_or_default()
    }

    /// The state in it.
    pub(super) fn state(&self) -> &str {
        self.after("data-state=\"").unwrap_or_default()
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.html.contains(text)
    }

    fn after(&self, text: &str) -> Option<&str> {
        self.html.split_once(text)?.1.split('"').next()
    }
}

impl Browser {
    pub(super) fn new(address: SocketAddr) -> Self {
        let headers = vec![("sec-fetch-site", "same-origin".to_owned()), ("accept-language", "en".to_owned())];
        Self { address, cookies: BTreeMap::new(), headers, seen: Vec::new() }
    }

    /// The same with another header in the place of the one of this name.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, String::new()).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        self.send(Method::POST, path, pairs.join("&")).await
    }

    /// Follows redirects until a page comes.
    pub(super) async fn follow(&mut self, page: Page) -> Page {
        let mut page = page;
        for _ in 0..8 {
            if page.status != StatusCode::SEE_OTHER {
                return page;
            }
            page = self.get(&page.leads_to()).await;
        }
        panic!("the redirects go in a circle");
    }

    /// Brings an order as the page behind an app link does; returns the visit's address.
    pub(super) async fn bring(&mut self, order: &SignedOrder) -> String {
        let link = payment_link(&"https://app.bank.example/pay".parse().unwrap(), &order.signed.to_pb());
        self.post("/pay", &[("link", &link)]).await.leads_to()
    }

    pub(super) async fn sign_in(&mut self, visit: &str, who: [&str; 3]) -> Page {
        self.know(&format!("{visit}/sign-in"), who).await
    }

    /// Proves what the customer knows.
    pub(super) async fn know(&mut self, path: &str, [id, code, password]: [&str; 3]) -> Page {
        let fields = [("proof", "knowledge"), ("national_id", id), ("user_code", code), ("password", password)];
        self.post(path, &fields).await
    }

    /// Picks a card; returns the address on which it is confirmed.
    pub(super) async fn pick(&mut self, visit: &str, card: Card) -> String {
        self.post(&format!("{visit}/card"), &[("card", card.id().as_str())]).await.leads_to()
    }

    /// Looks at a charge until it has one of these states.
    pub(super) async fn until(&mut self, charge: &str, states: &[&str]) -> Page {
        within_patience(async {
            loop {
                let page = self.get(charge).await;
                assert_eq!(page.status, StatusCode::OK, "{}", page.html);
                if states.contains(&page.state()) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub(super) async fn send(&mut self, method: Method, path: &str, body: String) -> Page {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driving = tokio::spawn(connection);
        let mut request = Request::builder().method(method.clone()).uri(path).header(HOST, self.address.to_string());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let answer = sender.send_request(request.body(Full::new(bytes::Bytes::from(body))).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let html = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        driving.abort();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let location = parts.headers.get(LOCATION).map(|place| place.to_str().unwrap().to_owned()).unwrap_or_default();
        self.seen.push(format!("{path} {location} {html}"));
        Page { status: parts.status, headers: parts.headers, html }
    }

    /// Every cookie belongs to this host alone, and no script reads it.
    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert!(attributes.starts_with("Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
        let (name, value) = pair.split_once('=').unwrap();
        assert!(name.starts_with("__Host-"), "{cookie}");
        if value.is_empty() {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
