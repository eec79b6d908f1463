//! Matrix application service API: what the homeserver asks and tells.

use crate::adapter::Shared;
use crate::arrive;
use crate::carry::{GhostError, ghost};
use adapter_api::Hub;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// The largest transaction: a hundred events of 64 KiB, as many signals, and what JSON adds.
const MAX_TRANSACTION: usize = 16 * 1024 * 1024;

/// Transactions that are remembered; the homeserver sends one again until it is answered, and only then the next.
const MAX_DONE: usize = 64;

/// The key of the record of what was taken.
const KEY: &[u8] = b"t";

/// One homeserver sends one transaction at a time and asks for a few users beside; a flood must not take the descriptors that peers need.
const MAX_CONNECTIONS: usize = 64;

/// Keeps a shortage of descriptors from becoming a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest id of a transaction.
const MAX_ID: usize = 255;

/// Which transactions were taken.
#[derive(Default)]
pub(crate) struct Done(VecDeque<String>);

impl Done {
    pub(crate) fn load(records: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let record = records.iter().find(|(key, _)| key == KEY);
        Self(record.and_then(|(_, value)| serde_json::from_slice(value).ok()).unwrap_or_default())
    }

    fn insert(&mut self, hub: &Hub, id: String) {
        self.0.push_back(id);
        if self.0.len() > MAX_DONE {
            self.0.pop_front();
        }
        // What a crash forgets comes again, and the hub knows its messages by their ids.
        hub.keep(KEY, serde_json::to_vec(&self.0).ok(), Box::new(|_| {}));
    }
}

/// Serves the homeserver; does not return.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let protected = Router::new()
        .route("/_matrix/app/v1/transactions/{id}", put(transaction))
        .route("/_matrix/app/v1/users/{user}", get(user))
        .route("/_matrix/app/v1/rooms/{alias}", get(unknown))
        .route("/_matrix/app/v1/ping", post(ping))
        .fallback(unrecognized)
        .layer(DefaultBodyLimit::max(MAX_TRANSACTION))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), authorized))
        .with_state(shared);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let calls = TowerToHyperService::new(protected.clone());
                tokio::spawn(async move {
                    transport::http::serve_connection(stream, calls, pending(), Duration::ZERO).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Matrix application service API, authorization: only the homeserver knows the token.
async fn authorized(State(shared): State<Arc<Shared>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match given.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) if bool::from(token.as_bytes().ct_eq(shared.hs_token.as_bytes())) => next.run(request).await,
        Some(_) => refuse(StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        None => refuse(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN"),
    }
}

fn refuse(status: StatusCode, errcode: &str) -> Response {
    (status, Json(json!({ "errcode": errcode }))).into_response()
}

fn taken() -> Response {
    Json(json!({})).into_response()
}

async fn transaction(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "M_NOT_JSON");
    };
    let Some(hub) = shared.hub.get().filter(|_| id.len() <= MAX_ID) else {
        return refuse(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    };
    shared.heard_of(true);
    // One at a time: what comes again while it is taken waits, and is known then.
    let mut done = shared.done.lock().await;
    if done.0.contains(&id) {
        return taken();
    }
    let list = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten().cloned();
    let events: Vec<Value> = list("events").chain(list("ephemeral")).collect();
    if !arrive::transaction(&shared, hub, &events).await {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN");
    }
    done.insert(hub, id);
    taken()
}

/// Whether somebody elsewhere may be written to: everybody with an address; the hub refuses whom it does not know.
async fn user(State(shared): State<Arc<Shared>>, Path(user): Path<String>) -> Response {
    let Some(address) = shared.names.behind(&user) else { return refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND") };
    match ghost(&shared, &address).await {
        Ok(_) => taken(),
        Err(GhostError::Malformed | GhostError::Call(_)) => refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND"),
    }
}

async fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND")
}

async fn ping() -> Response {
    taken()
}

async fn unrecognized() -> Response {
    refuse(StatusCode::NOT_FOUND, "M_UNRECOGNIZED")
}
