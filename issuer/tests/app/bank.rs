//! The bank with its app's port open, and two customers who can sign in.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use issuer::{
    app::{App, Platform, routes},
    auth::{PasswordConfig, Passwords},
    domain::policy::Policy,
    import,
    vault::VerificationProfile,
};
use mesh::serve::Server;
use proto::order::SignedOrder;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    browser::Browser,
    world::{Run, World},
};

/// Lin's and Wu's names and secrets.
const CUSTOMERS: &str = r#"
[[customers]]
id = "lin"
name = "Lin Mei-Ling"
national_id = "A123456789"
user_code = "mei-lin"
password = "correct horse battery"
activation_code = "7K3M-9PQR-10TV"

[[customers]]
id = "wu"
name = "Wu Chih-Hao"
national_id = "F131104093"
user_code = "chih-hao"
password = "staple the battery"
"#;

/// How lin signs in.
pub(super) const LIN: [&str; 3] = ["A123456789", "mei-lin", "correct horse battery"];
/// How wu signs in.
pub(super) const WU: [&str; 3] = ["F131104093", "chih-hao", "staple the battery"];

/// A bank with its app.
pub(super) struct Bank {
    pub world: World,
    pub run: Run,
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Bank {
    /// Any one factor pays.
    pub(super) async fn open() -> Self {
        Self::with_policy(Policy::one_factor()).await
    }

    pub(super) async fn with_policy(policy: Policy) -> Self {
        Self::beside(policy, None).await
    }

    /// With a platform, by way of which it pays.
    pub(super) async fn beside(policy: Policy, platform: Option<Platform>) -> Self {
        let (world, run) = World::with_policy(policy).await;
        world.hop.relays.store(platform.is_some(), Ordering::Relaxed);
        let ctx = &run.ctx;
        let passwords = Passwords::new(&PasswordConfig::default(), Arc::clone(&ctx.entropy)).unwrap();
        let means = import::Means {
            repository: &ctx.repository,
            vault: &ctx.keys.vault,
            lookup: &ctx.lookup,
            passwords: &passwords,
            entropy: ctx.entropy.as_ref(),
            clock: ctx.clock.as_ref(),
            card_verification: VerificationProfile::None,
            activation_code_life: Duration::from_secs(7 * 24 * 3600),
            bins: None,
        };
        import::from_text(&means, CUSTOMERS, import::Options::default()).await.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = format!("http://{address}").parse().unwrap();
        let router = routes(App::new(Arc::clone(ctx), platform, true), &own);
        let stop = CancellationToken::new();
        tokio::spawn(Server::http("app", listener, None, router).serve(stop.clone()));
        Self { world, run, address, _stop: stop.drop_guard() }
    }

    /// A browser that has never been here.
    pub(super) fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// An order over TWD 300.00.
    pub(super) fn order(&self) -> SignedOrder {
        self.world.acquirer.order_with("TWD", 30_000, |order| order.delivery_hint = "王**, 台北市".into())
    }

    /// A browser with an order and its customer signed in; returns the visit's address, too.
    pub(super) async fn paying(&self, order: &SignedOrder, who: [&str; 3]) -> (Browser, String) {
        let mut browser = self.browser();
        let visit = browser.bring(order).await;
        let page = browser.sign_in(&visit, who).await;
        assert_eq!(page.leads_to(), format!("{visit}/cards"));
        (browser, visit)
    }
}
