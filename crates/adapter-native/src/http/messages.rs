//! `POST /v1/messages`, and the same over a WebSocket.

use super::App;
use super::auth::{Caller, CallingDevice};
use super::refusal::{Refusal, retry_after};
use crate::mapping;
use crate::users::User;
use crate::window::{Begin, Ticket, is_turned_away};
use crate::wire::{Refused, SendMessage, SendResult};
use adapter_api::{Settle, TraceId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use impp_model::{Device, Endpoint, MessageOperation, Operation, Outcome, Retry, TransId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Sends one message and waits for what becomes of it.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The sending device; left out, none is named.")),
    request_body = SendMessage,
    responses(
        (status = 200, description = "Delivered, or accepted without a final word", body = SendResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 408, description = "The body came too slowly", body = Refused),
        (status = 413, description = "Body or content too large", body = Refused),
        (status = 415, description = "Neither JSON nor message/cpim", body = Refused),
        (status = 422, description = "Not delivered", body = SendResult),
        (status = 429, description = "Too many messages in flight; see Retry-After", body = Refused),
        (status = 503, description = "The gateway could not try; see Retry-After", body = SendResult),
    )
)]
pub(super) async fn post(
    State(app): State<App>,
    Caller(user, _): Caller,
    CallingDevice(device): CallingDevice,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let cpim = is_cpim(&headers);
    if !cpim {
        check_json(&headers)?;
    }
    let octets = read_body(&app, &headers, body).await?;
    let submitted = if cpim {
        submit_cpim(&app, &user, device, &octets)?
    } else {
        submit(&app, &user, device, mapping::parse(&octets)?)?
    };
    Ok(submitted.answer().await)
}

/// A message that the hub has, or had.
pub(super) struct Submitted(Arc<Ticket>);

/// Hands a message to the hub, unless this user's `id` was submitted before.
pub(super) fn submit(
    app: &App,
    user: &User,
    device: Option<Arc<str>>,
    request: SendMessage,
) -> Result<Submitted, Refusal> {
    let limit = app.shared.config.limits.max_message;
    if request.body.len() > limit {
        return Err(Refusal::TooLarge { field: Some("body"), limit });
    }
    if request.object.as_ref().is_some_and(|object| object.base64.len() / 4 * 3 > limit) {
        return Err(Refusal::TooLarge { field: Some("object"), limit });
    }
    let operation = mapping::from_request(source(user, device)?, request, new_trans_id())?;
    begin(app, user, operation)
}

/// The same for a message/cpim object as it is.
fn submit_cpim(app: &App, user: &User, device: Option<Arc<str>>, octets: &[u8]) -> Result<Submitted, Refusal> {
    let operation = mapping::cpim::from_cpim(source(user, device)?, octets, new_trans_id())?;
    let limit = app.shared.config.limits.max_message;
    let message = &operation.message;
    let length = message.sealed.as_ref().map_or(message.content.octets.len(), |sealed| sealed.payload.octets.len());
    if length > limit {
        return Err(Refusal::TooLarge { field: None, limit });
    }
    begin(app, user, operation)
}

/// The user as the source of an operation.
pub(super) fn source(user: &User, device: Option<Arc<str>>) -> Result<Endpoint, Refusal> {
    let device = device.map(|device| Device::new(&device)).transpose();
    let device = device.map_err(|error| Refusal::malformed("device", error))?;
    Ok(Endpoint { address: user.address.clone(), device })
}

fn begin(app: &App, user: &User, operation: MessageOperation) -> Result<Submitted, Refusal> {
    app.shared.typing.ended(&user.address, &operation.destination.address);
    match user.window.begin(&operation) {
        Begin::Busy => Err(Refusal::Busy),
        Begin::IdInUse => Err(Refusal::malformed("id", "another message of yours had this id; each needs its own")),
        Begin::Repeat(ticket) => Ok(Submitted(ticket)),
        Begin::New(ticket) => Ok(hand_in(app, user, operation, ticket)),
    }
}

fn hand_in(app: &App, user: &User, operation: MessageOperation, ticket: Arc<Ticket>) -> Submitted {
    let settle = Settle::new(Arc::clone(&ticket) as _, 0);
    let trace = app.hub.submit(Operation::Message(Box::new(operation)), Arc::clone(&user.provenance), settle);
    ticket.traced(trace);
    Submitted(ticket)
}

/// RFC 3860 §3.1: unique for each operation; 128 random bits.
pub(super) fn new_trans_id() -> TransId {
    format!("{:032x}", rand::random::<u128>()).into()
}

impl Submitted {
    /// Waits for the outcome. Whoever stops waiting stops nothing.
    pub(super) async fn answer(self) -> Answer {
        let (trace, outcome) = self.0.finished().await;
        Answer::of(&self.0.trans_id, trace, &outcome)
    }
}

/// What became of a message, with the status that says so.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) result: SendResult,
    pause: Option<Duration>,
}

impl Answer {
    /// The answer to the operation `trans_id`.
    pub(super) fn of(trans_id: &TransId, trace: TraceId, outcome: &Outcome) -> Self {
        let (status, pause) = status(outcome);
        Self { status, pause, result: mapping::to_result(trans_id, trace, outcome) }
    }
}

fn status(outcome: &Outcome) -> (StatusCode, Option<Duration>) {
    match outcome {
        Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant => (StatusCode::OK, None),
        Outcome::Failure(failure) if is_turned_away(failure.cause) => match failure.retry {
            Retry::After(pause) => (StatusCode::SERVICE_UNAVAILABLE, Some(pause)),
            Retry::Never | Retry::NextTarget => (StatusCode::SERVICE_UNAVAILABLE, Some(DEFAULT_PAUSE)),
        },
        Outcome::Failure(_) => (StatusCode::UNPROCESSABLE_ENTITY, None),
    }
}

/// When the hub names no time: long enough for a burst to pass.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.result)).into_response();
        if let Some(pause) = self.pause {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after(pause));
        }
        response
    }
}

fn is_cpim(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("message/cpim")
}

/// Refuses bodies of another type than JSON.
fn check_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::MediaType("send application/json"))
    }
}

/// Reads a request body that has to be JSON.
pub(super) async fn read_json(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    check_json(headers)?;
    read_body(app, headers, body).await
}

/// Reads a request body within its bounds of size and time.
pub(super) async fn read_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let limit = app.shared.config.limits.max_body;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(Refusal::TooLarge { field: None, limit });
    }
    timeout(BODY_TIMEOUT, collect(body, limit)).await.unwrap_or(Err(Refusal::SlowBody))
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut collected = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Refusal::Malformed { field: None, problem: error.to_string() })?;
        if collected.len() + chunk.len() > limit {
            return Err(Refusal::TooLarge { field: None, limit });
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected)
}

/// How long a whole request body may take: the largest one over a poor mobile link.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
