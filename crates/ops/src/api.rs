//! The calls of DESIGN B4: one table of them, from which the routes are made.

use crate::audit::Audit;
use crate::auth::{self, Guard, Origin, Right, Tokens};
use crate::problem::Problem;
use crate::{Doctor, Readiness, certificates, console, doctor, events, openapi, queue, state, ways};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Router};
use interwork::Core;
use serde_json::Value;
use std::sync::Arc;
use transport::Tls;

/// What the admin API shows.
#[derive(Clone)]
pub struct Admin {
    /// The hub.
    pub core: Arc<Core>,
    /// Our certificates.
    pub tls: Arc<Tls>,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// What it is configured with.
    pub configured: Arc<dyn Configured>,
    /// Who looks at DNS, certificates and peers.
    pub doctor: Arc<dyn Doctor>,
    /// The tokens to ask for; none only where the listener is on loopback or a local socket.
    pub tokens: Tokens,
    /// Where changes are written down.
    pub audit: Audit,
    /// The program's version.
    pub version: &'static str,
}

/// What a gateway is configured with, and how it takes over a change.
pub trait Configured: Send + Sync {
    /// What is in use, as JSON with the keys of the file, defaults included; no secret is shown.
    fn show(&self) -> Value;
    /// Reads the configuration again. As JSON, what changed; or why it is refused and nothing changed. Waits for the disk.
    fn reload(&self) -> Result<Value, Value>;
}

/// One call of the API.
struct Call {
    /// As the OpenAPI document writes it.
    path: &'static str,
    /// What its caller must be allowed to; none for calls without a token.
    right: Option<Right>,
    route: fn() -> MethodRouter<Admin>,
}

const fn call(path: &'static str, right: Option<Right>, route: fn() -> MethodRouter<Admin>) -> Call {
    Call { path, right, route }
}

const LOOK: Option<Right> = Some(Right::Look);
const ALL: Option<Right> = Some(Right::All);

const CALLS: &[Call] = &[
    call("/healthz", None, || get(state::healthz)),
    call("/readyz", None, || get(state::readyz)),
    call("/metrics", LOOK, || get(state::show_metrics)),
    call("/api/v1/openapi.json", LOOK, || get(openapi::document)),
    call("/api/v1/status", LOOK, || get(state::status)),
    call("/api/v1/peers", LOOK, || get(state::peers)),
    call("/api/v1/domains", LOOK, || get(state::domains)),
    call("/api/v1/certificates", LOOK, || get(certificates::list)),
    call("/api/v1/config", LOOK, || get(state::configuration)),
    call("/api/v1/subscriptions", LOOK, || get(state::subscriptions)),
    call("/api/v1/doctor", LOOK, || get(doctor::last)),
    call("/api/v1/doctor/examine", ALL, || post(doctor::examine)),
    call("/api/v1/events", LOOK, || get(events::stream)),
    call("/api/v1/explain", LOOK, || get(ways::explain)),
    call("/api/v1/resolve", LOOK, || get(ways::resolve)),
    call("/api/v1/trace/{id}", LOOK, || get(ways::trace)),
    call("/api/v1/traces", LOOK, || get(ways::traces)),
    call("/api/v1/queue", LOOK, || get(queue::list)),
    call("/api/v1/queue/{id}", ALL, || delete(queue::give_up)),
    call("/api/v1/queue/{id}/retry", ALL, || post(queue::retry)),
    call("/api/v1/reload", ALL, || post(state::reload)),
];

/// No call takes a body worth mentioning.
const MAX_BODY: usize = 16 * 1024;

/// The routes, for [`crate::serve`] and for tests.
pub fn router(admin: Admin) -> Router {
    let mut router = console::routes();
    for call in CALLS {
        let mut route = (call.route)();
        if let Some(right) = call.right {
            let guard = Guard { tokens: admin.tokens.clone(), right };
            route = route.layer(middleware::from_fn_with_state(guard, auth::require));
        }
        if call.right == ALL {
            route = route.layer(middleware::from_fn_with_state(admin.audit.clone(), audited));
        }
        router = router.route(call.path, route);
    }
    let bounded = router.fallback(unknown).layer(middleware::from_fn(bounded)).layer(DefaultBodyLimit::max(MAX_BODY));
    let open = admin.tokens.full.is_none();
    bounded.layer(middleware::from_fn(move |request, next| console::protect(open, request, next))).with_state(admin)
}

async fn unknown() -> Response {
    Problem::new("no such call; see /api/v1/openapi.json").with(StatusCode::NOT_FOUND)
}

/// Refuses what says that it is too long; what does not say is not read.
async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > MAX_BODY) {
        return Problem::new(format!("more than {MAX_BODY} octets")).with(StatusCode::PAYLOAD_TOO_LARGE);
    }
    next.run(request).await
}

/// Writes down what was changed, by whom, and what came of it; strangers fill no file.
async fn audited(
    State(audit): State<Audit>,
    origin: Option<Extension<Origin>>,
    request: Request,
    next: Next,
) -> Response {
    let who = origin.map_or_else(|| "unknown".to_owned(), |Extension(origin)| origin.to_string());
    let what = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        audit.note(&who, &what, response.status().as_str());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AdminToken;
    use crate::testkit::{admin, ask, body, on};
    use axum::http::Method;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn every_call_is_described_and_every_description_is_of_a_call() {
        let (mut served, router) = (BTreeSet::new(), router(admin()));
        for call in CALLS {
            let refused = ask(&router, on(Method::TRACE, call.path)).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
            let allowed = refused.headers().get(header::ALLOW).unwrap().to_str().unwrap().to_lowercase();
            let methods = allowed.split(',').filter(|method| *method != "head");
            served.extend(methods.map(|method| (call.path.to_owned(), method.to_owned())));
        }
        let document = body(ask(&router, on(Method::GET, "/api/v1/openapi.json")).await).await;
        let paths = document["paths"].as_object().unwrap().iter();
        let methods = |path: &String, methods: &Value| -> Vec<(String, String)> {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())).collect()
        };
        let described: BTreeSet<_> = paths.flat_map(|(path, of)| methods(path, of)).collect();
        assert_eq!(served, described);
    }

    #[tokio::test]
    async fn without_the_right_there_is_401_or_403_and_nothing_else() {
        let tokens = Tokens { full: Some(AdminToken::new("full")), read: Some(AdminToken::new("read")) };
        let router = router(Admin { tokens, ..admin() });
        for call in CALLS.iter().filter(|call| call.right.is_some()) {
            for method in [Method::GET, Method::POST, Method::DELETE, Method::TRACE] {
                let refused = ask(&router, on(method, call.path)).await;
                assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{}", call.path);
                assert_eq!(body(refused).await, serde_json::json!({ "problem": "a bearer token is required" }));
            }
            let mut request = on(Method::POST, call.path);
            request.headers_mut().insert(header::AUTHORIZATION, "Bearer read".parse().unwrap());
            let answer = ask(&router, request).await.status();
            let expected = if call.right == ALL { StatusCode::FORBIDDEN } else { StatusCode::METHOD_NOT_ALLOWED };
            assert_eq!(answer, expected, "{}", call.path);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_request_is_said_as_json() {
        let router = router(admin());
        for (path, field) in [
            ("/api/v1/explain", Some("query")),
            ("/api/v1/explain?from=a&to=b@c.example", Some("from")),
            ("/api/v1/explain?from=a@b.example&to=b@c.example&kind=letter", Some("query")),
            ("/api/v1/resolve?uri=sip:a@b.example", Some("uri")),
            ("/api/v1/subscriptions?of=%00", Some("of")),
            ("/api/v1/traces?count=many", Some("query")),
            ("/api/v1/queue?after=x", Some("after")),
        ] {
            let answer = ask(&router, on(Method::GET, path)).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
            let said = body(answer).await;
            assert_eq!(said["field"].as_str(), field, "{path} {said}");
            assert!(!said["problem"].as_str().unwrap().is_empty(), "{said}");
        }
        let unknown = ask(&router, on(Method::GET, "/api/v1/nothing")).await;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        assert!(body(unknown).await["problem"].is_string());
        let mut long = on(Method::POST, "/api/v1/reload");
        long.headers_mut().insert(header::CONTENT_LENGTH, "16385".parse().unwrap());
        assert_eq!(ask(&router, long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
