//! The bank's app on the port of a whole process: there where it is configured, and nowhere else.

use std::net::SocketAddr;

use mesh::{config, identity::Role};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    pki::{Pki, write_secret},
    role::{CONFIG, start},
};

const APP: &str = r#"
[listen.app]
address = "127.0.0.1:0"
tls = "none"
[app]
public_url = "http://aurora.localhost:7545"
"#;

fn files(config: &str) -> Pki {
    let pki = Pki::new();
    let (issuer, acquirer) = (pki.member(Role::Issuer, "bank-aurora"), pki.member(Role::Acquirer, "bank-borealis"));
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, nowhere)).unwrap();
    write_secret(&pki.path("kek"), &format!("1:{}", "07".repeat(32)));
    std::fs::write(pki.path("issuer.toml"), config).unwrap();
    pki
}

async fn fetch(address: SocketAddr, path: &str, language: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: aurora.localhost\r\naccept-language: {language}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_pages_are_served_where_they_are_configured() {
    let pki = files(&format!("{CONFIG}{APP}"));
    let running = start(&pki).await;
    let address = running.app.unwrap();
    let home = fetch(address, "/", "zh-TW").await;
    assert!(home.starts_with("HTTP/1.1 200") && home.contains("data-page=\"home\""), "{home}");
    assert!(home.contains("銀行</span>"), "the bank's name is the directory's: {home}");
    assert!(fetch(address, "/pay", "en").await.contains("Bank</span>"));
    assert!(fetch(address, "/logo.svg", "en").await.contains("image/svg+xml"));
    running.stop().await;
}

#[test]
fn without_a_table_there_is_no_port() {
    let pki = files(CONFIG);
    let config: issuer::config::IssuerConfig = config::load(&pki.path("issuer.toml")).unwrap();
    assert!(config.app.is_none() && config.listen.app.is_none());
}
