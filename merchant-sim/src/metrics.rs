//! The platform's own numbers, as whoever runs it would collect them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::device::browser::fetch_plainly;
use crate::topology::Platform;

/// The numbers at one moment, by name and labels as the text format has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(BTreeMap<String, i64>);

impl Numbers {
    /// Asks the platform for its numbers.
    ///
    /// # Errors
    /// Its port for them doesn't answer, or not in the Prometheus text format.
    pub async fn of(platform: &Platform) -> Result<Self> {
        Self::parse(&text(platform).await?)
    }

    /// A number; zero for one that isn't there.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// How many times the relay has refused for a reason.
    #[must_use]
    pub fn refused(&self, reason: &str) -> i64 {
        self.get(&format!("bankside_relay_refused_total{{reason=\"{reason}\"}}"))
    }

    /// How many times the relay has handed an acquirer's answer back.
    #[must_use]
    pub fn relayed(&self) -> i64 {
        self.get("bankside_relay_answered_total")
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let numbers = lines.map(|line| {
            let (name, number) = line.rsplit_once(' ').with_context(|| format!("no number in {line}"))?;
            Ok((name.to_owned(), number.parse().with_context(|| format!("no whole number in {line}"))?))
        });
        Ok(Self(numbers.collect::<Result<_>>()?))
    }
}

/// The numbers as text.
///
/// # Errors
/// The platform's port for them doesn't answer.
pub async fn text(platform: &Platform) -> Result<String> {
    let page = fetch_plainly(&platform.metrics).await?;
    ensure!(page.status == 200, "{} answered {}", platform.metrics, page.status);
    Ok(page.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name_and_labels() {
        let text = "# HELP a A.\n# TYPE a counter\na 3\nbankside_relay_refused_total{reason=\"X Y\"} 2\n";
        let numbers = Numbers::parse(text).expect("the text format");
        assert_eq!((numbers.get("a"), numbers.refused("X Y"), numbers.refused("Z")), (3, 2, 0));
        assert!(Numbers::parse("a b\n").is_err());
    }
}
