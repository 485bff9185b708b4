//! The acquirer (收單銀行伺服器單元): it makes and signs orders, shows the payment page, decides
//! authorizations, and tells its merchants what happened.
//!
//! An order's outcome has one owner, and this is it. The pure rules are in [`domain`]; [`orders`] and
//! [`authorize`] carry them out over the store, one transition for one decision; [`service`] speaks gRPC;
//! [`tasks`] does what nobody waits for. Whatever is signed here is signed inside the commit that makes
//! it true, and sent after that alone.

pub mod access;
pub mod authorize;
pub mod bounds;
pub mod checkout;
pub mod config;
pub mod context;
pub mod device_check;
pub mod domain;
pub mod error;
pub mod keys;
pub mod network;
pub mod operations;
pub mod orders;
pub mod outbox;
pub mod page;
pub mod records;
pub mod repository;
pub mod service;
pub mod tasks;
pub mod trust;

mod role;

pub use role::{operate_command, run};
