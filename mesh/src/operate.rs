//! The operations port, and the commands that call it: what a member's own people do to its running server.
//!
//! The port lets in nobody but the member's own certificate, which is the one that the server itself shows. So
//! the command needs nothing but the server's configuration file.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use data_encoding::BASE64URL_NOPAD;
use proto::fields::{Fields, Invalid};
use tonic::Status;

use crate::{
    boot::Failure,
    channel::MeshChannel,
    config::ListenConfig,
    status::{reason_of, violations_of},
    store::{Cursor, PageRequest},
    tls::{ExpectedServer, TlsIdentity},
};

/// The port's name in the configuration of every role that has it.
pub const LISTENER: &str = "listen.operations";

/// Records on one page, where the caller names no number.
const PAGE_DEFAULT: u32 = 50;
/// At most: a hundred of any kind fit into one message.
const PAGE_MAX: u32 = 100;

/// Why a command brought nothing.
#[derive(Debug)]
pub enum Problem {
    /// The server refused.
    Refused(Box<Status>),
    /// A file that the command line names can't be used, for this reason.
    File(PathBuf, String),
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// The whole life of a command: reads its line, finds the server by `connect`, and prints what `ask` brings.
///
/// Exits with 0 where the server did it, with 1 where it refused, with 64 where the command line or the
/// configuration is wrong.
pub fn command<A: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    connect: impl FnOnce(&A) -> Result<MeshChannel, Failure>,
    ask: impl AsyncFnOnce(MeshChannel, A) -> Result<String, Problem>,
) -> ExitCode {
    let arguments = match A::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.exit_code() == 0 => {
            print(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&Failure::Config(error.to_string())),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Internal(format!("the runtime could not be started: {error}"))),
    };
    let connected = {
        // A channel starts a task of its own, and so needs the runtime around it.
        let _inside = runtime.enter();
        connect(&arguments)
    };
    let channel = match connected {
        Ok(channel) => channel,
        Err(failure) => return fail(&failure),
    };
    match runtime.block_on(ask(channel, arguments)) {
        Ok(said) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Err(Problem::Refused(status)) => {
            let reason = reason_of(&status).unwrap_or_else(|| format!("{:?}", status.code()));
            report(&format!("{reason}: {}", status.message()));
            for (path, what) in violations_of(&status) {
                report(&format!("  {path}: {what}"));
            }
            ExitCode::FAILURE
        }
        Err(Problem::File(path, error)) => fail(&Failure::Config(format!("{}: {error}", path.display()))),
    }
}

/// Which page of a list a request asks for: `size` records, zero for 50 and at most 100, after what the last page's
/// `token` names.
///
/// # Errors
/// What of it can't be.
pub fn page(size: u32, token: &str) -> Result<PageRequest, Invalid> {
    let mut fields = Fields::new();
    fields.check("page_size", size <= PAGE_MAX, "must be 1 to 100, or zero for 50");
    let after = match token {
        "" => None,
        text => {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
            fields.check("page_token", bytes.is_some(), "must be one that a response gave");
            bytes.map(Cursor::from_bytes)
        }
    };
    fields.finish()?;
    let limit = if size == 0 { PAGE_DEFAULT } else { size };
    Ok(PageRequest { after, limit: usize::try_from(limit).unwrap_or_default() })
}

/// The way to the member's own server under its own certificate: to `server`, an address `https://host:port`, or
/// else to the port that is configured for this machine.
///
/// # Errors
/// [`Failure::Config`] for an address that can't be used, or where there is none.
pub fn channel(
    identity: Arc<TlsIdentity>,
    server: Option<&str>,
    port: Option<&ListenConfig>,
) -> Result<MeshChannel, Failure> {
    let own = identity.own_id().ok_or_else(|| Failure::Internal("the certificate names nobody".to_owned()))?;
    let address = match (server, port) {
        (Some(server), _) => server.to_owned(),
        (None, Some(port)) => format!("https://{}", on_this_machine(port.address)),
        (None, None) => {
            let problem = format!("table `{LISTENER}`: is missing; add it, or name the server with --server");
            return Err(Failure::Config(problem));
        }
    };
    let expected = ExpectedServer::member(own.role(), own.member().clone());
    MeshChannel::new(&address, identity, expected).map_err(|error| Failure::Config(error.to_string()))
}

/// A port that listens on every address is called on the loopback one.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn print(text: &str) {
    // Nothing can be done where nobody reads.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn report(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn fail(failure: &Failure) -> ExitCode {
    report(&failure.to_string());
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_port_on_every_address_is_called_on_this_machine() {
        for (listened, called) in [
            ("0.0.0.0:7445", "127.0.0.1:7445"),
            ("[::]:7445", "[::1]:7445"),
            ("10.1.2.3:7445", "10.1.2.3:7445"),
            ("127.0.0.1:7445", "127.0.0.1:7445"),
        ] {
            assert_eq!(on_this_machine(listened.parse().unwrap()).to_string(), called);
        }
    }

    #[test]
    fn a_page_has_a_default_and_an_end_and_its_token_must_be_one() {
        assert_eq!(page(0, "").map(|page| page.limit), Ok(50));
        assert_eq!(page(100, "AAAA").map(|page| page.limit), Ok(100));
        let wrong = |size, token| page(size, token).map_err(|invalid| invalid.violations.len());
        assert_eq!(wrong(101, "").map(|_| ()), Err(1));
        assert_eq!(wrong(101, "no token!").map(|_| ()), Err(2));
    }
}
