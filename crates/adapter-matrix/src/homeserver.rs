//! The homeserver's client API, as ghosts.

use crate::mapping::{Refusal, read_state, retry_after};
use adapter_api::model::{Cause, Failure, PresenceInfo, Side};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use std::time::Duration;

/// Calls the homeserver with the application service's token.
pub(crate) struct Homeserver {
    client: Client,
    base: Url,
    token: String,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The homeserver said no.
    Refused(Refusal),
    /// Nobody was there: certainly nothing was done.
    Unreachable,
    /// It went out, and no answer came.
    Unanswered,
}

impl CallError {
    /// Whether the homeserver refused it with this code.
    pub(crate) fn is(&self, errcode: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.errcode == errcode)
    }

    /// The same in the hub's terms.
    pub(crate) fn to_failure(&self) -> Failure {
        match self {
            Self::Refused(refusal) => refusal.to_failure(),
            Self::Unreachable => Failure::new(Side::Far, Cause::LinkDown).with_text("the homeserver does not answer"),
            Self::Unanswered => Failure::new(Side::Far, Cause::Unconfirmed),
        }
    }
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the homeserver may take for an answer.
const ANSWER: Duration = Duration::from_secs(60);

/// The largest answer that is read; ours are some hundred octets.
const MAX_ANSWER: usize = 1024 * 1024;

/// Where the client API begins.
const CLIENT: [&str; 3] = ["_matrix", "client", "v3"];

/// The result of a call.
pub(crate) type Called<T> = Result<T, CallError>;

impl Homeserver {
    pub(crate) fn new(base: Url, token: String) -> Result<Self, String> {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT).timeout(ANSWER).build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, base, token })
    }

    /// Matrix application service API, server admin style permissions: makes the ghost; it may be there.
    pub(crate) async fn register(&self, localpart: &str) -> Called<()> {
        let body = json!({ "type": "m.login.application_service", "username": localpart, "inhibit_login": true });
        match self.call(Method::POST, &["register"], None, Some(&body)).await {
            Err(error) if error.is("M_USER_IN_USE") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Matrix client-server API, profiles: how the ghost is shown.
    pub(crate) async fn set_name(&self, ghost: &str, name: &str) -> Called<()> {
        let body = json!({ "displayname": name });
        self.call(Method::PUT, &["profile", ghost, "displayname"], Some(ghost), Some(&body)).await.map(drop)
    }

    /// Whether the user exists.
    pub(crate) async fn knows(&self, user: &str, ghost: &str) -> Called<bool> {
        match self.call(Method::GET, &["profile", user], Some(ghost), None).await {
            Ok(_) => Ok(true),
            Err(CallError::Refused(refusal)) if refusal.status == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Matrix client-server API, direct messaging: a room of the ghost and the user, who is invited; gives its id.
    pub(crate) async fn create_room(&self, ghost: &str, user: &str) -> Called<String> {
        let body = json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": [user] });
        let made = self.call(Method::POST, &["createRoom"], Some(ghost), Some(&body)).await?;
        match made.get("room_id").and_then(Value::as_str) {
            Some(room) => Ok(room.to_owned()),
            None => Err(CallError::Unanswered),
        }
    }

    pub(crate) async fn join(&self, ghost: &str, room: &str) -> Called<()> {
        self.call(Method::POST, &["join", room], Some(ghost), Some(&json!({}))).await.map(drop)
    }

    pub(crate) async fn leave(&self, ghost: &str, room: &str) -> Called<()> {
        self.call(Method::POST, &["rooms", room, "leave"], Some(ghost), Some(&json!({}))).await.map(drop)
    }

    /// Sends an event; the same transaction twice is one event.
    pub(crate) async fn send(&self, ghost: &str, room: &str, transaction: &str, content: &Value) -> Called<()> {
        let path = ["rooms", room, "send", "m.room.message", transaction];
        self.call(Method::PUT, &path, Some(ghost), Some(content)).await.map(drop)
    }

    pub(crate) async fn typing(&self, ghost: &str, room: &str, typing: Option<Duration>) -> Called<()> {
        let body = match typing {
            Some(time) => json!({ "typing": true, "timeout": u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }),
            None => json!({ "typing": false }),
        };
        self.call(Method::PUT, &["rooms", room, "typing", ghost], Some(ghost), Some(&body)).await.map(drop)
    }

    /// Matrix client-server API, receipts: the ghost has read up to `event`.
    pub(crate) async fn read(&self, ghost: &str, room: &str, event: &str) -> Called<()> {
        let path = ["rooms", room, "receipt", "m.read", event];
        self.call(Method::POST, &path, Some(ghost), Some(&json!({}))).await.map(drop)
    }

    /// Matrix client-server API, presence: a user's state as the ghost may see it, read like the content of an event.
    pub(crate) async fn state(&self, user: &str, ghost: &str) -> Called<Option<PresenceInfo>> {
        let answer = self.call(Method::GET, &["presence", user, "status"], Some(ghost), None).await?;
        Ok(read_state(&answer))
    }

    pub(crate) async fn presence(&self, ghost: &str, presence: &str, note: &str) -> Called<()> {
        let body = json!({ "presence": presence, "status_msg": note });
        self.call(Method::PUT, &["presence", ghost, "status"], Some(ghost), Some(&body)).await.map(drop)
    }

    /// Whether the homeserver knows us, and as whom.
    pub(crate) async fn whoami(&self) -> Called<String> {
        let answer = self.call(Method::GET, &["account", "whoami"], None, None).await?;
        Ok(answer.get("user_id").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// One call; Matrix application service API, identity assertion: as `ghost`, or as the service itself.
    async fn call(&self, method: Method, path: &[&str], ghost: Option<&str>, body: Option<&Value>) -> Called<Value> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(CLIENT).extend(path);
        }
        if let Some(ghost) = ghost {
            url.query_pairs_mut().append_pair("user_id", ghost);
        }
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| if error.is_connect() { CallError::Unreachable } else { CallError::Unanswered })?;
        let status = answer.status();
        let wait = retry_after(answer.headers().get("retry-after").and_then(|value| value.to_str().ok()));
        let octets = read(answer).await?;
        if status.is_success() {
            // What a success says beside that is not always wanted.
            return Ok(serde_json::from_slice(&octets).unwrap_or(Value::Null));
        }
        Err(CallError::Refused(Refusal::read(status.as_u16(), &octets, wait)))
    }
}

async fn read(mut answer: reqwest::Response) -> Called<Vec<u8>> {
    let mut octets = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| CallError::Unanswered)? {
        octets.extend_from_slice(&chunk);
        if octets.len() > MAX_ANSWER {
            return Err(CallError::Unanswered);
        }
    }
    Ok(octets)
}
