//! What the end-to-end tests share: a network of certificates in a temporary folder, the three roles as
//! they run, the parties that talk to them, and the tables of attacks on them. Everything goes over real
//! sockets.
//!
//! | module | what is there |
//! |---|---|
//! | [`network`] | an authority, its members' files, and the operator's signature |
//! | [`roles`], [`running`], [`leap`] | the roles' configuration files; a role that runs; a clock that is set forward |
//! | [`customers`] | an issuer's customers and their cards |
//! | [`shop`], [`app`] | a shop's server, and a bank's app on a shopper's device |
//! | [`bank`] | an issuer that a test plays, with whatever it cares to sign |
//! | [`attacks`] | a table of attacks: what was tried, what had to come of it, what came |
//! | [`hostile_platform`], [`hostile_members`], [`hostile_customers`] | the tables, which the tests and the program `attacks` play |
//! | [`wait`] | deadlines |

// Test code from end to end: a step that fails has failed its test.
#![allow(clippy::unwrap_used)]

pub mod app;
pub mod attacks;
pub mod bank;
mod books;
pub mod customers;
pub mod hostile_customers;
pub mod hostile_members;
pub mod hostile_platform;
pub mod leap;
pub mod network;
pub mod roles;
pub mod running;
pub mod shop;
pub mod wait;
