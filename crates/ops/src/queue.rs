//! What waits in the ledger: listed, tried at once, given up.

use crate::api::Admin;
use crate::problem::{Asked, Problem};
use axum::Json;
use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Class, Item, LedgerError, Origin, Seq, State, Timestamp};
use utoipa::IntoParams;

/// How many entries one answer shows at the most.
const MAX_ENTRIES: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many, at most 1,000; 100 when this is left out.
    count: Option<usize>,
    /// Those behind the entry of this number.
    after: Option<String>,
}

/// What waits in the ledger, by age.
#[utoipa::path(
    get, path = "/api/v1/queue", tag = "queue", params(Page), security((), ("token" = [])),
    responses(
        (status = 200, description = "Totals and entries", body = Object),
        (status = 400, description = "Malformed; the answer names the field", body = Problem),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
    )
)]
pub(crate) async fn list(Extracted(admin): Extracted<Admin>, Asked(page): Asked<Page>) -> Response {
    let after = match page.after.as_deref().map(str::parse).transpose() {
        Ok(after) => after,
        Err(_) => return Problem::of("after", "not the number of an entry").bad_request(),
    };
    let (ledger, now) = (admin.core.ledger(), admin.core.timestamp());
    let count = page.count.unwrap_or(100).min(MAX_ENTRIES);
    let entries: Vec<_> = ledger.list(after, count).iter().map(|item| entry(item, now)).collect();
    let counts = ledger.counts();
    Json(json!({ "total": counts.entries, "octets": counts.octets, "pairs": counts.pairs, "entries": entries }))
        .into_response()
}

/// Makes an entry due at once.
#[utoipa::path(
    post, path = "/api/v1/queue/{id}/retry", tag = "changes", security((), ("token" = [])),
    params(("id" = String, Path, description = "The entry's number")),
    responses(
        (status = 200, description = "Done; `state` says so if it is being tried already", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 403, description = "The token may only look", body = Problem),
        (status = 404, description = "No such entry", body = Problem),
        (status = 409, description = "It is being stored, or ends at this moment", body = Problem),
    )
)]
pub(crate) async fn retry(Extracted(admin): Extracted<Admin>, Path(id): Path<String>) -> Response {
    answer(&id, |seq| match admin.core.retry(seq) {
        // What was asked for is what happens.
        Err(LedgerError::WrongState { state: State::Claiming | State::Claimed, .. }) => Ok(Some("is being tried now")),
        result => result.map(|()| None),
    })
}

/// Gives an entry up: it ends as failed, and its sender is told.
#[utoipa::path(
    delete, path = "/api/v1/queue/{id}", tag = "changes", security((), ("token" = [])),
    params(("id" = String, Path, description = "The entry's number")),
    responses(
        (status = 200, description = "Done", body = Object),
        (status = 401, description = "No token, or not this gateway's", body = Problem),
        (status = 403, description = "The token may only look", body = Problem),
        (status = 404, description = "No such entry", body = Problem),
        (status = 409, description = "It is being tried at this moment", body = Problem),
    )
)]
pub(crate) async fn give_up(Extracted(admin): Extracted<Admin>, Path(id): Path<String>) -> Response {
    answer(&id, |seq| admin.core.give_up(seq).map(|()| None))
}

/// Changes an entry; what `change` has to say of it is its state.
fn answer(id: &str, change: impl FnOnce(Seq) -> Result<Option<&'static str>, LedgerError>) -> Response {
    let Ok(seq) = id.parse() else { return Problem::new("no such entry").with(StatusCode::NOT_FOUND) };
    match change(seq) {
        Ok(None) => Json(json!({ "entry": seq.to_string() })).into_response(),
        Ok(Some(state)) => Json(json!({ "entry": seq.to_string(), "state": state })).into_response(),
        Err(LedgerError::Unknown(_)) => {
            Problem::new("no such entry, perhaps not any longer").with(StatusCode::NOT_FOUND)
        }
        Err(error) => Problem::new(error.to_string()).with(StatusCode::CONFLICT),
    }
}

/// What has to happen before the entry is tried, for a person.
fn waits_for(item: &Item, now: Timestamp) -> String {
    let reason = item.last.map_or_else(String::new, |cause| format!(", last {cause}"));
    match (item.state, item.behind) {
        (State::Appending, _) => "the disk: it is being stored".to_owned(),
        (State::Claiming | State::Claimed, _) => "an answer: it is being tried".to_owned(),
        (State::Ending, _) => "the disk: its end is being stored".to_owned(),
        (State::Waiting, Some(first)) => format!("entry {first}, which is before it between the same two addresses"),
        (State::Waiting, None) if item.next_try > now => {
            format!("its next try, in {} s{reason}", item.next_try.since(now).as_secs() + 1)
        }
        (State::Waiting, None) => {
            format!("its turn at the next hop, whose pace bounds how many are tried at once{reason}")
        }
    }
}

fn entry(item: &Item, now: Timestamp) -> Value {
    json!({
        "entry": item.seq.to_string(),
        "trace": format!("{:016x}", item.trace),
        "state": item.state.label(),
        "class": match item.class { Class::Spool => "spool", Class::Journal => "journal" },
        "origin": match item.origin { Origin::Peer => "peer", Origin::Gateway => "gateway", Origin::Warning => "warning" },
        "hop": item.hop,
        "age_seconds": now.since(item.created).as_secs(),
        "expires_seconds": item.expires.since(now).as_secs(),
        "next_try_seconds": item.next_try.since(now).as_secs(),
        "attempts": item.attempts,
        "may_have_arrived": item.uncertain,
        "reason": item.last.map(|cause| cause.code()),
        "waits_for": waits_for(item, now),
        "behind": item.behind.map(|first| first.to_string()),
        "octets": item.size,
    })
}
