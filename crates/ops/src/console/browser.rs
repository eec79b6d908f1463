//! What browsers must be told, and what is not done for them: an admin API that asks for no token on loopback would else
//! answer to any page that an operator happens to look at.

use crate::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;

/// What a page of this server may load and do: its own files and its own API, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses what a foreign page sends, and adds the headers that keep browsers in bounds to every answer.
pub(crate) async fn protect(open: bool, request: Request, next: Next) -> Response {
    let mut response = match trespass(request.headers(), open) {
        Some(reason) => Problem::new(reason).with(StatusCode::FORBIDDEN),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

/// Why a request is none that an operator made; `open`: no token is asked for.
fn trespass(headers: &HeaderMap, open: bool) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, from)| from != host)
    {
        return Some("this API answers to its own page only");
    }
    // A name that a foreign page's owner has pointed at loopback (DNS rebinding).
    if open && !host.is_empty() && !is_loopback(host) {
        return Some("without admin.token_file this API is asked by a loopback address or as localhost");
    }
    None
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_foreign_page_gets_nothing_done() {
        for origin in ["http://evil.example", "null", "https://127.0.0.1:8080.evil.example"] {
            assert!(trespass(&headers("127.0.0.1:8080", Some(origin)), true).is_some(), "{origin}");
            assert!(trespass(&headers("127.0.0.1:8080", Some(origin)), false).is_some(), "{origin}");
        }
        assert_eq!(trespass(&headers("127.0.0.1:8080", Some("http://127.0.0.1:8080")), true), None);
        assert_eq!(trespass(&headers("gw.example", Some("https://gw.example")), false), None);
    }

    #[test]
    fn without_a_token_only_names_of_loopback_are_answered() {
        for (host, answered) in [
            ("127.0.0.1:8080", true),
            ("localhost:8080", true),
            ("[::1]:8080", true),
            ("127.9.9.9", true),
            ("rebound.example:8080", false),
            ("127.0.0.1.nip.example", false),
        ] {
            assert_eq!(trespass(&headers(host, None), true).is_none(), answered, "{host}");
            assert_eq!(trespass(&headers(host, None), false), None, "{host}");
        }
    }

    #[test]
    fn clients_without_a_host_are_no_browsers() {
        assert_eq!(trespass(&HeaderMap::new(), true), None);
    }
}
