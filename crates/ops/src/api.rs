//! The routes of DESIGN B4.

use crate::auth::{self, AdminToken};
use crate::{Readiness, certificates, console, metrics, queue};
use adapter_api::{InstanceName, PeerState, Registration};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use impp_model::Address;
use interwork::{Core, Trace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
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
    /// The token to ask for; none only where the listener is on loopback.
    pub token: Option<AdminToken>,
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

/// The routes, for [`crate::serve`] and for tests.
pub fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/peers", get(peers))
        .route("/api/v1/domains", get(domains))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/trace/{id}", get(trace))
        .route("/api/v1/traces", get(traces))
        .route("/api/v1/queue", get(queue::list))
        .route("/api/v1/queue/{id}", delete(queue::give_up))
        .route("/api/v1/queue/{id}/retry", post(queue::retry))
        .route("/api/v1/subscriptions", get(subscriptions))
        .route("/api/v1/certificates", get(certificates::list))
        .route("/api/v1/config", get(configuration))
        .route("/api/v1/resolve", get(resolve))
        .route("/api/v1/reload", post(reload))
        .route("/metrics", get(show_metrics))
        .route_layer(middleware::from_fn_with_state(admin.token.clone(), auth::require));
    let open = admin.token.is_none();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(console::routes())
        .merge(guarded)
        .layer(middleware::from_fn(move |request, next| console::protect(open, request, next)))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.readiness.is_ready(&admin.core) {
        return "ready\n".into_response();
    }
    let missing = admin.readiness.missing();
    let text =
        if missing.is_empty() { "shutting down\n".to_owned() } else { format!("waits for {}\n", missing.join(", ")) };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    let ledger = admin.core.ledger().totals();
    let subscriptions = admin.core.subscriptions(None, 0).await.0;
    Json(json!({
        "version": admin.version,
        "gateway": admin.core.rulebook().configuration.gateway.as_str(),
        "uptime_seconds": admin.core.started().elapsed().unwrap_or_default().as_secs(),
        "ready": admin.readiness.is_ready(&admin.core),
        "waits_for": admin.readiness.missing(),
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

async fn peers(State(admin): State<Admin>) -> Json<Value> {
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

#[derive(Deserialize)]
struct SubscriptionsQuery {
    of: Option<String>,
    count: Option<usize>,
}

/// Pairs that one answer shows at the most.
const MAX_SUBSCRIPTIONS: usize = 1_000;

async fn subscriptions(State(admin): State<Admin>, Query(query): Query<SubscriptionsQuery>) -> Response {
    let of = match query.of.as_deref().map(read_address).transpose() {
        Ok(of) => of,
        Err(error) => return refusal("of", error),
    };
    let count = query.count.unwrap_or(100).min(MAX_SUBSCRIPTIONS);
    let (total, subscriptions) = admin.core.subscriptions(of, count).await;
    Json(json!({ "total": total, "subscriptions": subscriptions })).into_response()
}

async fn domains(State(admin): State<Admin>) -> Json<Value> {
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

#[derive(Deserialize)]
struct ExplainQuery {
    from: String,
    to: String,
    /// Of a message when it does not say.
    kind: Option<interwork::Sample>,
}

async fn explain(State(admin): State<Admin>, Query(query): Query<ExplainQuery>) -> Response {
    match (read_address(&query.from), read_address(&query.to)) {
        (Ok(from), Ok(to)) => {
            let sample = query.kind.unwrap_or(interwork::Sample::Message);
            Json(admin.core.explain(from, to, sample).await).into_response()
        }
        (Err(error), _) => refusal("from", error),
        (_, Err(error)) => refusal("to", error),
    }
}

/// `local@domain`, or an `im:` or `pres:` URI; the URIs of a protocol are its adapter's business.
fn read_address(text: &str) -> Result<Address, String> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("im") => Address::from_im_uri(text).map_err(|error| error.to_string()),
        Some("pres") => Address::from_pres_uri(text).map_err(|error| error.to_string()),
        Some("sip" | "sips" | "xmpp") => Err("give local@domain or an im: URI".to_owned()),
        Some(_) | None => Address::parse_bare(text).map_err(|error| error.to_string()),
    }
}

fn refusal(field: &str, error: impl std::fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "field": field, "problem": error.to_string() }))).into_response()
}

async fn trace(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    // It may have to be looked for on the disk.
    let core = admin.core.clone();
    match tokio::task::spawn_blocking(move || admin.core.trace(&id)).await {
        Ok(Some(trace)) => Json(trace_json(&core, &trace)).into_response(),
        Ok(None) | Err(_) => {
            (StatusCode::NOT_FOUND, Json(json!({ "problem": "no such trace, or too old" }))).into_response()
        }
    }
}

/// How many traces one answer shows at the most.
const MAX_TRACES: usize = 1_000;

#[derive(Deserialize)]
struct TracesQuery {
    count: Option<usize>,
}

async fn traces(State(admin): State<Admin>, Query(query): Query<TracesQuery>) -> Json<Value> {
    let recent = admin.core.traces().recent(query.count.unwrap_or(50).min(MAX_TRACES));
    Json(json!({ "traces": recent.iter().map(|trace| trace_json(&admin.core, trace)).collect::<Vec<_>>() }))
}

/// A trace; what its links confirm and repeat is what is configured at present.
fn trace_json(core: &Core, trace: &Trace) -> Value {
    let decision = trace.decision.as_deref();
    json!({
        "trace": trace.id.to_string(),
        "at": trace.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64(),
        "kind": trace.kind.label(),
        "adapter": trace.adapter, "peer": trace.peer, "proof": trace.proof, "message_id": trace.message_id, "thread": trace.thread, "trans_id": trace.trans_id,
        "from": trace.from.as_str(), "to": trace.to.as_str(),
        "steps": decision.map(|decision| &decision.steps),
        "chosen": decision.and_then(|decision| decision.result.as_ref().ok()),
        "near_link": core.repetition(&trace.adapter),
        "acknowledge": decision.and_then(|decision| core.acknowledgement(decision, &trace.to)),
        "outcome": trace.outcome.as_ref().map(|outcome| json!({
            "label": outcome.label(), "reason": outcome.reason(), "detail": outcome,
        })),
        "events": trace.events.iter().map(|event| json!({
            "after_ms": event.after.as_secs_f64() * 1000.0, "what": event.what, "reason": event.reason,
        })).collect::<Vec<_>>(),
        "took_ms": trace.took.map(|took| took.as_secs_f64() * 1000.0),
    })
}

async fn configuration(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.configured.show())
}

#[derive(Deserialize)]
struct ResolveQuery {
    uri: String,
}

#[derive(Serialize)]
struct Resolved {
    uri: String,
    #[serde(flatten)]
    resolution: interwork::Resolution,
}

/// RFC 3861 for an `im:` or `pres:` URI, as this gateway would decide at this moment.
async fn resolve(State(admin): State<Admin>, Query(query): Query<ResolveQuery>) -> Response {
    let uri = if query.uri.contains(':') { query.uri.clone() } else { format!("im:{}", query.uri) };
    let resolved = tokio::time::timeout(RESOLVE_TIMEOUT, admin.core.resolve(&uri)).await;
    match resolved {
        Ok(Ok(resolution)) => Json(Resolved { uri: query.uri, resolution }).into_response(),
        Ok(Err(error)) => refusal("uri", error),
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, Json(json!({ "problem": "the name servers did not answer in time" })))
            .into_response(),
    }
}

/// Name servers that do not answer are asked again for some seconds; nobody waits longer for a page.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

async fn reload(State(admin): State<Admin>) -> Response {
    match tokio::task::spawn_blocking(move || admin.configured.reload()).await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(refused)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(refused)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let subscriptions = admin.core.subscription_counts().await;
    match metrics::render(admin.core.clone(), admin.tls.clone(), subscriptions, admin.version) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
