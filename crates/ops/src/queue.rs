//! What waits in the ledger: listed, tried at once, given up.

use crate::api::Admin;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Class, Item, LedgerError, Origin, Seq, Timestamp};

/// How many entries one answer shows at the most.
const MAX_ENTRIES: usize = 1_000;

#[derive(Deserialize)]
pub(crate) struct Page {
    count: Option<usize>,
    after: Option<String>,
}

/// The entries by age, those after the number `after`.
pub(crate) async fn list(State(admin): State<Admin>, Query(page): Query<Page>) -> Response {
    let after = match page.after.as_deref().map(str::parse).transpose() {
        Ok(after) => after,
        Err(_) => return problem(StatusCode::BAD_REQUEST, "after is the number of an entry"),
    };
    let (ledger, now) = (admin.core.ledger(), admin.core.timestamp());
    let count = page.count.unwrap_or(100).min(MAX_ENTRIES);
    let entries: Vec<_> = ledger.list(after, count).iter().map(|item| entry(item, now)).collect();
    let counts = ledger.counts();
    Json(json!({ "total": counts.entries, "octets": counts.octets, "pairs": counts.pairs, "entries": entries }))
        .into_response()
}

/// Makes an entry due at once.
pub(crate) async fn retry(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    answer(&id, |seq| admin.core.retry(seq))
}

/// Ends an entry as failed.
pub(crate) async fn give_up(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    answer(&id, |seq| admin.core.give_up(seq))
}

fn answer(id: &str, change: impl FnOnce(Seq) -> Result<(), LedgerError>) -> Response {
    let Ok(seq) = id.parse() else { return problem(StatusCode::NOT_FOUND, "no such entry") };
    match change(seq) {
        Ok(()) => Json(json!({ "entry": seq.to_string() })).into_response(),
        Err(LedgerError::Unknown(_)) => problem(StatusCode::NOT_FOUND, "no such entry, perhaps not any longer"),
        Err(error) => problem(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "problem": text }))).into_response()
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
        "octets": item.size,
    })
}
