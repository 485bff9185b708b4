//! The banks' logos. As an image of its own a logo can run and load nothing.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use mesh::web::Asset;
use proto::{directory::Entry, ids::IssuerId};

use crate::context::Context;

/// Where a bank's logo is; none where it has none. The address changes with the logo.
pub(super) fn path(entry: &Entry) -> Option<String> {
    asset(entry).map(|asset| asset.path().to_owned())
}

pub(super) async fn image(State(context): State<Arc<Context>>, Path(name): Path<String>, _: HeaderMap) -> Response {
    let bank = name.split('.').next().and_then(|bank| bank.parse::<IssuerId>().ok());
    let member = bank.and_then(|bank| context.directory.current().issuer(&bank).cloned());
    let asset = member.and_then(|member| asset(member.entry()));
    match asset.filter(|asset| asset.path().ends_with(&format!("/{name}"))) {
        Some(asset) => asset.answer(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn asset(entry: &Entry) -> Option<Asset> {
    (!entry.logo_svg.is_empty()).then(|| Asset::svg(&format!("/c/logos/{}", entry.member), &entry.logo_svg))
}
