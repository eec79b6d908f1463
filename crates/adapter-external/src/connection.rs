//! One stream: handshake, what it brings, what it takes away.

use crate::adapter::{Answers, Shared, State};
use crate::kept::{Kept, MAX_KEY, MAX_RECORD, MAX_RECORDS, MAX_RECORDS_OCTETS, RECORD_ROOM};
use crate::listen::{Listener, Proven};
use crate::mapping::{self, read_disposition, read_findings, read_operation, read_outcome};
use crate::session::{MAX_SUBMISSIONS, Session, settle_all};
use crate::wire::gateway_server::{Gateway, GatewayServer};
use crate::wire::{self, FromAdapter, FromGateway, from_adapter, from_gateway::Frame};
use crate::{MAX_FRAME, MISSED_BEATS, Reason, VERSION};
use adapter_api::model::{Cause, Domain, Failure, Side};
use adapter_api::{Hub, PeerState, Provenance, Settle, SourceProof, SpeaksFor, StateDone};
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

/// The longest name of a peer: a domain, or a host with its port.
const MAX_PEER: usize = 270;

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
        let proven = request.extensions().get::<Proven>().copied();
        let inbound = request.into_inner();
        tokio::spawn(async move {
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
        let reader = Reader { shared: self.shared, hub, provenance, epoch, connection: self.number };
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
        // Waits for the disk; only for a session that begins.
        let resumes = hello.resume.as_ref();
        let records = if resumes.is_none() { self.records(hub).await } else { Vec::new() };
        let (welcome, written, epoch, ended) = self.enter(hub, resumes, records)?;
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

    #[allow(clippy::type_complexity, reason = "one caller")]
    fn enter(
        &self,
        hub: &Hub,
        resume: Option<&wire::Resume>,
        records: Vec<wire::Record>,
    ) -> Result<(wire::Welcome, u64, u64, Option<Session>), Reason> {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let now = Instant::now();
        if let (Some(session), Some(resume)) = (state.session.as_mut(), resume)
            && session.id == resume.session
        {
            session.outbox.received(resume.received, 0)?;
            session.connection = Some(self.number);
            let welcome = self.shared.welcome(hub, session, true);
            state.refused = None;
            return Ok((welcome, resume.received, session.epoch, None));
        }
        if state.session.as_ref().is_some_and(|session| session.connection.is_some()) {
            return Err(Reason::Busy);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let kept = Kept::new(records.iter().map(|record| (&record.key[..], &record.value[..])));
        let mut session = Session::new(id, self.shared.number(), kept, now);
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
                let State { session, controls, .. } = &mut *state;
                let ours = session.as_mut().filter(|session| session.connection == Some(self.number));
                let session = ours.ok_or(Reason::Replaced)?;
                let tells = session.inbox.wants_to_tell() || (beats && session.inbox.has_news());
                let told = tells.then(|| {
                    let number = session.inbox.taken();
                    wire::Received { number, allowed: session.inbox.tell() }
                });
                (std::mem::take(controls), told, session.outbox.next(*written))
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

struct Reader<'r> {
    shared: &'r Shared,
    hub: &'r Hub,
    provenance: Arc<Provenance>,
    epoch: u64,
    connection: u64,
}

impl Reader<'_> {
    async fn read(&self, inbound: &mut Streaming<FromAdapter>) -> Reason {
        let patience = self.shared.config.heartbeat * MISSED_BEATS;
        let answers: Arc<Answers> = Arc::new(Answers { shared: self.shared.me.clone(), epoch: self.epoch });
        loop {
            let frame = match tokio::time::timeout(patience, inbound.message()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return Reason::Broken,
                Ok(Err(status)) => return broken(&status),
                Err(_) => return Reason::Silent(patience),
            };
            if let Err(reason) = self.handle(frame, &answers) {
                return reason;
            }
        }
    }

    fn handle(&self, FromAdapter { number, frame }: FromAdapter, answers: &Arc<Answers>) -> Result<(), Reason> {
        use from_adapter::Frame as In;
        let frame = frame.ok_or_else(|| Reason::Malformed("a frame of an unknown kind".to_owned()))?;
        let numbered = match &frame {
            In::Submit(_)
            | In::Settled(_)
            | In::Keep(_)
            | In::Peer(_)
            | In::Loss(_)
            | In::Listening(_)
            | In::Commit(_)
            | In::Owe(_)
            | In::Proven(_) => true,
            In::Hello(_) | In::Findings(_) | In::Received(_) | In::Beat(_) | In::Goodbye(_) => false,
        };
        if numbered != (number != 0) {
            return Err(Reason::Malformed("a number where none belongs, or none where one does".to_owned()));
        }
        if numbered && !self.take(number)? {
            return Ok(());
        }
        match frame {
            In::Settled(settled) => return self.settled(settled),
            In::Submit(submit) => self.submit(number, submit, answers),
            In::Keep(keep) => self.keep(number, keep)?,
            In::Commit(_) => self.hub.commit(),
            In::Owe(owe) => return self.owe(number, owe),
            In::Proven(wire::Proven { name, proof, protection }) if is_peer(&name) => {
                if [&proof, &protection].iter().any(|text| text.is_empty() || text.len() > MAX_PROOF) {
                    return Err(mapping::value("proven").into());
                }
                self.hub.peer_proven(&name, &proof, &protection);
            }
            In::Proven(_) => return Err(mapping::value("proven.name").into()),
            In::Peer(peer) if is_peer(&peer.name) => {
                self.hub.peer_changed(&peer.name, if peer.up { PeerState::Up } else { PeerState::Down });
            }
            In::Peer(_) => return Err(mapping::value("peer.name").into()),
            In::Loss(loss) => {
                let how = mapping::read_loss(loss.how)?;
                // The name becomes a metric's label: only declared ones do.
                if self.shared.capabilities.fields.iter().any(|field| field.field == loss.field) {
                    self.hub.translation_loss(&loss.field, how);
                }
            }
            In::Listening(told) => {
                let address = told.address.parse().map_err(|_| mapping::value("listening.address"))?;
                if !["tcp", "udp", "http"].contains(&told.transport.as_str()) {
                    return Err(mapping::value("listening.transport").into());
                }
                self.hub.listening(&told.transport, address);
            }
            In::Findings(findings) => {
                let waiting = self.shared.state.lock().examines.remove(&findings.id);
                let findings = read_findings(findings)?;
                // Who asked may have gone meanwhile.
                let _ = waiting.map(|waiting| waiting.send(findings));
            }
            In::Received(received) => {
                self.with_session(|session| session.outbox.received(received.number, received.allowed))?
            }
            In::Beat(_) => {}
            In::Goodbye(goodbye) => return Err(Reason::Left(goodbye.reason.chars().take(80).collect())),
            In::Hello(_) => return Err(Reason::Malformed("a second hello".to_owned())),
        }
        self.shared.wake.notify_one();
        Ok(())
    }

    fn with_session<T>(&self, act: impl FnOnce(&mut Session) -> Result<T, Reason>) -> Result<T, Reason> {
        let mut state = self.shared.state.lock();
        let ours = state.session.as_mut().filter(|session| session.connection == Some(self.connection));
        act(ours.ok_or(Reason::Replaced)?)
    }

    fn take(&self, number: u64) -> Result<bool, Reason> {
        let (new, tell) = self.with_session(|session| {
            let new = session.inbox.take(number)?;
            Ok((new, session.inbox.wants_to_tell()))
        })?;
        if tell {
            self.shared.wake.notify_one();
        }
        Ok(new)
    }

    fn settled(&self, wire::Settled { of, outcome }: wire::Settled) -> Result<(), Reason> {
        let outcome = read_outcome(outcome)?;
        let waiting = self.with_session(|session| session.settled(of))?;
        if let Some(settle) = waiting {
            settle.settle(outcome);
        }
        Ok(())
    }

    fn submit(&self, number: u64, submit: wire::Submit, answers: &Arc<Answers>) {
        let settle = Settle::new(Arc::clone(answers) as _, number);
        let room = self.with_session(|session| {
            session.submissions += 1;
            Ok(session.submissions <= MAX_SUBMISSIONS)
        });
        if room != Ok(true) {
            return settle.settle(Failure::new(Side::Ours, Cause::Overload));
        }
        let peer = submit.peer;
        match read_operation(submit.operation) {
            Err(error) => settle.settle(Failure::new(Side::Near, Cause::BadRequest).with_text(error.to_string())),
            Ok(operation) => {
                let provenance = if is_peer(&peer) && !peer.is_empty() {
                    Arc::new(Provenance { peer: peer.into(), ..Provenance::clone(&self.provenance) })
                } else {
                    Arc::clone(&self.provenance)
                };
                self.hub.submit(operation, provenance, settle);
            }
        }
    }

    fn keep(&self, number: u64, wire::Keep { key, value }: wire::Keep) -> Result<(), Reason> {
        if key.len() > MAX_KEY || value.as_ref().is_some_and(|value| value.len() > MAX_RECORD) {
            return Err(mapping::value("keep").into());
        }
        let size = value.as_ref().map(|value| value.len());
        if let Err(reason) = self.with_session(|session| Ok(session.kept.take(&key, size)))? {
            tracing::warn!(adapter = %self.shared.instance, reason, "a record is not kept");
            return self.with_session(|session| {
                session.outbox.push(Frame::Kept(wire::Kept { of: number, durable: false, refused: reason.to_owned() }));
                Ok(())
            });
        }
        self.hub.keep(&key, value.map(Into::into), self.kept(number));
        Ok(())
    }

    /// Takes over word of a failure, for a sender in the domains of the hello.
    fn owe(&self, number: u64, owe: wire::Owe) -> Result<(), Reason> {
        let word = read_disposition(owe.word.ok_or_else(|| mapping::missing("owe.word"))?)?;
        let to = word.destination.address.domain();
        let is_ours = matches!(&self.provenance.speaks_for, SpeaksFor::Domains(domains) if domains.contains(to));
        if !is_ours || word.disposition.failure().is_none() {
            return Err(mapping::value("owe.word").into());
        }
        self.hub.owe(word, owe.repeat, self.kept(number));
        Ok(())
    }

    /// Answers the frame `of` when what it asked for is on disk, or is not to be.
    fn kept(&self, of: u64) -> StateDone {
        let (me, epoch) = (self.shared.me.clone(), self.epoch);
        Box::new(move |durable| {
            let Some(shared) = me.upgrade() else { return };
            let mut state = shared.state.lock();
            if let Some(session) = state.session.as_mut().filter(|session| session.epoch == epoch) {
                session.outbox.push(Frame::Kept(wire::Kept { of, durable, refused: String::new() }));
                drop(state);
                shared.wake.notify_one();
            }
        })
    }
}

/// Whether a text can name a peer, and no user.
fn is_peer(name: &str) -> bool {
    !name.contains('@') && name.len() <= MAX_PEER
}

/// Octets of the name of a proof or of a protection.
const MAX_PROOF: usize = 40;

/// The name of the first field in which two tables differ.
fn difference<E>(one: &Result<serde_json::Value, E>, other: &Result<serde_json::Value, E>) -> Option<String> {
    let (Ok(serde_json::Value::Object(one)), Ok(serde_json::Value::Object(other))) = (one, other) else {
        return Some("everything".to_owned());
    };
    other.iter().find(|(name, value)| one.get(*name) != Some(value)).map(|(name, _)| name.clone())
}

fn broken(status: &Status) -> Reason {
    // What tonic says of a message beyond the limit, and of octets that are none.
    if status.code() == Code::OutOfRange {
        Reason::FrameTooLarge
    } else if status.code() == Code::Internal && status.message().contains("decode") {
        Reason::Malformed("octets that are no frame".to_owned())
    } else {
        Reason::Broken
    }
}
