//! The platform (平台伺服器, 5): it keeps the bank directory, brings shoppers to their bank's app, and
//! relays authorizations between issuers and acquirers.
//!
//! | module | what is there |
//! |---|---|
//! | [`directory`] | the bank directory: changes by the operator, and what members and devices see of it |
//! | [`checkouts`] | from a published order to the ticket that a bank's app holds |
//! | [`relay`] | the way of an authorization from an issuer to an acquirer and back |
//! | [`health`] | which banks answer |
//! | [`domain`] | the rules, without time, randomness and I/O of their own |
//! | [`service`], [`page`], [`mesh::admin`] | the edges: gRPC, the bank picker, the numbers |
//! | [`ticket`] | the platform's word that a bank was picked for an order |
//! | [`tasks`] | fresh heads, probes and clearing up |
//! | [`records`], [`repository`] | what is stored, and how |
//!
//! Card data passes through sealed; nothing here has a key that opens it, and no outcome is decided here.

pub mod access;
pub mod checkouts;
pub mod config;
pub mod context;
pub mod directory;
pub mod domain;
pub mod error;
pub mod health;
pub mod keys;
pub mod page;
pub mod records;
pub mod relay;
pub mod repository;
mod role;
pub mod service;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod ticket;

pub use role::run;
