//! The TCP connections: a task for each that frames what comes in and writes what goes out.

use super::route::ConnectionId;
use bytes::{Bytes, BytesMut};
use sip_proto::framer::{Event as Frame, PONG, Rejected, StreamFramer};
use sip_proto::message::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::mpsc;
use tokio::time::timeout;

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
    outgoing: mpsc::Sender<Bytes>,
    task: tokio::task::JoinHandle<()>,
}

/// Events of all connections that wait for the core; behind them TCP holds the senders back.
pub(crate) const EVENTS: usize = 1024;

/// Messages that wait for a slow reader; then the connection is given up.
const MAX_UNWRITTEN: usize = 256;

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

    /// Takes over an accepted connection; closes it when there are too many.
    pub(crate) fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.len() < self.settings.max_connections {
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

    /// Hands octets to a connection; false when it is gone or its reader too slow.
    pub(crate) fn send(&mut self, id: ConnectionId, octets: Bytes) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.outgoing.try_send(octets).is_ok())
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
        let (outgoing, receiver) = mpsc::channel(MAX_UNWRITTEN);
        let own = Outgoing { receiver, pong: outgoing.downgrade() };
        let task = tokio::spawn(serve(self.events.clone(), own, self.settings));
        self.connections.insert(id, Connection { peer, outgoing, task });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for connection in self.connections.values() {
            connection.task.abort();
        }
    }
}

/// Between two tries after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Outgoing {
    receiver: mpsc::Receiver<Bytes>,
    /// For answers to keep-alives, which do not keep the connection in use.
    pong: mpsc::WeakSender<Bytes>,
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
    let Outgoing { receiver, pong } = outgoing;
    tokio::select! {
        () = read(id, peer, reader, &events, pong, settings) => {}
        () = write(writer, receiver) => {}
    }
    let _ = events.send(StreamEvent::Closed { connection: id, opened: true }).await;
}

/// Reads until the stream ends, is idle for too long, or can't be framed any more.
async fn read(
    id: ConnectionId,
    peer: SocketAddr,
    mut reader: tcp::OwnedReadHalf,
    events: &mpsc::Sender<StreamEvent>,
    pong: mpsc::WeakSender<Bytes>,
    settings: Settings,
) {
    let (mut framer, mut buffer) = (StreamFramer::new(settings.max_body), BytesMut::new());
    loop {
        let patience = if framer.is_mid_message(&buffer) { MESSAGE_TIMEOUT } else { settings.idle };
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
                    // RFC 5626 §4.4.1; a peer that does not read its answers can do without.
                    if let Some(pong) = pong.upgrade() {
                        let _ = pong.try_send(Bytes::from_static(PONG));
                    }
                    continue;
                }
                Ok(Some(Frame::Pong)) => continue,
            };
            if events.send(event).await.is_err() {
                return;
            }
            if last {
                // Time for the answer to go out before the close.
                tokio::time::sleep(LINGER).await;
                return;
            }
        }
    }
}

/// How long a connection stays open behind the answer to what broke it.
const LINGER: Duration = Duration::from_millis(200);

async fn write(mut writer: tcp::OwnedWriteHalf, mut outgoing: mpsc::Receiver<Bytes>) {
    let mut batch = BytesMut::new();
    while let Some(first) = outgoing.recv().await {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < WRITE_BATCH {
            let Ok(more) = outgoing.try_recv() else { break };
            batch.extend_from_slice(&more);
        }
        match timeout(WRITE_TIMEOUT, writer.write_all(&batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
