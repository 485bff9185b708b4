//! The relay over real sockets: issuers on one side, acquirers that answer as they are told on the other.
#![allow(clippy::unwrap_used)]

mod acquirer;
mod away;
mod forwarding;
mod network;
mod refusals;
mod rules;
