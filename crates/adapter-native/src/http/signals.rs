//! `POST /v1/dispositions` and `POST /v1/composing`, and the same over a WebSocket.

use super::App;
use super::auth::{Caller, CallingDevice};
use super::messages::{Answer, new_trans_id, read_json, source};
use super::refusal::Refusal;
use crate::mapping::{self, signals};
use crate::users::User;
use crate::wire::{Refused, SendDisposition, SendResult, SetComposing};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use impp_model::{DateTime, Operation};
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

/// Reports what became of a message of somebody else.
#[utoipa::path(
    post, path = "/v1/dispositions", tag = "messages", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The reporting device; left out, none is named.")),
    request_body = SendDisposition,
    responses(
        (status = 200, description = "Passed on, or not asked for and dropped", body = SendResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 422, description = "Not passed on", body = SendResult),
        (status = 503, description = "The gateway could not try; see Retry-After", body = SendResult),
    )
)]
pub(super) async fn post_disposition(
    State(app): State<App>,
    Caller(user, _): Caller,
    CallingDevice(device): CallingDevice,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let json = read_json(&app, &headers, body).await?;
    Ok(disposition(&app, &user, device, &json)?.await)
}

/// Tells somebody whether this user composes a message.
#[utoipa::path(
    post, path = "/v1/composing", tag = "messages", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The device; left out, none is named.")),
    request_body = SetComposing,
    responses(
        (status = 200, description = "Told, if the other side can be told", body = SendResult),
        (status = 400, description = "Malformed; the answer names the field", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 422, description = "Not told", body = SendResult),
        (status = 503, description = "The gateway could not try; see Retry-After", body = SendResult),
    )
)]
pub(super) async fn post_composing(
    State(app): State<App>,
    Caller(user, _): Caller,
    CallingDevice(device): CallingDevice,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let json = read_json(&app, &headers, body).await?;
    Ok(composing(&app, &user, device, &json)?.await)
}

/// Hands in a report; what is awaited is its answer.
pub(super) fn disposition(
    app: &App,
    user: &User,
    device: Option<Arc<str>>,
    json: &[u8],
) -> Result<impl Future<Output = Answer> + Send + 'static, Refusal> {
    let request: SendDisposition = mapping::parse_json(json)?;
    let at = DateTime::from_system_time(SystemTime::now()).ok_or_else(|| Refusal::malformed("", "no time of day"))?;
    let word = signals::from_disposition(source(user, device)?, request, new_trans_id(), at)?;
    let trans_id = word.trans_id.clone();
    Ok(submit(app, user, Operation::Disposition(Box::new(word)), trans_id))
}

/// Hands in a state; what is awaited is its answer.
pub(super) fn composing(
    app: &App,
    user: &User,
    device: Option<Arc<str>>,
    json: &[u8],
) -> Result<impl Future<Output = Answer> + Send + 'static, Refusal> {
    let request: SetComposing = mapping::parse_json(json)?;
    let told = signals::from_composing(source(user, device)?, request, new_trans_id())?;
    app.shared.typing.told(&told, &app.hub, &user.provenance);
    let trans_id = told.trans_id.clone();
    Ok(submit(app, user, Operation::Composing(Box::new(told)), trans_id))
}

fn submit(
    app: &App,
    user: &User,
    operation: Operation,
    trans_id: impp_model::TransId,
) -> impl Future<Output = Answer> + Send + 'static {
    let (hub, provenance) = (app.hub.clone(), Arc::clone(&user.provenance));
    async move {
        let (trace, outcome) = hub.submit_and_wait(operation, provenance).await;
        Answer::of(&trans_id, trace, &outcome)
    }
}
