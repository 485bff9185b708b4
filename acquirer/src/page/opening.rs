//! Opening the page of an order, and the way by which its browser comes to hold a cookie.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
};
use http::{HeaderMap, Method, StatusCode, header::SET_COOKIE};
use mesh::web::{Language, is_navigation};

use super::{
    Missing, Named, Page,
    browser::{Standing, holds_cookie},
    payment_path, problem,
    view::{OrderPage, Problem},
};
use crate::records::{KeptOrder, Lines};

/// What follows a payment page's address on the step that looks for the cookie.
pub(super) const OPEN: &str = "/open";

impl Page {
    pub(super) async fn order_page(
        &self,
        order_id: Named,
        method: Method,
        headers: &HeaderMap,
    ) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let mut standing = self.standing(&kept, headers).await?;
        // Only looking at the head opens no page, and neither does an order that is over.
        let may_open = standing == Standing::Free && method == Method::GET && shown.may_be_paid();
        if may_open && is_navigation(headers) {
            if !holds_cookie(headers) {
                let mut response = Redirect::to(&open_path(&kept)).into_response();
                response.headers_mut().insert(SET_COOKIE, self.fresh_cookie()?);
                return Ok(response);
            }
            standing = self.claim(&kept, headers).await?;
        }
        let lines = self.0.repository.load::<Lines>(kept.id().as_str().as_bytes()).await?;
        let lines = lines.map(|loaded| loaded.entity.lines).unwrap_or_default();
        let ways = if shown.is_payable() && standing == Standing::Own { Some(self.ways(&kept)?) } else { None };
        let page =
            OrderPage::new(&kept, shown, &lines, ways, standing, self.0.clock.now(), Language::preferred(headers));
        let mut response = (shown.status(), Html(page.html()?)).into_response();
        if may_open && standing == Standing::Free && !holds_cookie(headers) {
            // For the button that opens the page.
            response.headers_mut().insert(SET_COOKIE, self.fresh_cookie()?);
        }
        Ok(response)
    }

    /// Behind the first step or the button: the browser shows whether it holds the cookie.
    async fn open(&self, order_id: Named, method: Method, headers: &HeaderMap) -> Result<Response, Missing> {
        let (kept, shown) = self.find(order_id).await?;
        let path = payment_path(kept.id());
        let is_free = self.standing(&kept, headers).await? == Standing::Free && shown.may_be_paid();
        if is_free && !holds_cookie(headers) {
            let language = Language::preferred(headers);
            return Ok(problem(StatusCode::BAD_REQUEST, Problem::NoCookie, Some(path), language));
        }
        if is_free && method == Method::POST {
            self.claim(&kept, headers).await?;
        }
        Ok(Redirect::to(&path).into_response())
    }
}

pub(super) fn open_path(kept: &KeptOrder) -> String {
    format!("{}{OPEN}", payment_path(kept.id()))
}

pub(super) async fn order_page(
    State(page): State<Arc<Page>>,
    order_id: Named,
    method: Method,
    headers: HeaderMap,
) -> Response {
    page.order_page(order_id, method, &headers).await.unwrap_or_else(|missing| missing.answer(&headers))
}

pub(super) async fn open(
    State(page): State<Arc<Page>>,
    order_id: Named,
    method: Method,
    headers: HeaderMap,
) -> Response {
    page.open(order_id, method, &headers).await.unwrap_or_else(|missing| missing.answer(&headers))
}
