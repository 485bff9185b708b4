//! The way from the payment page to the platform's bank picker.
//!
//! On the shopper's click the order is published at the platform, which answers with the address of a
//! picker for it. The shopper's browser is sent there only if the address is one of the platform's pages,
//! so that nobody who answers in the platform's place can send shoppers anywhere else.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::HeaderValue;
use mesh::{
    channel::{MeshChannel, within},
    serve::MESSAGE_BYTES_MAX,
    status::reason_of,
};
use proto::{
    link::WebAddress,
    order::SignedOrder,
    pb::{self, checkout_client::CheckoutClient},
};
use tonic::Code;

/// How long the platform may take, connecting included: a shopper who has clicked waits no longer.
const PUBLISH_WAIT: Duration = Duration::from_secs(5);
/// Longer than any address of the platform's, and well below what a header may hold.
const ADDRESS_BYTES_MAX: usize = 1024;

/// Whoever publishes orders at a platform.
#[async_trait]
pub trait OrderPublisher: fmt::Debug + Send + Sync {
    /// Publishes an order, and returns the address of its bank picker as it was answered: not checked. The
    /// picker can lead back to the payment page at `payment_url`.
    /// The same order again gives the same answer.
    ///
    /// # Errors
    /// [`ChoiceError::Refused`] and [`ChoiceError::Late`].
    async fn publish(&self, order: &SignedOrder, payment_url: &str) -> Result<String, ChoiceError>;
}

/// Why the shopper can't be sent to a bank picker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// The platform can't be reached, or said no.
    #[error("the platform answered {code:?}, reason {reason}, or could not be reached")]
    Refused {
        /// The gRPC code.
        code: Code,
        /// The stable reason; empty where there was none.
        reason: String,
    },
    /// There was no answer in time.
    #[error("the platform did not answer in time")]
    Late,
    /// The answer leads somewhere else.
    #[error("the platform's answer leads to no page of the platform")]
    Elsewhere,
}

/// Publishes by `Checkout.PublishOrder`, over mutual TLS.
pub struct PlatformPublisher {
    client: CheckoutClient<MeshChannel>,
}

impl PlatformPublisher {
    /// Publishes over this channel.
    #[must_use]
    pub fn new(channel: MeshChannel) -> Self {
        let client = CheckoutClient::new(channel);
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { client }
    }
}

#[async_trait]
impl OrderPublisher for PlatformPublisher {
    async fn publish(&self, order: &SignedOrder, payment_url: &str) -> Result<String, ChoiceError> {
        let payment_url = payment_url.to_owned();
        let request = within(pb::PublishOrderRequest { order: Some(order.signed.to_pb()), payment_url }, PUBLISH_WAIT);
        match self.client.clone().publish_order(request).await {
            Ok(published) => Ok(published.into_inner().checkout_url),
            Err(status) if status.code() == Code::DeadlineExceeded => Err(ChoiceError::Late),
            Err(status) => {
                Err(ChoiceError::Refused { code: status.code(), reason: reason_of(&status).unwrap_or_default() })
            }
        }
    }
}

impl fmt::Debug for PlatformPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformPublisher")
    }
}

/// Scheme, host and, where it is needed, port of a web server: what stands before the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Box<str>);

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address of a host and, where it is needed, a port, without path and query")]
pub struct NotAnOrigin;

impl Origin {
    /// The origin without a slash at the end. It is letters, digits and `.-:[]/` alone, so that it can
    /// stand in a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        text.parse::<WebAddress>().map_err(|_| NotAnOrigin)?;
        let text = text.strip_suffix('/').unwrap_or(text);
        let (_, authority) = text.split_once("://").ok_or(NotAnOrigin)?;
        // It also stands in the page's content security policy, where a stray character would end it.
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if authority.chars().all(allowed) { Ok(Self(text.into())) } else { Err(NotAnOrigin) }
    }
}

/// What the payment page offers beside its QR code: to choose a bank at the platform.
#[derive(Clone, Debug)]
pub struct BankChoice {
    publisher: Arc<dyn OrderPublisher>,
    pages: Origin,
}

impl BankChoice {
    /// A choice among the banks of a platform whose pages have this origin.
    #[must_use]
    pub const fn new(publisher: Arc<dyn OrderPublisher>, pages: Origin) -> Self {
        Self { publisher, pages }
    }

    /// Where the platform's pages are.
    #[must_use]
    pub const fn pages(&self) -> &Origin {
        &self.pages
    }

    /// Publishes an order and returns where its shopper picks a bank, as the value of a Location header.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub async fn address_for(&self, order: &SignedOrder, payment_url: &str) -> Result<HeaderValue, ChoiceError> {
        let address = self.publisher.publish(order, payment_url).await?;
        self.admitted(&address).ok_or(ChoiceError::Elsewhere)
    }

    fn admitted(&self, address: &str) -> Option<HeaderValue> {
        // Behind the origin only a path may come: a longer host name or a port would be another origin.
        let is_page = address.strip_prefix(self.pages.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let is_address = address.len() <= ADDRESS_BYTES_MAX && address.parse::<WebAddress>().is_ok();
        if is_page && is_address { HeaderValue::from_str(address).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl OrderPublisher for Nobody {
        async fn publish(&self, _: &SignedOrder, _: &str) -> Result<String, ChoiceError> {
            Err(ChoiceError::Late)
        }
    }

    #[test]
    fn only_the_platforms_own_pages_are_led_to() {
        for origin in ["https://pay.network.example", "https://pay.network.example/"] {
            let choice = BankChoice::new(Arc::new(Nobody), origin.parse().unwrap());
            for good in ["https://pay.network.example/c/chk_abc", "https://pay.network.example/?a=b"] {
                assert_eq!(choice.admitted(good).unwrap(), good);
            }
            let long = format!("https://pay.network.example/{}", "a".repeat(ADDRESS_BYTES_MAX));
            for bad in [
                "",
                "/c/chk_abc",
                "https://pay.network.example",
                "https://pay.network.example.evil.example/c/chk_abc",
                "https://pay.network.example:444/c/chk_abc",
                "https://pay.network.example@evil.example/c/chk_abc",
                "https://evil.example/https://pay.network.example/",
                "http://pay.network.example/c/chk_abc",
                "https://PAY.network.example/c/chk_abc",
                "//pay.network.example/c/chk_abc",
                "javascript:alert(1)//https://pay.network.example/",
                "https://pay.network.example/c\r\nset-cookie: a=b",
                "https://pay.network.example/c/chk_abc#https://evil.example",
                long.as_str(),
            ] {
                assert_eq!(choice.admitted(bad), None, "{bad}");
            }
        }
    }

    #[test]
    fn an_origin_has_no_path_and_nothing_that_a_policy_could_trip_over() {
        for (address, expected) in [
            ("https://pay.network.example", true),
            ("https://pay.network.example:8443/", true),
            ("http://127.0.0.1:8443", true),
            ("http://[::1]:8443", true),
            ("https://pay.network.example/c", false),
            ("https://pay.network.example/?a=b", false),
            ("https://pay.network.example?a=b", false),
            ("https://pay.network.example;x", false),
            ("http://pay.network.example", false),
            ("pay.network.example", false),
        ] {
            let found = address.parse::<Origin>().map(|origin| origin.as_str().to_owned());
            let without_slash = address.trim_end_matches('/').to_owned();
            assert_eq!(found, if expected { Ok(without_slash) } else { Err(NotAnOrigin) }, "{address}");
        }
    }
}
