//! The connections: a task for each that frames what comes in and writes what goes out.

mod flow; // RFC 3261 §18.3, RFC 5626 §4.4.1, RFC 5922
mod websocket; // RFC 7118

use super::route::ConnectionId;
use adapter_api::{Tls, Transport};
use bytes::Bytes;
use flow::{Flow, Outgoing};
use impp_model::Domain;
use sip_proto::framer::Rejected;
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use transport::site_of;
use transport::tls::{IdentityFault, PeerIdentity, TlsAcceptor, Vouched};

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A listener accepted it.
    Accepted(TcpStream, SocketAddr, Transport),
    /// A message came.
    Message(ConnectionId, Message),
    /// Something came that is no message.
    Broken(ConnectionId, Rejected),
    /// RFC 5922 §7.3, §7.4: it is protected as told, and its peer showed this certificate.
    Secured(ConnectionId, Arc<PeerIdentity>, &'static str),
    /// RFC 8305 §5: another address of the same server answered first, and this connection leads there.
    Overtaken { connection: ConnectionId, by: TcpStream, address: SocketAddr },
    /// It ended.
    Closed { connection: ConnectionId, end: End },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was never open: nothing has been written.
    Refused,
    /// As refused: another address of the same server was faster.
    Overtaken,
    /// It was open, and its peer was not whom we wanted: nothing has been written.
    Unproven(IdentityFault),
    /// RFC 7673 §3.4: the name system vouches for other certificates, or cannot be asked; this is its reason code.
    Unvouched(&'static str),
    /// What was handed to it may have arrived.
    Broken,
}

/// All connections of an instance.
#[derive(Debug)]
pub(crate) struct Streams {
    connections: BTreeMap<ConnectionId, Connection>,
    by_peer: BTreeMap<Peering, ConnectionId>,
    aliases: BTreeMap<SocketAddr, ConnectionId>,
    accepted: BTreeMap<IpAddr, usize>, // by site
    next: u64,
    events: mpsc::Sender<StreamEvent>,
    settings: Arc<Settings>,
}

/// Whom a connection is opened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peering {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// For TLS alone.
    pub(crate) ends: Option<Ends>,
}

/// Whom the two ends of a protected connection must be, and are shown as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    /// RFC 5922 §7.3: the peer must prove to be one of these; the first is asked for.
    pub(crate) peer: Arc<[Domain]>,
    /// On whose behalf we connect.
    pub(crate) source: Option<Domain>,
}

impl Peering {
    /// An address over TCP.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self { address, transport: Transport::Tcp, ends: None }
    }
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) max_connections: usize,
    pub(crate) max_per_address: usize,
    pub(crate) max_body: usize,
    pub(crate) idle: Duration,
    pub(crate) tls: Arc<Tls>,
    pub(crate) acceptor: TlsAcceptor,
    /// RFC 6455 §10.2: pages that may open a WebSocket; empty for any.
    pub(crate) origins: Vec<String>,
}

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
    transport: Transport,
    peering: Option<Peering>, // of those that we opened
    identity: Option<Arc<PeerIdentity>>,
    protection: &'static str,
    alias: Option<SocketAddr>, // RFC 5923 §8.2: the peer's listener that it stands for
    outgoing: mpsc::UnboundedSender<Bytes>,
    unwritten: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// What came of handing octets to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    /// They will be written.
    Taken,
    /// Too much waits there already.
    Full,
    /// The connection is gone.
    Gone,
}

/// Events of all connections that wait for the core; behind them TCP holds the senders back.
pub(crate) const EVENTS: usize = 1024;

/// Octets that wait for a connection to open or for a slow reader: as many messages as the adapter's own queue holds.
const MAX_UNWRITTEN: usize = 4 << 20;

/// How long the last answers have to be written when the gateway stops.
const FLUSH: Duration = Duration::from_millis(500);

impl Streams {
    pub(crate) fn new(events: mpsc::Sender<StreamEvent>, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let (connections, by_peer, accepted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { connections, by_peer, aliases: BTreeMap::new(), accepted, next: 0, events, settings }
    }

    /// Accepts connections until the task is aborted.
    pub(crate) fn listen(&self, listener: TcpListener, transport: Transport) -> tokio::task::JoinHandle<()> {
        let events = self.events.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if events.send(StreamEvent::Accepted(stream, peer, transport)).await.is_err() {
                            return;
                        }
                    }
                    // Too many open files, or a peer that is gone already: the next one may do better.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        })
    }

    /// Takes over an accepted connection; closes it when there are too many. Strangers leave some for our own, and each
    /// address some for the others.
    pub(crate) fn accept(&mut self, stream: TcpStream, peer: SocketAddr, transport: Transport) {
        let (all, max) = (self.connections.len(), self.settings.max_connections);
        let reserved = if max > 1 { (max / OWN_SHARE).max(1) } else { 0 };
        let site = site_of(peer.ip());
        let from_there = self.accepted.get(&site).copied().unwrap_or_default();
        let room = all < max && all.saturating_sub(self.by_peer.len()) < max - reserved;
        if !room || from_there >= self.settings.max_per_address {
            tracing::debug!(%peer, all, from_there, "too many connections");
            return;
        }
        *self.accepted.entry(site).or_default() += 1;
        self.add(peer, transport, None, |flow| flow.accepted(stream));
    }

    /// The connection to a peer, opened if there is none, in a race with `others`, which are addresses of the same server; `None`
    /// when there are too many.
    pub(crate) fn connect(&mut self, peering: &Peering, others: Vec<SocketAddr>) -> Option<ConnectionId> {
        if let Some(id) = self.by_peer.get(peering).copied().or_else(|| self.alias(peering)) {
            return Some(id);
        }
        if self.connections.len() >= self.settings.max_connections {
            return None;
        }
        let ends = peering.ends.clone();
        Some(self.add_ours(peering.clone(), |flow| flow.open(ends, others)))
    }

    /// Takes over the connection by which another was overtaken: it waits for those who try that address next.
    pub(crate) fn overtaken(&mut self, id: ConnectionId, by: TcpStream, address: SocketAddr) {
        let Some(peering) = self.connections.get(&id).and_then(|connection| connection.peering.clone()) else { return };
        let peering = Peering { address, ..peering };
        if !self.by_peer.contains_key(&peering) {
            let ends = peering.ends.clone();
            self.add_ours(peering, |flow| flow.opened(by, ends));
        }
    }

    fn add_ours<F>(&mut self, peering: Peering, serve: impl FnOnce(Flow) -> F) -> ConnectionId
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.add(peering.address, peering.transport, Some(peering.clone()), serve);
        self.by_peer.insert(peering, id);
        id
    }

    /// RFC 5923 §8.2: a connection of the peer's own making, if it has proven to be whom we want.
    fn alias(&self, peering: &Peering) -> Option<ConnectionId> {
        let (id, ends) = (*self.aliases.get(&peering.address)?, peering.ends.as_ref()?);
        let connection = self.connections.get(&id).filter(|connection| connection.transport == peering.transport)?;
        let identity = connection.identity.as_ref()?;
        ends.peer.iter().any(|domain| identity.sip(domain).is_ok()).then_some(id)
    }

    /// RFC 5923 §8.2: the peer lets requests go backwards over a connection of its making, in place of one to `listener`.
    /// Heeded only where the peer is proven.
    pub(crate) fn offer_alias(&mut self, id: ConnectionId, listener: SocketAddr) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let proven = connection.identity.as_ref().is_some_and(|identity| identity.chain().is_ok());
        if proven && connection.peering.is_none() && connection.alias.is_none() {
            connection.alias = Some(listener);
            self.aliases.insert(listener, id);
        }
    }

    /// Notes how a connection is protected and the certificate that its peer has shown; returns the domain that the peer was
    /// looked up for and has proven to be, and by what, where we opened it.
    pub(crate) fn secured(
        &mut self,
        id: ConnectionId,
        identity: Arc<PeerIdentity>,
        protection: &'static str,
    ) -> Option<(Domain, &'static str)> {
        let connection = self.connections.get_mut(&id)?;
        let identity = connection.identity.insert(identity);
        connection.protection = protection;
        let wanted = &connection.peering.as_ref()?.ends.as_ref()?.peer;
        let vouched = wanted.iter().find_map(|domain| identity.vouched(domain));
        Some((wanted.last()?.clone(), vouched.map_or(CERTIFICATE, Vouched::as_str)))
    }

    /// As `TLS 1.3`, or `clear`.
    pub(crate) fn protection(&self, id: ConnectionId) -> &'static str {
        self.connections.get(&id).map_or(CLEAR, |connection| connection.protection)
    }

    /// The certificate of a connection's peer.
    pub(crate) fn identity(&self, id: ConnectionId) -> Option<&Arc<PeerIdentity>> {
        self.connections.get(&id)?.identity.as_ref()
    }

    /// By what the connection runs and with whom; `None` when it is gone.
    pub(crate) fn peer(&self, id: ConnectionId) -> Option<(SocketAddr, Transport)> {
        self.connections.get(&id).map(|connection| (connection.peer, connection.transport))
    }

    /// Hands one message to a connection.
    pub(crate) fn send(&mut self, id: ConnectionId, octets: Bytes) -> Handed {
        let Some(connection) = self.connections.get(&id) else { return Handed::Gone };
        if connection.unwritten.load(Ordering::Relaxed) >= MAX_UNWRITTEN {
            return Handed::Full;
        }
        connection.unwritten.fetch_add(octets.len(), Ordering::Relaxed);
        if connection.outgoing.send(octets).is_ok() { Handed::Taken } else { Handed::Gone }
    }

    /// Ends all connections once what was handed to them is written, or [`FLUSH`] is over.
    pub(crate) async fn finish(&mut self) {
        let end = Instant::now() + FLUSH;
        let connections = std::mem::take(&mut self.connections);
        let mut tasks: Vec<_> = connections.into_values().map(|connection| connection.task).collect();
        for task in &mut tasks {
            if timeout_at(end, task).await.is_err() {
                break;
            }
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Ends a connection, or forgets one that has ended.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        connection.task.abort();
        if let Some(listener) = connection.alias.filter(|listener| self.aliases.get(listener) == Some(&id)) {
            self.aliases.remove(&listener);
        }
        match connection.peering {
            Some(peering) if self.by_peer.get(&peering) == Some(&id) => drop(self.by_peer.remove(&peering)),
            Some(_) => {}
            None => {
                let site = site_of(connection.peer.ip());
                let from_there = self.accepted.entry(site).or_default();
                *from_there = from_there.saturating_sub(1);
                if *from_there == 0 {
                    self.accepted.remove(&site);
                }
            }
        }
    }

    fn add<F>(
        &mut self,
        peer: SocketAddr,
        transport: Transport,
        peering: Option<Peering>,
        serve: impl FnOnce(Flow) -> F,
    ) -> ConnectionId
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.next += 1;
        let id = ConnectionId(self.next);
        let (outgoing, receiver) = mpsc::unbounded_channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let own = Outgoing::new(receiver, outgoing.downgrade(), unwritten.clone());
        let flow =
            Flow { id, peer, transport, events: self.events.clone(), outgoing: own, settings: self.settings.clone() };
        let task = tokio::spawn(serve(flow));
        let (identity, protection, alias) = (None, CLEAR, None);
        let connection =
            Connection { peer, transport, peering, identity, protection, alias, outgoing, unwritten, task };
        self.connections.insert(id, connection);
        id
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.task.abort();
        }
    }
}

/// How a peer has proven itself whose certificate the name system does not vouch for.
const CERTIFICATE: &str = "certificate";

/// How a connection without TLS is protected.
pub(crate) const CLEAR: &str = "clear";

/// One part in so many of all connections is kept for those we open.
const OWN_SHARE: usize = 8;

/// Between two tries after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
