//! Whether a stopped issuer can still open everything that it keeps sealed.

use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::role::vault_check_command;
use crate::topology::Issuer;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether every record opened.
    pub sound: bool,
    /// The last line that the check said.
    pub said: String,
}

/// Opens every sealed record of a stopped issuer.
///
/// # Errors
/// The check can't be started.
pub fn check(issuer: &Issuer) -> Result<Checked> {
    let mut command = vault_check_command(&issuer.files.config)?;
    // The check ends by itself; an open pipe keeps it from taking a closed input for its end.
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context("the vault's check can't be started")?;
    let input = child.stdin.take();
    let output = child.wait_with_output().context("the vault's check")?;
    drop(input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("it said nothing").to_owned();
    Ok(Checked { sound: output.status.success(), said })
}
