//! The audit trail's files: whatever is done to them is noticed, and named at its place.
#![allow(clippy::unwrap_used, missing_docs)]

mod audit {
    mod crash;
    mod forged;
    mod going_on;
    mod tampering;
    mod world;
    mod writing;
}
