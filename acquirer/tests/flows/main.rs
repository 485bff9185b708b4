//! The acquirer's procedures over a store in memory, a clock that is moved by hand and a card network
//! that follows a script. Certificates, signatures, sealed cards and the directory are real.

#![allow(clippy::unwrap_used)]

mod authorize;
mod bank;
mod faults;
mod limits;
mod members;
mod network;
mod orders;
mod recovery;
mod resolve;
mod service;
mod stale;
