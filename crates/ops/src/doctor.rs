//! What `doctor` finds, asked of the gateway that runs: its own links and streams are looked at, none is opened twice.

use crate::api::Admin;
use crate::problem::{Asked, Problem};
use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use impp_model::Domain;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Who looks at DNS, certificates and peers, and sends canaries.
#[async_trait]
pub trait Doctor: Send + Sync {
    /// What was found the last time; null if nobody has looked yet.
    fn last(&self) -> Value;
    /// Looks at these domains, or at all that are configured; none while another is at it.
    async fn examine(&self, domains: Vec<Domain>) -> Option<Value>;
}

/// What the doctor found the last time: a verdict for each item, and what to do; null in `report` before the first time.
#[utoipa::path(
    get, path = "/api/v1/doctor", tag = "state", security((), ("token" = [])),
    responses(
        (status = 200, description = "The report", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn last(State(admin): State<Admin>) -> Json<Value> {
    Json(json!({ "report": admin.doctor.last() }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DoctorQuery {
    /// The domains, divided by commas; all that are configured when this is left out.
    domains: Option<String>,
}

/// Looks at DNS, certificates and peers at this moment, and sends a canary to each echo. Takes as long as they take.
#[utoipa::path(
    post, path = "/api/v1/doctor/examine", tag = "changes", params(DoctorQuery), security((), ("token" = [])),
    responses(
        (status = 200, description = "The report", body = Object),
        (status = 400, description = "Malformed; the answer names the field", body = Problem),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 403, description = "The token may only look", body = Problem),
        (status = 409, description = "It looks already, for somebody else", body = Problem),
    )
)]
pub(crate) async fn examine(State(admin): State<Admin>, Asked(query): Asked<DoctorQuery>) -> Response {
    let names = query.domains.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let domains: Result<Vec<_>, _> = names.map(Domain::parse_host).collect();
    let domains = match domains {
        Ok(domains) if domains.len() <= MAX_DOMAINS => domains,
        Ok(_) => return Problem::of("domains", format!("more than {MAX_DOMAINS}")).bad_request(),
        Err(error) => return Problem::of("domains", error).bad_request(),
    };
    // A caller that goes away does not leave it half done: others would wait for nothing.
    let examined = tokio::spawn(async move { admin.doctor.examine(domains).await });
    match examined.await {
        Ok(Some(report)) => Json(json!({ "report": report })).into_response(),
        Ok(None) => Problem::new("the doctor looks already; ask again in a while").with(StatusCode::CONFLICT),
        Err(_) => Problem::new("looking broke off").with(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Each of them takes seconds.
const MAX_DOMAINS: usize = 32;
