//! The card network as a process of its own: it fails in every way that it can be told to, it and the acquirer are
//! killed in the middle of payments, and at the end its ledger and the acquirer's orders agree.
#![allow(clippy::unwrap_used)]

mod faults;
mod kills;
mod payer;
mod site;
