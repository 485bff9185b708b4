//! The vault's keys of a whole process: the key file changes while it runs, and what it then refuses at a start.

use std::{net::SocketAddr, process::Command, time::Duration};

use mesh::{boot::Failure, identity::Role};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    acquirer::listen,
    pki::{Pki, write_secret},
    role::{CONFIG, import, start},
};

/// Looking at the key file takes two seconds, moving a handful of records no time.
const PATIENCE: Duration = Duration::from_secs(60);

fn keys(versions: &[u8]) -> String {
    versions.iter().map(|version| format!("{version}:{}\n", format!("{version:02x}").repeat(32))).collect()
}

/// Replaces the key file as a whole.
fn write_keys(pki: &Pki, versions: &[u8]) {
    write_secret(&pki.path("kek.new"), &keys(versions));
    std::fs::rename(pki.path("kek.new"), pki.path("kek")).unwrap();
}

async fn metrics(address: SocketAddr) -> String {
    let mut numbers = TcpStream::connect(address).await.unwrap();
    numbers.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    numbers.read_to_string(&mut text).await.unwrap();
    text
}

async fn until_shown(address: SocketAddr, lines: &[&str]) {
    let shown = async {
        loop {
            let text = metrics(address).await;
            if lines.iter().all(|wanted| text.lines().any(|line| line == *wanted)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("the records move, and soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_comes_in_and_the_old_one_goes_and_no_start_takes_too_few() {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    let (_listener, address) = listen().await;
    std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, address)).unwrap();
    write_keys(&pki, &[1]);
    let config = pki.path("issuer.toml");
    std::fs::write(&config, format!("listen.admin.address = \"127.0.0.1:0\"{CONFIG}")).unwrap();
    import(&config).await;

    let running = start(&pki).await;
    let admin = running.admin.unwrap();
    until_shown(admin, &["bankside_issuer_vault_key_version 1", "bankside_issuer_vault_records_left 0"]).await;
    write_keys(&pki, &[1, 2]);
    until_shown(admin, &["bankside_issuer_vault_key_version 2", "bankside_issuer_vault_records_left 0"]).await;
    // Without the key that encrypts now the file is refused, and the issuer serves on.
    write_keys(&pki, &[1]);
    until_shown(admin, &["bankside_issuer_vault_keys_refused_total 1", "bankside_issuer_vault_key_version 2"]).await;
    running.stop().await;

    let refused = start(&pki).await.ended.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), 64);
    assert!(matches!(&refused, Failure::Config(text) if text.contains("`vault.keys`")), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("key version 2 is missing, and ") && said.contains("records need it"), "{said}");

    write_keys(&pki, &[2]);
    start(&pki).await.stop().await;
    let mut check = Command::new(env!("CARGO_BIN_EXE_issuer"));
    let checked = check.args(["vault", "check", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8(checked.stdout.clone()).unwrap();
    assert!(checked.status.success() && said.ends_with(" records, 0 damaged\n"), "{checked:?}");
}
