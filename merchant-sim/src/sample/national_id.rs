//! National ids of Taiwan that nobody has been given on purpose: valid in form, counted up.

/// The letter that all of them begin with; it counts as 10 in the check sum.
const LETTER: char = 'A';

/// How many there are.
pub const COUNT: u32 = 10_000_000;

/// The national id with this running number: the letter, "1" or "2" for the sex, seven digits, and
/// the check digit. The letter's two digits and the eight others are weighted 1, 9, 8, … 1, and the
/// check digit brings the sum to a multiple of ten.
#[must_use]
pub fn nth(number: u32) -> String {
    let number = number % COUNT;
    let digits = format!("{}{number:07}", 1 + number % 2);
    let weighted: u32 = digits.bytes().zip((1..=8).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    // The letter A is 10: its tens weigh 1 and its ones, which are zero, 9.
    let check = (10 - (1 + weighted) % 10) % 10;
    format!("{LETTER}{digits}{check}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_the_published_rule() {
        // The example that descriptions of the rule use.
        assert_eq!(nth(2_345_678), "A123456789");
    }

    #[test]
    fn numbers_make_different_ids() {
        let ids: std::collections::BTreeSet<String> = (0..1_000).map(nth).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 10 && (id.starts_with("A1") || id.starts_with("A2"))));
    }
}
