//! What the end-to-end tests share: a network of certificates in a temporary folder, the three roles as
//! they run, and the parties that talk to them. Everything goes over real sockets.
//!
//! | module | what is there |
//! |---|---|
//! | [`network`] | an authority, its members' files, and the operator's signature |
//! | [`roles`], [`running`] | the roles' configuration files; a role that runs |
//! | [`customers`] | an issuer's customers and their cards |
//! | [`shop`], [`app`] | a shop's server, and a bank's app on a shopper's device |
//! | [`bank`] | an issuer that a test plays, with whatever it cares to sign |
//! | [`wait`] | deadlines |

// Test code from end to end: a step that fails has failed its test.
#![allow(clippy::unwrap_used)]

pub mod app;
pub mod bank;
pub mod customers;
pub mod network;
pub mod roles;
pub mod running;
pub mod shop;
pub mod wait;
