//! The roles' configuration files, with free ports and the network's own files.

use std::net::SocketAddr;

use mesh::identity::Role;

use crate::network::{DOMAIN, Network, OPERATOR};

/// The platform's id.
pub const PLATFORM: &str = "hub";
/// The key of its tickets.
pub const TICKET_SECRET: [u8; 32] = [0xab; 32];
/// The shop that the acquirer has taken on.
pub const SHOP: &str = "shop-books";

/// Joins an acquirer and writes its vault's key. Returns its configuration file's text.
#[must_use]
pub fn acquirer(network: &Network, id: &str) -> String {
    network.join(Role::Acquirer, id);
    network.write_secret(&format!("{id}.kek"), &format!("1:{}\n", "a5".repeat(32)));
    format!(
        r#"acquirer_id = "{id}"
trust_domain = "{DOMAIN}"
vault.keys = "{id}.kek"
store.folder = "{id}-data"
[listen]
members.address = "127.0.0.1:0"
page.address = "127.0.0.1:0"
{files}[page]
public_url = "https://pay.{id}.example"
app_link = "https://app.pay.example/"
[[merchant]]
id = "{SHOP}"
display_name = "Lantern Books"
domain = "books.example"
category_code = "5942"
return_urls = ["https://books.example/checkout"]
currencies = [{{ code = "TWD", order_max_minor_units = 1000000000 }}]
"#,
        files = member_files(Role::Acquirer, id)
    )
}

/// Joins an issuer at which one kind of proof pays. Returns its configuration file's text.
#[must_use]
pub fn issuer(network: &Network, id: &str) -> String {
    issuer_without_policy(network, id) + "[policy]\nprofile = \"one_factor\"\n"
}

/// Joins an issuer and writes its vault's key. Returns its configuration file's text, to which its policy can be
/// added. A lost result is asked for within milliseconds, so that a test needn't wait for it.
#[must_use]
pub fn issuer_without_policy(network: &Network, id: &str) -> String {
    network.join(Role::Issuer, id);
    network.write_secret(&format!("{id}.kek"), &format!("1:{}\n", "7f".repeat(32)));
    format!(
        r#"issuer_id = "{id}"
trust_domain = "{DOMAIN}"
listen.devices.address = "127.0.0.1:0"
vault.keys = "{id}.kek"
store.folder = "{id}-data"
card_verification = "stored"
{files}[charges]
result_wait = "1500ms"
inquiry_first = "20ms"
inquiry_max = "200ms"
"#,
        files = member_files(Role::Issuer, id)
    )
}

/// Joins the platform and writes its tickets' key. Returns its configuration file's text, whose first
/// directory is `directory.binpb`.
#[must_use]
pub fn platform(network: &Network) -> String {
    network.join(Role::Platform, PLATFORM);
    let secret: String = TICKET_SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
    network.write_secret("ticket.keys", &format!("1:{secret}\n"));
    format!(
        r#"platform = "{PLATFORM}"
trust_domain = "{DOMAIN}"
[listen]
members.address = "127.0.0.1:0"
devices.address = "127.0.0.1:0"
pages.address = "127.0.0.1:0"
admin.address = "127.0.0.1:0"
[tls]
certificate = "platform-{PLATFORM}/server.pem"
key = "platform-{PLATFORM}/server.key"
authority = "ca/ca.pem"
revocations = "ca/crl.pem"
[keys]
signing_certificate = "platform-{PLATFORM}/signing.pem"
signing_key = "platform-{PLATFORM}/signing.key"
tickets = "ticket.keys"
[store]
folder = "{PLATFORM}-data"
[directory]
operator_certificates = ["operator-{OPERATOR}/signing.pem"]
first = "directory.binpb"
[checkout]
public_url = "https://pay.network.example"
"#
    )
}

/// The tables that make an acquirer or issuer a member of the platform's network.
#[must_use]
pub fn membership(id: &str, platform: SocketAddr) -> String {
    format!("[platform]\nid = \"{PLATFORM}\"\nendpoint = \"https://{platform}\"\ndirectory_copy = \"{id}.directory\"\n")
}

/// The table that makes an acquirer or issuer work without a platform, by `directory.binpb`.
#[must_use]
pub fn direct() -> &'static str {
    "[directory]\nfile = \"directory.binpb\"\n"
}

fn member_files(role: Role, id: &str) -> String {
    format!(
        r#"[tls]
certificate = "{role}-{id}/server.pem"
key = "{role}-{id}/server.key"
authority = "ca/ca.pem"
revocations = "ca/crl.pem"
[signing]
certificate = "{role}-{id}/signing.pem"
key = "{role}-{id}/signing.key"
"#
    )
}
