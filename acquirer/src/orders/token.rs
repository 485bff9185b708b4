//! Page tokens and cursors: opaque texts that only the merchant who got them can use.
//!
//! A token carries a place and a check over its use, the merchant and the place. It is no secret and
//! keeps nobody out: whatever its place says, a merchant reads its own orders and events alone. The
//! check is there so that a token of another use, merchant or program is refused with a clear word
//! and does not silently skip what lies before a place that nobody meant.

use data_encoding::BASE64URL_NOPAD;
use mesh::store::limits::CURSOR_BYTES_MAX;
use proto::{digest::Digest, fields::Invalid, ids::MerchantId};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A page of `ListOrders`.
    OrderPage,
    /// A place in `WatchOrders`.
    EventCursor,
}

/// Bytes of the check: enough that no mistake passes it.
const CHECK_BYTES: usize = 8;
/// The longest text that is looked at: the longest place is a cursor of the store's.
const TOKEN_BYTES_MAX: usize = (CHECK_BYTES + CURSOR_BYTES_MAX) * 4 / 3 + 1;

/// A token for a place.
pub(super) fn write(purpose: Use, merchant: &MerchantId, place: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&[&check(purpose, merchant, place)[..], place].concat())
}

/// The place of a token that [`write`] has made for this use and merchant.
pub(super) fn read(purpose: Use, merchant: &MerchantId, field: &str, text: &str) -> Result<Vec<u8>, Invalid> {
    let place = || {
        let bytes = BASE64URL_NOPAD.decode(Some(text).filter(|text| text.len() <= TOKEN_BYTES_MAX)?.as_bytes()).ok()?;
        let (found, place) = bytes.split_first_chunk::<CHECK_BYTES>()?;
        (*found == check(purpose, merchant, place)).then(|| place.to_vec())
    };
    place().ok_or_else(|| Invalid::field(field, "must be empty or a text that this service gave out for this merchant"))
}

fn check(purpose: Use, merchant: &MerchantId, place: &[u8]) -> [u8; CHECK_BYTES] {
    let purpose: &[u8] = match purpose {
        Use::OrderPage => b"order page\0",
        Use::EventCursor => b"event cursor\0",
    };
    let digest = Digest::of_parts([purpose, merchant.as_str().as_bytes(), &[0], place]);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest.as_bytes()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_back_by_its_merchant_and_use_alone(place in proptest::collection::vec(any::<u8>(), 0..=CURSOR_BYTES_MAX)) {
            let (shop, other): (MerchantId, MerchantId) = ("shop-1".parse().unwrap(), "shop-2".parse().unwrap());
            let token = write(Use::OrderPage, &shop, &place);
            prop_assert_eq!(read(Use::OrderPage, &shop, "t", &token), Ok(place));
            prop_assert!(read(Use::OrderPage, &other, "t", &token).is_err());
            prop_assert!(read(Use::EventCursor, &shop, "t", &token).is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,800}") {
            let shop: MerchantId = "shop-1".parse().unwrap();
            prop_assert!(read(Use::OrderPage, &shop, "t", &text).is_err());
        }
    }
}
