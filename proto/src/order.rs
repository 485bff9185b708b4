//! The order: who wants how much, until when.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost::Message;

use crate::{
    digest::Digest,
    fields::{Fields, Invalid},
    ids::{AcquirerId, MerchantId, OrderId},
    link::WebAddress,
    money::{Money, MoneyError},
    pb, require,
    signed::{Signed, SignedBody},
    time,
};

/// The largest signed order.
pub const SIGNED_ORDER_BYTES_MAX: usize = 832;
/// The largest signed order without a device check, so that a QR code holds it and a phone's camera reads it.
pub const SCANNED_ORDER_BYTES_MAX: usize = 700;
/// The shortest life of an order: less leaves no time to sign in.
pub const ORDER_LIFE_MIN: Duration = Duration::from_secs(60);
/// The longest life of an order: its sealing key lives as long.
pub const ORDER_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How many lines an order may have.
pub const ORDER_LINES_MAX: usize = 20;
/// How many pieces one line may name.
const QUANTITY_MAX: u32 = 10_000;
/// The bytes of the texts in an order, chosen so that the whole stays below [`SCANNED_ORDER_BYTES_MAX`], and
/// with the device check's address below [`SIGNED_ORDER_BYTES_MAX`].
const DISPLAY_NAME_BYTES_MAX: usize = 60;
const DOMAIN_BYTES_MAX: usize = 64;
const RETURN_URL_BYTES_MAX: usize = 160;
const DELIVERY_HINT_BYTES_MAX: usize = 60;
/// The longest address of a device check.
pub const DEVICE_CHECK_URL_BYTES_MAX: usize = 128;

/// The shop as the cardholder sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// The shop's id in the network.
    pub id: MerchantId,
    /// The name to show.
    pub display_name: String,
    /// The shop's web domain, verified by the acquirer.
    pub domain: String,
    /// Its ISO 18245 category.
    pub category: CategoryCode,
}

/// An ISO 18245 merchant category code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CategoryCode([u8; 4]);

/// An order, valid in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The acquirer's unguessable id.
    pub id: OrderId,
    /// The acquirer that made and signed it.
    pub acquirer: AcquirerId,
    /// The shop to be paid.
    pub merchant: Merchant,
    /// What is to be paid, more than zero.
    pub amount: Money,
    /// The digest of the order lines, from [`lines_digest`].
    pub lines_digest: Digest,
    /// When it was made and signed.
    pub created_at: SystemTime,
    /// When it expires, after [`ORDER_LIFE_MIN`] to [`ORDER_LIFE_MAX`].
    pub expires_at: SystemTime,
    /// Where the shopper's browser goes afterwards.
    pub return_url: WebAddress,
    /// The X25519 public key that the card is sealed to.
    pub sealing_key: [u8; 32],
    /// Masked recipient and city; may be empty.
    pub delivery_hint: String,
    /// Where the device is checked, if the payment must come from the one that opened the payment page.
    pub device_check_url: Option<WebAddress>,
}

impl Order {
    /// A decoded order.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Order) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let id = fields.text("order_id", &pb.order_id);
        let acquirer = fields.text("acquirer_id", &pb.acquirer_id);
        let merchant = fields.message("merchant", pb.merchant, Merchant::parse);
        let amount = fields.message("amount", pb.amount, Money::parse_positive);
        let lines_digest = fields.bytes("lines_digest", &pb.lines_digest).map(Digest::from_bytes);
        let created_at = fields.message("created_at", pb.created_at, time::parse);
        let expires_at = fields.message("expires_at", pb.expires_at, time::parse);
        if let (Some(created), Some(expires)) = (created_at, expires_at) {
            let life = expires.duration_since(created).unwrap_or_default();
            let fits = (ORDER_LIFE_MIN..=ORDER_LIFE_MAX).contains(&life);
            fields.check("expires_at", fits, "must be 1 minute to 24 hours after created_at");
        }
        let return_url = parse_return_url(&mut fields, &pb.return_url);
        let sealing_key = fields.bytes("sealing_key", &pb.sealing_key);
        let delivery_hint = parse_delivery_hint(&mut fields, &pb.delivery_hint);
        let device_check_url = parse_device_check_url(&mut fields, &pb.device_check_url);
        require!(
            fields;
            id, acquirer, merchant, amount, lines_digest, created_at, expires_at, return_url, sealing_key,
            delivery_hint, device_check_url,
        );
        Ok(Self {
            id,
            acquirer,
            merchant,
            amount,
            lines_digest,
            created_at,
            expires_at,
            return_url,
            sealing_key,
            delivery_hint,
            device_check_url,
        })
    }

    /// The order as a message, ready to be serialised and signed once.
    #[must_use]
    pub fn to_pb(&self) -> pb::Order {
        pb::Order {
            order_id: self.id.to_string(),
            acquirer_id: self.acquirer.to_string(),
            merchant: Some(self.merchant.to_pb()),
            amount: Some(self.amount.to_pb()),
            lines_digest: self.lines_digest.to_bytes(),
            created_at: Some(time::to_pb(self.created_at)),
            expires_at: Some(time::to_pb(self.expires_at)),
            return_url: self.return_url.to_string(),
            sealing_key: Bytes::copy_from_slice(&self.sealing_key),
            delivery_hint: self.delivery_hint.clone(),
            device_check_url: self.device_check_url.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// An order in its signed form, well-formed but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOrder {
    /// The bytes that the acquirer signed.
    pub signed: Signed,
    /// What they say.
    pub order: Order,
    /// What stands for them elsewhere.
    pub digest: Digest,
}

impl SignedOrder {
    /// A signed order as it arrived. Verify its signature at `order.created_at` before believing it.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Signed) -> Result<Self, Invalid> {
        let signed = Signed::parse(pb, SIGNED_ORDER_BYTES_MAX)?;
        let order = Order::parse(signed.decode::<pb::Order>()?).map_err(|invalid| invalid.under("body"))?;
        if order.device_check_url.is_none() && signed.to_pb().encoded_len() > SCANNED_ORDER_BYTES_MAX {
            return Err(Invalid::field("body", "must have at most 700 bytes with its signature"));
        }
        let digest = signed.digest();
        Ok(Self { signed, order, digest })
    }

    /// The name that is part of what is signed.
    pub const NAME: &'static str = pb::Order::NAME;
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// What is sold.
    pub description: String,
    /// How many.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
}

impl OrderLine {
    /// A received line.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::OrderLine) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let description = fields.plain_text("description", &pb.description, 1, 120);
        let quantity = (1..=QUANTITY_MAX).contains(&pb.quantity).then_some(pb.quantity);
        fields.check("quantity", quantity.is_some(), "must be 1 to 10000");
        let unit_price = fields.message("unit_price", pb.unit_price, Money::parse);
        require!(fields; description, quantity, unit_price);
        Ok(Self { description, quantity, unit_price })
    }

    /// The line as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::OrderLine {
        pb::OrderLine {
            description: self.description.clone(),
            quantity: self.quantity,
            unit_price: Some(self.unit_price.to_pb()),
        }
    }
}

/// The sum of the lines.
///
/// # Errors
/// [`MoneyError`] for lines in several currencies or a sum above the largest amount.
pub fn lines_total(lines: &[OrderLine], currency: crate::money::Currency) -> Result<Money, MoneyError> {
    lines
        .iter()
        .try_fold(Money::zero(currency), |sum, line| sum.checked_add(line.unit_price.checked_mul(line.quantity)?))
}

/// The digest that stands for the lines in the signed order: of each line serialised, preceded by
/// its length as four big-endian bytes.
#[must_use]
pub fn lines_digest(lines: &[OrderLine]) -> Digest {
    let mut bytes = Vec::new();
    for line in lines {
        let encoded = line.to_pb().encode_to_vec();
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&encoded);
    }
    Digest::of(&bytes)
}

/// The delivery hint of a new or received order, at most 60 bytes of plain text.
pub fn parse_delivery_hint(fields: &mut Fields, text: &str) -> Option<String> {
    fields.plain_text("delivery_hint", text, 0, DELIVERY_HINT_BYTES_MAX)
}

/// The return address of a new or received order, at most 160 bytes.
pub fn parse_return_url(fields: &mut Fields, text: &str) -> Option<WebAddress> {
    let address = fields.text::<WebAddress>("return_url", text)?;
    fields.check("return_url", text.len() <= RETURN_URL_BYTES_MAX, "must be at most 160 bytes");
    Some(address)
}

fn parse_device_check_url(fields: &mut Fields, text: &str) -> Option<Option<WebAddress>> {
    if text.is_empty() {
        return Some(None);
    }
    let address = fields.text::<WebAddress>("device_check_url", text)?;
    let fits = text.len() <= DEVICE_CHECK_URL_BYTES_MAX && !text.contains('?');
    fields.check("device_check_url", fits, "must be at most 128 bytes without a query");
    Some(Some(address))
}

impl Merchant {
    /// A received merchant.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn parse(pb: pb::Merchant) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let id = fields.text("merchant_id", &pb.merchant_id);
        let display_name = fields.plain_text("display_name", &pb.display_name, 1, DISPLAY_NAME_BYTES_MAX);
        let domain = fields.plain_text("domain", &pb.domain, 1, DOMAIN_BYTES_MAX);
        let category = fields.text("category_code", &pb.category_code);
        require!(fields; id, display_name, domain, category);
        Ok(Self { id, display_name, domain, category })
    }

    /// The merchant as a message.
    #[must_use]
    pub fn to_pb(&self) -> pb::Merchant {
        pb::Merchant {
            merchant_id: self.id.to_string(),
            display_name: self.display_name.clone(),
            domain: self.domain.clone(),
            category_code: self.category.to_string(),
        }
    }
}

/// A text that is not a merchant category code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 18245 merchant category code, four digits")]
pub struct NotACategoryCode;

impl std::str::FromStr for CategoryCode {
    type Err = NotACategoryCode;

    fn from_str(text: &str) -> Result<Self, NotACategoryCode> {
        let digits: [u8; 4] = text.as_bytes().try_into().map_err(|_| NotACategoryCode)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotACategoryCode) }
    }
}

impl fmt::Display for CategoryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl fmt::Debug for CategoryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
