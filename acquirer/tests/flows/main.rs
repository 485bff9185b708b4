//! The acquirer's procedures over a store in memory, a clock that is moved by hand and a card network
//! that follows a script. Certificates, signatures, sealed cards and the directory are real.

#![allow(clippy::unwrap_used)]

mod authentication;
mod authorize;
mod bank;
mod bound;
mod clock;
mod cuts;
mod faults;
mod foreign;
mod idempotence;
mod limits;
mod members;
mod network;
mod operations;
mod orders;
mod probe;
mod recovery;
mod remote;
mod resolve;
mod retention;
mod same_device;
mod service;
mod stale;
mod watch;
