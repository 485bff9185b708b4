//! The pages' files, under names that change with their content.

use std::sync::LazyLock;

use mesh::web::{Asset, BASE_CSS};

/// The style.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::css("/c/page", &[BASE_CSS, include_str!("../../templates/page.css")]));
/// Filters the banks at once.
pub(super) static PICKER_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::script("/c/picker", include_str!("../../templates/picker.js")));
/// Posts the order that the address carries in its fragment.
pub(super) static LANDING_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::script("/c/landing", include_str!("../../templates/landing.js")));
/// Opens the bank's app.
pub(super) static HANDOFF_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::script("/c/handoff", include_str!("../../templates/handoff.js")));
/// The icon.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::svg("/c/icon", include_str!("../../templates/icon.svg")));
