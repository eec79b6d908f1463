//! A small client of the native protocol over plain HTTP, for the commands `send` and `watch` and for demonstrations.

mod sse; // WHATWG HTML §9.2

use crate::config::Secret;
use crate::wire::{
    Ack, AckResult, Authorize, EventId, MessageEvent, PresenceResult, Refused, SendMessage, SendResult, SetPresence,
    Subscribe,
};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use sse::{Parser, SseError};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// One user at one gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// Why a call did not give what it is for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base URL can't be used.
    #[error("{url:?} is not the http: URL of a gateway")]
    Url {
        /// As given.
        url: String,
    },
    /// The gateway can't be reached, or the connection broke.
    #[error("no answer from the gateway")]
    Http(#[from] reqwest::Error),
    /// The gateway refused the call.
    #[error("{status}: {problem}{}", field.as_ref().map(|field| format!(" (in {field})")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code, as `too-large`.
        error: String,
        /// The field or header at fault, if it was one.
        field: Option<String>,
        /// What is wrong.
        problem: String,
        /// How long to wait before the next try, if the gateway says so.
        retry_after: Option<Duration>,
    },
    /// The answer is not of the native protocol.
    #[error("status {status} with a body that is not of the native protocol")]
    Answer {
        /// The HTTP status.
        status: u16,
    },
    /// The stream of events is not well-formed.
    #[error(transparent)]
    Events(#[from] SseError),
    /// The data of an event is not what its name says.
    #[error("the data of event {id} is not a {kind}")]
    Data {
        /// The event.
        id: EventId,
        /// Its name.
        kind: String,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
}

/// One event with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What to acknowledge.
    pub id: EventId,
    /// What happened.
    pub event: Incoming,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// A message has arrived.
    Message(Box<MessageEvent>),
    /// Something this client does not know.
    Other {
        /// The event's name.
        kind: String,
        /// Its data.
        data: String,
    },
}

impl Client {
    /// A client for the user of `token` at a gateway such as `http://127.0.0.1:8081`; uses no proxy.
    pub fn new(base: &str, token: &str) -> Result<Self, ClientError> {
        let url = || ClientError::Url { url: base.to_owned() };
        let parsed = Url::parse(base).map_err(|_| url())?;
        if parsed.scheme() != "http" || parsed.cannot_be_a_base() {
            return Err(url());
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base: parsed, token: token.into() })
    }

    /// Sends one message and waits for what becomes of it; a failure to deliver is a result, not an error.
    pub async fn send(&self, message: &SendMessage) -> Result<SendResult, ClientError> {
        let response = self.authorized(self.http.post(self.url("messages", None))).json(message).send().await?;
        match response.status() {
            StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => read(response).await,
            _ => Err(refused(response).await),
        }
    }

    /// Tells the presence of `device`.
    pub async fn set_presence(&self, device: &str, state: &SetPresence) -> Result<PresenceResult, ClientError> {
        self.presence(self.http.put(self.url("presence", Some(device))).json(state)).await
    }

    /// Subscribes to somebody's presence; its events come with the others.
    pub async fn subscribe(&self, wanted: &Subscribe) -> Result<PresenceResult, ClientError> {
        self.presence(self.http.post(self.url("subscriptions", None)).json(wanted)).await
    }

    /// Allows or refuses a watcher.
    pub async fn authorize(&self, decision: &Authorize) -> Result<PresenceResult, ClientError> {
        self.presence(self.http.post(self.url("authorizations", None)).json(decision)).await
    }

    async fn presence(&self, request: RequestBuilder) -> Result<PresenceResult, ClientError> {
        let response = self.authorized(request).send().await?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::UNPROCESSABLE_ENTITY => read(response).await,
            _ => Err(refused(response).await),
        }
    }

    /// Opens the events of `device`, after `after` if given, else after what the device has acknowledged.
    pub async fn events(&self, device: &str, after: Option<EventId>) -> Result<Events, ClientError> {
        let mut request = self.authorized(self.http.get(self.url("events", Some(device))));
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        let response = request.send().await?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        let source =
            Source { chunks: response.bytes_stream().boxed(), parser: Parser::default(), parsed: VecDeque::new() };
        Ok(Events(stream::try_unfold(source, Source::next).boxed()))
    }

    /// Acknowledges everything up to `id` for `device`; gives the device's place.
    pub async fn ack(&self, device: &str, id: EventId) -> Result<EventId, ClientError> {
        let request = self.authorized(self.http.post(self.url("events/ack", Some(device))));
        let response = request.json(&Ack { id }).send().await?;
        match response.status() {
            StatusCode::OK => Ok(read::<AckResult>(response).await?.id),
            _ => Err(refused(response).await),
        }
    }

    fn url(&self, call: &str, device: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/v1/{call}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        if let Some(device) = device {
            url.query_pairs_mut().append_pair("device", device);
        }
        url
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.token.expose())
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let status = response.status().as_u16();
    let body = bounded_body(response).await?;
    serde_json::from_slice(&body).map_err(|_| ClientError::Answer { status })
}

async fn bounded_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(ClientError::Answer { status });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer of another status than expected says.
async fn refused(response: Response) -> ClientError {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let body = match bounded_body(response).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    if let Ok(Refused { error, field, problem }) = serde_json::from_slice(&body) {
        return ClientError::Refused { status, error, field, problem, retry_after };
    }
    match serde_json::from_slice::<SendResult>(&body) {
        Ok(SendResult { reason, text, .. }) => {
            let error = reason.unwrap_or_default();
            let problem = text.unwrap_or_else(|| error.clone());
            ClientError::Refused { status, error, field: None, problem, retry_after }
        }
        Err(_) => ClientError::Answer { status },
    }
}

/// The events of one device, as they come; ends when the gateway ends the connection.
pub struct Events(BoxStream<'static, Result<Received, ClientError>>);

impl Stream for Events {
    type Item = Result<Received, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

struct Source {
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    parser: Parser,
    parsed: VecDeque<sse::Event>,
}

impl Source {
    async fn next(mut self) -> Result<Option<(Received, Self)>, ClientError> {
        loop {
            if let Some(event) = self.parsed.pop_front() {
                return Ok(Some((received(event)?, self)));
            }
            let Some(chunk) = self.chunks.next().await else { return Ok(None) };
            self.parser.feed(&chunk?, &mut self.parsed)?;
        }
    }
}

fn received(event: sse::Event) -> Result<Received, ClientError> {
    let id = EventId::parse(&event.id).ok_or(SseError::Id)?;
    if event.kind != "message" {
        return Ok(Received { id, event: Incoming::Other { kind: event.kind, data: event.data } });
    }
    match serde_json::from_str(&event.data) {
        Ok(message) => Ok(Received { id, event: Incoming::Message(Box::new(message)) }),
        Err(source) => Err(ClientError::Data { id, kind: event.kind, source }),
    }
}

/// Long enough for a lost first packet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Four times the keep-alive of the events, and beyond the hold of a message.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Far more than any answer of the protocol but the events holds.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_below_the_base_url() {
        let url = |base: &str| Client::new(base, "t").unwrap().url("events/ack", Some("ü &b")).to_string();
        assert_eq!(url("http://127.0.0.1:8081"), "http://127.0.0.1:8081/v1/events/ack?device=%C3%BC+%26b");
        assert_eq!(url("http://gw.example/im/?x=y"), "http://gw.example/im/v1/events/ack?device=%C3%BC+%26b");
    }

    #[test]
    fn other_urls_are_refused() {
        for base in ["", "127.0.0.1:8081", "https://gw.example", "mailto:carol@native.example"] {
            assert!(matches!(Client::new(base, "t"), Err(ClientError::Url { .. })), "{base}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let client = Client::new("http://127.0.0.1:8081", "c4r0l").unwrap();
        assert!(!format!("{client:?}").contains("c4r0l"));
    }
}
