//! The HTTP server: its calls, and the way from a listener to them.

mod auth;
mod connection;
mod events;
mod messages;
mod openapi;
mod presence;
mod refusal;
mod signals;
mod ws;

pub(crate) use connection::serve;

use crate::adapter::Shared;
use adapter_api::{Hub, Shutdown};
use axum::Router;
use axum::routing::{delete, get, post, put};
use refusal::Refusal;
use std::sync::Arc;

/// What every call can use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    shared: Arc<Shared>,
    hub: Hub,
    shutdown: Shutdown,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>, hub: Hub, shutdown: Shutdown) -> Self {
        Self { shared, hub, shutdown }
    }
}

/// The calls of the native protocol.
fn router(app: App) -> Router {
    Router::new()
        .route("/v1/messages", post(messages::post))
        .route("/v1/events", get(events::stream))
        .route("/v1/events/ack", post(events::acknowledge))
        .route("/v1/ws", get(ws::upgrade))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/presence", put(presence::put))
        .route("/v1/subscriptions", post(presence::subscribe))
        .route("/v1/subscriptions/{id}", delete(presence::unsubscribe))
        .route("/v1/authorizations", post(presence::authorize))
        .route("/v1/composing", post(signals::post_composing))
        .route("/v1/dispositions", post(signals::post_disposition))
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .with_state(app)
}
