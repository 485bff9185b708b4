//! What every server of pages shares: the browser's language, the headers that keep a page safe, the guard
//! against forms of other sites, cookies, event streams, assets with a long life, and the one style.
//!
//! A role builds its routes, mounts its assets, and wraps everything once:
//!
//! ```
//! use mesh::web::{Asset, BASE_CSS, Policy, protect};
//!
//! let style = Asset::css("/pay/page", &[BASE_CSS, "h1 { color: var(--accent); }"]);
//! let own = "https://pay.bank.example".parse().expect("an address");
//! let policy = Policy::new(&own, &style).scripts();
//! let router: axum::Router = protect(style.mount(axum::Router::new()), policy);
//! ```

mod amount;
mod asset;
pub mod cookie;
mod language;
mod navigation;
mod policy;
pub mod sse;

pub use amount::amount;
pub use asset::Asset;
pub use language::{Language, Words};
pub use navigation::is_navigation;
pub use policy::{Policy, protect};

/// The style that all pages share: colours for light and dark, type, buttons, cards, forms, the focus ring and
/// the banners of states. A role appends its own, and sets `--accent` (with `--on-accent`) in both schemes.
pub const BASE_CSS: &str = include_str!("web/base.css");
