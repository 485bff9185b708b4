//! How many visits may be opened: each is a durable record, and whoever opens one is not known yet.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// Visits that are counted together.
const WINDOW: Duration = Duration::from_secs(600);
/// New visits from one place in a window: an IPv4 address, behind which a mobile carrier hides thousands of phones,
/// or an IPv6 network of 48 bits.
const OF_ORIGIN_MAX: u32 = 600;
/// New visits in a window: at two kilobytes each, some 40 MB.
const ALL_MAX: u32 = 20_000;

/// The visits that were opened lately.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    since: Option<SystemTime>,
    all: u32,
    of_origin: HashMap<Origin, u32>,
}

/// Who is counted as one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    V4([u8; 4]),
    V6([u16; 3]),
}

impl Opened {
    /// Counts a new visit from this address; false where there were too many.
    pub(super) fn admits(&self, address: IpAddr, now: SystemTime) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: SystemTime| now.duration_since(since).is_ok_and(|age| age >= WINDOW);
        if table.since.is_none_or(is_over) {
            *table = Table { since: Some(now), ..Table::default() };
        }
        if table.all >= ALL_MAX {
            return false;
        }
        let of_origin = table.of_origin.entry(Origin::of(address)).or_default();
        if *of_origin >= OF_ORIGIN_MAX {
            return false;
        }
        *of_origin += 1;
        table.all += 1;
        true
    }
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Self::V6([a, b, c])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn one_place_fills_its_own_share_and_a_new_window_is_empty() {
        let (opened, now) = (Opened::default(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!((0..OF_ORIGIN_MAX).all(|_| opened.admits(one, now)));
        assert!(!opened.admits(one, now) && opened.admits(other, now));
        assert!(!opened.admits(one, now + WINDOW - Duration::from_millis(1)));
        assert!(opened.admits(one, now + WINDOW));
    }

    #[test]
    fn all_together_have_a_bound() {
        let (opened, now) = (Opened::default(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        assert!((0..ALL_MAX).all(|number| opened.admits(address(number), now)));
        assert!(!opened.admits(address(ALL_MAX), now));
    }
}
