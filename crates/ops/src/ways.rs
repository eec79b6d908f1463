//! Where operations go and went, and why.

use crate::api::Admin;
use crate::problem::{Asked, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use impp_model::Address;
use interwork::{Core, Sample, Trace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// The source, as `local@domain` or an `im:` URI.
    from: String,
    /// The destination, in the same forms.
    to: String,
    /// `message`, which it is when this is left out, or `presence`.
    #[param(value_type = Option<String>)]
    kind: Option<Sample>,
}

/// Runs an operation dry: mapping, rules, routes and queries considered, adapter, transport, acknowledgement.
#[utoipa::path(
    get, path = "/api/v1/explain", tag = "ways", params(ExplainQuery), security((), ("token" = [])),
    responses(
        (status = 200, description = "The steps, the decision and a verdict", body = Object),
        (status = 400, description = "Malformed; the answer names the field", body = Problem),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn explain(State(admin): State<Admin>, Asked(query): Asked<ExplainQuery>) -> Response {
    match (read_address(&query.from), read_address(&query.to)) {
        (Ok(from), Ok(to)) => {
            let sample = query.kind.unwrap_or(Sample::Message);
            Json(admin.core.explain(from, to, sample).await).into_response()
        }
        (Err(error), _) => Problem::of("from", error).bad_request(),
        (_, Err(error)) => Problem::of("to", error).bad_request(),
    }
}

/// `local@domain`, or an `im:` or `pres:` URI; the URIs of a protocol are its adapter's business.
pub(crate) fn read_address(text: &str) -> Result<Address, String> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("im") => Address::from_im_uri(text).map_err(|error| error.to_string()),
        Some("pres") => Address::from_pres_uri(text).map_err(|error| error.to_string()),
        Some("sip" | "sips" | "xmpp") => Err("give local@domain or an im: URI".to_owned()),
        Some(_) | None => Address::parse_bare(text).map_err(|error| error.to_string()),
    }
}

/// Where one operation went and why: by its trace, or by the id its sender gave it.
#[utoipa::path(
    get, path = "/api/v1/trace/{id}", tag = "ways", security((), ("token" = [])),
    params(("id" = String, Path, description = "The trace, or a Call-ID, stanza id, native id")),
    responses(
        (status = 200, description = "The trace", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 404, description = "No such trace, or too old", body = Problem),
    )
)]
pub(crate) async fn trace(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    // It may have to be looked for on the disk.
    let core = admin.core.clone();
    match tokio::task::spawn_blocking(move || admin.core.trace(&id)).await {
        Ok(Some(trace)) => Json(trace_json(&core, &trace)).into_response(),
        Ok(None) | Err(_) => Problem::new("no such trace, or too old").with(StatusCode::NOT_FOUND),
    }
}

/// How many traces one answer shows at the most.
const MAX_TRACES: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TracesQuery {
    /// How many, at most 1,000; 50 when this is left out.
    count: Option<usize>,
}

/// The newest traces, newest first.
#[utoipa::path(
    get, path = "/api/v1/traces", tag = "ways", params(TracesQuery), security((), ("token" = [])),
    responses(
        (status = 200, description = "The traces", body = Object),
        (status = 400, description = "Malformed", body = Problem),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn traces(State(admin): State<Admin>, Asked(query): Asked<TracesQuery>) -> Json<Value> {
    let recent = admin.core.traces().recent(query.count.unwrap_or(50).min(MAX_TRACES));
    Json(json!({ "traces": recent.iter().map(|trace| trace_json(&admin.core, trace)).collect::<Vec<_>>() }))
}

/// A trace; what its links confirm and repeat is what is configured at present, and its next hop's proof the last one.
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
        "next_hop_proof": decision.and_then(|decision| core.proof_of(decision, &trace.to)),
        "outcome": trace.outcome.as_ref().map(|outcome| json!({
            "label": outcome.label(), "reason": outcome.reason(), "detail": outcome,
        })),
        "events": trace.events.iter().map(|event| json!({
            "after_ms": event.after.as_secs_f64() * 1000.0, "what": event.what, "reason": event.reason,
        })).collect::<Vec<_>>(),
        "took_ms": trace.took.map(|took| took.as_secs_f64() * 1000.0),
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResolveQuery {
    /// An `im:` or `pres:` URI, or `local@domain` for the first.
    uri: String,
}

#[derive(Serialize)]
struct Resolved {
    uri: String,
    #[serde(flatten)]
    resolution: interwork::Resolution,
}

/// RFC 3861 for an `im:` or `pres:` URI, as this gateway would decide at this moment.
#[utoipa::path(
    get, path = "/api/v1/resolve", tag = "ways", params(ResolveQuery), security((), ("token" = [])),
    responses(
        (status = 200, description = "The decision with each query", body = Object),
        (status = 400, description = "Malformed; the answer names the field", body = Problem),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 504, description = "The name servers did not answer in time", body = Problem),
    )
)]
pub(crate) async fn resolve(State(admin): State<Admin>, Asked(query): Asked<ResolveQuery>) -> Response {
    let uri = if query.uri.contains(':') { query.uri.clone() } else { format!("im:{}", query.uri) };
    let resolved = tokio::time::timeout(RESOLVE_TIMEOUT, admin.core.resolve(&uri)).await;
    match resolved {
        Ok(Ok(resolution)) => Json(Resolved { uri: query.uri, resolution }).into_response(),
        Ok(Err(error)) => Problem::of("uri", error).bad_request(),
        Err(_) => Problem::new("the name servers did not answer in time").with(StatusCode::GATEWAY_TIMEOUT),
    }
}

/// Name servers that do not answer are asked again for some seconds; nobody waits longer for a page.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);
