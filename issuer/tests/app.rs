//! The bank's app, driven over its real port as a browser does: the pages, their limits, and that whatever is sent
//! twice is one charge. The bank behind it is the one of the charges' tests, with an acquirer that signs what the
//! test tells it to.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unused_imports)]

mod app {
    #[path = "../charges/acquirer.rs"]
    mod acquirer;
    #[path = "../charges/faults.rs"]
    mod faults;
    #[path = "../charges/submission.rs"]
    mod submission;
    #[path = "../charges/world.rs"]
    mod world;

    mod bank;
    mod browser;
    mod device_check;
    mod guard;
    mod pages;
    mod pay;
    #[path = "../network/pki.rs"]
    mod pki;
    mod platform;
    mod sign_in;
}
