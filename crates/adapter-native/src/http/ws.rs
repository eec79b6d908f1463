//! `GET /v1/ws`: events and calls, both ways, over one WebSocket.

use super::App;
use super::auth::{Caller, CallingDevice};
use super::connection::{DRAIN, Place};
use super::messages::{self, Answer};
use super::presence;
use super::refusal::Refusal;
use super::signals;
use crate::mailbox::Event;
use crate::mapping;
use crate::users::{Reader, Session, User};
use crate::wire::{AckResult, EventId, Refused};
use adapter_api::Shutdown;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::stream::{FuturesUnordered, StreamExt};
use impp_model::Device;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use transport::http::STALL;

/// Opens a WebSocket of sub-protocol `interlingua.v1` for one device.
///
/// Towards the client go `{"type":"message","id","data"}` for each event and `{"type":"result","ref","status","data"}`
/// for each request. From it come `{"type","ref","data"}` with the bodies of the calls: `message`, `disposition`, `composing`, `presence`,
/// `subscription`, `authorization`, and `unsubscription` with `{"id"}`; and `{"type":"ack","id"}`, which is answered when it
/// has a `ref` or fails.
#[utoipa::path(
    get, path = "/v1/ws", tag = "events", security(("token" = [])),
    params(("device" = Option<String>, Query, description = "The device; `main` if left out.")),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 400, description = "No WebSocket request, or other sub-protocols only", body = Refused),
        (status = 401, description = "No token, or nobody's", body = Refused),
        (status = 429, description = "Too many devices or streams; see Retry-After", body = Refused),
    )
)]
pub(super) async fn upgrade(
    State(app): State<App>,
    Caller(user, session): Caller,
    device: CallingDevice,
    Extension(place): Extension<Place>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| Refusal::malformed("Upgrade", rejection.body_text()))?;
    check_protocols(&headers)?;
    let device = device.or_main();
    let reader = app.shared.open_stream(&user, Arc::clone(&device), None)?;
    let limit = app.shared.config.limits.max_body;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let grace = end_of_grace(app.shutdown.clone());
        let (in_flight, last_heard) = (FuturesUnordered::new(), Instant::now());
        let talk = Talk { app, user, device, reader, session, in_flight, last_heard };
        tokio::select! {
            () = talk.run(socket) => {}
            () = grace => {}
        }
        drop(place);
    }))
}

/// RFC 6455 §4.1: a client that names sub-protocols must be given one of them.
fn check_protocols(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .peekable();
    if offered.peek().is_none() || offered.any(|protocol| protocol == PROTOCOL) {
        Ok(())
    } else {
        Err(Refusal::malformed("Sec-WebSocket-Protocol", "the sub-protocol is interlingua.v1"))
    }
}

async fn end_of_grace(mut shutdown: Shutdown) {
    shutdown.requested().await;
    sleep(DRAIN).await;
}

/// A frame from the client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    id: Option<EventId>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// A result towards the client.
#[derive(Serialize)]
struct ResultFrame<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    status: u16,
    data: T,
}

fn result_frame(reference: Option<&str>, status: StatusCode, data: impl Serialize) -> String {
    let frame = ResultFrame { kind: "result", reference, status: status.as_u16(), data };
    // Structs of text and numbers can always be written.
    serde_json::to_string(&frame).unwrap_or_default()
}

fn event_frame(event: &Event) -> String {
    format!(r#"{{"type":"{}","id":"{}","data":{}}}"#, event.kind, event.id, event.data)
}

fn refusal_frame(reference: Option<&str>, refusal: &Refusal) -> String {
    result_frame(reference, refusal.status(), refusal.body())
}

/// The frame that answers a request.
type InFlight = Pin<Box<dyn Future<Output = String> + Send>>;

/// One open WebSocket.
struct Talk {
    app: App,
    user: Arc<User>,
    device: Arc<str>,
    reader: Reader,
    session: Session,
    /// Requests whose results are awaited.
    in_flight: FuturesUnordered<InFlight>,
    last_heard: Instant,
}

/// Why a WebSocket ends.
struct End(u16, &'static str);

impl Talk {
    async fn run(mut self, mut socket: WebSocket) {
        let End(code, reason) = self.converse(&mut socket).await;
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        // The other side may be gone already.
        let _ = timeout(STALL, socket.send(close)).await;
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> End {
        let mut shutdown = self.app.shutdown.clone();
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outgoing = tokio::select! {
                biased;
                () = shutdown.requested() => return End(close_code::AWAY, "the gateway is shutting down"),
                () = self.session.ended() => return End(close_code::POLICY, "this token is not valid any longer"),
                frame = socket.recv() => match self.heard(frame) {
                    Ok(Some(answer)) => Message::Text(answer.into()),
                    Ok(None) => continue,
                    Err(end) => return end,
                },
                Some(answer) = self.in_flight.next() => Message::Text(answer.into()),
                event = self.reader.next() => Message::Text(event_frame(&event).into()),
                _ = ping.tick() => {
                    if self.last_heard.elapsed() > SILENCE {
                        return End(close_code::POLICY, "no pong");
                    }
                    Message::Ping(axum::body::Bytes::new())
                }
            };
            if socket.send(outgoing).await.is_err() {
                return End(close_code::NORMAL, "");
            }
        }
    }

    /// Takes one frame; gives what to answer at once.
    fn heard(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<Option<String>, End> {
        self.last_heard = Instant::now();
        match frame {
            None | Some(Ok(Message::Close(_))) => Err(End(close_code::NORMAL, "")),
            Some(Err(_)) => Err(End(close_code::PROTOCOL, "frame too large or malformed")),
            Some(Ok(Message::Binary(_))) => Err(End(close_code::UNSUPPORTED, "frames are JSON text")),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Text(text))) => Ok(self.request(&text)),
        }
    }

    fn request(&mut self, text: &str) -> Option<String> {
        let request: Request<'_> = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => {
                let refusal = Refusal::Malformed { field: None, problem: error.to_string() };
                return Some(refusal_frame(None, &refusal));
            }
        };
        let reference = request.reference.clone();
        match self.act(request) {
            Ok(answer) => answer,
            Err(refusal) => Some(refusal_frame(reference.as_deref(), &refusal)),
        }
    }

    fn act(&mut self, request: Request<'_>) -> Result<Option<String>, Refusal> {
        if request.kind == "ack" {
            let id = request.id.ok_or_else(|| Refusal::malformed("id", "missing"))?;
            let id = self.app.shared.acknowledge(&self.user, &self.device, id)?;
            let reference = request.reference.as_deref();
            return Ok(reference.map(|_| result_frame(reference, StatusCode::OK, AckResult { id })));
        }
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return Err(Refusal::Busy);
        }
        let reference = request.reference.clone();
        let in_flight: InFlight = match self.call(&request)? {
            Call::Message(answer) => Box::pin(async move {
                let Answer { status, result, .. } = answer.await;
                result_frame(reference.as_deref(), status, result)
            }),
            Call::Presence(answer) => Box::pin(async move {
                let presence::Answer { status, result } = answer.await;
                result_frame(reference.as_deref(), status, result)
            }),
        };
        self.in_flight.push(in_flight);
        Ok(None)
    }

    fn call(&self, request: &Request<'_>) -> Result<Call, Refusal> {
        let (app, user, device) = (&self.app, &self.user, Some(Arc::clone(&self.device)));
        let data =
            || request.data.map(|data| data.get().as_bytes()).ok_or_else(|| Refusal::malformed("data", "missing"));
        Ok(match request.kind.as_str() {
            "message" => {
                let submitted = messages::submit(app, user, device, mapping::parse(data()?)?)?;
                Call::Message(Box::pin(submitted.answer()))
            }
            "disposition" => Call::Message(Box::pin(signals::disposition(app, user, device, data()?)?)),
            "composing" => Call::Message(Box::pin(signals::composing(app, user, device, data()?)?)),
            "presence" => {
                let device = Device::new(&self.device).map_err(|error| Refusal::malformed("device", error))?;
                Call::Presence(presence::set(app, user, device, data()?)?)
            }
            "subscription" => Call::Presence(presence::watch(app, user, data()?)?),
            "unsubscription" => {
                let Unsubscribe { id } = mapping::parse_json(data()?)?;
                Call::Presence(presence::end(app, user, &id)?)
            }
            "authorization" => Call::Presence(presence::decide(app, user, data()?)?),
            _ => return Err(Refusal::malformed("type", "no such request")),
        })
    }
}

/// A call under way.
enum Call {
    Message(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Presence(presence::Answering),
}

/// What `DELETE /v1/subscriptions/{id}` has in its path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    id: String,
}

/// Requests of one socket whose results are awaited: a client that sends more without reading waits for none of them.
const MAX_IN_FLIGHT: usize = 1024;

const PROTOCOL: &str = "interlingua.v1";

/// How often a client is asked whether it is there: below the idle timeouts of common proxies.
const PING: Duration = Duration::from_secs(25);

/// Two pings without an answer, and some delay.
const SILENCE: Duration = Duration::from_secs(60);
