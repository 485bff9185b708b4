//! The issuer: it verifies its customer, offers their cards, holds the funds and asks the order's
//! acquirer for the authorization.
//!
//! | module | what is there |
//! |---|---|
//! | [`service`] | the gRPC edges: parse, call, answer |
//! | [`domain`] | the rules, without time, randomness and I/O of their own |
//! | [`charges`] | the charge from submission to its end: hold, send, settle, watch |
//! | [`auth`], [`vault`] | who the customer is; what is kept encrypted |
//! | [`tasks`] | recovery at start, and the questions about charges whose result is not known |
//! | [`records`], [`repository`] | what is stored, and how |

pub mod access;
pub mod auth;
pub mod cards;
pub mod charges;
pub mod client;
pub mod config;
pub mod context;
pub mod domain;
pub mod error;
pub mod import;
pub mod keys;
pub mod orders;
pub mod records;
pub mod repository;
mod role;
pub mod service;
pub mod tasks;
pub mod vault;

pub use role::{import_command, run};
