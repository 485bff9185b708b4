//! The audit trail of the issuer: what the store has committed comes into the files once, whatever dies or
//! fails in between, and what does not fit is refused.
#![allow(clippy::unwrap_used, missing_docs)]

mod audit {
    mod carrier;
    mod commands;
    mod crash;
    mod refused;
    mod world;
}
