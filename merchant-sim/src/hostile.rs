//! Parties that do not keep to the contracts, with certificates and keys of the network: what a stolen key,
//! a faulty program or a dishonest member could send.

pub mod bank;
pub mod line;
pub mod relay;

pub use bank::{Draft, RawBank};
pub use line::{Line, verdict};
pub use relay::{HostileRelay, Trick};
