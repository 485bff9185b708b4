//! The mesh over real sockets: who gets in, what is refused and how, what survives a change of keys
//! and a stop. Certificates are made anew for every test.

mod abuse;
mod browsers;
mod calls;
mod descriptors;
mod health;
mod overload;
mod pki;
mod raw;
mod reflection;
mod rotation;
mod service;
mod store_descriptors;
mod threads;
mod who;
