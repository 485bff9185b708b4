//! The audit trail of the whole process: every act is in it, no secret is, and a start is refused where it does
//! not fit the store.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use mesh::{channel::device_channel, identity::Role, signing::Signer};
use proto::{
    ids::ChargeId,
    pb::{self, card_selection_client::CardSelectionClient, issuer_auth_client::IssuerAuthClient},
};
use tokio_util::sync::CancellationToken;

use super::{
    acquirer::{Acquirer, Manner, listen},
    pki::{Pki, write_secret},
    role::{CONFIG, Running, import, order, sign_in, start},
};

/// A bank with its customers, and an acquirer that approves.
struct Bank {
    pki: Pki,
    acquirer: Signer,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Bank {
    async fn open() -> Self {
        let pki = Pki::new();
        let issuer = pki.member(Role::Issuer, "bank-aurora");
        let acquirer = pki.member(Role::Acquirer, "bank-borealis");
        let (listener, address) = listen().await;
        let stop = CancellationToken::new();
        let served = Acquirer::new(acquirer.clone(), Manner::Approve);
        let serving = served.serve(listener, pki.identity("bank-borealis"), stop.clone());
        let serving = tokio::spawn(async move {
            serving.await;
        });
        std::fs::write(pki.path("directory.binpb"), pki.directory(&issuer, &acquirer, address)).unwrap();
        write_secret(&pki.path("kek"), &format!("1:{}\n", "7f".repeat(32)));
        std::fs::write(pki.path("issuer.toml"), CONFIG).unwrap();
        import(&pki.path("issuer.toml")).await;
        Self { pki, acquirer, stop, serving }
    }

    fn folder(&self) -> PathBuf {
        self.pki.path("data/audit")
    }

    fn trail(&self) -> PathBuf {
        self.folder().join("audit-00000000000000000001.jsonl")
    }

    /// Signs in, looks at the cards, tries to pay another order, pays, and signs out. The session's token and
    /// the charge.
    async fn shop(&self, running: &Running) -> (bytes::Bytes, String) {
        let device = device_channel(&running.address, &self.pki.path("ca/ca.pem")).unwrap();
        let order = order(&self.acquirer);
        let token = sign_in(&device, order.clone()).await;
        let mut cards = CardSelectionClient::new(device.clone());
        let request = pb::ListCardOptionsRequest { session_token: token.clone(), ..Default::default() };
        let options = cards.list_card_options(request).await.unwrap().into_inner().card_options;
        let card = options.iter().find(|option| option.label == "Everyday Credit").unwrap();
        let charge_id = ChargeId::from_random([1; 16]).to_string();
        let request = pb::SubmitChargeRequest {
            session_token: token.clone(),
            charge_id: charge_id.clone(),
            // Made a moment later, and so another order.
            order: Some(super::role::order(&self.acquirer)),
            card_option_id: card.card_option_id.clone(),
            ..Default::default()
        };
        cards.submit_charge(request.clone()).await.unwrap_err();
        cards.submit_charge(pb::SubmitChargeRequest { order: Some(order), ..request }).await.unwrap();
        let request =
            pb::WatchChargeRequest { session_token: token.clone(), charge_id: charge_id.clone(), ..Default::default() };
        let mut stream = cards.watch_charge(request).await.unwrap().into_inner();
        while stream.message().await.unwrap().is_some() {}
        let request = pb::EndSessionRequest { session_token: token.clone() };
        IssuerAuthClient::new(device).end_session(request).await.unwrap();
        (token, charge_id)
    }

    async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

async fn audit(arguments: &[&str]) -> String {
    let arguments: Vec<OsString> = ["issuer audit"].iter().chain(arguments).map(OsString::from).collect();
    let exit = tokio::task::spawn_blocking(move || issuer::audit_command(arguments)).await.unwrap();
    format!("{exit:?}")
}

fn code(exit: ExitCode) -> String {
    format!("{exit:?}")
}

fn acts(trail: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(trail).unwrap();
    let act = |line: &str| line.split_once("\"act\":\"").unwrap().1.split('"').next().unwrap().to_owned();
    text.lines().map(act).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_act_is_in_the_trail_and_no_secret_is() {
    let bank = Bank::open().await;
    let running = start(&bank.pki).await;
    let (token, charge_id) = bank.shop(&running).await;
    running.stop().await;

    let found = acts(&bank.trail());
    assert_eq!(found[0], "trail_begun");
    let end = [
        "cards_listed",
        "charge_refused",
        "charge_submitted",
        "card_opened",
        "charge_ended",
        "session_ended",
        "issuer_stopped",
    ];
    assert!(found.ends_with(&end.map(str::to_owned)), "{found:?}");
    let imported = ["customer_imported", "account_imported", "card_imported", "issuer_started"];
    for act in imported.into_iter().chain(["identity_tried", "identity_proved", "session_begun"]) {
        assert!(found.contains(&act.to_owned()), "{act}: {found:?}");
    }
    let text = std::fs::read_to_string(bank.trail()).unwrap();
    let refused = text.lines().find(|line| line.contains("charge_refused")).unwrap();
    assert!(refused.contains("\"why\":\"SESSION_OF_OTHER_ORDER\"") && refused.contains(&charge_id), "{refused}");
    assert!(refused.contains("\"actor\":\"127.0.0.1\""), "{refused}");
    let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in ["A123456789", "mei-lin", "correct horse", "4000000000000002", &hex] {
        assert!(!text.contains(secret), "a secret is in the trail");
    }
    assert_eq!(audit(&["check", "--folder", bank.folder().to_str().unwrap()]).await, code(ExitCode::SUCCESS));
    bank.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_trail_stops_the_start_until_an_operator_goes_on() {
    let bank = Bank::open().await;
    let running = start(&bank.pki).await;
    bank.shop(&running).await;
    running.stop().await;
    let text = std::fs::read_to_string(bank.trail()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len();
    std::fs::write(bank.trail(), lines[..last - 2].join("\n") + "\n").unwrap();
    let failure = start(&bank.pki).await.ended.await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 73);
    let problem = failure.to_string();
    for part in [format!("n={}", last - 2), format!("n={last}"), "issuer audit restart".to_owned()] {
        assert!(problem.contains(&part), "{problem}");
    }

    let (config, folder) = (bank.pki.path("issuer.toml"), bank.folder());
    let restart = ["restart", "--config", config.to_str().unwrap(), "--because", "a test has cut it"];
    let check = ["check", "--folder", folder.to_str().unwrap()];
    assert_eq!(audit(&restart).await, code(ExitCode::SUCCESS));
    let running = start(&bank.pki).await;
    // It serves, and so has opened everything.
    let device = device_channel(&running.address, &bank.pki.path("ca/ca.pem")).unwrap();
    sign_in(&device, order(&bank.acquirer)).await;
    assert_eq!(audit(&check).await, code(ExitCode::SUCCESS), "beside the running issuer");
    assert_ne!(audit(&restart).await, code(ExitCode::SUCCESS), "the running issuer holds the store");
    running.stop().await;
    let hash = lines[last - 1].rsplit('"').nth(1).unwrap();
    let published = format!("{last}:{hash}");
    let against = [&check[..], &["--head", &published]].concat();
    assert_eq!(audit(&against).await, code(ExitCode::from(1)), "the loss is not hidden");
    bank.close().await;
}
