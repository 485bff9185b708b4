//! What a running sandbox tells its user.

use std::path::Path;

use crate::console::{Console, Style, column};
use crate::topology::{KeyPair, Merchant, NextHop, Topology};

/// How many cards of a customer are listed.
const CARDS_SHOWN: usize = 13;

/// Shows where to begin, who can pay, where everything is, and what else to try.
pub(super) fn show(topology: &Topology, description: &Path, console: &Console) {
    console.heading("The sandbox is up");
    if let Some(storefront) = &topology.storefront {
        console.line(format!(
            "Open this in a browser, buy something, and pay:  {}",
            console.paint(Style::Strong, storefront)
        ));
    }
    cardholders(topology, console);
    addresses(topology, description, console);
    commands(topology, console);
    console.line("");
    console.line("Stop it with Ctrl-C; the next start finds its orders, accounts and ports again.");
}

fn addresses(topology: &Topology, description: &Path, console: &Console) {
    console.heading("Addresses");
    for acquirer in &topology.acquirers {
        address(console, &format!("acquirer {}", acquirer.id), &acquirer.endpoint, "gRPC, mutual TLS");
        address(console, "", &acquirer.pages, "payment pages");
    }
    let platform = &topology.platform;
    address(console, &format!("platform {}", platform.id), &platform.endpoint, "gRPC for members, mutual TLS");
    address(console, "", &platform.devices, "gRPC for devices, server TLS");
    address(console, "", &platform.pages, "bank picker");
    address(console, "", &platform.metrics, "numbers, plain HTTP");
    for issuer in &topology.issuers {
        let way = match issuer.next_hop {
            NextHop::Acquirer => "gRPC for devices; calls the acquirer directly",
            NextHop::Platform => "gRPC for devices; the platform relays for it",
        };
        address(console, &format!("issuer {}", issuer.id), &issuer.endpoint, way);
        if let Some(app) = &issuer.app {
            address(console, "", app, "the bank's app");
        }
    }
    for merchant in &topology.merchants {
        address(console, &format!("merchant {}", merchant.id), &merchant.notifications, "notifications, mutual TLS");
    }
    console.line("");
    console.line(format!("everything, for programs   {}", description.display()));
    console.line(format!("certificate authority      {}", topology.authority.display()));
    console.line(format!("logs                       {}", topology.folder.join("logs").display()));
}

fn address(console: &Console, who: &str, address: &str, what: &str) {
    let what = console.paint(Style::Faint, what);
    console.line(format!("{} {} {what}", column(who, 32), column(address, 39)));
}

fn cardholders(topology: &Topology, console: &Console) {
    console.heading("Cardholders");
    for issuer in &topology.issuers {
        for customer in &issuer.customers {
            console.line(format!(
                "{} {} {} password \"{}\"",
                column(&customer.name, 14),
                customer.national_id,
                column(&customer.user_code, 16),
                customer.password
            ));
            let code = format!("{:15}activation code {}", "", customer.activation_code);
            console.line(console.paint(Style::Faint, &code));
            let purpose = format!("{} at {}", customer.purpose, issuer.id);
            console.line(console.paint(Style::Faint, &format!("{:15}{purpose}", "")));
            for card in customer.cards().take(CARDS_SHOWN) {
                let line = format!("{:15}{}  {}", "", card.pan, card.label);
                console.line(console.paint(Style::Faint, &line));
            }
        }
    }
}

fn commands(topology: &Topology, console: &Console) {
    console.heading("Try");
    let authority = topology.authority.display();
    if let (Some(merchant), Some(acquirer)) = (topology.merchants.first(), topology.acquirers.first()) {
        let KeyPair { certificate, key } = &merchant.tls;
        let (certificate, key) = (certificate.display(), key.display());
        let host = acquirer.endpoint.trim_start_matches("https://");
        let mutual = format!("--cacert {authority} --cert {certificate} --key {key}");
        console.line(console.paint(Style::Faint, "# what the acquirer offers, and its description"));
        console.line(format!("buf curl --protocol grpc {mutual} --list-methods {}", acquirer.endpoint));
        let grpcurl = mutual.replace("--", "-");
        console.line(format!("grpcurl {grpcurl} {host} describe bankside.v1.OrderService"));
        console.line("");
        console.line(console.paint(Style::Faint, &format!("# an order by {}", merchant.display_name)));
        let url = format!("{}/bankside.v1.OrderService/CreateOrder", acquirer.endpoint);
        console.line(format!("buf curl --protocol grpc {mutual} -d '{}' {url}", order(merchant)));
        console.line("");
        console.line(console.paint(Style::Faint, "# its orders"));
        console.line(format!("grpcurl {grpcurl} -d '{{}}' {host} bankside.v1.OrderService/ListOrders"));
    }
    if let Some(issuer) = topology.issuers.first() {
        console.line("");
        console.line(console.paint(Style::Faint, "# a device that begins to sign in, without an order"));
        let url = format!("{}/bankside.v1.IssuerAuth/StartAuthentication", issuer.endpoint);
        console.line(format!("buf curl --protocol grpc --cacert {authority} -d '{{}}' {url}"));
    }
    console.line("");
    console.line(console.paint(Style::Faint, "# the banks that a shopper can pick at the platform"));
    let url = format!("{}/bankside.v1.BankDirectory/ListBanks", topology.platform.devices);
    console.line(format!("buf curl --protocol grpc --cacert {authority} -d '{{}}' {url}"));
    console.line("");
    console.line(console.paint(Style::Faint, "# what the relay has answered and refused"));
    console.line(format!("curl -s {} | grep relay", topology.platform.metrics));
    console.line("");
    console.line(console.paint(Style::Faint, "# load, from another terminal"));
    let bench = format!("cargo run -p merchant-sim -- bench --sandbox {}", topology.folder.display());
    console.line(&bench);
    console.line(format!("{bench} --via platform"));
}

/// A small order in JSON, on one line.
fn order(merchant: &Merchant) -> String {
    let money = |units: i64| serde_json::json!({"currency_code": merchant.currency, "minor_units": units.to_string()});
    let order = serde_json::json!({
        "merchant_reference": "cart-1",
        "amount": money(25_000),
        "lines": [{"description": "One book", "quantity": 1, "unit_price": money(25_000)}],
        "return_url": merchant.return_url,
    });
    order.to_string()
}
