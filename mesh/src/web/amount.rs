//! Amounts as people read them.

use proto::money::Money;

/// An amount as the pages show it: with the currency's sign, thousands set apart, and without the decimals that
/// nobody in Taiwan pays in: `NT$1,299`, `US$12.50`, `CHF 1,000.00`. The same on every page, so that a cardholder
/// can compare what the shop, the payment page and the bank's app say.
#[must_use]
pub fn amount(money: Money) -> String {
    let code = money.currency().code();
    let text = money.to_string();
    let digits = text.strip_prefix(code).unwrap_or(&text).trim_start();
    let (units, decimals) = digits.split_once('.').map_or((digits, ""), |(units, decimals)| (units, decimals));
    let sign = match code {
        "TWD" => "NT$".to_owned(),
        "USD" => "US$".to_owned(),
        "HKD" => "HK$".to_owned(),
        "JPY" => "JP¥".to_owned(),
        "EUR" => "€".to_owned(),
        "GBP" => "£".to_owned(),
        // A no-break space, so that an amount stays on one line.
        other => format!("{other}\u{a0}"),
    };
    let is_whole = decimals.is_empty() || (code == "TWD" && decimals.bytes().all(|digit| digit == b'0'));
    let decimals = if is_whole { String::new() } else { format!(".{decimals}") };
    format!("{sign}{}{decimals}", grouped(units))
}

fn grouped(units: &str) -> String {
    let (minus, digits) = units.strip_prefix('-').map_or(("", units), |digits| ("-", digits));
    let mut text = minus.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn amounts_are_written_as_people_read_them() {
        for (code, units, expected) in [
            ("TWD", 129_900, "NT$1,299"),
            ("TWD", 129_950, "NT$1,299.50"),
            ("TWD", 100, "NT$1"),
            ("TWD", 5, "NT$0.05"),
            ("TWD", 100_000_000, "NT$1,000,000"),
            ("USD", 1_250, "US$12.50"),
            ("USD", 100_000, "US$1,000.00"),
            ("JPY", 1_500, "JP¥1,500"),
        ] {
            assert_eq!(amount(Money::new(code.parse().unwrap(), units).unwrap()), expected);
        }
    }
}
