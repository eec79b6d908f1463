//! A homeserver of two users, as far as an application service sees one.
#![allow(dead_code, reason = "each test uses its part")]

use adapter_api::Adapter;
use adapter_api::model::{Address, Cause, Show};
use adapter_api::testkit::{Act, Answer, DEVICE, Manner, Network, Profile, Seen, Unable, context};
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) const AS_TOKEN: &str = "as-token-of-the-lab";
pub(crate) const HS_TOKEN: &str = "hs-token-of-the-lab";
const DOMAIN: &str = "matrix.example";
const GHOSTS: &str = "@_il_";

/// What the homeserver knows.
pub(crate) struct World {
    manner: Manner,
    /// By room: the user and the ghost.
    rooms: BTreeMap<String, (String, String)>,
    joined: BTreeSet<String>,
    registered: BTreeSet<String>,
    /// What was sent, by ghost and transaction.
    sent: BTreeMap<(String, String), String>,
    seen: mpsc::UnboundedSender<Seen>,
    events: mpsc::UnboundedSender<Value>,
    next: u64,
    /// Answers of 429 that are still to be given.
    pub(crate) limits: u32,
    /// Of users, where it is something else than offline.
    pub(crate) states: BTreeMap<String, &'static str>,
    /// Typing, receipts and the like, as text.
    pub(crate) notes: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

/// The homeserver, as the kit drives it.
pub(crate) struct Homeserver {
    pub(crate) world: Shared,
    seen: mpsc::UnboundedReceiver<Seen>,
    pub(crate) url: String,
    service: tokio::sync::watch::Sender<Option<SocketAddr>>,
    tasks: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Homeserver {
    pub(crate) async fn new() -> Self {
        let (seen, receiver) = mpsc::unbounded_channel();
        let (events, queue) = mpsc::unbounded_channel();
        let world = World {
            manner: Manner::Confirm,
            rooms: BTreeMap::new(),
            joined: BTreeSet::new(),
            registered: BTreeSet::new(),
            sent: BTreeMap::new(),
            seen,
            events,
            next: 0,
            limits: 0,
            states: BTreeMap::new(),
            notes: Vec::new(),
        };
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (service, address) = tokio::sync::watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let router = router(Arc::clone(&world));
            async move { axum::serve(listener, router).await.unwrap() }
        });
        tasks.spawn(push(address, queue));
        Self { world, seen: receiver, url, service, tasks, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn config(&self) -> adapter_matrix::Config {
        let file = |name: &str, token: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, token).unwrap();
            path
        };
        let table = json!({ "domain": DOMAIN, "homeserver": self.url, "listen": "127.0.0.1:0",
            "as_token_file": file("as", AS_TOKEN), "hs_token_file": file("hs", HS_TOKEN) });
        serde_json::from_value(table).unwrap()
    }

    fn user_opens(&self, user: &Address, other: &Address) -> String {
        let (user, ghost) = (user_id(user), ghost_id(other));
        let mut world = self.world.lock().unwrap();
        let known = world.rooms.iter().find(|(_, ends)| **ends == (user.clone(), ghost.clone()));
        if let Some((room, _)) = known {
            return room.clone();
        }
        let room = world.room(&user, &ghost);
        world.joined.insert(room.clone());
        world.member(&room, &user, &ghost, "invite");
        room
    }

    fn room_of(&self, user: &Address, other: &Address) -> Result<String, Unable> {
        let ends = (user_id(user), ghost_id(other));
        let world = self.world.lock().unwrap();
        let known = world.rooms.iter().find(|(_, known)| **known == ends).map(|(room, _)| room.clone());
        known.ok_or_else(|| Unable::new("answer where there is no room"))
    }

    /// A user says something, under an id of the test's choice.
    pub(crate) fn says(&self, from: &Address, to: &Address, id: &str, content: Value) {
        let room = self.user_opens(from, to);
        let event = json!({ "type": "m.room.message", "room_id": room, "sender": user_id(from), "event_id": format!("${id}"),
            "content": content });
        self.world.lock().unwrap().events.send(event).unwrap();
    }

    pub(crate) fn event(&self, event: Value) {
        self.world.lock().unwrap().events.send(event).unwrap();
    }
}

impl World {
    fn room(&mut self, user: &str, ghost: &str) -> String {
        self.next += 1;
        let room = format!("!{}:{DOMAIN}", self.next);
        self.rooms.insert(room.clone(), (user.to_owned(), ghost.to_owned()));
        room
    }

    fn member(&self, room: &str, sender: &str, who: &str, membership: &str) {
        let event = json!({ "type": "m.room.member", "room_id": room, "sender": sender, "state_key": who, "event_id": "$m",
            "content": { "membership": membership } });
        self.events.send(event).unwrap();
    }

    fn sees(&self, seen: Seen) {
        // A kit that is done looks no more.
        let _ = self.seen.send(seen);
    }
}

pub(crate) fn user_id(user: &Address) -> String {
    format!("@{}:{DOMAIN}", user.local())
}

fn user_of(id: &str) -> Address {
    Address::parse_bare(&format!("{}@{DOMAIN}", id.trim_start_matches('@').split(':').next().unwrap())).unwrap()
}

/// By the mapping of the Matrix appendices.
pub(crate) fn ghost_id(address: &Address) -> String {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"._-".contains(&octet);
    let write = |octet: u8| if plain(octet) { char::from(octet).to_string() } else { format!("={octet:02x}") };
    format!("{GHOSTS}{}:{DOMAIN}", address.to_string().bytes().map(write).collect::<String>())
}

fn ghost_of(id: &str) -> Address {
    let local = id.strip_prefix(GHOSTS).unwrap().split(':').next().unwrap();
    let mut parts = local.split('=');
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
        octets.extend_from_slice(&part.as_bytes()[2..]);
    }
    Address::parse_bare(std::str::from_utf8(&octets).unwrap()).unwrap()
}

/// Sends events to the application service: each in a transaction that comes again until it is taken.
async fn push(
    mut address: tokio::sync::watch::Receiver<Option<SocketAddr>>,
    mut queue: mpsc::UnboundedReceiver<Value>,
) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut number = 0;
    while let Some(event) = queue.recv().await {
        number += 1;
        let at = address.wait_for(Option::is_some).await.unwrap().unwrap();
        let list = if event.get("event_id").is_some() { "events" } else { "ephemeral" };
        let url = format!("http://{at}/_matrix/app/v1/transactions/{number}");
        loop {
            let sent = http.put(&url).bearer_auth(HS_TOKEN).json(&json!({ list: [event] })).send().await;
            match sent {
                Ok(answer) if answer.status().is_success() => break,
                // An adapter that has crashed takes nothing more; its successor is another test's.
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                Err(_) => return,
            }
        }
    }
}

fn router(world: Shared) -> Router {
    let client = Router::new()
        .route("/register", post(register))
        .route("/profile/{user}", get(profile))
        .route("/profile/{user}/displayname", put(nothing))
        .route("/createRoom", post(create))
        .route("/join/{room}", post(nothing))
        .route("/rooms/{room}/leave", post(leave))
        .route("/rooms/{room}/send/m.room.message/{transaction}", put(send))
        .route("/rooms/{room}/typing/{user}", put(note))
        .route("/rooms/{room}/receipt/m.read/{event}", post(note))
        .route("/presence/{user}/status", get(state).put(presence))
        .route("/account/whoami", get(async || Json(json!({ "user_id": "@interlingua:matrix.example" }))))
        .layer(middleware::from_fn_with_state(Arc::clone(&world), limited))
        .with_state(world);
    Router::new().nest("/_matrix/client/v3", client)
}

fn refuse(status: u16, errcode: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "errcode": errcode, "error": "no" }))).into_response()
}

async fn limited(State(world): State<Shared>, headers: HeaderMap, request: Request, next: Next) -> Response {
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {AS_TOKEN}").as_str()) {
        return refuse(401, "M_UNKNOWN_TOKEN");
    }
    let limited = {
        let mut world = world.lock().unwrap();
        let limited = world.limits > 0;
        world.limits = world.limits.saturating_sub(1);
        limited
    };
    if limited {
        let body = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 20 });
        return (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
    }
    next.run(request).await
}

async fn nothing() -> Response {
    Json(json!({})).into_response()
}

async fn note(State(world): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    let note = format!("{} {}", parts.uri.path(), String::from_utf8_lossy(&body));
    world.lock().unwrap().notes.push(note);
    nothing().await
}

/// Who leaves is told so like everybody who may hear the room.
async fn leave(
    State(world): State<Shared>,
    Path(room): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let ghost = &query["user_id"];
    let mut world = world.lock().unwrap();
    world.notes.push(format!("{ghost} leaves {room}"));
    world.member(&room, ghost, ghost, "leave");
    Json(json!({})).into_response()
}

async fn register(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    let name = body["username"].as_str().unwrap().to_owned();
    if !world.lock().unwrap().registered.insert(name) {
        return refuse(400, "M_USER_IN_USE");
    }
    nothing().await
}

async fn profile(Path(user): Path<String>) -> Response {
    let known = ["@alice:matrix.example", "@bob:matrix.example"].contains(&user.as_str());
    if known { nothing().await } else { refuse(404, "M_NOT_FOUND") }
}

async fn create(
    State(world): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    Json(body): Json<Value>,
) -> Response {
    let (ghost, user) = (&query["user_id"], body["invite"][0].as_str().unwrap());
    let mut world = world.lock().unwrap();
    let room = world.room(user, ghost);
    world.sees(Seen::Asked { user: user_of(user), watcher: ghost_of(ghost) });
    Json(json!({ "room_id": room })).into_response()
}

async fn send(
    State(world): State<Shared>,
    Path((room, transaction)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    Json(content): Json<Value>,
) -> Response {
    let ghost = query["user_id"].clone();
    let manner = {
        let mut world = world.lock().unwrap();
        let Some((user, _)) = world.rooms.get(&room).filter(|(_, known)| *known == ghost).cloned() else {
            return refuse(403, "M_FORBIDDEN");
        };
        if let Some(event) = content.pointer("/m.relates_to/m.in_reply_to/event_id").and_then(Value::as_str) {
            let id = event.trim_start_matches('$').to_owned();
            world.sees(Seen::Answer { id, answer: Answer::Failed });
            return if world.manner == Manner::Cut {
                broken()
            } else {
                Json(json!({ "event_id": "$n" })).into_response()
            };
        }
        if let Manner::Refuse(cause) = world.manner {
            let (status, code) = refusals()
                .into_iter()
                .find(|(known, ..)| *known == cause)
                .map(|(_, status, code)| (status, code))
                .unwrap();
            return refuse(status, code);
        }
        world.next += 1;
        let event = format!("${}", world.next);
        let earlier = world.sent.insert((ghost.clone(), transaction.clone()), event);
        if earlier.is_none() {
            world.sees(Seen::Message {
                to: user_of(&user),
                from: ghost_of(&ghost),
                id: Some(transaction.clone()),
                content_type: "text/plain".to_owned(),
                body: content["body"].as_str().unwrap().to_owned().into(),
            });
        }
        world.manner
    };
    match manner {
        Manner::After(time) => tokio::time::sleep(time).await,
        Manner::Silent => std::future::pending().await,
        Manner::Vanish => return broken(),
        Manner::Confirm | Manner::Refuse(_) | Manner::Cut => {}
    }
    let event = world.lock().unwrap().sent[&(ghost, transaction)].clone();
    Json(json!({ "event_id": event })).into_response()
}

/// The connection breaks within the answer.
fn broken() -> Response {
    let broken = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("gone")) });
    Body::from_stream(broken).into_response()
}

async fn presence(State(world): State<Shared>, Path(ghost): Path<String>, Json(body): Json<Value>) -> Response {
    let world = world.lock().unwrap();
    let open = if body["presence"] == "offline" { vec![] } else { vec!["matrix".to_owned()] };
    for (room, (user, _)) in world.rooms.iter().filter(|(_, (_, known))| *known == ghost) {
        if world.joined.contains(room) {
            world.sees(Seen::Presence { user: user_of(user), presentity: ghost_of(&ghost), open: open.clone() });
        }
    }
    Json(json!({})).into_response()
}

/// Those who share a room may ask.
async fn state(
    State(world): State<Shared>,
    Path(user): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let world = world.lock().unwrap();
    let ends = (user, query["user_id"].clone());
    if !world.rooms.iter().any(|(room, known)| *known == ends && world.joined.contains(room)) {
        return refuse(403, "M_FORBIDDEN");
    }
    let presence = world.states.get(&ends.0).copied().unwrap_or("offline");
    Json(json!({ "presence": presence, "last_active_ago": 5, "currently_active": presence == "online" }))
        .into_response()
}

fn refusals() -> Vec<(Cause, u16, &'static str)> {
    vec![
        (Cause::Forbidden, 403, "M_FORBIDDEN"),
        (Cause::NotFound, 404, "M_NOT_FOUND"),
        (Cause::TooLarge, 413, "M_TOO_LARGE"),
        (Cause::Gone, 403, "M_USER_DEACTIVATED"),
        (Cause::BadRequest, 400, "M_BAD_JSON"),
        (Cause::NotImplemented, 404, "M_UNRECOGNIZED"),
        (Cause::PolicyViolation, 403, "M_CONSENT_NOT_GIVEN"),
        (Cause::InternalError, 500, "M_UNKNOWN"),
    ]
}

pub(crate) fn alice() -> Address {
    Address::parse_bare("alice@matrix.example").unwrap()
}

#[async_trait::async_trait]
impl Network for Homeserver {
    fn profile(&self) -> Profile {
        Profile {
            user: alice(),
            other: Address::parse_bare("bob@matrix.example").unwrap(),
            listens: true,
            refusals: refusals().into_iter().map(|(cause, ..)| cause).collect(),
            asks: true,
            shows_ids: true,
            remembers_ids: false,
        }
    }

    async fn adapter(&mut self) -> Result<Arc<dyn Adapter>, Unable> {
        *self = Self::new().await;
        let config = self.config();
        assert_eq!(config.problems(), []);
        Ok(adapter_matrix::new("kit".into(), config, context(alice().domain())).unwrap())
    }

    fn listening(&mut self, address: SocketAddr) {
        self.service.send_replace(Some(address));
    }

    async fn act(&mut self, act: Act) -> Result<(), Unable> {
        match act {
            Act::Connect { device, .. } if device != DEVICE => Err(Unable::new("show devices")),
            Act::Connect { .. } | Act::Disconnect { .. } => Ok(()),
            Act::Send { from, to, id, body, .. } => {
                let text = std::str::from_utf8(&body).map_err(|_| Unable::new("send what is no text"))?;
                self.says(&from, &to, &id, json!({ "msgtype": "m.text", "body": text }));
                Ok(())
            }
            Act::Receive(manner) => {
                self.world.lock().unwrap().manner = manner;
                Ok(())
            }
            Act::Authorize { user, watcher, allow } => {
                let room = self.room_of(&user, &watcher)?;
                let mut world = self.world.lock().unwrap();
                let id = user_id(&user);
                if allow {
                    world.joined.insert(room.clone());
                } else {
                    world.rooms.remove(&room);
                }
                world.member(&room, &id, &id, if allow { "join" } else { "leave" });
                Ok(())
            }
            Act::Watch { user, presentity } => {
                self.user_opens(&user, &presentity);
                Ok(())
            }
            Act::Unwatch { user, presentity } => {
                let room = self.room_of(&user, &presentity)?;
                let id = user_id(&user);
                self.world.lock().unwrap().member(&room, &id, &id, "leave");
                Ok(())
            }
            Act::Publish { user, open, show, .. } => {
                let presence = match (open, show) {
                    (false, _) => "offline",
                    (true, Some(Show::Away | Show::Xa | Show::Dnd)) => "unavailable",
                    (true, Some(Show::Chat) | None) => "online",
                };
                self.world.lock().unwrap().states.insert(user_id(&user), presence);
                self.event(
                    json!({ "type": "m.presence", "sender": user_id(&user), "content": { "presence": presence } }),
                );
                Ok(())
            }
        }
    }

    async fn seen(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}
