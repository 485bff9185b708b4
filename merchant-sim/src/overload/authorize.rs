//! `Authorize` at the acquirer: signed requests with sealed cards, each for an order of its own, made before
//! the load begins and sent as bytes, so that sending them costs little.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use mesh::channel::Dialer;
use mesh::identity::Role;
use mesh::status::{reason_of, retry_after_of};
use mesh::tls::{ExpectedServer, TlsIdentity};
use prost::Message;
use proto::pb;
use tonic::{Code, Status};

use super::direct_bank;
use super::drive::{Work, drive};
use super::generator::UNDER_WAY_MAX;
use super::outcome::{Ended, Order, Outcome};
use super::pool::{self, Pool};
use crate::hostile::bank::RawBank;
use crate::shop::{self, Placed, Shop};
use crate::topology::{Card, Topology};

const AUTHORIZE: &str = "/bankside.v1.Authorization/Authorize";

/// How long an issuer waits, as its calls say.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_HEADER: &str = "10S";

/// Calls on one connection: as many as the server lets a connection have, less a few for those that it
/// still counts when we don't any more.
const CALLS_PER_CONNECTION: u64 = 240;

/// How many different refusals are remembered as having been looked into.
const KNOWN_MAX: usize = 64;

/// The load of one bank on the acquirer.
#[derive(Debug)]
pub(super) struct Authorizations {
    source: Rc<Source>,
    dialer: Dialer,
    ready: Pool<Bytes>,
}

/// What requests are made of.
#[derive(Debug)]
struct Source {
    shop: Shop,
    bank: RawBank,
    card: Card,
}

impl Source {
    /// The request of an order, signed and framed.
    fn request(&self, placed: &Placed) -> Result<Bytes> {
        let draft = self.bank.draft(&placed.signed, &self.card, &Bytes::new())?;
        framed(&self.bank.sign(&draft))
    }
}

impl Authorizations {
    pub(super) fn new(topology: &Topology) -> Result<Self> {
        let issuer = direct_bank(topology)?;
        let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
        let identity: Arc<TlsIdentity> = shop::identity(topology, &issuer.tls)?;
        let expected = ExpectedServer::member(Role::Acquirer, acquirer.id.parse()?);
        let customer = issuer.load_customers.first().context("the bank has no customers for load")?;
        let source = Source {
            shop: pool::shop(topology)?,
            bank: RawBank::of(issuer)?,
            card: customer.cards().next().context("the customer has no card")?.clone(),
        };
        Ok(Self {
            source: Rc::new(source),
            dialer: Dialer::new(&acquirer.endpoint, identity, expected)?,
            ready: Pool::new(),
        })
    }

    pub(super) async fn prepare(&mut self, count: usize) -> Result<()> {
        let Self { source, ready, .. } = self;
        pool::fill(ready, count, &source.shop, |placed| source.request(&placed)).await
    }

    pub(super) async fn run(&mut self, order: Order) -> Result<Outcome> {
        let mut connections = Vec::new();
        for _ in 0..UNDER_WAY_MAX.div_ceil(CALLS_PER_CONNECTION) {
            connections.push(Connection { sender: connect(&self.dialer).await?, calls: Cell::new(0) });
        }
        let request = request(&self.dialer)?;
        let source = Rc::clone(&self.source);
        let work = Calls { source, connections, next: Cell::new(0), request, refusals: RefCell::default() };
        drive(work, &mut self.ready, order).await
    }
}

/// The connections of one run.
struct Calls {
    source: Rc<Source>,
    connections: Vec<Connection>,
    next: Cell<usize>,
    request: Request<()>,
    /// What a refusal's details mean. Nearly all of them are the same bytes.
    refusals: RefCell<HashMap<HeaderValue, Ended>>,
}

struct Connection {
    sender: SendRequest<Bytes>,
    calls: Cell<u64>,
}

impl Work for Calls {
    type Unit = Bytes;

    fn room(&self) -> u64 {
        CALLS_PER_CONNECTION * self.connections.len() as u64
    }

    async fn make(self: Rc<Self>) -> Option<Bytes> {
        let placed = pool::place_once(&self.source.shop).await.ok()?;
        self.source.request(&placed).ok()
    }

    async fn go(self: Rc<Self>, frame: Bytes) -> (Ended, Option<Bytes>) {
        // In turn, as a bank's own servers would share the load among their connections.
        let first = self.next.replace(self.next.get() + 1);
        let count = self.connections.len();
        let mut in_turn = (0..count).map(|step| &self.connections[(first + step) % count]);
        let Some(connection) = in_turn.find(|connection| connection.calls.get() < CALLS_PER_CONNECTION) else {
            return (Ended::Failed("no connection had room".to_owned()), Some(frame));
        };
        connection.calls.set(connection.calls.get() + 1);
        let exchange = tokio::time::timeout(WAIT, self.exchange(connection, frame.clone())).await;
        connection.calls.set(connection.calls.get() - 1);
        match exchange {
            Err(_) => (Ended::Late, None),
            Ok(Err(error)) => (Ended::Failed(format!("{error:#}")), None),
            Ok(Ok(ended)) => {
                // What was refused before it was begun may be asked again.
                let back = matches!(ended, Ended::Refused | Ended::RefusedBare).then_some(frame);
                (ended, back)
            }
        }
    }
}

impl Calls {
    async fn exchange(&self, connection: &Connection, frame: Bytes) -> Result<Ended> {
        let mut sender = connection.sender.clone().ready().await?;
        let (response, mut body) = sender.send_request(self.request.clone(), false)?;
        body.send_data(frame, true)?;
        let response = response.await?;
        if response.headers().contains_key("grpc-status") {
            return Ok(self.refusal(response.headers()));
        }
        let mut body = response.into_body();
        let mut answer = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            answer.put(data);
        }
        let trailers = body.trailers().await?.context("no trailers")?;
        if trailers.get("grpc-status").map(HeaderValue::as_bytes) != Some(b"0") {
            return Ok(self.refusal(&trailers));
        }
        let answer = pb::AuthorizeResponse::decode(answer.get(5..).context("no message")?)?;
        let result = pb::AuthorizationResult::decode(answer.result.context("no result")?.body)?;
        ensure!(result.decision() == pb::Decision::Approved, "declined: {}", result.decline_reason().as_str_name());
        Ok(Ended::Good)
    }

    fn refusal(&self, headers: &HeaderMap) -> Ended {
        let Some(details) = headers.get("grpc-status-details-bin") else { return judge(headers) };
        let mut known = self.refusals.borrow_mut();
        if let Some(ended) = known.get(details) {
            return ended.clone();
        }
        let ended = judge(headers);
        if known.len() < KNOWN_MAX {
            known.insert(details.clone(), ended.clone());
        }
        ended
    }
}

fn judge(headers: &HeaderMap) -> Ended {
    Status::from_header_map(headers).map_or_else(|| Ended::Failed("no status".to_owned()), |status| ended(&status))
}

/// What a status means for the count.
pub(super) fn ended(status: &Status) -> Ended {
    match status.code() {
        Code::ResourceExhausted if retry_after_of(status).is_some() => Ended::Refused,
        Code::ResourceExhausted => Ended::RefusedBare,
        Code::DeadlineExceeded => Ended::Late,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => {
            Ended::Failed(reason_of(status).unwrap_or_else(|| format!("{:?}: {}", status.code(), status.message())))
        }
    }
}

async fn connect(dialer: &Dialer) -> Result<SendRequest<Bytes>> {
    let (stream, driver) = dialer.dial().await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(async move {
        // That a connection has failed shows in its requests.
        let _ = driver.run(connection).await;
    });
    Ok(sender)
}

fn request(dialer: &Dialer) -> Result<Request<()>> {
    let authority = dialer.origin().authority().context("no address")?.as_str();
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query(AUTHORIZE).build()?;
    let mut request = Request::builder().method(Method::POST).uri(uri).body(())?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-timeout", HeaderValue::from_static(WAIT_HEADER));
    Ok(request)
}

fn framed(message: &impl Message) -> Result<Bytes> {
    let mut frame = BytesMut::with_capacity(message.encoded_len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len())?);
    message.encode(&mut frame)?;
    Ok(frame.freeze())
}
