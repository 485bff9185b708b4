//! Parsing a message field by field, so that a caller hears of everything that is wrong at once.

use std::{fmt, str::FromStr};

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field in the message, for example `amount.currency_code` or `lines[2].quantity`.
    pub path: String,
    /// What is wrong and what would be right, as a sentence without the value itself.
    pub description: String,
}

/// A message with fields that are wrong; becomes `INVALID_ARGUMENT` with a `google.rpc.BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Invalid {
    /// At least one field.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, violation) in self.violations.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", violation.path, violation.description)?;
        }
        Ok(())
    }
}

impl Invalid {
    /// One wrong field.
    pub fn field(path: impl Into<String>, description: impl Into<String>) -> Self {
        Self { violations: vec![Violation { path: path.into(), description: description.into() }] }
    }

    /// The same violations, seen from a message that has this one in the field `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        for violation in &mut self.violations {
            violation.path = join(parent, &violation.path);
        }
        self
    }
}

/// Collects what is wrong while a message is parsed. A parse function takes every field, then calls
/// [`crate::require!`] with the names of all of them.
#[derive(Debug, Default)]
pub struct Fields {
    violations: Vec<Violation>,
}

impl Fields {
    /// Nothing is wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A text field with a type of its own.
    pub fn text<T: FromStr<Err: fmt::Display>>(&mut self, path: &str, value: &str) -> Option<T> {
        self.result(path, value.parse::<T>())
    }

    /// A text of `min` to `max` bytes without control characters.
    pub fn plain_text(&mut self, path: &str, value: &str, min: usize, max: usize) -> Option<String> {
        let fits = (min..=max).contains(&value.len()) && !value.chars().any(char::is_control);
        if !fits {
            self.wrong(path, format!("must be {min} to {max} bytes of text without control characters"));
        }
        fits.then(|| value.to_owned())
    }

    /// A field of exactly `N` bytes.
    pub fn bytes<const N: usize>(&mut self, path: &str, value: &[u8]) -> Option<[u8; N]> {
        let array = value.try_into().ok();
        if array.is_none() {
            self.wrong(path, format!("must be exactly {N} bytes"));
        }
        array
    }

    /// A message field that must be there, parsed by its own function.
    pub fn message<M, T>(
        &mut self,
        path: &str,
        value: Option<M>,
        parse: impl FnOnce(M) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Some(value) = value else {
            self.wrong(path, "must be set");
            return None;
        };
        self.nested(path, parse(value))
    }

    /// The outcome of parsing something inside this message.
    pub fn nested<T>(&mut self, path: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|invalid| self.violations.extend(invalid.under(path).violations)).ok()
    }

    /// The outcome of anything that says in words what is wrong.
    pub fn result<T, E: fmt::Display>(&mut self, path: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.wrong(path, error.to_string())).ok()
    }

    /// A condition that the message must meet.
    pub fn check(&mut self, path: &str, holds: bool, description: &str) {
        if !holds {
            self.wrong(path, description);
        }
    }

    /// Notes a wrong field.
    pub fn wrong(&mut self, path: &str, description: impl Into<String>) {
        self.violations.push(Violation { path: path.to_owned(), description: description.into() });
    }

    /// Ends the parsing.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.violations.is_empty() { Ok(()) } else { Err(Invalid { violations: self.violations }) }
    }
}

/// Ends the parsing of a message: returns what is wrong, or unwraps all the named fields.
#[macro_export]
macro_rules! require {
    ($fields:ident; $($name:ident),+ $(,)?) => {
        $fields.finish()?;
        let ($(Some($name),)+) = ($($name,)+) else {
            // Every field that is `None` has noted why, so that `finish` has returned already.
            return Err($crate::fields::Invalid::field("", "is incomplete"));
        };
    };
}

fn join(parent: &str, child: &str) -> String {
    match (parent, child) {
        (parent, "") => parent.to_owned(),
        ("", child) => child.to_owned(),
        (parent, child) => format!("{parent}.{child}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_from_the_outside_in() {
        let invalid = Invalid::field("currency_code", "must be set").under("amount").under("order");
        assert_eq!(invalid.to_string(), "order.amount.currency_code: must be set");
        assert_eq!(Invalid::field("", "must be set").under("amount").to_string(), "amount: must be set");
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        fn parse() -> Result<(u8, [u8; 2]), Invalid> {
            let mut fields = Fields::new();
            let number = fields.text::<u8>("number", "x");
            let pair = fields.bytes::<2>("pair", b"abc");
            require!(fields; number, pair);
            Ok((number, pair))
        }
        let Err(invalid) = parse() else { panic!("a wrong message was accepted") };
        let paths: Vec<&str> = invalid.violations.iter().map(|v| v.path.as_str()).collect();
        assert_eq!(paths, ["number", "pair"]);
    }
}
