//! What the gateway is and does at present.

use crate::api::Admin;
use crate::attention;
use crate::auth::Role;
use crate::metrics;
use crate::problem::{Asked, Problem};
use crate::ways::read_address;
use adapter_api::{InstanceName, PeerState, Registration};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::SystemTime;
use store::with_causes;
use utoipa::IntoParams;

/// Whether the process answers at all; for supervisors, without a token.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It does", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the gateway can do its work; for load balancers, without a token.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can", body = String),
    (status = 503, description = "It cannot; the text says what is awaited", body = String),
))]
pub(crate) async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.readiness.is_ready(&admin.core) {
        return "ready\n".into_response();
    }
    let missing = admin.readiness.reasons(&admin.core);
    let text =
        if missing.is_empty() { "shutting down\n".to_owned() } else { format!("waits for {}\n", missing.join(", ")) };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// What is wrong, with whose it is to mend and how; and what the gateway is doing, in numbers.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "What needs attention, version, readiness, ledger totals, adapters", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn status(State(admin): State<Admin>, Extension(role): Extension<Role>) -> Json<Value> {
    let ledger = admin.core.ledger().totals();
    let subscriptions = admin.core.subscriptions(None, 0).await.0;
    Json(json!({
        "version": admin.version,
        "gateway": admin.core.rulebook().configuration.gateway.as_str(),
        "attention": attention::matters(&admin),
        "may_change": role.may_change(),
        "uptime_seconds": admin.core.started().elapsed().unwrap_or_default().as_secs(),
        "ready": admin.readiness.is_ready(&admin.core),
        "waits_for": admin.readiness.reasons(&admin.core),
        "store_error": admin.core.store_refusal().map(|failure| with_causes(&failure)),
        "held": admin.core.held(),
        "subscriptions": subscriptions,
        "ledger": {
            "accepted": ledger.accepted(), "delivered": ledger.delivered, "handed_over": ledger.handed_over,
            "failed": ledger.failed, "expired": ledger.expired, "pending": ledger.pending,
            "reversed": ledger.reversed, "untold": ledger.untold,
        },
        "adapters": admin.core.instances().map(|(name, capabilities)| json!({
            "name": name, "protocol": capabilities.protocol, "capabilities": capabilities,
        })).collect::<Vec<_>>(),
    }))
}

/// Which peers can be reached, how they have proven themselves, and which trunks hold our registration.
#[utoipa::path(
    get, path = "/api/v1/peers", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "Peers, proofs, registrations", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn peers(State(admin): State<Admin>) -> Json<Value> {
    let row = |(adapter, peer, state, since): (_, String, PeerState, SystemTime)| json!({ "adapter": adapter, "peer": peer, "state": state, "since_seconds": since.elapsed().unwrap_or_default().as_secs() });
    let proof = |proof: interwork::PeerProof| {
        let since = proof.at.elapsed().unwrap_or_default().as_secs();
        json!({ "adapter": proof.adapter, "peer": proof.peer, "proof": proof.proof, "protection": proof.protection, "since_seconds": since })
    };
    let proven: Vec<_> = admin.core.proofs().into_iter().map(proof).collect();
    let registrations: Vec<_> = admin.core.registrations().into_iter().map(registration).collect();
    let peers = admin.core.peers().into_iter().map(row).collect::<Vec<_>>();
    Json(json!({ "peers": peers, "proven": proven, "registrations": registrations }))
}

fn registration((adapter, peer, last, at): (InstanceName, String, Registration, SystemTime)) -> Value {
    let since = at.elapsed().unwrap_or_default().as_secs();
    let (state, of_state) = match last {
        Registration::Held { seconds } => ("held", json!({ "granted_seconds": seconds })),
        Registration::Refused { status } => ("refused", json!({ "status": status })),
        Registration::Unanswered => ("unanswered", json!({})),
        Registration::Ended => ("ended", json!({})),
    };
    let mut row = json!({ "adapter": adapter, "peer": peer, "state": state, "since_seconds": since });
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), of_state) {
        row.extend(more);
    }
    row
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SubscriptionsQuery {
    /// Only those with this address at one end.
    of: Option<String>,
    /// How many, at most 1,000; 100 when this is left out.
    count: Option<usize>,
}

/// Pairs that one answer shows at the most.
const MAX_SUBSCRIPTIONS: usize = 1_000;

/// Who watches whom; a caller without full rights sees domains in place of addresses.
#[utoipa::path(
    get, path = "/api/v1/subscriptions", tag = "state", params(SubscriptionsQuery), security((), ("token" = [])),
    responses(
        (status = 200, description = "The number of pairs, and the first of them", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn subscriptions(
    State(admin): State<Admin>,
    Extension(role): Extension<Role>,
    Asked(query): Asked<SubscriptionsQuery>,
) -> Response {
    let of = match query.of.as_deref().map(read_address).transpose() {
        Ok(of) => of,
        Err(error) => return Problem::of("of", error).bad_request(),
    };
    let count = query.count.unwrap_or(100).min(MAX_SUBSCRIPTIONS);
    let (total, subscriptions) = admin.core.subscriptions(of, count).await;
    let mut rows: Vec<Value> = subscriptions.iter().map(|one| json!(one)).collect();
    if !role.sees_addresses() {
        for (row, one) in rows.iter_mut().zip(&subscriptions) {
            if let Some(row) = row.as_object_mut() {
                row.insert("watcher".to_owned(), one.watcher.domain().as_str().into());
                row.insert("presentity".to_owned(), one.presentity.domain().as_str().into());
            }
        }
    }
    Json(json!({ "total": total, "subscriptions": rows })).into_response()
}

/// The domains that the gateway knows by name.
#[utoipa::path(
    get, path = "/api/v1/domains", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "The domains", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn domains(State(admin): State<Admin>) -> Json<Value> {
    let entries = &admin.core.rulebook().configuration.domains;
    let row = |entry: &adapter_api::DomainEntry| {
        json!({
            "name": entry.name.as_str(),
            "role": match entry.role { adapter_api::Role::Local => "local", adapter_api::Role::Remote => "remote" },
            "adapter": entry.adapter, "next_hop": entry.next_hop,
            "trusted": entry.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    Json(json!({ "domains": entries.iter().map(row).collect::<Vec<_>>() }))
}

/// What is in use, with the keys of the file, defaults included; no secret is shown.
#[utoipa::path(
    get, path = "/api/v1/config", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "The configuration", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn configuration(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.configured.show())
}

/// Reads the configuration again; nothing changes if any of it is wrong.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "changes", security((), ("token" = [])),
    responses(
        (status = 200, description = "The keys that are in use, and those that wait for a restart", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 403, description = "The token may only look", body = Problem),
        (status = 422, description = "Refused, with every problem", body = Object),
    )
)]
pub(crate) async fn reload(State(admin): State<Admin>) -> Response {
    match tokio::task::spawn_blocking(move || admin.configured.reload()).await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(refused)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(refused)).into_response(),
        Err(_) => Problem::new("reading the configuration broke off").with(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The metrics, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "health", security((), ("token" = [])),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text"),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn show_metrics(State(admin): State<Admin>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let subscriptions = admin.core.subscription_counts().await;
    match metrics::render(admin.core.clone(), admin.tls.clone(), subscriptions, admin.version) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => Problem::new("the metrics cannot be written").with(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::router;
    use crate::testkit::{admin_on, ask, body, on};
    use axum::http::{Method, StatusCode};
    use std::sync::Arc;
    use store::MemoryStore;

    #[tokio::test]
    async fn a_store_that_cannot_write_shows_until_it_can() {
        let store = Arc::new(MemoryStore::new());
        let router = router(admin_on(store.clone()));
        let ready = async || ask(&router, on(Method::GET, "/readyz")).await;
        let shown = async |path| {
            let octets = axum::body::to_bytes(ask(&router, on(Method::GET, path)).await.into_body(), 1 << 20).await;
            String::from_utf8(octets.unwrap().to_vec()).unwrap()
        };
        assert_eq!(ready().await.status(), StatusCode::OK);
        assert!(shown("/metrics").await.contains("interlingua_store_up 1\n"));
        store.fail();
        assert_eq!(ready().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(shown("/readyz").await.contains("the store, which cannot write"));
        assert!(shown("/metrics").await.contains("interlingua_store_up 0\n"));
        let status = body(ask(&router, on(Method::GET, "/api/v1/status")).await).await;
        assert_eq!(status["ready"], false);
        assert_eq!(status["store_error"], "the storage engine failed: injected failure");
        store.mend();
        assert_eq!(ready().await.status(), StatusCode::OK);
        assert!(body(ask(&router, on(Method::GET, "/api/v1/status")).await).await["store_error"].is_null());
        // Down to the reserve: what is new is refused all the same.
        store.set_free(1000);
        assert_eq!(ready().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(shown("/metrics").await.contains("interlingua_store_up 0\n"));
        let status = body(ask(&router, on(Method::GET, "/api/v1/status")).await).await;
        assert!(status["store_error"].as_str().unwrap().starts_with("only 1000 octets free"), "{status}");
        store.set_free(u64::MAX);
        assert_eq!(ready().await.status(), StatusCode::OK);
    }
}
