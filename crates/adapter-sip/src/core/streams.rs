//! The TCP connections: a task for each that frames what comes in and writes what goes out.

use super::route::ConnectionId;
use bytes::{Bytes, BytesMut};
use sip_proto::framer::{Event as Frame, PONG, Rejected, StreamFramer};
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A listener accepted it.
    Accepted(TcpStream, SocketAddr),
    /// A message came.
    Message(ConnectionId, SocketAddr, Message),
    /// Something came that is no message.
    Broken(ConnectionId, SocketAddr, Rejected),
    /// It ended; whether anything was ever written to it.
    Closed { connection: ConnectionId, opened: bool },
}

/// All connections of an instance.
#[derive(Debug)]
pub(crate) struct Streams {
    connections: BTreeMap<ConnectionId, Connection>,
    by_peer: BTreeMap<SocketAddr, ConnectionId>,
    next: u64,
    events: mpsc::Sender<StreamEvent>,
    settings: Settings,
}

/// Bounds of each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) max_connections: usize,
    pub(crate) max_body: usize,
    pub(crate) idle: Duration,
}

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
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

/// Octets that may wait while keep-alives are still answered.
const MAX_BEFORE_PONG: usize = 65_536;

/// How long the last answers have to be written when the gateway stops.
const FLUSH: Duration = Duration::from_millis(500);

/// How long a peer may take to accept a connection: shorter than a near side waits for its answer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a write may take before the reader counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a message may take from its first octet to its last.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(32);

/// Octets gathered into one write.
const WRITE_BATCH: usize = 65_536;

/// Octets asked for in one read.
const READ: usize = 16_384;

impl Streams {
    pub(crate) fn new(events: mpsc::Sender<StreamEvent>, settings: Settings) -> Self {
        Self { connections: BTreeMap::new(), by_peer: BTreeMap::new(), next: 0, events, settings }
    }

    /// Accepts connections until the task is aborted.
    pub(crate) fn listen(&self, listener: TcpListener) -> tokio::task::JoinHandle<()> {
        let events = self.events.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if events.send(StreamEvent::Accepted(stream, peer)).await.is_err() {
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

    /// Takes over an accepted connection; closes it when there are too many. Strangers leave some for our own.
    pub(crate) fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let (all, max) = (self.connections.len(), self.settings.max_connections);
        let reserved = if max > 1 { (max / OWN_SHARE).max(1) } else { 0 };
        if all < max && all.saturating_sub(self.by_peer.len()) < max - reserved {
            let id = self.new_id();
            self.add(id, peer, |events, outgoing, settings| serve(id, peer, stream, events, outgoing, settings));
        }
    }

    /// The connection to `peer`, opened if there is none; `None` when there are too many.
    pub(crate) fn connect(&mut self, peer: SocketAddr) -> Option<ConnectionId> {
        if let Some(id) = self.by_peer.get(&peer) {
            return Some(*id);
        }
        if self.connections.len() >= self.settings.max_connections {
            return None;
        }
        let id = self.new_id();
        self.add(id, peer, |events, outgoing, settings| open(id, peer, events, outgoing, settings));
        self.by_peer.insert(peer, id);
        Some(id)
    }

    /// Whether the connection is there.
    pub(crate) fn contains(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Hands octets to a connection.
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
        if self.by_peer.get(&connection.peer) == Some(&id) {
            self.by_peer.remove(&connection.peer);
        }
    }

    fn new_id(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    fn add<F>(
        &mut self,
        id: ConnectionId,
        peer: SocketAddr,
        serve: impl FnOnce(mpsc::Sender<StreamEvent>, Outgoing, Settings) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (outgoing, receiver) = mpsc::unbounded_channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let pong = Pong { sender: outgoing.downgrade(), unwritten: unwritten.clone() };
        let own = Outgoing { receiver, unwritten: unwritten.clone(), pong };
        let task = tokio::spawn(serve(self.events.clone(), own, self.settings));
        self.connections.insert(id, Connection { peer, outgoing, unwritten, task });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.task.abort();
        }
    }
}

/// One part in so many of all connections is kept for those we open.
const OWN_SHARE: usize = 8;

/// Between two tries after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Outgoing {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    unwritten: Arc<AtomicUsize>,
    pong: Pong,
}

/// For answers to keep-alives, which do not keep the connection in use.
struct Pong {
    sender: mpsc::WeakUnboundedSender<Bytes>,
    unwritten: Arc<AtomicUsize>,
}

impl Pong {
    // RFC 5626 §4.4.1; a peer that does not read its answers can do without.
    fn answer(&self) {
        let Some(sender) = self.sender.upgrade() else { return };
        if self.unwritten.load(Ordering::Relaxed) < MAX_BEFORE_PONG {
            self.unwritten.fetch_add(PONG.len(), Ordering::Relaxed);
            // The writer is gone when nobody listens.
            let _ = sender.send(Bytes::from_static(PONG));
        }
    }
}

async fn open(
    id: ConnectionId,
    peer: SocketAddr,
    events: mpsc::Sender<StreamEvent>,
    outgoing: Outgoing,
    settings: Settings,
) {
    match transport::connect_tcp(peer, CONNECT_TIMEOUT).await {
        Ok(stream) => serve(id, peer, stream, events, outgoing, settings).await,
        Err(error) => {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection refused");
            // The core is gone when nobody listens.
            let _ = events.send(StreamEvent::Closed { connection: id, opened: false }).await;
        }
    }
}

async fn serve(
    id: ConnectionId,
    peer: SocketAddr,
    stream: TcpStream,
    events: mpsc::Sender<StreamEvent>,
    outgoing: Outgoing,
    settings: Settings,
) {
    // A connection that can't be tuned works all the same.
    let _ = transport::tune_stream(&stream);
    let (reader, writer) = stream.into_split();
    let Outgoing { receiver, unwritten, pong } = outgoing;
    tokio::select! {
        () = read(id, peer, reader, &events, pong, settings) => {}
        () = write(writer, receiver, &unwritten) => {}
    }
    let _ = events.send(StreamEvent::Closed { connection: id, opened: true }).await;
}

/// Reads until the stream ends, is idle for too long, or can't be framed any more.
async fn read(
    id: ConnectionId,
    peer: SocketAddr,
    mut reader: tcp::OwnedReadHalf,
    events: &mpsc::Sender<StreamEvent>,
    pong: Pong,
    settings: Settings,
) {
    let (mut framer, mut buffer) = (StreamFramer::new(settings.max_body), BytesMut::new());
    let mut begun: Option<Instant> = None; // when the message that is under way began to come
    loop {
        let patience = match begun {
            Some(since) => MESSAGE_TIMEOUT.saturating_sub(since.elapsed()),
            None => settings.idle,
        };
        buffer.reserve(READ);
        match timeout(patience, reader.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
        loop {
            let (event, last) = match framer.poll(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Frame::Message(message))) => (StreamEvent::Message(id, peer, message), false),
                Ok(Some(Frame::Broken(rejected))) => (StreamEvent::Broken(id, peer, rejected), false),
                Err(rejected) => (StreamEvent::Broken(id, peer, rejected), true),
                Ok(Some(Frame::Ping)) => {
                    pong.answer();
                    continue;
                }
                Ok(Some(Frame::Pong)) => continue,
            };
            begun = None;
            if events.send(event).await.is_err() {
                return;
            }
            if last {
                // Time for the answer to go out before the close.
                tokio::time::sleep(LINGER).await;
                return;
            }
        }
        begun = framer.is_mid_message(&buffer).then(|| begun.unwrap_or_else(Instant::now));
    }
}

/// How long a connection stays open behind the answer to what broke it.
const LINGER: Duration = Duration::from_millis(200);

async fn write(mut writer: tcp::OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Bytes>, unwritten: &AtomicUsize) {
    let mut batch = BytesMut::new();
    while let Some(first) = outgoing.recv().await {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < WRITE_BATCH {
            let Ok(more) = outgoing.try_recv() else { break };
            batch.extend_from_slice(&more);
        }
        match timeout(WRITE_TIMEOUT, writer.write_all(&batch)).await {
            Ok(Ok(())) => drop(unwritten.fetch_sub(batch.len(), Ordering::Relaxed)),
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
