//! National ids of Taiwan, as a customer types them in.

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A national id (身分證字號) or a resident's unified number (統一證號) in the form of 2021: one letter and
/// nine digits, of which the last is a check digit.
///
/// The letter names the place of registration. The first digit is 1 or 2 for citizens, 8 or 9 for
/// residents. What follows is a serial number, whose first digit tells a resident's kind (0 to 6
/// foreigner, 7 national without registration, 8 Hong Kong or Macao, 9 mainland); it is not judged here.
/// Residents' numbers from before 2021, with two letters, are not taken: the contract knows one letter.
///
/// The check: the letter becomes two digits (see [`letter_value`]); the eleven digits are weighted with
/// 1, 9, 8, 7, 6, 5, 4, 3, 2, 1 and 1; the sum is a multiple of ten. Source: Ministry of the Interior,
/// Department of Household Registration, 國民身分證統一編號編碼原則, and National Immigration Agency, 外來人口
/// 統一證號 (the new format, in force since 2021-01-02), which keeps the same weights.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NationalId([u8; LENGTH]);

const LENGTH: usize = 10;

/// A text that is no national id. It tells nothing about the text, nor about any customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a national id: one letter, then nine digits of which the last is the right check digit")]
pub struct NotANationalId;

impl NationalId {
    /// The ten characters, with a capital letter. For the keyed hash alone.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for NationalId {
    type Err = NotANationalId;

    fn from_str(text: &str) -> Result<Self, NotANationalId> {
        let mut id: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| NotANationalId)?;
        // Keyboards disagree about the first letter's case; the number doesn't.
        id[0] = id[0].to_ascii_uppercase();
        let id = Self(id);
        if id.is_right() { Ok(id) } else { Err(NotANationalId) }
    }
}

impl NationalId {
    fn is_right(&self) -> bool {
        let [letter, digits @ ..] = &self.0;
        let Some(letter) = letter_value(*letter) else { return false };
        if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits[0], b'1' | b'2' | b'8' | b'9') {
            return false;
        }
        let weights = [8, 7, 6, 5, 4, 3, 2, 1, 1];
        let rest: u32 = digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        (letter / 10 + letter % 10 * 9 + rest).is_multiple_of(10)
    }
}

impl fmt::Debug for NationalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NationalId([redacted])")
    }
}

/// The two digits that a letter stands for. They follow the order in which the places got their
/// letters, so that I, O, W, X, Y and Z, which came late, break the alphabet.
fn letter_value(letter: u8) -> Option<u32> {
    const ORDER: &[u8] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let place = ORDER.iter().position(|known| *known == letter)?;
    u32::try_from(place + 10).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn right_numbers_of_every_kind_are_taken() {
        // The example of every published description; the others are computed by its rule.
        for good in ["A123456789", "a123456789", "F131104093", "A800000014", "A900000016", "H120045674"] {
            assert!(good.parse::<NationalId>().is_ok(), "{good}");
        }
        assert_eq!("a123456789".parse::<NationalId>().unwrap().expose(), b"A123456789");
    }

    #[test]
    fn the_letters_have_their_published_values() {
        let published = [
            (b'A', 10),
            (b'H', 17),
            (b'I', 34),
            (b'J', 18),
            (b'N', 22),
            (b'O', 35),
            (b'P', 23),
            (b'V', 29),
            (b'W', 32),
            (b'X', 30),
            (b'Y', 31),
            (b'Z', 33),
        ];
        for (letter, value) in published {
            assert_eq!(letter_value(letter), Some(value), "{}", char::from(letter));
        }
        assert_eq!(letter_value(b'1'), None);
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for bad in [
            "",
            "A12345678",
            "A1234567890",
            "A123456788",
            "1123456789",
            "A323456783",
            "A700000012",
            "AB12345678",
            "臺12345678",
        ] {
            let error = bad.parse::<NationalId>().unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad), "{bad}");
        }
        assert_eq!(format!("{:?}", "A123456789".parse::<NationalId>().unwrap()), "NationalId([redacted])");
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_noticed(place in 2usize..10, by in 1u8..10) {
            let mut digits = *b"A123456789";
            digits[place] = b'0' + (digits[place] - b'0' + by) % 10;
            let text = String::from_utf8(digits.to_vec()).unwrap();
            // An even weight, or 5, shares a factor with ten, so that the published rule misses some changes.
            let weight = [8u8, 7, 6, 5, 4, 3, 2, 1, 1][place - 1];
            let noticed = !(weight * by).is_multiple_of(10);
            prop_assert_eq!(text.parse::<NationalId>().is_err(), noticed);
        }
    }
}
