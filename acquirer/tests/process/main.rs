//! The whole process over real sockets: mutual TLS, the embedded store on the disk, and a restart.

#![allow(clippy::unwrap_used)]

mod direct;
mod hub;
mod operations;
mod platform;
mod site;
