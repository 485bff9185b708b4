//! Binding every port before anything runs.

use super::Failure;
use crate::config::ListenConfig;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The bound ports of a role, by the name under which its configuration gave them.
#[derive(Debug)]
pub struct Listeners {
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Port {
    name: &'static str,
    address: SocketAddr,
    /// `None` once it has been taken.
    listener: Option<TcpListener>,
}

impl Listeners {
    /// Binds all of them.
    ///
    /// # Errors
    /// [`Failure::Bind`] for the first that can't be bound; the others are closed again.
    pub async fn bind(ports: &[(&'static str, &ListenConfig)]) -> Result<Self, Failure> {
        let mut bound = Vec::with_capacity(ports.len());
        for (name, config) in ports {
            let refused = |error: io::Error| Failure::Bind {
                field: name,
                address: config.address,
                advice: advice(error.kind()),
                problem: error.to_string(),
            };
            let listener = TcpListener::bind(config.address).await.map_err(refused)?;
            bound.push(Port { name, address: listener.local_addr().map_err(refused)?, listener: Some(listener) });
        }
        Ok(Self { ports: bound })
    }

    /// Takes a port to serve it.
    ///
    /// # Errors
    /// [`Failure::Internal`] where there is none of that name or it was taken before.
    pub fn take(&mut self, name: &str) -> Result<TcpListener, Failure> {
        self.ports
            .iter_mut()
            .find(|port| port.name == name)
            .and_then(|port| port.listener.take())
            .ok_or_else(|| Failure::Internal(format!("no port `{name}` is left to serve")))
    }

    /// The bound address of a port, also after it was taken.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        let port = self.ports.iter().find(|port| port.name == name)?;
        Some(port.address)
    }
}

fn advice(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::AddrInUse {
        "another process has the port: stop it, or write another port"
    } else if kind == io::ErrorKind::PermissionDenied {
        "ports below 1024 need a privilege: write a higher port, or grant it"
    } else {
        "write an address of this machine, for example 0.0.0.0 for all of them"
    }
}

/// `name=address` for each port, separated by spaces.
impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, port) in self.ports.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}={}", port.name, port.address)?;
        }
        Ok(())
    }
}
