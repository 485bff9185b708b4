//! The table `page`: the payment page.

use std::path::PathBuf;

use mesh::config::FieldError;
use proto::{ids::RANDOM_ID_CHARACTERS, link::WebAddress, money::Money, order::DEVICE_CHECK_URL_BYTES_MAX};
use serde::Deserialize;

use super::{AmountConfig, from_text, text::some_from_text};
use crate::{checkout::Origin, context::DEVICE_CHECK, domain::same_device::SameDevice};

/// The payment page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageConfig {
    /// Where browsers reach the page, without a path: `https://pay.bank.example`.
    #[serde(deserialize_with = "from_text")]
    pub public_url: WebAddress,
    /// What the link begins with that carries the order, in the QR code and on the page. Default, with
    /// `bank_picker`: the platform's page `/pay`, which a phone's camera opens as well as a bank's app reads it.
    #[serde(default, deserialize_with = "some_from_text")]
    pub app_link: Option<WebAddress>,
    /// Where the platform's bank picker is, without a path: `https://pay.network.example`. The page offers it
    /// beside the QR code, and sends a shopper to this origin and no other.
    #[serde(default, deserialize_with = "some_from_text")]
    pub bank_picker: Option<Origin>,
    /// Above these amounts, one for each currency, a payment must come from the device that opened the page.
    /// Default: none.
    #[serde(default)]
    pub same_device_above: Vec<AmountConfig>,
    /// A certificate for browsers, where it is another than the members'.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl PageConfig {
    /// What the link begins with that carries an order.
    ///
    /// # Errors
    /// The field that is missing.
    pub fn link(&self) -> Result<WebAddress, FieldError> {
        let landing = self.bank_picker.as_ref().and_then(|pages| format!("{}/pay", pages.as_str()).parse().ok());
        let missing = || FieldError::new("app_link", "must be set where there is no `page.bank_picker`");
        self.app_link.clone().or(landing).ok_or_else(missing)
    }

    /// The payments whose device is checked.
    ///
    /// # Errors
    /// Every amount that can't be used.
    pub fn same_device(&self) -> Result<SameDevice, Vec<FieldError>> {
        let (mut above, mut errors): (Vec<Money>, Vec<FieldError>) = (Vec::new(), Vec::new());
        for (place, amount) in self.same_device_above.iter().enumerate() {
            let at = format!("same_device_above[{place}]");
            match Money::new(amount.currency, amount.minor_units) {
                Ok(money) if above.iter().any(|other| other.currency() == money.currency()) => {
                    let problem = format!("{} has an amount already; remove one", money.currency());
                    errors.push(FieldError::new(format!("{at}.currency"), problem));
                }
                Ok(money) => above.push(money),
                Err(error) => errors.push(FieldError::new(format!("{at}.minor_units"), error.to_string())),
            }
        }
        if errors.is_empty() { Ok(SameDevice::new(above)) } else { Err(errors) }
    }

    pub(super) fn validate(&self) -> Vec<FieldError> {
        let mut errors = self.same_device().err().unwrap_or_default();
        errors.extend(self.link().err());
        if self.certificate.is_some() != self.key.is_some() {
            errors.push(FieldError::new("certificate", "must stand together with page.key, or neither"));
        }
        if self.public_url.as_str().contains('?') {
            errors.push(FieldError::new("public_url", "must have no query"));
        }
        // "/pay/", an order's id, and the check itself follow.
        let check_bytes = self.public_url.as_str().len() + PAYMENT_PATH_BYTES + DEVICE_CHECK.len();
        if !self.same_device_above.is_empty() && check_bytes > DEVICE_CHECK_URL_BYTES_MAX {
            let problem = "is too long for `page.same_device_above`: at most 80 bytes, so that an order can name it";
            errors.push(FieldError::new("public_url", problem));
        }
        errors
    }
}

/// `/pay/` and an order's id: its prefix and its random characters.
const PAYMENT_PATH_BYTES: usize = "/pay/ord_".len() + RANDOM_ID_CHARACTERS;
