//! `GET /v1/events` as server-sent events, and their acknowledgement.

use super::App;
use super::auth::{Caller, CallingDevice};
use super::messages::read_json;
use super::refusal::Refusal;
use crate::users::{Reader, Session};
use crate::wire::{Ack, AckResult, EventId, MessageEvent, Refused};
use adapter_api::Shutdown;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use std::convert::Infallible;
use std::time::Duration;

/// Streams this user's events to one device, each as `id`, `event` and JSON `data`.
///
/// It begins after `Last-Event-ID`, else after what the device has acknowledged. Comments keep the connection alive.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", security(("token" = [])),
    params(
        ("device" = Option<String>, Query, description = "The device; `main` if left out."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event seen."),
    ),
    responses(
        (status = 200, description = "Events `message`, `disposition`, `composing`, `presence`, `subscription`", content_type = "text/event-stream", body = MessageEvent),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 429, description = "Too many devices or streams; see Retry-After", body = Refused),
    )
)]
pub(super) async fn stream(
    State(app): State<App>,
    Caller(user, session): Caller,
    device: CallingDevice,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let reader = app.shared.open_stream(&user, device.or_main(), last_event_id(&headers)?)?;
    // A first comment, so that clients and proxies see the stream begin at once.
    let opening = stream::iter([Ok(Event::default().comment("interlingua"))]);
    let events = opening.chain(events(reader, session, app.shutdown.clone()));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Refusal> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(EventId::parse);
    id.map(Some).ok_or_else(|| Refusal::malformed("Last-Event-ID", "not an event id: decimal digits"))
}

fn events(reader: Reader, session: Session, shutdown: Shutdown) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((reader, shutdown, session), |(mut reader, mut shutdown, mut session)| async move {
        tokio::select! {
            biased;
            () = shutdown.requested() => None,
            () = session.ended() => None,
            event = reader.next() => {
                let event = Event::default().id(event.id.to_string()).event(event.kind).data(&event.data);
                Some((Ok(event), (reader, shutdown, session)))
            }
        }
    })
}

/// Acknowledges everything up to `id` for one device; the first to do so proves delivery.
#[utoipa::path(
    post, path = "/v1/events/ack", tag = "events", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The device; `main` if left out.")),
    request_body = Ack,
    responses(
        (status = 200, description = "Up to where this device has acknowledged", body = AckResult),
        (status = 400, description = "Malformed, or no device was sent such an event", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 429, description = "Too many devices; see Retry-After", body = Refused),
    )
)]
pub(super) async fn acknowledge(
    State(app): State<App>,
    Caller(user, _): Caller,
    device: CallingDevice,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AckResult>, Refusal> {
    let json = read_json(&app, &headers, body).await?;
    let Ack { id } = serde_json::from_slice(&json).map_err(|error| Refusal::malformed("id", error))?;
    let id = app.shared.acknowledge(&user, &device.or_main(), id)?;
    Ok(Json(AckResult { id }))
}

const LAST_EVENT_ID: &str = "last-event-id";

/// Below the idle timeouts of common proxies (60 s and more) with room to spare.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
