//! The page's files, under names that change with their content.

use std::sync::LazyLock;

use mesh::web::{Asset, BASE_CSS};

/// The style.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::css("/pay/page", &[BASE_CSS, include_str!("../../templates/page.css")]));
/// The script.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::script("/pay/page", include_str!("../../templates/page.js")));
/// The icon.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::svg("/pay/icon", include_str!("../../templates/icon.svg")));
