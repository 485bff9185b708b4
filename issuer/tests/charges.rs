//! The issuer's charges over the memory store, a clock that the test moves, and an acquirer that
//! signs what the test tells it to.
#![allow(clippy::unwrap_used, missing_docs)]

mod charges {
    mod acquirer;
    mod audit;
    mod bounds;
    mod callers;
    mod consent;
    mod crash;
    mod device_confirmation;
    mod faults;
    mod low_value;
    mod operations;
    mod policy;
    mod refusals;
    mod resolve;
    mod results;
    mod retention;
    mod sending;
    mod service;
    mod standstill;
    mod submission;
    mod submit;
    mod tickets;
    mod vault;
    mod watch;
    mod world;
}
