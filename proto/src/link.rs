//! Addresses on the web, and the payment link that a QR code carries.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use http::Uri;
use prost::Message;

use crate::{
    order::{SIGNED_ORDER_BYTES_MAX, SignedOrder},
    pb,
};

/// The longest text that is looked at as a payment link: a signed order in base 32 and a generous
/// address before it.
const LINK_BYTES_MAX: usize = SIGNED_ORDER_BYTES_MAX * 8 / 5 + 512;
/// What stands before the order in the link's fragment.
const ORDER_KEY: &str = "o=";

/// An https address without user name and fragment. Plain http is allowed for the loopback host and the
/// names under `localhost`, which are loopback everywhere (RFC 6761, section 6.3): developers run their
/// shops there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebAddress(Box<str>);

/// A text that is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address with a host, without user name and fragment")]
pub struct NotAWebAddress;

impl WebAddress {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebAddress {
    type Err = NotAWebAddress;

    fn from_str(text: &str) -> Result<Self, NotAWebAddress> {
        // A fragment is not part of a `Uri`, which would drop it silently.
        let uri: Uri = if text.contains('#') {
            return Err(NotAWebAddress);
        } else {
            text.parse().map_err(|_| NotAWebAddress)?
        };
        let authority =
            uri.authority().filter(|a| !a.host().is_empty() && !a.as_str().contains('@')).ok_or(NotAWebAddress)?;
        let host = authority.host();
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost");
        match uri.scheme_str() {
            Some("https") => Ok(Self(text.into())),
            Some("http") if loopback => Ok(Self(text.into())),
            Some(_) | None => Err(NotAWebAddress),
        }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a payment link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is far too long.
    #[error("this is no payment link: it is longer than any signed order")]
    TooLong,
    /// It is not `https://…#o=…`.
    #[error("this is no payment link: it must be an https address that ends in \"#o=\" and the order")]
    NotALink,
    /// The order is not written in base 32.
    #[error("this payment link is damaged: scan the QR code again")]
    Damaged,
    /// The order breaks a rule of the contracts.
    #[error("this payment link holds no valid order: {0}")]
    NotAnOrder(#[from] crate::fields::Invalid),
}

/// The text of a QR code: the app link, and behind the "#", which no browser sends to a server, the
/// signed order in base 32. Base 32 takes less room in a QR code than base 64, because the code's
/// alphanumeric mode packs capital letters and digits into 5.5 bits.
#[must_use]
pub fn payment_link(app_link: &WebAddress, order: &pb::Signed) -> String {
    format!("{app_link}#{ORDER_KEY}{}", data_encoding::BASE32_NOPAD.encode(&order.encode_to_vec()))
}

/// Reads a payment link, whatever address it leads to: the address only opens an app, the order's
/// signature says who wants the money. Verify it before believing the order.
///
/// # Errors
/// [`LinkError`].
pub fn parse_payment_link(text: &str) -> Result<SignedOrder, LinkError> {
    if text.len() > LINK_BYTES_MAX {
        return Err(LinkError::TooLong);
    }
    let (address, fragment) = text.split_once('#').ok_or(LinkError::NotALink)?;
    address.parse::<WebAddress>().map_err(|_| LinkError::NotALink)?;
    let order = fragment.strip_prefix(ORDER_KEY).ok_or(LinkError::NotALink)?;
    let bytes = data_encoding::BASE32_NOPAD.decode(order.as_bytes()).map_err(|_| LinkError::Damaged)?;
    let signed = pb::Signed::decode(Bytes::from(bytes)).map_err(|_| LinkError::Damaged)?;
    Ok(SignedOrder::parse(signed)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_https_addresses_pass() {
        for good in [
            "https://shop.example/paid?x=1",
            "http://127.0.0.1:8080/paid",
            "http://shop.localhost:8080/paid",
            "https://shop.example",
        ] {
            assert!(good.parse::<WebAddress>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "shop.example",
            "http://shop.example/",
            "javascript:alert(1)",
            "https://",
            "https://a@shop.example/",
            "https://shop.example/#x",
            "/paid",
            "http://localhost.evil.example/",
            "http://evil-localhost/",
            "http://a.localhost.example/",
            "http://user@shop.localhost/",
        ] {
            assert!(bad.parse::<WebAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_malformed_link_says_what_it_is() {
        let cases = [
            ("hello", LinkError::NotALink),
            ("https://pay.example/", LinkError::NotALink),
            ("javascript:x#o=AAAA", LinkError::NotALink),
            ("https://pay.example/#order=AAAA", LinkError::NotALink),
            ("https://pay.example/#o=!!!", LinkError::Damaged),
            ("https://pay.example/#o=AAAAAAAA", LinkError::Damaged),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_payment_link(text), Err(expected), "{text}");
        }
        assert_eq!(
            parse_payment_link(&format!("https://pay.example/#o={}", "A".repeat(LINK_BYTES_MAX))),
            Err(LinkError::TooLong)
        );
        assert!(matches!(parse_payment_link("https://pay.example/#o="), Err(LinkError::NotAnOrder(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_payment_link(&text);
            let _ = parse_payment_link(&format!("https://pay.example/#o={}", data_encoding::BASE32_NOPAD.encode(&bytes)));
        }
    }
}
