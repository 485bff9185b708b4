//! A basket, which lives in the shopper's browser: a cookie with a number and what is in it.

use std::fmt;

use anyhow::Result;
use data_encoding::BASE32_NOPAD;
use mesh::clock::{Entropy as _, SystemEntropy};

use super::catalogue::{Product, Stall};

/// How many different things fit in: as many as an order has lines at most.
const LINES_MAX: usize = 20;

/// How many of one thing.
pub(super) const QUANTITY_MAX: u32 = 9;

/// The number of a basket, and later of its order at the shop: unguessable, 26 characters of base 32.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Number(String);

/// What somebody wants to buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basket {
    pub(super) number: Number,
    pub(super) lines: Vec<Line>,
}

/// So many of one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) product: &'static Product,
    pub(super) quantity: u32,
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.product.sku == other.product.sku && self.quantity == other.quantity
    }
}

impl Eq for Line {}

impl Number {
    /// A number that was never used.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn fresh() -> Result<Self> {
        Ok(Self(BASE32_NOPAD.encode(&SystemEntropy::new().id()?).to_ascii_lowercase()))
    }

    /// A number as a browser sends it; `None` for what can be none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 26 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        fits.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Basket {
    /// An empty one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn empty() -> Result<Self> {
        Ok(Self { number: Number::fresh()?, lines: Vec::new() })
    }

    /// A basket as a cookie holds it. What the shop doesn't sell is left out.
    pub(super) fn parse(cookie: &str, stall: &Stall) -> Option<Self> {
        let mut parts = cookie.split('.');
        let mut basket = Self { number: Number::parse(parts.next()?)?, lines: Vec::new() };
        for part in parts {
            let Some((sku, quantity)) = part.split_once('*') else { continue };
            if let (Some(product), Ok(quantity)) = (stall.product(sku), quantity.parse()) {
                basket.put(product, quantity);
            }
        }
        Some(basket)
    }

    /// For the cookie.
    pub(super) fn to_cookie(&self) -> String {
        let lines = self.lines.iter().map(|line| format!(".{}*{}", line.product.sku, line.quantity));
        std::iter::once(self.number.to_string()).chain(lines).collect()
    }

    /// Puts one more in.
    pub(super) fn add(&mut self, product: &'static Product) {
        let held = self.lines.iter().find(|line| line.product.sku == product.sku).map_or(0, |line| line.quantity);
        self.put(product, held + 1);
    }

    /// Sets how many of something are in it; none takes it out.
    pub(super) fn put(&mut self, product: &'static Product, quantity: u32) {
        let quantity = quantity.min(QUANTITY_MAX);
        let has_room = self.lines.len() < LINES_MAX;
        match self.lines.iter_mut().find(|line| line.product.sku == product.sku) {
            Some(line) => line.quantity = quantity,
            None if has_room => self.lines.push(Line { product, quantity }),
            None => {}
        }
        self.lines.retain(|line| line.quantity > 0);
    }

    /// How many things are in it.
    pub(super) fn count(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity).sum()
    }

    /// What all of it costs, in minor units of the shop's currency.
    pub(super) fn total(&self) -> i64 {
        self.lines.iter().map(Line::total).sum()
    }
}

impl Line {
    /// In minor units.
    pub(super) fn total(&self) -> i64 {
        self.product.price * i64::from(self.quantity)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storefront::catalogue::STALLS;

    #[test]
    fn a_basket_survives_its_cookie() {
        let stall = &STALLS[1];
        let mut basket = Basket::empty().unwrap();
        basket.add(&stall.products[0]);
        basket.add(&stall.products[1]);
        basket.add(&stall.products[0]);
        assert_eq!((basket.count(), basket.total()), (3, 2 * 25_000 + 48_000));
        assert_eq!(Basket::parse(&basket.to_cookie(), stall).unwrap(), basket);
        basket.put(&stall.products[0], 0);
        assert_eq!(basket.count(), 1);
        let elsewhere = Basket::parse(&basket.to_cookie(), &STALLS[0]).unwrap();
        assert_eq!(elsewhere.lines, [], "another shop sells other things");
    }

    #[test]
    fn a_cookie_is_not_believed() {
        let stall = &STALLS[1];
        let number = "a".repeat(26);
        for wrong in ["", "a", "A2345678901234567890123456", &"1".repeat(26)] {
            assert_eq!(Basket::parse(wrong, stall), None, "{wrong}");
        }
        for (lines, count) in [
            (".field-notes*4000000000", QUANTITY_MAX),
            (".field-notes*-1", 0),
            (".field-notes*0", 0),
            (".nonsense*1", 0),
            (".field-notes*2.field-notes*3", 3),
            ("...*.", 0),
        ] {
            assert_eq!(Basket::parse(&format!("{number}{lines}"), stall).unwrap().count(), count, "{lines}");
        }
    }
}
