//! What the issuer keeps sealed, as a whole: keys that are replaced while records are in use, keys that are
//! missing or wrong, and damage.
#![allow(clippy::unwrap_used, missing_docs)]

mod vault {
    mod admission;
    mod bank;
    mod check;
    mod command;
    mod disk;
    // The charges' tests use more of it.
    #[allow(dead_code)]
    #[path = "../charges/faults.rs"]
    mod faults;
    mod kill;
    mod rotation;
    mod story;
}
