//! The operations port and its command: the bank's own certificate alone, a code that binds, a lock that ends.

use std::ffi::OsString;

use issuer::config::IssuerConfig;
use mesh::{
    channel::MeshChannel,
    identity::{MemberId, Role},
    status::reason_of,
    tls::ExpectedServer,
};
use proto::pb::{self, issuer_operations_client::IssuerOperationsClient};

use super::{
    acquirer::listen,
    pki::{Pki, write_secret},
    role::{CONFIG, import, start},
};

/// Runs `issuer operate` and returns how it exited.
async fn operate(pki: &Pki, server: &str, words: &[&str]) -> String {
    let mut arguments: Vec<OsString> = vec!["issuer operate".into(), "--config".into()];
    arguments.push(pki.path("issuer.toml").into_os_string());
    arguments.extend(["--server".into(), server.into()]);
    arguments.extend(words.iter().map(|word| OsString::from(*word)));
    run(arguments).await
}

async fn run(arguments: Vec<OsString>) -> String {
    // On a thread that knows no runtime, as the main one of a process.
    let process = || std::thread::spawn(move || issuer::operate_command(arguments)).join();
    let exit = tokio::task::spawn_blocking(process).await.unwrap().expect("no panic");
    format!("{exit:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_s_own_people_operate_and_nobody_else() {
    let pki = Pki::new();
    let issuer = pki.member(Role::Issuer, "bank-aurora");
    let acquirer = pki.member(Role::Acquirer, "bank-borealis");
    pki.member(Role::Issuer, "bank-other");
    let (_listener, address) = listen().await;
    std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, address)).unwrap();
    write_secret(&pki.path("kek"), &format!("1:{}\n", "7f".repeat(32)));
    let config = CONFIG.replace("vault.keys", "listen.operations.address = \"127.0.0.1:0\"\nvault.keys");
    std::fs::write(pki.path("issuer.toml"), config).unwrap();
    import(&pki.path("issuer.toml")).await;
    let running = start(&pki).await;
    let server = format!("https://{}", running.operations.unwrap());

    let success = format!("{:?}", std::process::ExitCode::SUCCESS);
    assert_eq!(operate(&pki, &server, &["charges"]).await, success);
    assert_eq!(operate(&pki, &server, &["charges", "--parked"]).await, success);
    assert_eq!(operate(&pki, &server, &["activation-code", "customer-1"]).await, success);
    assert_eq!(operate(&pki, &server, &["unlock", "customer-1"]).await, success);
    let failure = format!("{:?}", std::process::ExitCode::FAILURE);
    assert_eq!(operate(&pki, &server, &["unlock", "nobody"]).await, failure);
    assert_eq!(operate(&pki, &server, &["resolve", "customer-1", "chg_x"]).await, failure);
    let wrong = format!("{:?}", std::process::ExitCode::from(64));
    assert_eq!(operate(&pki, "nowhere", &["charges"]).await, wrong);
    assert_eq!(operate(&pki, &server, &["import-result", "customer-1", "chg_x", "no/such/file"]).await, wrong);

    let own: MemberId = "bank-aurora".parse().unwrap();
    for other in ["bank-other", "bank-borealis"] {
        let expected = ExpectedServer::member(Role::Issuer, own.clone());
        let channel = MeshChannel::new(&server, pki.identity(other), expected).unwrap();
        let mut client = IssuerOperationsClient::new(channel);
        let refused = client.list_unknown_charges(pb::ListUnknownChargesRequest::default()).await.unwrap_err();
        assert_eq!(reason_of(&refused).as_deref(), Some("ROLE_NOT_ALLOWED"), "{other}: {refused}");
    }
    running.stop().await;
}

#[tokio::test]
async fn without_a_port_the_command_says_what_is_missing() {
    let pki = Pki::new();
    pki.member(Role::Issuer, "bank-aurora");
    std::fs::write(pki.path("issuer.toml"), CONFIG).unwrap();
    let config: IssuerConfig = mesh::config::load(&pki.path("issuer.toml")).unwrap();
    assert!(config.listen.operations.is_none());
    let arguments: Vec<OsString> =
        vec!["issuer operate".into(), "--config".into(), pki.path("issuer.toml").into_os_string(), "charges".into()];
    assert_eq!(run(arguments).await, format!("{:?}", std::process::ExitCode::from(64)));
}
