//! The cardholder's device: a browser that opens the payment page and clicks through the bank picker, a
//! camera that reads the QR code, the bank's app that signs in and pays, and what its owner proves with.

pub mod app;
pub mod authenticators;
pub mod browser;
pub mod checkout;
pub mod picker;
pub mod qr;
pub mod wallet;

use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use proto::link::parse_payment_link;
use proto::money::Money;
use proto::order::SignedOrder;
use proto::time::CLOCK_SKEW_MAX;

pub use app::{BankApp, Challenge, Credentials, Paid, Proved};
pub use browser::Browser;
pub use checkout::{Checkouts, Taken};
pub use picker::{AppLink, Choice, Picked, Picker};
pub use wallet::{Reached, Wallet};

/// An order that was read off a payment page.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The order.
    pub order: SignedOrder,
    /// The whole text of the QR code.
    pub link: String,
    /// What the code looked like: its QR version, 1 to 40.
    pub qr_version: usize,
}

/// Opens a payment page, finds its QR code, and reads the order in it.
///
/// # Errors
/// The page can't be fetched, shows no QR code, or the code holds no order.
pub async fn scan(browser: &Browser, payment_url: &str) -> Result<Scanned> {
    let page = browser.fetch(payment_url).await?;
    ensure!(page.status == 200, "the payment page answered {}", page.status);
    let codes = qr::codes_in_page(&page.text)?;
    let [code] = codes.as_slice() else {
        bail!("the payment page shows {} QR codes instead of one", codes.len());
    };
    let order = parse_payment_link(&code.text).context("the QR code holds no payment link")?;
    Ok(Scanned { order, link: code.text.clone(), qr_version: code.version })
}

/// What a device can tell of an order before it asks the bank, which alone verifies the signature:
/// that its time isn't over, and that it is over what the shop showed.
///
/// # Errors
/// What is wrong, as a sentence for the cardholder.
pub fn check(order: &SignedOrder, shown: Money, now: SystemTime) -> Result<()> {
    ensure!(order.order.expires_at + CLOCK_SKEW_MAX > now, "this order has expired: go back to the shop");
    let asked = order.order.amount;
    ensure!(asked == shown, "the shop showed {shown}, but this order is over {asked}: do not pay it");
    Ok(())
}
