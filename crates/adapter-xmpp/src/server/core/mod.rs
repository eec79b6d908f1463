//! The one task that decides: it owns the machines of all streams, what waits for them and what they verify for each other.
//!
//! Connections carry octets and TLS in tasks of their own ([`connection`](super::connection)); XMPP happens here.

mod incoming; // streams from others, and what comes over any stream
mod outgoing; // ways to others
mod routes; // what goes to one domain
mod streams; // what machines ask for
mod verify; // XEP-0220 §2.1.2

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adapter_api::{Configuration, Context, Delivery, Hub, Role, Shutdown};
use impp_model::{Cause, Domain, Failure, Side};
use impp_resolve::Reachability;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use transport::tls::{PeerIdentity, TlsAcceptor};
use transport::{Alarm, ListenAddr};
use xmpp_proto::jid;
use xmpp_proto::management::ManagementConfig;
use xmpp_proto::server::{Pair, Secret, ServerConfig, Session};

use super::config::Settings;
use super::connection::{ALPN, ConnectionId, Happened};
use crate::link::{Settled, Shared, owe};
use crate::timers::Timers;
pub(super) use outgoing::targets;
use routes::Route;
use streams::Stream;

/// What the core hears.
#[derive(Debug)]
pub(super) enum Event {
    /// What came over a stream has met its fate.
    Settled(ConnectionId, Pair, SettledStanza),
    /// Where a domain's servers are.
    Located(jid::Domain, Result<Vec<adapter_api::Target>, Failure>),
    /// Who a peer that called is proven to be, the name system asked.
    Vouched(ConnectionId, PeerIdentity),
}

/// The fate of a stanza that came in.
#[derive(Debug)]
pub(super) struct SettledStanza {
    pub(super) number: u64,
    pub(super) reply: Option<strict_xml::Element>,
    pub(super) is_open: bool,
}

/// What has a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Stream(ConnectionId),
    Route(Pair),
    Session(String),
}

/// Everything of one instance.
pub(super) struct Core {
    settings: Settings,
    context: Context,
    hub: Hub,
    shutdown: Shutdown,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Delivery>,
    batch: Vec<Delivery>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    /// Connections speak through this, and are heard as events.
    connections: mpsc::UnboundedSender<(ConnectionId, Happened)>,
    happened: mpsc::UnboundedReceiver<(ConnectionId, Happened)>,
    acceptor: [TlsAcceptor; 2],
    server: Arc<ServerConfig>,
    secret: Secret,
    nonce: u64,
    streams: BTreeMap<ConnectionId, Stream>,
    routes: BTreeMap<Pair, Route>,
    /// The route of the upper half of a token.
    route_numbers: BTreeMap<u64, Pair>,
    next_route: u64,
    next_connection: ConnectionId,
    /// Ways in so far.
    inbounds: u64,
    /// Broken incoming streams that their peers may resume.
    sessions: BTreeMap<String, Session>,
    /// Connections that are gone, with stanzas of sessions that may go on.
    broken: BTreeMap<ConnectionId, incoming::Broken>,
    tails: BTreeMap<Pair, incoming::Tail>,
    verifying: verify::Verifying,
    /// RFC 6120 §3.2.1: which of a domain's servers failed lately.
    servers: Reachability,
    /// Which led a domain nowhere: they may serve others, and whoever has a domain may name anybody's servers.
    useless: Reachability<(jid::Domain, SocketAddr)>,
    timers: Timers<Timer>,
    /// What something happened to since timers were last set.
    touched_streams: BTreeSet<ConnectionId>,
    touched_routes: BTreeSet<Pair>,
    /// When the gateway is stopping: the end of its patience.
    drain_until: Option<Instant>,
}

/// What a stop waits for open messages: past the usual hold, within a service manager's patience.
const DRAIN: Duration = Duration::from_secs(5);

/// Deliveries and events taken in one turn; bounds what one turn writes.
const BATCH: usize = 256;

/// Connections that are served at once; each may cost a handshake and some ten KiB.
const MAX_CONNECTIONS: usize = 10_000;

impl Core {
    pub(super) fn new(
        settings: Settings,
        context: Context,
        hub: Hub,
        shutdown: Shutdown,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Delivery>,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (connections, happened) = mpsc::unbounded_channel();
        let acceptor = [&[], ALPN].map(|alpn| TlsAcceptor::new(Arc::clone(&context.tls), alpn));
        let secret = match &settings.secret {
            Some(secret) => Secret::new(secret.expose()),
            None => Secret::new(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())),
        };
        let server = server_config(&settings, &context, hub.instance().as_str(), &secret);
        Self {
            settings,
            context,
            hub,
            shutdown,
            shared,
            queue,
            batch: Vec::with_capacity(BATCH),
            events,
            sender,
            connections,
            happened,
            acceptor,
            server: Arc::new(server),
            secret,
            nonce: rand::random(),
            streams: BTreeMap::new(),
            routes: BTreeMap::new(),
            route_numbers: BTreeMap::new(),
            next_route: 0,
            next_connection: 0,
            inbounds: 0,
            sessions: BTreeMap::new(),
            broken: BTreeMap::new(),
            tails: BTreeMap::new(),
            servers: Reachability::default(),
            useless: Reachability::default(),
            verifying: verify::Verifying::default(),
            timers: Timers::default(),
            touched_streams: BTreeSet::new(),
            touched_routes: BTreeSet::new(),
            drain_until: None,
        }
    }

    /// Serves until the gateway stops.
    pub(super) async fn run(mut self, listeners: Vec<(ListenAddr, TcpListener)>) {
        let (accepted, mut arrivals) = mpsc::channel(BATCH);
        let mut accepting = tokio::task::JoinSet::new();
        for (listen, listener) in listeners {
            accepting.spawn(incoming::accept(listen, listener, accepted.clone()));
        }
        let mut configuration = self.context.configuration.clone();
        let (mut alarm, mut shutdown) = (Alarm::default(), self.shutdown.clone());
        let mut stop = pin!(shutdown.requested());
        loop {
            self.work(Instant::now());
            if self.is_done() {
                break;
            }
            let due = [self.timers.next(), self.drain_until].into_iter().flatten().min();
            tokio::select! {
                Some(event) = self.events.recv() => self.handle_event(event, Instant::now()),
                Some((id, what)) = self.happened.recv() => self.handle_connection(id, what, Instant::now()),
                count = self.queue.recv_many(&mut self.batch, BATCH) => self.admit(count, Instant::now()),
                Some(arrival) = arrivals.recv(), if self.drain_until.is_none() => {
                    self.arrived(arrival, Instant::now());
                }
                Ok(()) = configuration.changed() => self.reconfigure(),
                () = &mut stop, if self.drain_until.is_none() => self.begin_drain(Instant::now()),
                () = alarm.wait(due) => self.handle_timers(Instant::now()),
            }
            self.take_more(Instant::now());
        }
        self.finish();
    }

    /// Takes what is there already, so that its answers go out together.
    fn take_more(&mut self, now: Instant) {
        for _ in 0..BATCH {
            let Ok(event) = self.events.try_recv() else { break };
            self.handle_event(event, now);
        }
        for _ in 0..BATCH {
            let Ok((id, what)) = self.happened.try_recv() else { break };
            self.handle_connection(id, what, now);
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Settled(id, pair, settled) => self.handle_settled(id, &pair, settled, now),
            Event::Located(domain, found) => self.handle_located(&domain, &found, now),
            Event::Vouched(id, peer) => self.vouched(id, peer, now),
        }
    }

    /// Does everything that needs no waiting.
    fn work(&mut self, now: Instant) {
        loop {
            if let Some(pair) = self.touched_routes.pop_first() {
                self.pump(&pair, now);
            } else if let Some(id) = self.touched_streams.pop_first() {
                self.drain_stream(id, now);
            } else {
                break;
            }
        }
        self.count_queued();
    }

    fn handle_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Stream(id) => self.stream_timeout(id, now),
                Timer::Route(pair) => self.route_timeout(&pair, now),
                Timer::Session(id) => {
                    // XEP-0198 §5: nobody came for it. Its stanzas were answered by this side as they were settled.
                    if let Some(session) = self.sessions.remove(&id) {
                        self.lose_session(&session);
                    }
                }
            }
        }
    }

    fn admit(&mut self, count: usize, now: Instant) {
        debug_assert_eq!(count, self.batch.len(), "the batch was empty before");
        for delivery in std::mem::take(&mut self.batch) {
            self.take_delivery(delivery, now);
        }
    }

    /// Frees the places of deliveries that have left the queue.
    fn count_queued(&self) {
        let waiting: usize = self.routes.values().map(Route::waiting).sum();
        self.shared.queued.store(waiting + self.queue.len(), Ordering::Relaxed);
    }

    fn reconfigure(&mut self) {
        let instance = self.hub.instance().clone();
        self.server = Arc::new(server_config(&self.settings, &self.context, instance.as_str(), &self.secret));
    }

    fn begin_drain(&mut self, now: Instant) {
        self.drain_until = Some(now + DRAIN);
    }

    /// Whether a stop has come to its end.
    fn is_done(&mut self) -> bool {
        let Some(until) = self.drain_until else { return false };
        let now = Instant::now();
        let is_idle = self.routes.values().all(Route::is_idle) && self.queue.is_empty();
        if now < until && !(is_idle && self.streams.values().all(Stream::is_settled)) {
            return false;
        }
        if self.streams.is_empty() {
            return true;
        }
        let is_over = now >= until;
        for (id, stream) in &mut self.streams {
            stream.close(is_over, now);
            self.touched_streams.insert(*id);
        }
        self.work(now);
        is_over || self.streams.is_empty()
    }

    /// Settles what is left.
    fn finish(&mut self) {
        self.queue.close();
        while let Ok(delivery) = self.queue.try_recv() {
            delivery.settle(Failure::new(Side::Ours, Cause::ShuttingDown));
        }
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Settled(.., SettledStanza { reply: Some(reply), .. }) = event {
                owe(&self.hub, &reply, false, None);
            }
        }
        for route in self.routes.values_mut() {
            route.shut_down();
        }
        self.shared.queued.store(0, Ordering::Relaxed);
    }
}

pub(super) fn is_next_hop(text: &str) -> bool {
    routes::fixed_target(text).is_some()
}

/// What this gateway is to other servers: the server of its local domains that are not on this network.
fn server_config(settings: &Settings, context: &Context, instance: &str, secret: &Secret) -> ServerConfig {
    let configuration: Arc<Configuration> = context.configuration.borrow().clone();
    let hosts = configuration.domains.iter().filter(|entry| {
        entry.role == Role::Local && entry.adapter.as_ref().is_none_or(|adapter| adapter.as_str() != instance)
    });
    let hosts = hosts.filter_map(|entry| to_jid_domain(&entry.name));
    let name = to_jid_domain(&configuration.gateway);
    #[allow(clippy::expect_used, reason = "the configuration holds a checked name")]
    let mut config = ServerConfig::new(name.expect("a host name is a domain of JIDs"), hosts);
    config.starttls = context.tls.has_certificates();
    config.bidi = settings.bidi;
    config.vouching = context.tls.asks_dnssec();
    config.policy = settings.policy;
    config.peers = settings.peers.clone();
    let any_dialback = settings.policy.dialback || settings.peers.values().any(|peer| peer.dialback);
    config.dialback_secret = any_dialback.then(|| secret.clone());
    config.management = settings.stream_management.then(ManagementConfig::default);
    config.limits = config.limits.with_bytes(settings.limits.max_stanza);
    config
}

fn to_jid_domain(domain: &Domain) -> Option<jid::Domain> {
    jid::Domain::parse(&domain.to_unicode()).ok()
}

/// `None` for what is a domain of JIDs and of nothing else.
fn to_domain(domain: &jid::Domain) -> Option<Domain> {
    Domain::parse_host(domain.as_str()).ok()
}

impl From<Settled> for SettledStanza {
    fn from(settled: Settled) -> Self {
        Self { number: settled.number, reply: settled.reply, is_open: settled.is_open }
    }
}
