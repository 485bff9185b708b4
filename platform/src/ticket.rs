//! Tickets: the platform's word that a bank was picked for an order.
//!
//! A ticket is opaque to everybody else, and any replica of the platform verifies it without a look-up.
//! Its bytes, in this order: the version (1), the key's number, the expiry (milliseconds since 1970,
//! 64 bits, big-endian), the bank's id (3 to 40 bytes), the order's digest (32 bytes), and HMAC-SHA-256
//! (RFC 2104) over all of that.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proto::authorization::TICKET_BYTES_MAX;
use proto::digest::Digest;
use proto::ids::IssuerId;
use ring::hmac;

const VERSION: u8 = 1;
/// The key that makes the tags is derived from the secret with this text, so that nothing else that the
/// same secret might be used for one day can be taken for a ticket.
const CONTEXT: &[u8] = b"bankside.v1/ticket";
const HEAD_BYTES: usize = 10;
const DIGEST_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// How long after its order's expiry a ticket still counts, as everywhere outside the acquirer: only
/// the acquirer's clock decides whether an order has expired.
pub const SKEW: Duration = Duration::from_secs(60);

/// Why a ticket does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketFault {
    /// There is none.
    #[error("there is no ticket")]
    Missing,
    /// The platform didn't make it, or not with a key that is still in use.
    #[error("the platform didn't make this ticket")]
    Invalid,
    /// Its time is over.
    #[error("the ticket's time is over")]
    Expired,
    /// It is for another bank.
    #[error("the ticket is for another bank")]
    OtherBank,
    /// It is for another order.
    #[error("the ticket is for another order")]
    OtherOrder,
}

/// One key and the number that tickets name it by.
pub struct TicketKey {
    number: u8,
    key: hmac::Key,
}

impl TicketKey {
    /// A key of 32 random bytes.
    #[must_use]
    pub fn new(number: u8, secret: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), CONTEXT);
        Self { number, key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// The number that tickets name it by.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The keys in use: one that makes tickets, and one before it whose tickets still count. All replicas
/// of a platform have the same ones.
#[derive(Debug)]
pub struct TicketKeys {
    current: TicketKey,
    previous: Option<TicketKey>,
}

impl TicketKeys {
    /// Makes tickets with `current`; accepts those of `previous` too.
    #[must_use]
    pub fn new(current: TicketKey, previous: Option<TicketKey>) -> Self {
        Self { current, previous }
    }

    /// A ticket for this bank and this order, good until [`SKEW`] after the order's expiry.
    #[must_use]
    pub fn issue(&self, bank: &IssuerId, order: &Digest, order_expires_at: SystemTime) -> Bytes {
        let mut ticket = Vec::with_capacity(HEAD_BYTES + bank.as_str().len() + DIGEST_BYTES + TAG_BYTES);
        ticket.extend([VERSION, self.current.number]);
        ticket.extend(millis(order_expires_at + SKEW).to_be_bytes());
        ticket.extend(bank.as_str().as_bytes());
        ticket.extend(order.as_bytes());
        let tag = hmac::sign(&self.current.key, &ticket);
        ticket.extend(tag.as_ref());
        ticket.into()
    }

    /// Judges a ticket that this bank presents for this order: that it is there, genuine, unexpired,
    /// for the bank and for the order, in this order.
    ///
    /// # Errors
    /// [`TicketFault`].
    pub fn verify(&self, ticket: &[u8], bank: &IssuerId, order: &Digest, now: SystemTime) -> Result<(), TicketFault> {
        if ticket.is_empty() {
            return Err(TicketFault::Missing);
        }
        let (expires_ms, named_bank, named_order) = self.open(ticket).ok_or(TicketFault::Invalid)?;
        if millis(now) > expires_ms {
            return Err(TicketFault::Expired);
        }
        if named_bank != bank.as_str().as_bytes() {
            return Err(TicketFault::OtherBank);
        }
        if named_order != order.as_bytes() {
            return Err(TicketFault::OtherOrder);
        }
        Ok(())
    }

    /// What a genuine ticket says: its expiry, bank and order.
    fn open<'t>(&self, ticket: &'t [u8]) -> Option<(u64, &'t [u8], &'t [u8])> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (said, tag) = ticket.split_at_checked(ticket.len().checked_sub(TAG_BYTES)?)?;
        let (head, rest) = said.split_at_checked(HEAD_BYTES)?;
        let (bank, order) = rest.split_at_checked(rest.len().checked_sub(DIGEST_BYTES)?)?;
        let ([VERSION, number], expiry) = head.split_first_chunk::<2>()? else {
            return None;
        };
        let key =
            [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.number == *number)?;
        hmac::verify(&key.key, said, tag).ok()?;
        Some((u64::from_be_bytes(expiry.try_into().ok()?), bank, order))
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn keys(current: u8, previous: Option<u8>) -> TicketKeys {
        let key = |number: u8| TicketKey::new(number, &[number; 32]);
        TicketKeys::new(key(current), previous.map(key))
    }

    fn bank() -> IssuerId {
        "bank-aurora".parse().unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_ticket_is_judged_in_order() {
        let (keys, order) = (keys(1, None), Digest::of(b"order"));
        let ticket = keys.issue(&bank(), &order, at(900));
        assert!(ticket.len() <= TICKET_BYTES_MAX);
        let (other_bank, other_order) = ("bank-borealis".parse().unwrap(), Digest::of(b"another"));
        let mut forged = ticket.to_vec();
        forged[5] ^= 1;
        type Case<'a> = (&'a [u8], &'a IssuerId, &'a Digest, u64, Result<(), TicketFault>);
        let cases: [Case<'_>; 8] = [
            (&ticket, &bank(), &order, 0, Ok(())),
            (&ticket, &bank(), &order, 960, Ok(())),
            (b"", &other_bank, &other_order, 961, Err(TicketFault::Missing)),
            (&forged, &other_bank, &other_order, 961, Err(TicketFault::Invalid)),
            (b"short", &other_bank, &other_order, 961, Err(TicketFault::Invalid)),
            (&ticket, &other_bank, &other_order, 961, Err(TicketFault::Expired)),
            (&ticket, &other_bank, &other_order, 960, Err(TicketFault::OtherBank)),
            (&ticket, &bank(), &other_order, 960, Err(TicketFault::OtherOrder)),
        ];
        for (ticket, bank, order, seconds, expected) in cases {
            assert_eq!(keys.verify(ticket, bank, order, at(seconds)), expected, "{bank} {order} {seconds}");
        }
    }

    #[test]
    fn the_previous_keys_tickets_count_and_those_before_do_not() {
        let order = Digest::of(b"order");
        let [first, second, third] = [keys(1, None), keys(2, Some(1)), keys(3, Some(2))];
        let ticket = first.issue(&bank(), &order, at(900));
        assert_eq!(second.verify(&ticket, &bank(), &order, at(0)), Ok(()));
        assert_eq!(third.verify(&ticket, &bank(), &order, at(0)), Err(TicketFault::Invalid));
        // The same number on another secret is no key of ours.
        let impostor = TicketKeys::new(TicketKey::new(3, &[9; 32]), None);
        let ticket = impostor.issue(&bank(), &order, at(900));
        assert_eq!(third.verify(&ticket, &bank(), &order, at(0)), Err(TicketFault::Invalid));
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(position in 0usize..10_000, bit in 0u8..8) {
            let (keys, order) = (keys(1, Some(2)), Digest::of(b"order"));
            let mut ticket = keys.issue(&bank(), &order, at(900)).to_vec();
            let position = position % ticket.len();
            ticket[position] ^= 1 << bit;
            prop_assert_eq!(keys.verify(&ticket, &bank(), &order, at(0)), Err(TicketFault::Invalid));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 1..600)) {
            let verdict = keys(1, None).verify(&bytes, &bank(), &Digest::of(b"order"), at(0));
            prop_assert_eq!(verdict, Err(TicketFault::Invalid));
        }
    }
}
