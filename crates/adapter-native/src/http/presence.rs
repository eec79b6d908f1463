//! The calls of presence (DESIGN B3): `PUT /v1/presence`, subscriptions, authorizations, and the same over a WebSocket.

use super::App;
use super::auth::{Caller, CallingDevice};
use super::messages::{read_body, read_json};
use super::refusal::Refusal;
use crate::mapping;
use crate::users::User;
use crate::wire::{Authorize, PresenceResult, Refused, SetPresence, Subscribe};
use adapter_api::TraceId;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use impp_model::{
    Address, AuthorizeOperation, Cause, DateTime, Device, Endpoint, Operation, Outcome, PresenceInfo, PublishOperation,
    SubscribeOperation, SubscriptId, TransId, Wish,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Tells the presence of the calling device to everybody who may watch the user.
#[utoipa::path(
    put, path = "/v1/presence", tag = "presence", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The device; `main` if left out.")),
    request_body = SetPresence,
    responses(
        (status = 200, description = "Taken", body = PresenceResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 415, description = "Neither JSON nor application/pidf+xml", body = Refused),
        (status = 422, description = "Refused", body = PresenceResult),
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    Caller(user, _): Caller,
    device: CallingDevice,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let device = Device::new(&device.or_main()).map_err(|error| Refusal::malformed("device", error))?;
    if is_pidf(&headers) {
        let document = read_body(&app, &headers, body).await?;
        let state = from_pidf(&device, &document)?;
        return Ok(publish(&app, &user, device, state).await);
    }
    Ok(set(&app, &user, device, &read_json(&app, &headers, body).await?)?.await)
}

/// Hands in a device's state; what is awaited is its answer.
pub(super) fn set(app: &App, user: &User, device: Device, json: &[u8]) -> Result<Answering, Refusal> {
    let tuple = mapping::presence::from_request(Some(device.clone()), mapping::presence::parse(json)?)?;
    Ok(publish(app, user, device, PresenceInfo { tuples: vec![tuple], ..PresenceInfo::default() }))
}

fn publish(app: &App, user: &User, device: Device, state: PresenceInfo) -> Answering {
    let source = Endpoint { address: user.address.clone(), device: Some(device) };
    let trans_id = new_id();
    let publish = PublishOperation { source, state: Some(Arc::new(state)), trans_id: trans_id.as_str().into() };
    submit(app, user, Operation::Publish(Box::new(publish)), trans_id, None)
}

fn is_pidf(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(pidf::MEDIA_TYPE)
}

/// The document's devices; one that it does not name is the calling one.
fn from_pidf(device: &Device, document: &[u8]) -> Result<PresenceInfo, Refusal> {
    let refuse = |problem: String| Refusal::Malformed { field: None, problem };
    let parsed = pidf::parse(document).map_err(|error| refuse(error.to_string()))?;
    let now = DateTime::from_system_time(SystemTime::now());
    let mut info = pidf::mapping::to_info(&parsed.presence, now.as_ref()).value;
    for tuple in &mut info.tuples {
        tuple.device.get_or_insert_with(|| device.clone());
    }
    Ok(info)
}

/// Subscribes to somebody's presence; `presence` and `subscription` events tell what comes of it.
#[utoipa::path(
    post, path = "/v1/subscriptions", tag = "presence", security(("token" = [])),
    request_body = Subscribe,
    responses(
        (status = 201, description = "Subscribed; perhaps not allowed yet", body = PresenceResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 422, description = "Refused", body = PresenceResult),
    )
)]
pub(super) async fn subscribe(
    State(app): State<App>,
    Caller(user, _): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    Ok(watch(&app, &user, &read_json(&app, &headers, body).await?)?.await)
}

/// Hands in a subscription; what is awaited is its answer.
pub(super) fn watch(app: &App, user: &User, json: &[u8]) -> Result<Answering, Refusal> {
    let Subscribe { target, duration } = mapping::parse_json(json)?;
    let target = parse_address("target", &target)?;
    let wish = match duration {
        None => Wish::Standing,
        Some(0) => Wish::Fetch,
        Some(seconds) => Wish::Watch(Duration::from_secs(seconds.into())),
    };
    let id = if wish == Wish::Standing { standing_id(&user.address, &target) } else { subscription_id(&target) };
    let (trans_id, operation) = subscription(user, target, wish, &id);
    Ok(submit(app, user, operation, trans_id, Some(id)))
}

/// Ends a subscription.
#[utoipa::path(
    delete, path = "/v1/subscriptions/{id}", tag = "presence", security(("token" = [])),
    params(("id" = String, Path, description = "As `POST /v1/subscriptions` answered.")),
    responses(
        (status = 200, description = "Ended", body = PresenceResult),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 404, description = "No such subscription", body = Refused),
    )
)]
pub(super) async fn unsubscribe(
    State(app): State<App>,
    Caller(user, _): Caller,
    Path(id): Path<String>,
) -> Result<Answer, Refusal> {
    let answer = end(&app, &user, &id)?.await;
    if answer.result.reason.as_deref() == Some(Cause::NotFound.code()) {
        return Err(Refusal::NotFound);
    }
    Ok(answer)
}

/// Ends a subscription; what is awaited is its answer.
pub(super) fn end(app: &App, user: &User, id: &str) -> Result<Answering, Refusal> {
    let target = target_of(id).ok_or(Refusal::NotFound)?;
    let (trans_id, operation) = subscription(user, target, Wish::Cancel, id);
    Ok(submit(app, user, operation, trans_id, None))
}

/// Allows a watcher, or refuses it.
#[utoipa::path(
    post, path = "/v1/authorizations", tag = "presence", security(("token" = [])),
    request_body = Authorize,
    responses(
        (status = 200, description = "Done", body = PresenceResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 422, description = "Refused", body = PresenceResult),
    )
)]
pub(super) async fn authorize(
    State(app): State<App>,
    Caller(user, _): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    Ok(decide(&app, &user, &read_json(&app, &headers, body).await?)?.await)
}

/// Hands in a decision about a watcher; what is awaited is its answer.
pub(super) fn decide(app: &App, user: &User, json: &[u8]) -> Result<Answering, Refusal> {
    let Authorize { watcher, allow } = mapping::parse_json(json)?;
    let watcher = Endpoint::bare(parse_address("watcher", &watcher)?);
    let target = Endpoint::bare(user.address.clone());
    let trans_id = new_id();
    let operation = AuthorizeOperation { target, watcher, allow, trans_id: trans_id.as_str().into() };
    Ok(submit(app, user, Operation::Authorize(Box::new(operation)), trans_id, None))
}

/// What became of a call.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) result: PresenceResult,
}

/// A call under way.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, Json(self.result)).into_response()
    }
}

fn subscription(user: &User, target: Address, wish: Wish, id: &str) -> (String, Operation) {
    let trans_id = new_id();
    let subscribe = SubscribeOperation {
        watcher: Endpoint::bare(user.address.clone()),
        target: Endpoint::bare(target),
        wish,
        subscript_id: SubscriptId::from(id),
        trans_id: TransId::from(trans_id.as_str()),
    };
    (trans_id, Operation::Subscribe(Box::new(subscribe)))
}

fn submit(app: &App, user: &User, operation: Operation, trans_id: String, id: Option<String>) -> Answering {
    let (hub, provenance) = (app.hub.clone(), Arc::clone(&user.provenance));
    Box::pin(async move {
        let (trace, outcome) = hub.submit_and_wait(operation, provenance).await;
        answer(&outcome, trace, trans_id, id)
    })
}

fn answer(outcome: &Outcome, trace: TraceId, trans_id: String, id: Option<String>) -> Answer {
    let failure = if let Outcome::Failure(failure) = outcome { Some(failure) } else { None };
    let status = match (failure, &id) {
        (Some(_), _) => StatusCode::UNPROCESSABLE_ENTITY,
        (None, Some(_)) => StatusCode::CREATED,
        (None, None) => StatusCode::OK,
    };
    let result = PresenceResult {
        id: id.filter(|_| failure.is_none()),
        trans_id,
        status: if failure.is_some() { "failure" } else { "success" }.to_owned(),
        reason: failure.map(|failure| failure.cause.code().to_owned()),
        text: failure.and_then(|failure| failure.text.clone()),
        trace: trace.to_string(),
    };
    Answer { status, result }
}

fn parse_address(field: &str, text: &str) -> Result<Address, Refusal> {
    let is_uri = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pres:"));
    let parsed = if is_uri {
        Address::from_pres_uri(text).map_err(|error| error.to_string())
    } else {
        Address::parse_bare(text).map_err(|error| error.to_string())
    };
    parsed.map_err(|problem| Refusal::malformed(field, problem))
}

/// RFC 3859 §3.1: 128 random bits.
fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A new subscription's id: its target, so that nothing need be remembered of it here, and 64 random bits.
fn subscription_id(target: &Address) -> String {
    format!("{}-{:016x}", hex(target), rand::random::<u64>())
}

/// The id of the subscription that stands: a user has one at a target, however often it is asked for, from whatever device.
fn standing_id(user: &Address, target: &Address) -> String {
    format!("{}-{}", hex(target), hex(user))
}

fn hex(address: &Address) -> String {
    address.to_string().bytes().map(|octet| format!("{octet:02x}")).collect()
}

fn target_of(id: &str) -> Option<Address> {
    let (name, _) = id.split_once('-')?;
    let octets: Option<Vec<u8>> = (0..name.len())
        .step_by(2)
        .map(|at| name.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    Address::parse_bare(std::str::from_utf8(&octets?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PR-04, PR-05
    #[test]
    fn an_id_names_its_target_and_is_never_the_same() {
        let target: Address = "tschüß@example.org".parse().unwrap();
        let (first, second) = (subscription_id(&target), subscription_id(&target));
        assert_ne!(first, second);
        let standing = standing_id(&"a@example.org".parse().unwrap(), &target);
        assert_eq!((target_of(&first), target_of(&standing)), (Some(target.clone()), Some(target.clone())));
        assert_ne!(standing, standing_id(&"b@example.org".parse().unwrap(), &target));
        for id in ["", "x", "zz-1", "41-1", "4-1"] {
            assert_eq!(target_of(id), None, "{id}");
        }
    }
}
