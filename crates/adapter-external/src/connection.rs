//! One stream: handshake, what it brings, what it takes away.

use crate::adapter::Shared;
use crate::flow::Pace;
use crate::kept::{Kept, MAX_RECORDS, MAX_RECORDS_OCTETS, RECORD_ROOM};
use crate::link::{self, Proven};
use crate::listen::Listener;
use crate::mapping;
use crate::reader::Reader;
use crate::session::{Session, settle_all};
use crate::wire::gateway_server::{Gateway, GatewayServer};
use crate::wire::{self, FromAdapter, FromGateway, from_adapter, from_gateway::Frame};
use crate::{MAX_FRAME, MISSED_BEATS, Reason, VERSION};
use adapter_api::model::Domain;
use adapter_api::{Hub, PeerState, Provenance, SourceProof, SpeaksFor};
use futures_util::stream::{self, Stream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status, Streaming};

/// How long the first frame may take.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Frames handed to a connection that it has not written.
const WRITE_QUEUE: usize = 64;

/// Streams at a time over one connection: one works, another may take its place.
const MAX_STREAMS: u32 = 4;

/// Connections at a time: one works, others may be refused in order.
pub(crate) const MAX_CONNECTIONS: usize = 16;

/// The longest frame to an adapter: a welcome with all its records.
const MAX_WELCOME: usize = MAX_RECORDS_OCTETS + MAX_RECORDS * RECORD_ROOM + MAX_FRAME;

/// Serves the listener until dropped.
pub(crate) async fn serve(shared: Arc<Shared>, listener: Listener) {
    let service = GatewayServer::new(Service(shared.clone()))
        .max_decoding_message_size(MAX_FRAME)
        .max_encoding_message_size(MAX_WELCOME);
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        // A machine that vanished is not waited for.
        .http2_keepalive_interval(Some(shared.config.heartbeat * MISSED_BEATS))
        .add_service(service);
    let served = match listener {
        Listener::Socket(socket) => router.serve_with_incoming(socket.incoming()).await,
        Listener::Tls(door) => router.serve_with_incoming(door.incoming()).await,
    };
    if let Err(error) = served {
        tracing::error!(adapter = %shared.instance, %error, "the listener can't be served");
    }
}

struct Service(Arc<Shared>);

type Frames = Pin<Box<dyn Stream<Item = Result<FromGateway, Status>> + Send>>;

#[tonic::async_trait]
impl Gateway for Service {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<FromAdapter>>) -> Result<Response<Frames>, Status> {
        let shared = Arc::clone(&self.0);
        if *shared.connections.borrow() >= MAX_CONNECTIONS {
            return Err(Status::resource_exhausted("too many connections"));
        }
        shared.connections.send_modify(|count| *count += 1);
        let (sender, mut receiver) = mpsc::channel(WRITE_QUEUE);
        let connection = request.extensions().get::<link::Connection>().cloned();
        let inbound = request.into_inner();
        tokio::spawn(async move {
            let _open = connection.as_ref().map(link::Connection::stream);
            let proven = connection.and_then(|connection| connection.proven);
            let number = shared.number();
            let reason = Connection { shared: &shared, number, sender: &sender, proven }.run(inbound).await;
            shared.ended(&reason);
            let goodbye = FromGateway { number: 0, frame: Some(Frame::Goodbye(reason.goodbye())) };
            // Who is gone hears no goodbye.
            let _ = tokio::time::timeout(HELLO_WITHIN, sender.send(Ok(goodbye))).await;
            shared.connections.send_modify(|count| *count -= 1);
        });
        Ok(Response::new(Box::pin(stream::poll_fn(move |context| receiver.poll_recv(context)))))
    }
}

type Sender = mpsc::Sender<Result<FromGateway, Status>>;

/// The welcome, the number of the last frame that the adapter has, the session's epoch, and the session before it, if one ended.
type Entered = (wire::Welcome, u64, u64, Option<Session>);

struct Connection<'c> {
    shared: &'c Shared,
    number: u64,
    sender: &'c Sender,
    /// How the adapter has proven itself, where it is elsewhere.
    proven: Option<Proven>,
}

impl Connection<'_> {
    /// Serves the stream; gives why it ends.
    async fn run(&self, mut inbound: Streaming<FromAdapter>) -> Reason {
        let hello = match tokio::time::timeout(HELLO_WITHIN, inbound.message()).await {
            Ok(Ok(Some(FromAdapter { frame: Some(from_adapter::Frame::Hello(hello)), .. }))) => hello,
            Ok(Err(status)) => return broken(&status),
            Ok(Ok(_)) | Err(_) => return Reason::Hello,
        };
        let Some(hub) = self.shared.hub.get() else { return Reason::Shutdown };
        let (written, provenance, epoch) = match self.attach(hub, hello).await {
            Ok(attached) => attached,
            Err(reason) => return reason,
        };
        self.tell_peers(hub, PeerState::Up);
        let mut stop = self.shared.stop.subscribe();
        let pace = Pace::new(self.shared.config.heartbeat, Instant::now());
        let mut reader = Reader { shared: self.shared, hub, provenance, epoch, connection: self.number, pace };
        let reason = tokio::select! {
            reason = reader.read(&mut inbound) => reason,
            reason = self.write(written) => reason,
            _ = stop.wait_for(|stop| *stop) => Reason::Shutdown,
        };
        self.detach(&reason);
        // What woke this connection is for the one that took its place.
        self.shared.wake.notify_one();
        if reason != Reason::Replaced {
            self.tell_peers(hub, PeerState::Down);
        }
        reason
    }

    fn tell_peers(&self, hub: &Hub, state: PeerState) {
        for domain in &self.shared.config.domains {
            if let (PeerState::Up, Some(Proven { version })) = (state, self.proven) {
                hub.peer_proven(domain.as_str(), "certificate", version);
            }
            hub.peer_changed(domain.as_str(), state);
        }
    }

    /// The handshake; gives the number of the last frame that the adapter has, whom it may speak for, and its session.
    async fn attach(&self, hub: &Hub, hello: wire::Hello) -> Result<(u64, Arc<Provenance>, u64), Reason> {
        self.check(&hello)?;
        let claimed: Vec<Domain> = hello.domains.iter().filter_map(|domain| Domain::parse(domain).ok()).collect();
        let provenance = Arc::new(Provenance {
            may_repeat: false,
            adapter: hub.instance().clone(),
            peer: self.shared.instance.as_str().into(),
            // The socket is for this gateway's own user alone; over TCP a certificate was demanded.
            proof: SourceProof::Secret,
            speaks_for: SpeaksFor::Domains(claimed.into()),
        });
        let (welcome, written, epoch, ended) = match self.resume(hub, hello.resume.as_ref())? {
            Some(resumed) => resumed,
            // Waits for the disk.
            None => self.begin(hub, self.records(hub).await)?,
        };
        ended.into_iter().for_each(|session| settle_all(session.end()));
        tracing::info!(adapter = %self.shared.instance, resumed = welcome.resumed, "the adapter is connected");
        self.send(0, Frame::Welcome(welcome)).await?;
        self.shared.wake.notify_one();
        Ok((written, provenance, epoch))
    }

    fn check(&self, hello: &wire::Hello) -> Result<(), Reason> {
        let Shared { instance, config, capabilities, .. } = self.shared;
        if hello.version != VERSION {
            return Err(Reason::Version { found: hello.version });
        }
        if hello.instance != instance.as_str() {
            return Err(Reason::Instance);
        }
        let said = mapping::read_capabilities(hello.capabilities.clone().unwrap_or_default())?;
        if let Some(field) = difference(&serde_json::to_value(&said), &serde_json::to_value(capabilities)) {
            return Err(Reason::Capabilities { field });
        }
        let allowed = |text: &String| Domain::parse(text).is_ok_and(|domain| config.domains.contains(&domain));
        match hello.domains.iter().find(|text| !allowed(text)) {
            Some(domain) => Err(Reason::Domains { domain: domain.chars().take(253).collect() }),
            None if hello.domains.is_empty() => Err(Reason::Domains { domain: "(none)".to_owned() }),
            None => Ok(()),
        }
    }

    async fn records(&self, hub: &Hub) -> Vec<wire::Record> {
        let hub = hub.clone();
        let kept = tokio::task::spawn_blocking(move || hub.kept()).await.unwrap_or_default();
        kept.into_iter().map(|(key, value)| wire::Record { key: key.into(), value: value.into() }).collect()
    }

    /// Goes on with a session; none if it is over, as after a restart of the gateway: then another one begins.
    fn resume(&self, hub: &Hub, resume: Option<&wire::Resume>) -> Result<Option<Entered>, Reason> {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let (Some(session), Some(resume)) = (state.session.as_mut(), resume) else { return Ok(None) };
        if session.id != resume.session {
            return Ok(None);
        }
        session.outbox.received(resume.received, 0)?;
        session.connection = Some(self.number);
        let welcome = self.shared.welcome(hub, session, true);
        state.refused = None;
        Ok(Some((welcome, resume.received, session.epoch, None)))
    }

    /// Begins a session with what was kept in those before it.
    fn begin(&self, hub: &Hub, records: Vec<wire::Record>) -> Result<Entered, Reason> {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        if state.session.as_ref().is_some_and(|session| session.connection.is_some()) {
            return Err(Reason::Busy);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let kept = Kept::new(records.iter().map(|record| (&record.key[..], &record.value[..])));
        let mut session = Session::new(id, self.shared.number(), kept, Instant::now());
        session.connection = Some(self.number);
        let welcome = wire::Welcome { records, ..self.shared.welcome(hub, &mut session, false) };
        let epoch = session.epoch;
        let ended = state.session.replace(session);
        state.controls.clear();
        state.refused = None;
        Ok((welcome, 0, epoch, ended))
    }

    /// The connection is over; so is the session, unless another connection may go on with it.
    fn detach(&self, reason: &Reason) {
        let mut state = self.shared.state.lock();
        let Some(session) = state.session.as_mut().filter(|session| session.connection == Some(self.number)) else {
            return;
        };
        session.connection = None;
        session.detached = Instant::now();
        drop(state);
        if !reason.may_resume() {
            self.shared.end_session();
        }
    }

    async fn send(&self, number: u64, frame: Frame) -> Result<(), Reason> {
        self.sender.send(Ok(FromGateway { number, frame: Some(frame) })).await.map_err(|_| Reason::Broken)
    }

    /// Writes what is there, and beats when there is nothing.
    async fn write(&self, mut written: u64) -> Reason {
        let mut beat = tokio::time::interval(self.shared.config.heartbeat);
        loop {
            let beats = tokio::select! {
                () = self.shared.wake.notified() => false,
                _ = beat.tick() => true,
            };
            if let Err(reason) = self.write_all(&mut written, beats).await {
                return reason;
            }
        }
    }

    async fn write_all(&self, written: &mut u64, beats: bool) -> Result<(), Reason> {
        if beats {
            self.send(0, Frame::Beat(wire::Beat {})).await?;
        }
        loop {
            let (controls, told, next) = {
                let mut state = self.shared.state.lock();
                state.session_of(self.number)?;
                let controls = std::mem::take(&mut state.controls);
                let session = state.session_of(self.number)?;
                let tells = session.inbox.wants_to_tell() || (beats && session.inbox.has_news());
                let told = tells.then(|| {
                    let number = session.inbox.taken();
                    wire::Received { number, allowed: session.inbox.tell() }
                });
                (controls, told, session.outbox.next(*written))
            };
            for frame in controls.into_iter().chain(told.map(Frame::Received)) {
                self.send(0, frame).await?;
            }
            let Some((number, frame)) = next else { return Ok(()) };
            self.send(number, frame).await?;
            *written = number;
        }
    }
}

/// The name of the first field in which two tables differ.
fn difference<E>(one: &Result<serde_json::Value, E>, other: &Result<serde_json::Value, E>) -> Option<String> {
    let (Ok(serde_json::Value::Object(one)), Ok(serde_json::Value::Object(other))) = (one, other) else {
        return Some("everything".to_owned());
    };
    other.iter().find(|(name, value)| one.get(*name) != Some(value)).map(|(name, _)| name.clone())
}

/// Why a stream that tonic gives up ends.
pub(crate) fn broken(status: &Status) -> Reason {
    // What tonic says of a message beyond the limit, and of octets that are none.
    if status.code() == Code::OutOfRange {
        Reason::FrameTooLarge
    } else if status.code() == Code::Internal && status.message().contains("decode") {
        Reason::Malformed("octets that are no frame".to_owned())
    } else {
        Reason::Broken
    }
}
