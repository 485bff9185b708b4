//! The issuer: it verifies its customer, offers their cards, holds the funds and asks the order's
//! acquirer for the authorization.
//!
//! | module | what is there |
//! |---|---|
//! | [`service`] | the gRPC edges: parse, call, answer |
//! | [`domain`] | the rules, without time, randomness and I/O of their own |
//! | [`charges`] | the charge from submission to its end: hold, send, settle, watch |
//! | [`app`] | the reference bank app: its pages, over the same services |
//! | [`auth`], [`vault`] | who the customer is; what is kept encrypted |
//! | [`webauthn`] | what is checked of a passkey, as a function of its arguments |
//! | [`operations`] | what the bank's own people do to a running issuer |
//! | [`tasks`] | recovery at start, and the questions about charges whose result is not known |
//! | [`records`], [`repository`] | what is stored, and how |

pub mod access;
pub mod app;
pub mod audit;
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
pub mod operations;
pub mod orders;
pub mod records;
pub mod repository;
mod role;
pub mod service;
pub mod tasks;
pub mod vault;
pub mod webauthn;

pub use role::{audit_command, import_command, operate_command, run, vault_command};
