//! What an attempt leaves behind at the platform: a number that moved by one, and a line of the log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};

use super::super::stage::Stage;
use crate::metrics::Numbers;

/// Where an attempt must have been counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Noted {
    /// By the relay, under its reason, with a line in the log.
    Relay,
    /// As an acquirer's refusal that was handed back.
    Acquirer,
    /// As an acquirer's signed result that was handed back.
    Result,
    /// As a call that the members' port let nobody answer.
    MembersPort,
    /// The same at the devices' port.
    DevicesPort,
    /// As a handshake that failed.
    Handshake,
    /// Not at the platform, which had no part in it.
    Elsewhere,
}

impl Noted {
    fn number(self, numbers: &Numbers, reason: &str) -> i64 {
        match self {
            Self::Relay => numbers.refused(reason),
            Self::Acquirer => numbers.get("bankside_relay_acquirer_refusals_total"),
            Self::Result => numbers.relayed(),
            Self::MembersPort => numbers.get("bankside_requests_refused_total{port=\"members\"}"),
            Self::DevicesPort => numbers.get("bankside_requests_refused_total{port=\"devices\"}"),
            Self::Handshake => numbers.get("bankside_handshakes_failed_total{port=\"members\"}"),
            Self::Elsewhere => 0,
        }
    }

    fn is_logged(self) -> bool {
        match self {
            Self::Relay => true,
            Self::Acquirer
            | Self::Result
            | Self::MembersPort
            | Self::DevicesPort
            | Self::Handshake
            | Self::Elsewhere => false,
        }
    }

    /// What must have come of one attempt that ended like this.
    fn expected(self, reason: &str) -> String {
        match self {
            Self::Relay => format!("{reason}, counted once and logged"),
            Self::Result => format!("{reason}, a signed result"),
            Self::Acquirer | Self::MembersPort | Self::DevicesPort | Self::Handshake => {
                format!("{reason}, counted once")
            }
            Self::Elsewhere => reason.to_owned(),
        }
    }
}

/// Makes one attempt, and checks how it ended and what it left behind.
pub(super) async fn attempt(
    stage: &mut Stage<'_>,
    name: &str,
    expected: &str,
    noted: Noted,
    attempt: impl Future<Output = String>,
) -> Result<()> {
    let log = &stage.topology().platform.files.log;
    let mut log = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    log.seek(SeekFrom::End(0))?;
    let before = noted.number(&stage.numbers().await?, expected);
    let ended = attempt.await;
    let moved = noted.number(&stage.numbers().await?, expected) - before;
    let mut lines = String::new();
    log.read_to_string(&mut lines).context("the platform's log is no text")?;
    let is_logged = lines.lines().any(|line| line.contains("not relayed") && line.contains(expected));
    let all_noted = match noted {
        Noted::Elsewhere => moved == 0,
        Noted::Relay | Noted::Acquirer | Noted::Result | Noted::MembersPort | Noted::DevicesPort | Noted::Handshake => {
            moved == 1 && is_logged == noted.is_logged()
        }
    };
    let got = if ended == expected && all_noted {
        noted.expected(expected)
    } else {
        format!("{ended}, counted {moved} times, logged: {is_logged}")
    };
    if expected == "APPROVED" {
        stage.check(name, &noted.expected(expected), &got);
    } else {
        stage.refusal(name, &noted.expected(expected), &got);
    }
    Ok(())
}
