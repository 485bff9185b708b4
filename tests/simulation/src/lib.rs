//! All roles' real code in one process under a seeded scheduler, with faults, and a checker for each thing that
//! always holds.
//!
//! | module | what is there |
//! |---|---|
//! | [`model`] | what a run consists of, made from its seed |
//! | [`ops`] | what happens to a world from outside |
//! | [`run`] | one run, and the search for a smaller one that fails the same way |
//! | [`engine`], [`host`], [`clock`], [`chance`] | time, processes and choices: the scheduler |
//! | [`wire`], [`disk`] | messages and stores, and what goes wrong with them |
//! | [`parties`] | the roles' real code, and the card network, the shops and the customers around it |
//! | [`watch`] | the checkers |
//! | [`mistake`] | mistakes that are made on purpose, each of which a checker must find |
//!
//! What is real: the acquirer's services, authorizer, orders, outbox and tasks; the issuers' charges, recovery and
//! questions; the platform's rules; every signature, sealed card, record and index. What is not: TLS and HTTP/2, the
//! engine of the store, sign-in at the issuer, the payment page, the platform's checkout, and the directory's updates.

pub mod chance;
pub mod cli;
pub mod clock;
pub mod disk;
pub mod engine;
pub mod history;
pub mod host;
pub mod log;
pub mod mistake;
pub mod model;
pub mod ops;
pub mod parties;
pub mod party;
pub mod pki;
pub mod run;
pub mod serve;
pub mod watch;
pub mod wire;
pub mod world;
