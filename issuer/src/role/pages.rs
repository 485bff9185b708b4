//! The port of the bank's app.

use std::sync::Arc;

use mesh::{
    boot::{self, Failure},
    serve::Server,
    tls::{ServerTls, TlsIdentity},
};

use tokio_util::task::TaskTracker;

use crate::{
    app::{self, App, Platform},
    config::{APP, IssuerConfig},
    context::Context,
};

/// Serves the app's pages beside everything else, where the configuration has them, and clears its ended visits
/// away. `devices` is the certificate that devices see.
pub(super) fn serve(
    config: &IssuerConfig,
    boot: &mut boot::Context,
    devices: &Arc<TlsIdentity>,
    ctx: &Arc<Context>,
    beside: &TaskTracker,
) -> Result<(), Failure> {
    let (Some(pages), Some(port)) = (&config.app, &config.listen.app) else { return Ok(()) };
    let platform =
        pages.platform.as_ref().map(|platform| Platform::new(platform, config.platform.is_some())).transpose();
    let platform = platform.map_err(|error| Failure::Config(format!("table `app.platform`: {error}")))?;
    let listener = boot.listeners.take(APP)?;
    let tls = port.has_tls().then(|| ServerTls::device(Arc::clone(devices)));
    let app = App::new(Arc::clone(ctx), platform, pages.demo_sensor).forwarded(pages.forwarded_for);
    let routes = app::routes(app, &pages.public_url);
    let server = Server::http("app", listener, tls, routes)
        .limits(config.serve)
        .metrics(boot.metrics.clone())
        .entropy(Arc::clone(&boot.entropy));
    beside.spawn(server.serve(boot.stop.clone()));
    let cleaning = Arc::clone(ctx);
    beside.spawn(async move { app::clean_up(&cleaning, cleaning.stop.clone()).await });
    Ok(())
}
