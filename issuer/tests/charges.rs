//! The issuer's charges over the memory store, a clock that the test moves, and an acquirer that
//! signs what the test tells it to.
#![allow(clippy::unwrap_used, missing_docs)]

mod charges {
    mod acquirer;
    mod crash;
    mod faults;
    mod refusals;
    mod resolve;
    mod results;
    mod sending;
    mod service;
    mod standstill;
    mod submit;
    mod tickets;
    mod watch;
    mod world;
}
