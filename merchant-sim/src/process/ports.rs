//! Free ports on the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use mesh::clock::{Entropy as _, SystemEntropy};

/// Where ports are looked for: below 32768, where Linux takes the ports of outgoing connections, so
/// that no connection ever sits on a server's port when the server is started again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Ports that nobody else can take until this is dropped, right before they are used.
#[derive(Debug)]
pub struct Reserved {
    listeners: Vec<(u16, TcpListener)>,
}

impl Reserved {
    /// The ports.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.listeners.iter().map(|(port, _)| *port).collect()
    }
}

/// Reserves so many different ports.
///
/// # Errors
/// There are too few.
pub fn reserve(count: usize) -> Result<Reserved> {
    // Programs that look at the same time begin at different places.
    let [high, low, ..] = SystemEntropy::new().id()?;
    let start = u16::from_be_bytes([high, low]) % COUNT;
    let candidates = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
    let listeners: Vec<_> = candidates.filter_map(|port| Some((port, listen(port)?))).take(count).collect();
    if listeners.len() < count {
        bail!("only {} of {count} ports are free between {FIRST} and {}", listeners.len(), FIRST + COUNT - 1);
    }
    Ok(Reserved { listeners })
}

/// Whether a server could listen there now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    listen(port).is_some()
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reserved_port_is_taken_until_it_is_used() {
        let reserved = reserve(20).unwrap();
        let ports = reserved.ports();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
        assert!(!ports.iter().any(|port| is_free(*port)));
        let others = reserve(20).unwrap().ports();
        assert!(!others.iter().any(|port| ports.contains(port)));
    }
}
