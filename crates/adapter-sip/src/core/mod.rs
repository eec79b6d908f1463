//! The I/O shell: one task that owns the transactions and the UDP sockets of an instance.
//!
//! It takes datagrams, messages of TCP connections, deliveries and outcomes in batches, feeds them to the machines of
//! `sip-proto`, and sends what these put out. Nothing is spawned, boxed or sent through a channel of its own for a
//! single message.

mod accepts;
mod answers;
mod auth; // RFC 3261 §22
mod datagrams;
mod events; // RFC 6665
mod hop;
mod inbound;
mod names;
mod outbound;
mod peers;
mod queues;
mod route;
mod signals;
mod strangers; // RFC 3261 §26.1.5
mod streams;
mod trunks; // RFC 3261 §10, §22.2
mod trust;
mod typing;
mod unreachable;

use crate::config::{Config, LargeMessages, Wrapping};
use crate::mapping::thread::ThreadTable;
use crate::users::Users;
use adapter_api::{AdapterError, Configuration, Context, Delivery, Hub, Shutdown, Token, Transport};
use answers::Answers;
use auth::Auth;
use bytes::Bytes;
use datagrams::Datagrams;
use events::Events;
use impp_model::Outcome;
use names::Names;
use outbound::Outbounds;
use route::{ConnectionId, Route};
use sip_proto::transaction::{Client, ClientOutput, Keys, Server, ServerOutput, Timers};
use sip_proto::uas::Policy;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strangers::Strangers;
use streams::{End, Handed, Settings, StreamEvent, Streams};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use transport::Alarm;
use transport::tls::TlsAcceptor;
use trunks::Trunks;
use trust::Trust;

pub(crate) use hop::{FixedHop, SUPPORTED, located_places, via_name};
pub(crate) use outbound::{MAX_UNSAFE_REQUEST, fits_datagram};
pub(crate) use route::Place;
pub(crate) use trunks::describe as describe_trunk;

/// What an instance needs to run.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) users: Arc<Users>,
    pub(crate) context: Context,
    pub(crate) hub: Hub,
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
}

/// The state of a running instance.
struct Core {
    hub: Hub,
    context: Context,
    names: Names,
    keys: Keys,
    tag_seed: u64,
    policy: Policy,
    /// For requests about events, which have bodies of other types.
    event_policy: Policy,
    large_messages: LargeMessages,
    trust: Trust,
    auth: Auth,
    strangers: Strangers,
    threads: ThreadTable,
    wrapping: Wrapping,
    refusals: accepts::Refusals,
    typing: typing::Typing,
    client: Client<outbound::Id, Route>,
    server: Server<inbound::Pending, Route, inbound::Again>,
    unanswered: usize, // requests in `server` that the hub has not settled
    answers: Answers,
    datagrams: Datagrams,
    arrived: Vec<datagrams::Datagram>, // room for one batch
    streams: Streams,
    outbounds: Outbounds,
    events: Events,
    trunks: Trunks,
    draining: bool,
}

/// Deliveries and outcomes taken in one turn, so that sockets are not starved.
const BATCH: usize = 256;

/// How much longer than the hub holds a message (DESIGN A5) its answer is waited for at the end.
const DRAIN_MARGIN: Duration = Duration::from_millis(500);

enum Turn {
    Stop,
    Datagrams,
    Streams,
    Deliveries,
    Answers,
    Located(outbound::LocatedHop),
    Unreachable(unreachable::Unreachable),
    Configured(watch::Receiver<Arc<Configuration>>),
    Timeout,
}

/// Serves until `shutdown`.
pub(crate) async fn run(setup: Setup, mut shutdown: Shutdown) -> Result<(), AdapterError> {
    let Setup { config, users, context, hub, mut deliveries } = setup;
    let mut configuration = context.configuration.clone();
    configuration.mark_changed();
    let (stream_sender, mut stream_events) = mpsc::channel(streams::EVENTS);
    let (located_sender, mut located) = mpsc::channel(BATCH);
    let (answers, mut settled) = Answers::new();
    let auth = Auth::new(&config, users, &context.configuration.borrow().gateway);
    let kept = hub.kept();
    let mut core = Core::new(&config, auth, context, hub, stream_sender, located_sender, answers)?;
    core.refusals = accepts::Refusals::load(&kept, inbound::unix_now());
    let (lost_sender, mut lost) = mpsc::channel(BATCH);
    let mut helpers = core.open(&config)?;
    core.restore_events(kept);
    helpers.extend(core.datagrams.watch(&lost_sender));
    let (mut batch, mut outcomes, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let mut end: Option<Instant> = None;
    // Made once: what waits on others' locks for what hardly ever happens is not begun anew at each turn.
    let (mut alarm, mut stop) = (Alarm::default(), pin!(shutdown.requested()));
    let mut changed = pin!(configured(configuration));
    loop {
        core.flush(Instant::now());
        if end.is_some_and(|end| core.is_idle() || Instant::now() >= end) {
            break;
        }
        let wake = [core.next_timeout(), end].into_iter().flatten().min();
        let turn = tokio::select! {
            () = core.datagrams.ready() => Turn::Datagrams,
            1.. = stream_events.recv_many(&mut events, BATCH) => Turn::Streams,
            1.. = deliveries.recv_many(&mut batch, BATCH) => Turn::Deliveries,
            1.. = settled.recv_many(&mut outcomes, BATCH) => Turn::Answers,
            Some(found) = located.recv() => Turn::Located(found),
            Some(lost) = lost.recv() => Turn::Unreachable(lost),
            () = &mut stop, if end.is_none() => Turn::Stop,
            configuration = &mut changed => Turn::Configured(configuration),
            () = alarm.wait(wake) => Turn::Timeout,
        };
        let now = Instant::now();
        match turn {
            Turn::Stop => {
                deliveries.close();
                core.draining = true;
                core.unregister(now);
                let hold = core.context.configuration.borrow().hold_timeout;
                end = Some(now + hold + DRAIN_MARGIN);
            }
            Turn::Datagrams => core.handle_datagrams(now),
            Turn::Streams => events.drain(..).for_each(|event| core.handle_stream_event(event, now)),
            Turn::Deliveries => batch.drain(..).for_each(|delivery| core.handle_delivery(delivery, now)),
            Turn::Answers => outcomes.drain(..).for_each(|settled| core.handle_settled(settled, now)),
            Turn::Located(found) => core.handle_located(found, now),
            Turn::Unreachable(lost) => core.handle_unreachable(&lost, now),
            Turn::Configured(mut configuration) => {
                let new = configuration.borrow_and_update().clone();
                core.trunks.configure(&new, core.hub.instance(), now);
                changed.set(configured(configuration));
            }
            Turn::Timeout => core.handle_timeout(now),
        }
    }
    helpers.iter().for_each(JoinHandle::abort);
    core.stop();
    let unheard = async { while stream_events.recv().await.is_some() {} };
    tokio::select! {
        () = core.streams.finish() => {}
        () = unheard => {}
    }
    Ok(())
}

/// Waits until the configuration is another one.
async fn configured(mut configuration: watch::Receiver<Arc<Configuration>>) -> watch::Receiver<Arc<Configuration>> {
    match configuration.changed().await {
        Ok(()) => configuration,
        // It will never be.
        Err(_) => std::future::pending().await,
    }
}

impl Core {
    fn new(
        config: &Config,
        auth: Auth,
        context: Context,
        hub: Hub,
        streams: mpsc::Sender<StreamEvent>,
        located: mpsc::Sender<outbound::LocatedHop>,
        answers: Answers,
    ) -> Result<Self, AdapterError> {
        let datagrams = Datagrams::bind(&config.listens()).map_err(listen_error)?;
        let settings = Settings {
            max_connections: config.limits.connections,
            max_per_address: config.limits.connections_per_address,
            acceptor: TlsAcceptor::new(context.tls.clone(), &[]),
            tls: context.tls.clone(),
            origins: config.origins.clone(),
            max_body: config.max_message,
            idle: config.limits.idle_timeout,
        };
        Ok(Self {
            keys: Keys::new(rand::random()),
            tag_seed: rand::random(),
            names: Names::new(config, &[]),
            policy: inbound::policy(config),
            event_policy: inbound::event_policy(config),
            large_messages: config.large_messages,
            auth,
            strangers: Strangers::default(),
            trust: Trust::new(hub.instance().clone(), context.configuration.clone()),
            threads: ThreadTable::default(),
            wrapping: config.receipts,
            refusals: accepts::Refusals::default(),
            typing: typing::Typing::default(),
            client: Client::new(Timers::default(), config.limits.transactions),
            server: Server::new(Timers::default(), config.limits.transactions, config.limits.answered),
            unanswered: 0,
            answers,
            datagrams,
            arrived: Vec::new(),
            streams: Streams::new(streams, settings),
            outbounds: Outbounds::new(config.limits.queue_per_uri, located),
            events: Events::new(config),
            trunks: Trunks::default(),
            draining: false,
            hub,
            context,
        })
    }

    /// Opens the listeners for connections and learns what this instance is called.
    fn open(&mut self, config: &Config) -> Result<Vec<JoinHandle<()>>, AdapterError> {
        let mut bound: Vec<(Transport, SocketAddr)> =
            self.datagrams.locals().map(|local| (Transport::Udp, local)).collect();
        let mut acceptors = Vec::new();
        for listen in config.listens().iter().filter(|listen| !listen.is_udp()) {
            let Some(address) = listen.address() else { continue };
            let refused = |error: transport::BindError| AdapterError::Listen {
                listen: format!("{}:{address}", listen.transport),
                source: error.source,
            };
            let listener = transport::bind_tcp(address).map_err(refused)?;
            bound.push((listen.transport, listener.local_addr().unwrap_or(address)));
            acceptors.push(self.streams.listen(listener, listen.transport));
        }
        for (transport, address) in &bound {
            tracing::info!(instance = %self.hub.instance(), %transport, %address, "listening");
            self.hub.listening(&transport.to_string(), *address);
        }
        self.names = Names::new(config, &bound);
        self.policy.agent = self.names.agent();
        self.event_policy.agent = self.names.agent();
        self.outbounds.own_listeners = bound.into_iter().map(|(_, address)| address).collect();
        Ok(acceptors)
    }

    fn is_idle(&self) -> bool {
        self.unanswered == 0 && self.outbounds.is_empty() && self.trunks.is_idle()
    }

    /// Sends what the machines have put out, until they have nothing more.
    fn flush(&mut self, now: Instant) {
        loop {
            self.begin_ready(now);
            while let Some(output) = self.server.poll_output() {
                match output {
                    ServerOutput::Transmit { response, route } => self.send_response(route, response, now),
                    ServerOutput::TryingDue { handle } => self.send_trying(handle),
                }
            }
            let Some(output) = self.client.poll_output() else { break };
            match output {
                ClientOutput::Transmit { handle, request, route } => self.send_request(handle, route, request, now),
                ClientOutput::TimedOut { user } => self.handle_no_answer(user, now),
            }
        }
        self.datagrams.flush();
    }

    /// Hands a response to a connection; one that takes no more is given up with all that waits for answers on it.
    fn respond_on(&mut self, connection: ConnectionId, octets: Bytes, now: Instant) {
        if self.streams.send(connection, octets) != Handed::Taken {
            self.streams.close(connection);
            self.handle_broken_connection(connection, End::Broken, now);
        }
    }

    fn next_timeout(&mut self) -> Option<Instant> {
        let timeouts = [
            self.client.poll_timeout(),
            self.server.poll_timeout(),
            self.outbounds.poll_timeout(),
            self.typing.poll_timeout(),
            self.events.poll_timeout(),
            self.trunks.poll_timeout().filter(|_| !self.draining),
        ];
        timeouts.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
        self.handle_deadlines(now);
        self.handle_typing(now);
        self.handle_event_timeouts(now);
        self.handle_trunks(now);
    }

    fn handle_settled(&mut self, settled: Settled, now: Instant) {
        match settled {
            Settled::Request(token, outcome) => self.handle_answer(token, &outcome, now),
            Settled::Report(token, outcome) => self.handle_report_answer(token, &outcome, now),
        }
    }

    fn handle_stream_event(&mut self, event: StreamEvent, now: Instant) {
        match event {
            StreamEvent::Accepted(stream, peer, transport) => self.streams.accept(stream, peer, transport),
            StreamEvent::Message(connection, message) => {
                if let Some(source) = self.source(connection) {
                    self.handle_message(message, source, now);
                }
            }
            StreamEvent::Broken(connection, rejected) => {
                if let Some(source) = self.source(connection) {
                    self.answer_broken(&rejected, source, now);
                }
            }
            StreamEvent::Secured(connection, identity, protection) => {
                if let Some((domain, proof)) = self.streams.secured(connection, identity, protection) {
                    self.hub.peer_proven(domain.as_str(), proof, protection);
                }
            }
            StreamEvent::Overtaken { connection, by, address } => {
                self.streams.overtaken(connection, by, address);
                self.streams.close(connection);
                self.handle_broken_connection(connection, End::Overtaken, now);
            }
            StreamEvent::Closed { connection, end } => {
                self.streams.close(connection);
                self.handle_broken_connection(connection, end, now);
            }
        }
    }
}

impl Core {
    /// Where a message on a connection comes from; `None` when the connection was given up meanwhile.
    fn source(&self, connection: ConnectionId) -> Option<route::Source> {
        let (peer, transport) = self.streams.peer(connection)?;
        Some(route::Source { peer, transport, channel: route::Channel::Connection(connection) })
    }
}

fn listen_error(error: transport::BindError) -> AdapterError {
    AdapterError::Listen { listen: format!("{}:{}", error.transport, error.addr), source: error.source }
}

/// What the hub says, and what of.
enum Settled {
    /// A request.
    Request(Token, Outcome),
    /// What it was told of a presentity here.
    Report(Token, Outcome),
}

/// A waiter that the hub can share.
type Waiter = Arc<dyn adapter_api::Settlement>;
