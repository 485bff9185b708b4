//! Every answer carries the policy, and only our own pages change anything.
#![allow(clippy::unwrap_used)]

use super::*;
use axum::body::{Body, to_bytes};
use axum::routing::post;
use tower::ServiceExt as _;

fn router(own: &str, adjust: fn(Policy) -> Policy) -> Router {
    let style = Asset::css("/page", &["h1 {}"]);
    let routes = Router::new().route("/", post(async || "done").get(async || Html("shown")));
    protect(style.mount(routes), adjust(Policy::new(&own.parse().unwrap(), &style)))
}

async fn send(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let request = http::Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn only_our_own_pages_change_anything() {
    let router = router("https://Pay.example:443", |policy| policy);
    let own = ("origin", "https://pay.example");
    let cases: [(&[(&str, &str)], bool); 14] = [
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[own], true),
        (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
        (&[], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site"), own], false),
        (&[("sec-fetch-site", "")], false),
        (&[("origin", "null")], false),
        (&[("origin", "http://pay.example")], false),
        (&[("origin", "https://pay.example:8443")], false),
        (&[("origin", "https://pay.example.evil.example")], false),
        (&[("origin", "https://evil.example")], false),
        (&[("referer", "https://pay.example/")], false),
    ];
    for (headers, passes) in cases {
        let (status, _, body) = send(&router, "POST", "/", headers).await;
        let expected = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!((status, body == "done"), (expected, passes), "{headers:?}");
        for method in ["GET", "HEAD"] {
            assert_eq!(send(&router, method, "/", headers).await.0, StatusCode::OK, "reading is open: {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_speaks_the_browsers_language() {
    let router = router("https://pay.example", |policy| policy);
    let (_, headers, english) = send(&router, "POST", "/", &[("accept-language", "en")]).await;
    assert!(english.contains("lang=\"en\"") && english.contains("was refused"), "{english}");
    assert!(headers.contains_key("content-security-policy"));
    let (_, _, chinese) = send(&router, "DELETE", "/nowhere", &[]).await;
    assert!(chinese.contains("lang=\"zh-TW\"") && chinese.contains("已拒絕"), "{chinese}");
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_only_assets_are_kept() {
    let plain = router("https://pay.example", |policy| policy);
    let style = Asset::css("/page", &["h1 {}"]);
    for path in ["/", "/nowhere", style.path()] {
        let (_, headers, _) = send(&plain, "GET", path, &[]).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert_eq!(headers["permissions-policy"], NO_CAMERA);
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
        let kept = headers["cache-control"].to_str().unwrap();
        assert_eq!(kept == "no-store", path != style.path(), "{path}: {kept}");
    }
    let open = router("http://pay.localhost:8080", |policy| policy.scripts().camera().forms_to("https://a.example"));
    let open = open.layer(middleware::from_fn(async |request: Request, next: Next| next.run(request).await));
    let (_, headers, _) = send(&open, "GET", "/", &[]).await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'; connect-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("form-action 'self' https://a.example;"), "{policy}");
    assert!(!headers.contains_key("strict-transport-security"), "plain http promises no TLS");
    assert_eq!(headers["permissions-policy"], CAMERA);
}

#[tokio::test]
async fn what_is_no_page_may_do_nothing_even_if_it_is_opened_as_one() {
    let style = Asset::css("/page", &["h1 {}"]);
    let logo = Asset::svg("/logo", "<svg xmlns='http://www.w3.org/2000/svg'/>");
    let routes = logo.mount(Router::new().route("/", post(async || "done").get(async || Html("shown"))));
    let router = protect(routes, Policy::new(&"https://pay.example".parse().unwrap(), &style).scripts());
    let (status, headers, _) = send(&router, "GET", logo.path(), &[]).await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"image/svg+xml".parse().unwrap()));
    assert_eq!(headers["content-security-policy"], NO_PAGE);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = &send(&router, "GET", "/", &[]).await.1["content-security-policy"];
    let expected = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; \
                    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    assert_eq!(policy, expected);
}

#[test]
fn nothing_ends_the_policy_early() {
    let style = Asset::css("/page", &[]);
    let policy = Policy::new(&"https://pay.example".parse().unwrap(), &style);
    for hostile in ["https://a.example; script-src *", "https://a.example,x", "a b", "\r\nx: y", "é"] {
        assert_eq!(policy.clone().forms_to(hostile).header(), policy.header(), "{hostile}");
    }
}
