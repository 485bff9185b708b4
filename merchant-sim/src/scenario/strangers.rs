//! Callers who come without the right certificate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stage::Stage;
use crate::device::Browser;
use crate::network::port;
use crate::shop::Shop;
use crate::topology::{KeyPair, Topology};

/// How long a server may take to show what it thinks of a certificate.
const VERDICT_TIME: Duration = Duration::from_secs(10);

pub(super) async fn play(stage: &mut Stage<'_>) -> Result<()> {
    let topology = stage.topology();
    let acquirer = topology.acquirers.first().context("the network has no acquirer")?;
    let merchant = topology.merchants.first().context("the network has no shop")?;
    let issuer = stage.issuer()?;

    let good = knock(topology, &acquirer.endpoint, Some(&merchant.tls)).await?;
    stage.check("a shop's own certificate, at the acquirer", "let in", &good);
    let none = knock(topology, &acquirer.endpoint, None).await?;
    stage.refusal("no certificate at all, at the acquirer", "turned away", &none);
    let foreign = &topology.outsiders.foreign_merchant;
    let foreign_at_acquirer = knock(topology, &acquirer.endpoint, Some(foreign)).await?;
    stage.refusal("a shop's name under another authority, at the acquirer", "turned away", &foreign_at_acquirer);
    let signing = knock(topology, &acquirer.endpoint, Some(&acquirer.signing)).await?;
    stage.refusal("a signing certificate, at the acquirer", "turned away", &signing);
    let none = knock(topology, &merchant.notifications, None).await?;
    stage.refusal("no certificate at all, at a shop's server", "turned away", &none);
    let none = knock(topology, &issuer.endpoint, None).await?;
    stage.check("no certificate at all, at the issuer's port for devices", "let in", &none);

    let distrustful = Browser::trusting(&topology.outsiders.authority)?;
    let page = match distrustful.fetch(&acquirer.pages).await {
        Ok(_) => "opened",
        Err(_) => "not opened",
    };
    stage.check("the payment page, to a browser that trusts another authority", "not opened", page);

    let bank = Shop::presenting(topology, merchant, &issuer.tls)?;
    let request = bank.request(10_000)?;
    stage.refused("a bank that makes an order", "ROLE_NOT_ALLOWED", bank.create(request).await);
    let operator = Shop::presenting(topology, merchant, &topology.operator.tls)?;
    let request = operator.request(10_000)?;
    stage.refused("the operator who makes an order", "ROLE_NOT_ALLOWED", operator.create(request).await);
    Ok(())
}

/// What a client of HTTP/2 says first: the preface and an empty SETTINGS frame (RFC 9113, section 3.4).
const FIRST_WORDS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Shakes hands with a server, greets, and waits for its first word. In TLS 1.3 a client's handshake is over
/// before the server has judged its certificate, so that the verdict is in what comes next: data, or
/// an alert.
pub(super) async fn knock(topology: &Topology, endpoint: &str, own: Option<&KeyPair>) -> Result<String> {
    let config = client_config(topology, own)?;
    let stream = TcpStream::connect(("localhost", port(endpoint)?)).await.context("cannot connect")?;
    let name = ServerName::try_from("localhost").context("a name")?;
    let talk = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // A server that has turned us away by now says so in what can be read, even where this fails.
        let _ = stream.write_all(FIRST_WORDS).await;
        let _ = stream.flush().await;
        stream.read(&mut [0; 1]).await
    };
    let heard = tokio::time::timeout(VERDICT_TIME, talk).await.context("the server says nothing")?;
    Ok(match heard {
        // The server's settings.
        Ok(1..) => "let in".to_owned(),
        Ok(0) => "turned away".to_owned(),
        Err(error) if is_alert(&error) => "turned away".to_owned(),
        Err(error) => format!("failed otherwise: {error}"),
    })
}

/// The certificate that a server presents to whoever comes, DER.
pub(super) async fn presented(topology: &Topology, endpoint: &str) -> Result<Vec<u8>> {
    let config = client_config(topology, None)?;
    let stream = TcpStream::connect(("localhost", port(endpoint)?)).await.context("cannot connect")?;
    let name = ServerName::try_from("localhost").context("a name")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the handshake")?;
    let certificates = stream.get_ref().1.peer_certificates().context("no certificate")?;
    Ok(certificates.first().context("no certificate")?.to_vec())
}

fn client_config(topology: &Topology, own: Option<&KeyPair>) -> Result<ClientConfig> {
    let mut config = mesh::tls::device_client_config(&topology.authority)?;
    if let Some(own) = own {
        let read =
            |path: &std::path::Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let certificate = CertificateDer::from_pem_slice(&read(&own.certificate)?).context("no certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&read(&own.key)?).context("no private key")?;
        let key = config.crypto_provider().key_provider.load_private_key(key)?;
        let certified = rustls::sign::CertifiedKey::new(vec![certificate], key);
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    }
    Ok(config)
}

fn is_alert(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_))) || error.kind() == std::io::ErrorKind::ConnectionReset
}
