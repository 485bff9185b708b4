//! The issuer over real sockets and mutual TLS: its client towards an acquirer, and the whole process
//! from the import to a paid order.
#![allow(clippy::unwrap_used, missing_docs)]

mod network {
    mod acquirer;
    mod app;
    mod audit;
    mod direct_client;
    mod hub;
    mod keys;
    mod operations;
    mod pki;
    mod platform;
    mod role;
}
