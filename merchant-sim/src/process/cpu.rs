//! How much processor time a process has used (Linux, proc_pid_stat(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The user and system time of a process since it started. It moves in clock ticks, usually of 10 ms.
///
/// # Errors
/// The process is gone, or this isn't Linux.
pub fn used(id: u32) -> Result<Duration> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&stat, rustix::param::clock_ticks_per_second()).with_context(|| format!("{path} is not understood"))
}

/// The fields 14 and 15. The second field, the program's name, may hold spaces and brackets of its own.
fn parse(stat: &str, ticks_per_second: u64) -> Result<Duration> {
    ensure!(ticks_per_second > 0, "the clock does not tick");
    let (_, rest) = stat.rsplit_once(')').context("no program name")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().context("too short")?.parse::<u64>().context("not a number");
    let ticks = ticks()? + ticks()?;
    Ok(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194304 100 0 0 0 150 27 9 9 20 0 5 0 100 1000 10";
        assert_eq!(parse(stat, 100).unwrap(), Duration::from_millis(1_770));
        assert!(parse("12 (a) S 1", 100).is_err());
        assert!(parse("", 100).is_err());
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(used(std::process::id()).is_ok());
    }
}
