//! What goes on without a caller.

mod cleanup;
mod heads;
mod probes;

pub use cleanup::clean_up;
#[cfg(test)]
pub(crate) use cleanup::round as clean_up_once;
pub use heads::renew_heads;
pub use probes::{Probe, Prober, TlsProbe};
