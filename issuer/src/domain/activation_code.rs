//! The code that the bank hands out by another way, and which binds a customer's device.

use std::fmt;
use std::str::FromStr;

use mesh::secret::SecretString;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The fewest characters: 60 bits, which nobody guesses within the life of a code at the rate that is allowed
/// to one place, not even for one customer of millions.
pub const CODE_CHARACTERS_MIN: usize = 12;
/// The most characters; beyond these a code is only harder to type.
pub const CODE_CHARACTERS_MAX: usize = 32;
/// The longest text that is looked at, with its hyphens.
const TEXT_BYTES_MAX: usize = 64;

/// An activation code, as it was meant: 12 to 32 of the digits and capital letters without I, L, O and U
/// (the alphabet of Crockford's base 32), which a bank is to draw at random.
///
/// It is read as people type it: in any case, with hyphens and spaces anywhere, with the letters I and L for
/// the digit 1 and the letter O for the digit 0.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ActivationCode(String);

/// A text that is no activation code. It tells nothing about the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 12 to 32 digits and letters without U, apart from hyphens and spaces")]
pub struct NotAnActivationCode;

impl ActivationCode {
    /// The code in its one form. For the keyed hash alone.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// How many random bytes make a code that is drawn here: 80 bits, 16 characters.
pub const DRAWN_BYTES: usize = 10;

/// The code that these random bytes make, as it is handed out: four groups of four characters.
#[must_use]
pub fn draw(random: &[u8; DRAWN_BYTES]) -> SecretString {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let number = random.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let mut text = String::with_capacity(19);
    for place in (0..16_u32).rev() {
        let digit = usize::try_from(number >> (5 * place) & 31).unwrap_or_default();
        text.push(char::from(ALPHABET[digit]));
        if place % 4 == 0 && place != 0 {
            text.push('-');
        }
    }
    SecretString::new(text)
}

impl FromStr for ActivationCode {
    type Err = NotAnActivationCode;

    fn from_str(text: &str) -> Result<Self, NotAnActivationCode> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NotAnActivationCode);
        }
        // Room for all of it at once, so that no part of the code stays behind in memory that is given back.
        let mut code = Self(String::with_capacity(TEXT_BYTES_MAX));
        for typed in text.chars().filter(|typed| !matches!(typed, '-' | ' ')) {
            code.0.push(meant(typed).ok_or(NotAnActivationCode)?);
        }
        let fits = (CODE_CHARACTERS_MIN..=CODE_CHARACTERS_MAX).contains(&code.0.len());
        if fits { Ok(code) } else { Err(NotAnActivationCode) }
    }
}

impl fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivationCode([redacted])")
    }
}

/// The character that was meant; none for one that no code has.
fn meant(typed: char) -> Option<char> {
    match typed.to_ascii_uppercase() {
        'O' => Some('0'),
        'I' | 'L' => Some('1'),
        'U' => None,
        character => character.is_ascii_alphanumeric().then_some(character),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> Result<String, NotAnActivationCode> {
        text.parse::<ActivationCode>().map(|code| code.0.clone())
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for text in ["7K3M-9PQR-10TV", "7k3m9pqr10tv", " 7K3M 9PQR IOTV ", "7K3M-9PQR-lotv"] {
            assert_eq!(code(text).as_deref(), Ok("7K3M9PQR10TV"), "{text}");
        }
    }

    #[test]
    fn a_drawn_code_is_one_and_uses_every_bit() {
        assert_eq!(draw(&[0; DRAWN_BYTES]).expose(), "0000-0000-0000-0000");
        assert_eq!(draw(&[0xff; DRAWN_BYTES]).expose(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let bytes = [0x08, 0x86, 0x42, 0x98, 0xe8, 0x4a, 0x96, 0xc6, 0xb9, 0xf0];
        assert_eq!(code(draw(&bytes).expose()).as_deref(), Ok("123456789ABCDEFG"));
    }

    #[test]
    fn its_length_and_alphabet_are_bounded() {
        assert_eq!(code(&"7".repeat(11)), Err(NotAnActivationCode));
        assert!(code(&"7".repeat(12)).is_ok() && code(&"7".repeat(32)).is_ok());
        assert_eq!(code(&"7".repeat(33)), Err(NotAnActivationCode));
        assert_eq!(code(&format!("{}{}", "7".repeat(12), "-".repeat(53))), Err(NotAnActivationCode));
        for bad in ["", "7K3M-9PQR-10TU", "7K3M_9PQR_10TV", "7K3M9PQR10Té", "７K3M9PQR10TV", "7K3M9PQR10TV\n"] {
            assert_eq!(code(bad), Err(NotAnActivationCode), "{bad}");
        }
    }

    #[test]
    fn it_prints_nothing() {
        let code: ActivationCode = "7K3M-9PQR-10TV".parse().unwrap();
        assert_eq!(format!("{code:?}"), "ActivationCode([redacted])");
        assert!(!format!("{:?}", "7K3M".parse::<ActivationCode>()).contains("7K3M"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_the_same_again(text in "[0-9A-Za-z -]{0,70}") {
            if let Ok(read) = code(&text) {
                prop_assert_eq!(code(&read), Ok(read.clone()));
                prop_assert_eq!(code(&text.to_ascii_lowercase()), Ok(read));
            }
        }
    }
}
