//! Card data. Its types print nothing of it, and overwrite their memory when they go.

use std::{fmt, str::FromStr, time::SystemTime};

use prost::Message;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    fields::{Fields, Invalid},
    pb, require,
};

/// A primary account number (ISO/IEC 7812): 12 to 19 digits with a right Luhn check digit.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Pan(String);

/// Why a text is no PAN. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PanError {
    /// Not 12 to 19 digits.
    #[error("must be 12 to 19 digits")]
    NotDigits,
    /// The last digit does not fit the others (Luhn, ISO/IEC 7812-1 annex B).
    #[error("must end in the right check digit")]
    CheckDigit,
}

impl Pan {
    /// The first eight digits as a number (ISO/IEC 7812-1:2017).
    #[must_use]
    pub fn bin(&self) -> Bin {
        Bin(self.0.bytes().take(8).fold(0, |bin, digit| bin * 10 + u32::from(digit - b'0')))
    }

    /// The last four digits, which may be shown.
    #[must_use]
    pub fn last_four(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }

    /// The card network's brand as the leading digits tell it.
    #[must_use]
    pub fn brand(&self) -> &'static str {
        let first_four = self.bin().0 / 10_000;
        match first_four {
            4000..=4999 => "Visa",
            2221..=2720 | 5100..=5599 => "Mastercard",
            3400..=3499 | 3700..=3799 => "American Express",
            3528..=3589 => "JCB",
            6200..=6299 | 8100..=8199 => "UnionPay",
            _ => "Card",
        }
    }

    /// The number itself. For the sealed card, the vault and the card network alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pan {
    type Err = PanError;

    fn from_str(text: &str) -> Result<Self, PanError> {
        if !(12..=19).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PanError::NotDigits);
        }
        if luhn_sum(text).is_multiple_of(10) { Ok(Self(text.to_owned())) } else { Err(PanError::CheckDigit) }
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pan([redacted])")
    }
}

/// A card's first eight digits, which say whose card it is. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bin(pub u32);

/// A card verification value.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Cvv(String);

/// A text that is no CVV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 3 or 4 digits")]
pub struct NotACvv;

impl Cvv {
    /// The digits. For the sealed card and the card network alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cvv {
    type Err = NotACvv;

    fn from_str(text: &str) -> Result<Self, NotACvv> {
        let fits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(NotACvv) }
    }
}

impl fmt::Debug for Cvv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cvv([redacted])")
    }
}

/// The month through whose last day a card is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Expiry {
    year: u16,
    month: u8,
}

/// Numbers that are no month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a month of 1 to 12 and a year of 2000 to 2099")]
pub struct NotAnExpiry;

impl Expiry {
    /// A month.
    ///
    /// # Errors
    /// [`NotAnExpiry`].
    pub fn new(year: u32, month: u32) -> Result<Self, NotAnExpiry> {
        if !(2000..=2099).contains(&year) || !(1..=12).contains(&month) {
            return Err(NotAnExpiry);
        }
        Ok(Self {
            year: u16::try_from(year).map_err(|_| NotAnExpiry)?,
            month: u8::try_from(month).map_err(|_| NotAnExpiry)?,
        })
    }

    /// Four digits.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Whether the month is over, by the date in UTC.
    #[must_use]
    pub fn is_over(self, now: SystemTime) -> bool {
        let today = time::OffsetDateTime::from(now);
        (today.year(), u8::from(today.month())) > (i32::from(self.year), self.month)
    }
}

/// A card's data as it is sealed for the acquirer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardData {
    /// The number.
    pub pan: Pan,
    /// When it expires.
    pub expiry: Expiry,
    /// The verification value, where one is sent.
    pub cvv: Option<Cvv>,
}

impl CardData {
    /// The card as a message, whose memory nobody overwrites: for the line to the card network alone.
    #[must_use]
    pub fn to_pb(&self) -> pb::CardData {
        pb::CardData {
            pan: self.pan.expose().to_owned(),
            expiry_month: u32::from(self.expiry.month()),
            expiry_year: u32::from(self.expiry.year()),
            cvv: self.cvv.as_ref().map(|cvv| cvv.expose().to_owned()).unwrap_or_default(),
        }
    }

    /// The plaintext to be sealed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut pb = self.to_pb();
        // The exact capacity keeps the vector from growing, which would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(pb.encoded_len()));
        pb.encode_raw(&mut *bytes);
        pb.pan.zeroize();
        pb.cvv.zeroize();
        bytes
    }

    /// An opened card.
    ///
    /// # Errors
    /// The fields that are wrong, without their contents.
    pub fn decode(plaintext: &[u8]) -> Result<Self, Invalid> {
        let pb = pb::CardData::decode(plaintext).map_err(|_| Invalid::field("", "must be a serialised CardData"))?;
        Self::parse(pb)
    }

    /// A received card. The message's own texts are overwritten.
    ///
    /// # Errors
    /// The fields that are wrong, without their contents.
    pub fn parse(mut pb: pb::CardData) -> Result<Self, Invalid> {
        let mut fields = Fields::new();
        let pan = fields.text::<Pan>("pan", &pb.pan);
        let expiry = fields.result("expiry_month", Expiry::new(pb.expiry_year, pb.expiry_month));
        let cvv = if pb.cvv.is_empty() { Some(None) } else { fields.text::<Cvv>("cvv", &pb.cvv).map(Some) };
        pb.pan.zeroize();
        pb.cvv.zeroize();
        require!(fields; pan, expiry, cvv);
        Ok(Self { pan, expiry, cvv })
    }
}

/// The Luhn sum, which a right number makes a multiple of ten.
fn luhn_sum(digits: &str) -> u32 {
    digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            let doubled = if place % 2 == 1 { digit * 2 } else { digit };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const TEST_PAN: &str = "4000000000000002";

    #[test]
    fn nothing_of_a_card_is_printed() {
        let card = CardData {
            pan: TEST_PAN.parse().unwrap(),
            expiry: Expiry::new(2031, 12).unwrap(),
            cvv: Some("123".parse().unwrap()),
        };
        let printed = format!("{card:?}");
        assert!(!printed.contains(TEST_PAN) && !printed.contains("0002") && !printed.contains("123"), "{printed}");
        let error =
            CardData::decode(&pb::CardData { pan: "4000000000000003".into(), ..Default::default() }.encode_to_vec())
                .unwrap_err();
        assert!(!error.to_string().contains("4000000000000003"), "{error}");
    }

    #[test]
    fn tells_what_may_be_told() {
        let pan: Pan = TEST_PAN.parse().unwrap();
        assert_eq!((pan.bin(), pan.last_four(), pan.brand()), (Bin(40_000_000), "0002", "Visa"));
    }

    #[test]
    fn a_card_is_good_through_its_last_day() {
        let expiry = Expiry::new(2026, 2).unwrap();
        // 2026-02-28T23:59:59Z, and one second later.
        let last = UNIX_EPOCH + Duration::from_secs(1_772_323_199);
        assert!(!expiry.is_over(last));
        assert!(expiry.is_over(last + Duration::from_secs(1)));
        assert!(Expiry::new(2026, 13).is_err() && Expiry::new(2026, 0).is_err() && Expiry::new(1999, 1).is_err());
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_noticed(place in 0usize..16, by in 1u8..10) {
            let mut digits = TEST_PAN.as_bytes().to_vec();
            digits[place] = b'0' + (digits[place] - b'0' + by) % 10;
            prop_assert_eq!(String::from_utf8(digits).unwrap().parse::<Pan>(), Err(PanError::CheckDigit));
        }

        #[test]
        fn sealing_and_opening_agree(month in 1u32..=12, year in 2000u32..=2099, with_cvv: bool) {
            let card = CardData {
                pan: TEST_PAN.parse().unwrap(),
                expiry: Expiry::new(year, month).unwrap(),
                cvv: with_cvv.then(|| "1234".parse().unwrap()),
            };
            prop_assert_eq!(CardData::decode(&card.encode()), Ok(card));
        }
    }
}
