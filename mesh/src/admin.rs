//! The admin port: the process's numbers, over plain HTTP on a loopback address.

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::serve::{Limits, Server};
use crate::telemetry::Metrics;

/// The port's name in the configuration of every role that has it.
pub const LISTENER: &str = "listen.admin";

/// What the Prometheus text format calls itself.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The port, which answers `/metrics`. The listener must be on a loopback address
/// ([`ListenConfig::validate_loopback`](crate::config::ListenConfig::validate_loopback)), because there is no TLS.
///
/// Reading the numbers isn't counted among them.
#[must_use]
pub fn server(listener: TcpListener, metrics: Metrics, limits: Limits) -> Server {
    Server::http("admin", listener, None, routes(metrics)).limits(limits)
}

fn routes(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(exposition)).with_state(metrics)
}

async fn exposition(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, EXPOSITION)], metrics.exposition())
}
