//! Fetching a page over HTTPS, as a browser does that trusts the network's authority: it keeps the cookies of each
//! host, says that its forms are sent from the page's own site, and speaks English.

mod cookies;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use cookies::Cookies;

/// The largest page that is read. A payment page with its QR code has some hundred KiB at most.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How long a page may take, connecting included.
const PAGE_TIME: Duration = Duration::from_secs(10);

/// How a form's fields travel.
const FORM: &str = "application/x-www-form-urlencoded";

/// A browser. Clones are its tabs: they share its cookies.
#[derive(Clone, Debug)]
pub struct Browser {
    tls: Arc<ClientConfig>,
    cookies: Arc<Cookies>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub text: String,
}

impl Page {
    /// Where a redirect leads.
    #[must_use]
    pub fn leads_to(&self) -> Option<&str> {
        let is_redirect = (300..400).contains(&self.status);
        self.headers.get(LOCATION).filter(|_| is_redirect).and_then(|address| address.to_str().ok())
    }
}

impl Browser {
    /// A browser that trusts this authority and no other.
    ///
    /// # Errors
    /// The authority's file can't be used.
    pub fn trusting(authority: &Path) -> Result<Self> {
        let mut tls = mesh::tls::device_client_config(authority)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), cookies: Arc::default() })
    }

    /// Fetches one page. The server's certificate must be good for the address's host name. A redirect is
    /// handed back, not followed.
    ///
    /// # Errors
    /// The address isn't https, the server can't be reached or trusted, or its answer isn't text of at
    /// most 1 MiB.
    pub async fn fetch(&self, address: &str) -> Result<Page> {
        self.ask(address, Method::GET, String::new()).await
    }

    /// Submits a form with at most one field, as the click on its button does.
    ///
    /// # Errors
    /// As [`Browser::fetch`].
    pub async fn submit(&self, address: &str, field: Option<(&str, &str)>) -> Result<Page> {
        let body = field.map(|(name, value)| format!("{name}={value}")).unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
        ensure!(body.chars().all(is_plain), "the field would have to be escaped");
        self.ask(address, Method::POST, body).await
    }

    async fn ask(&self, address: &str, method: Method, body: String) -> Result<Page> {
        let page = tokio::time::timeout(PAGE_TIME, self.ask_unhurried(address, method, body)).await;
        page.with_context(|| format!("{address} did not answer within {} s", PAGE_TIME.as_secs()))?
            .with_context(|| format!("cannot open {address}"))
    }

    async fn ask_unhurried(&self, address: &str, method: Method, body: String) -> Result<Page> {
        let uri: Uri = address.parse().context("this is no address")?;
        ensure!(uri.scheme_str() == Some("https"), "a payment page is opened over https alone");
        let host = uri.host().context("the address has no host")?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).context("the host has no name")?;
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let page = exchange(stream, &uri, method, body, &self.cookies.of(host)).await?;
        self.cookies.take(host, &page.headers);
        Ok(page)
    }
}

/// Fetches a text over plain HTTP, as a collector of numbers does on its own machine.
///
/// # Errors
/// The server can't be reached, or its answer isn't text of at most 1 MiB.
pub async fn fetch_plainly(address: &str) -> Result<Page> {
    let uri: Uri = address.parse().context("this is no address")?;
    let host = uri.host().context("the address has no host")?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let page = tokio::time::timeout(PAGE_TIME, exchange(stream, &uri, Method::GET, String::new(), "")).await;
    page.with_context(|| format!("{address} did not answer within {} s", PAGE_TIME.as_secs()))?
}

/// One request and its answer on a connection of its own.
async fn exchange<S>(stream: S, uri: &Uri, method: Method, body: String, cookies: &str) -> Result<Page>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(&method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().context("the address has no host")?.as_str())
        .header(ACCEPT, "text/html")
        .header(ACCEPT_LANGUAGE, "en");
    let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies) };
    let request = if method == Method::POST {
        let origin = format!("https://{}", uri.authority().context("the address has no host")?);
        request.header(CONTENT_TYPE, FORM).header(ORIGIN, origin).header("sec-fetch-site", "same-origin")
    } else {
        request
    };
    let request = request.body(Full::new(Bytes::from(body)))?;
    // The connection is driven beside the request and dropped with it, so that nothing stays behind.
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, PAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the page can't be read: {error}"))?;
        let text = String::from_utf8(body.to_bytes().to_vec()).context("the page is no text")?;
        Ok(Page { status: parts.status.as_u16(), headers: parts.headers, text })
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        page = &mut exchange => page,
        ended = &mut connection => {
            ended?;
            // The last of the answer may have arrived together with the end of the connection.
            exchange.await
        }
    }
}
