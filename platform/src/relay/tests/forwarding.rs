//! What goes through: the very bytes, the time that is left, the trace, and the acquirer's own words.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use mesh::channel::{MeshChannel, within};
use mesh::clock::SystemEntropy;
use mesh::identity::Role;
use mesh::serve::Limits;
use mesh::status::{reason_of, retry_after_of};
use mesh::telemetry::TraceContext;
use prost::Message as _;
use proto::authorization::Route;
use proto::pb;
use proto::reason::Reason;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};

use super::acquirer::{Acquirer, Behaviour};
use super::network::{
    AURORA, HARBOR, LANTERN, Network, Relaying, Terms, assert_refused, authorize, request, resolve, soon,
};
use crate::relay::{AUTHORIZE, RESOLVE, RelayLimits};

/// Sends and receives messages as the bytes that they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn send(channel: &MeshChannel, path: &'static str, message: Bytes, time: Duration) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let call = client.unary(within(message, time), PathAndQuery::from_static(path), Raw);
    soon("an answer", call).await.map(tonic::Response::into_inner)
}

async fn start(network: &Network, limits: RelayLimits) -> (Acquirer, Relaying, MeshChannel) {
    let acquirer = Acquirer::start(network, HARBOR).await;
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, Terms::acquirer(acquirer.address))]);
    let relaying = network.relay(directory, limits).await;
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    (acquirer, relaying, aurora)
}

#[tokio::test]
async fn both_ways_the_bytes_are_those_that_came() {
    let network = Network::new();
    let (acquirer, _relaying, aurora) = start(&network, RelayLimits::default()).await;
    // The fields in the wrong order, one that nobody knows, and a length in more bytes than it needs: a
    // relay that decodes and encodes again would tidy all of that up.
    let route = network.route().to_pb().encode_to_vec();
    let mut message = vec![0x12, 0x83, 0x00, 1, 2, 3];
    message.extend([0x0a, u8::try_from(route.len() & 0x7f).unwrap() | 0x80, u8::try_from(route.len() >> 7).unwrap()]);
    message.extend(&route);
    message.extend([0xfa, 0x3f, 2, 9, 9]);
    let mut answer = vec![0x12, 0x82, 0x00, 7, 7];
    pb::AuthorizeResponse { authorization_id: network.route().authorization.to_string(), result: None }
        .encode(&mut answer)
        .unwrap();
    acquirer.canned.behave(Behaviour::AnswersWith(answer.clone().into()));
    for path in [AUTHORIZE, RESOLVE] {
        let got = send(&aurora, path, message.clone().into(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(got, answer);
    }
    let received = acquirer.canned.received();
    assert_eq!(received.iter().map(|received| received.rpc).collect::<Vec<_>>(), [AUTHORIZE, RESOLVE]);
    for received in received {
        assert_eq!(received.message, message);
        assert_eq!(received.peer, "spiffe://pay.example/platform/hub");
    }
}

#[tokio::test]
async fn messages_of_every_size_go_through_and_larger_ones_do_not() {
    let network = Network::new();
    let (acquirer, _relaying, aurora) = start(&network, RelayLimits::default()).await;
    for size in [1, 3_000, 20_000, 60_000] {
        let signed = pb::Signed { body: vec![5; size].into(), ..pb::Signed::default() };
        let message = pb::AuthorizeRequest { request: Some(signed), ..request(&network.route()) }.encode_to_vec();
        let mut answer = pb::AuthorizeResponse {
            authorization_id: network.route().authorization.to_string(),
            result: Some(pb::Signed { body: vec![6; size].into(), ..pb::Signed::default() }),
        }
        .encode_to_vec();
        acquirer.canned.behave(Behaviour::AnswersWith(answer.clone().into()));
        let got = send(&aurora, AUTHORIZE, message.clone().into(), Duration::from_secs(5)).await.unwrap();
        assert_eq!(got, std::mem::take(&mut answer));
        assert_eq!(acquirer.canned.received().last().unwrap().message, message);
    }
    let count = acquirer.canned.received().len();
    let large = pb::Signed { body: vec![5; 66_000].into(), ..pb::Signed::default() };
    let large = pb::AuthorizeRequest { request: Some(large), ..request(&network.route()) }.encode_to_vec();
    let refused = send(&aurora, AUTHORIZE, large.into(), Duration::from_secs(5)).await;
    assert_refused(refused, Code::ResourceExhausted, Reason::MessageTooLarge);
    assert_eq!(acquirer.canned.received().len(), count);
}

#[tokio::test]
async fn an_answer_for_another_authorization_is_not_handed_back() {
    let network = Network::new();
    let (acquirer, relaying, aurora) = start(&network, RelayLimits::default()).await;
    let route = network.route();
    let right = pb::AuthorizeResponse { authorization_id: route.authorization.to_string(), result: None };
    let cases = [
        Behaviour::AnswersForAnother,
        Behaviour::AnswersWith(Bytes::new()),
        Behaviour::AnswersWith([right.encode_to_vec(), right.encode_to_vec()].concat().into()),
        Behaviour::AnswersWith(vec![0x0a, 0x7f].into()),
    ];
    let mut count = 0;
    for behaviour in cases {
        acquirer.canned.behave(behaviour);
        assert_refused(authorize(&aurora, &route).await, Code::Internal, Reason::ResponseMismatch);
        assert_refused(resolve(&aurora, &route).await, Code::Internal, Reason::ResponseMismatch);
        count += 2;
        assert_eq!(relaying.count(Reason::ResponseMismatch), count);
    }
    acquirer.canned.behave(Behaviour::Answers);
    authorize(&aurora, &route).await.unwrap();
}

#[tokio::test]
async fn the_acquirers_own_refusal_comes_back_word_for_word() {
    let network = Network::new();
    let (acquirer, relaying, aurora) = start(&network, RelayLimits::default()).await;
    acquirer.canned.behave(Behaviour::Refuses);
    let status = authorize(&aurora, &network.route()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "a sentence of the acquirer's, 100 %");
    assert_eq!(reason_of(&status).as_deref(), Some("SIGNATURE_INVALID"));
    assert_eq!(retry_after_of(&status), Some(Duration::from_secs(3)));
    let direct =
        mesh::status::Refusal::new(Code::Unauthenticated, proto::reason::Reason::SignatureInvalid, status.message())
            .metadata("key", "value")
            .retry_after(Duration::from_secs(3))
            .into_status();
    assert_eq!(status.details(), direct.details());
    let numbers = relaying.metrics.exposition();
    assert!(numbers.contains("bankside_relay_acquirer_refusals_total 1"), "{numbers}");
}

#[tokio::test]
async fn the_acquirer_gets_what_is_left_of_the_callers_time_and_never_more_than_the_cap() {
    let network = Network::new();
    let (acquirer, _relaying, aurora) = start(&network, RelayLimits::default()).await;
    let message = Bytes::from(request(&network.route()).encode_to_vec());
    for (asked, allowed) in [(3, 3), (10, 8), (25, 8)] {
        send(&aurora, AUTHORIZE, message.clone(), Duration::from_secs(asked)).await.unwrap();
        let left = acquirer.canned.received().last().unwrap().left;
        assert!(left <= Duration::from_secs(allowed), "{asked}: {left:?}");
        assert!(left > Duration::from_secs(allowed) - Duration::from_secs(2), "{asked}: {left:?}");
    }
}

#[tokio::test]
async fn a_silent_acquirer_costs_its_time_and_no_more() {
    let network = Network::new();
    let wait = mesh::config::Period::new(Duration::from_millis(100));
    let (acquirer, relaying, aurora) =
        start(&network, RelayLimits { acquirer_wait: wait, ..RelayLimits::default() }).await;
    let (stuck, until) = std::sync::mpsc::channel();
    acquirer.canned.behave(Behaviour::Stuck(Arc::new(Mutex::new(until))));
    assert_refused(authorize(&aurora, &network.route()).await, Code::DeadlineExceeded, Reason::DeadlineExceeded);
    assert_eq!(relaying.count(Reason::DeadlineExceeded), 1);
    drop(stuck);
    // One that is merely slow keeps the deadline itself, and its own word for it is handed back.
    acquirer.canned.behave(Behaviour::Silent);
    assert_refused(authorize(&aurora, &network.route()).await, Code::DeadlineExceeded, Reason::DeadlineExceeded);
    acquirer.canned.behave(Behaviour::Answers);
    authorize(&aurora, &network.route()).await.unwrap();
}

#[tokio::test]
async fn the_trace_goes_on_at_the_acquirer() {
    let network = Network::new();
    let (acquirer, _relaying, aurora) = start(&network, RelayLimits::default()).await;
    let trace = TraceContext::start(&SystemEntropy::new()).unwrap();
    trace.scope(authorize(&aurora, &network.route())).await.unwrap();
    assert_eq!(acquirer.canned.received().last().unwrap().trace_id, Some(trace.trace_id()));
}

#[tokio::test]
async fn as_many_requests_are_under_way_as_may_be_and_the_next_is_shed() {
    let network = Network::new();
    let limits = RelayLimits { threads: 1, under_way_max: 2, ..RelayLimits::default() };
    let (acquirer, relaying, aurora) = start(&network, limits).await;
    acquirer.canned.behave(Behaviour::Silent);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (aurora, route) = (aurora.clone(), network.route());
            tokio::spawn(async move { authorize(&aurora, &route).await })
        })
        .collect();
    soon("both requests", acquirer.canned.arrived.acquire_many(2)).await.unwrap().forget();
    let status =
        assert_refused(authorize(&aurora, &network.route()).await, Code::ResourceExhausted, Reason::Overloaded);
    assert!(retry_after_of(&status).is_some_and(|wait| wait > Duration::ZERO));
    assert_eq!(relaying.count(Reason::Overloaded), 1);
    // Callers that go away give their places back.
    for call in held {
        call.abort();
    }
    acquirer.canned.behave(Behaviour::Answers);
    soon("a place", async {
        while authorize(&aurora, &network.route()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_acquirer_that_hangs_keeps_nothing_out_that_goes_to_another() {
    let network = Network::new();
    let (hanging, well) = (Acquirer::start(&network, HARBOR).await, Acquirer::start(&network, LANTERN).await);
    let (one, other) = (Terms::acquirer(hanging.address), Terms::acquirer(well.address));
    let directory = network.directory(&[(AURORA, Terms::issuer()), (HARBOR, one), (LANTERN, other)]);
    // Eight in hand on each of the two threads, and so two under way to one acquirer.
    let limits = RelayLimits { threads: 2, ..RelayLimits::default() };
    let relaying = network.relay_on(directory, limits, Limits { requests_max: 16, ..Limits::default() }).await;
    // One connection, and so one thread.
    let aurora = network.caller(&relaying, Role::Issuer, AURORA);
    hanging.canned.behave(Behaviour::Silent);
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (aurora, route) = (aurora.clone(), network.route());
            tokio::spawn(async move { authorize(&aurora, &route).await })
        })
        .collect();
    soon("what may be under way", hanging.canned.arrived.acquire_many(2)).await.unwrap().forget();
    // The relay refuses them, or the port, where their messages come a moment after their heads.
    soon("the others", async {
        while asked.iter().filter(|call| call.is_finished()).count() < 6 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let route = Route { acquirer: LANTERN.parse().unwrap(), ..network.route() };
    authorize(&aurora, &route).await.unwrap();
    let (refused, hanging): (Vec<_>, Vec<_>) = asked.into_iter().partition(|call| call.is_finished());
    hanging.iter().for_each(|call| call.abort());
    for call in refused {
        let status = call.await.unwrap().expect_err("a refusal");
        assert_eq!(reason_of(&status).as_deref(), Some(Reason::Overloaded.as_wire()), "{status}");
    }
}
