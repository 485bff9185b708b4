//! A client that knows nothing but the server's address and its own certificate finds every service by
//! reflection and makes an order: buf, a gRPC client that is none of ours.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use merchant_sim::sandbox::describe;
use merchant_sim::topology::{KeyPair, Topology};
use serde_json::{Value, json};

#[path = "running/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;

use sandbox::Sandbox;

#[test]
fn a_strange_client_lists_describes_and_orders() {
    if Command::new("buf").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "buf is missing; .ci/install installs it");
        eprintln!("not checked: buf is missing; .ci/install installs it");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("box");
    let _sandbox = Sandbox::start(&folder);
    let topology = describe(&folder).unwrap();
    let (acquirer, issuer, shop) = (&topology.acquirers[0], &topology.issuers[0], &topology.merchants[0]);

    let listed = said(&buf(&topology, Some(&shop.tls), &["--list-services", &acquirer.endpoint]));
    for service in ["bankside.v1.OrderService", "bankside.v1.Authorization", "grpc.health.v1.Health"] {
        assert!(listed.lines().any(|line| line == service), "{listed}");
    }
    let listed = said(&buf(&topology, Some(&shop.tls), &["--list-methods", &acquirer.endpoint]));
    for method in ["CreateOrder", "GetOrder", "ListOrders", "CancelOrder", "WatchOrders"] {
        assert!(listed.contains(&format!("bankside.v1.OrderService/{method}")), "{listed}");
    }
    let listed = said(&buf(&topology, None, &["--list-services", &issuer.endpoint]));
    for service in ["bankside.v1.IssuerAuth", "bankside.v1.CardSelection"] {
        assert!(listed.lines().any(|line| line == service), "{listed}");
    }

    let platform = &topology.platform;
    let listed = said(&buf(&topology, Some(&issuer.tls), &["--list-services", &platform.endpoint]));
    for service in ["bankside.v1.Authorization", "bankside.v1.BankDirectory", "bankside.v1.Checkout"] {
        assert!(listed.lines().any(|line| line == service), "{listed}");
    }
    let address = format!("{}/bankside.v1.BankDirectory/ListBanks", platform.devices);
    let banks: Value = serde_json::from_str(&said(&buf(&topology, None, &["-d", "{}", &address]))).unwrap();
    let banks: Vec<&str> =
        banks["banks"].as_array().unwrap().iter().map(|bank| bank["bankId"].as_str().unwrap()).collect();
    let suspended = topology.suspended_banks.iter().map(|bank| bank.id.as_str());
    let known: Vec<&str> = topology.issuers.iter().map(|issuer| issuer.id.as_str()).chain(suspended).collect();
    assert_eq!(banks, known);

    let order = json!({
        "merchantReference": "buf-1",
        "amount": { "currencyCode": shop.currency, "minorUnits": "5000" },
        "lines": [{
            "description": "A book", "quantity": 1,
            "unitPrice": { "currencyCode": shop.currency, "minorUnits": "5000" },
        }],
        "returnUrl": shop.return_url,
    })
    .to_string();
    let address = format!("{}/bankside.v1.OrderService/CreateOrder", acquirer.endpoint);
    let made: Value = serde_json::from_str(&said(&buf(&topology, Some(&shop.tls), &["-d", &order, &address]))).unwrap();
    assert_eq!(made["order"]["state"], "ORDER_STATE_OPEN");
    assert!(made["paymentUrl"].as_str().unwrap().starts_with(&acquirer.pages));

    // A wrong field is named by its path, also to a client that knows no type of ours.
    let wrong = order.replace("\"quantity\":1", "\"quantity\":0").replace("buf-1", "buf-2");
    let refused = buf(&topology, Some(&shop.tls), &["-d", &wrong, &address]);
    assert!(!refused.status.success());
    let problem: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert!(details(&problem).contains("lines[0].quantity"), "{problem}");

    let stranger = buf(&topology, None, &["--list-services", &acquirer.endpoint]);
    assert!(!stranger.status.success(), "without a certificate: {}", String::from_utf8_lossy(&stranger.stdout));
    let foreign = buf(&topology, Some(&topology.outsiders.foreign_merchant), &["-d", &order, &address]);
    assert!(!foreign.status.success(), "another authority: {}", String::from_utf8_lossy(&foreign.stdout));
}

/// The google.rpc details of an error, decoded as far as their texts go.
fn details(error: &Value) -> String {
    let values = error["details"].as_array().unwrap().iter().map(|detail| detail["value"].as_str().unwrap());
    let bytes = values.flat_map(|value| data_encoding::BASE64_NOPAD.decode(value.as_bytes()).unwrap());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

fn buf(topology: &Topology, identity: Option<&KeyPair>, arguments: &[&str]) -> Output {
    let mut command = Command::new("buf");
    command.args(["curl", "--protocol", "grpc", "--cacert"]).arg(&topology.authority);
    if let Some(KeyPair { certificate, key }) = identity {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
