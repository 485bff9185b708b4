//! How many connections each address has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of one port by where they come from. It holds no address without a connection, so that
/// it is never larger than the port is full.
#[derive(Debug)]
pub(super) struct Addresses {
    each_max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    pub(super) fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, open: Mutex::default() })
    }

    /// A place for one more connection from that address, if it may have one.
    pub(super) fn place(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= self.each_max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or the 64 bits of an IPv6 address that name a network,
/// since whoever has one address of a network has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let place = |text: &str| addresses.place(text.parse().unwrap());
        let first = place("192.0.2.1").unwrap();
        let _second = place("::ffff:192.0.2.1").unwrap();
        assert!(place("192.0.2.1").is_none(), "the same address in another notation");
        let other = place("192.0.2.2").unwrap();
        drop(first);
        let _third = place("192.0.2.1").unwrap();
        drop(other);
        assert_eq!(addresses.open.lock().unwrap().len(), 1, "nothing is kept of who has gone");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let addresses = Addresses::new(1);
        let place = |text: &str| addresses.place(text.parse().unwrap());
        let _first = place("2001:db8::1").unwrap();
        assert!(place("2001:db8::ffff:1").is_none());
        let _other = place("2001:db8:0:1::1").unwrap();
    }
}
