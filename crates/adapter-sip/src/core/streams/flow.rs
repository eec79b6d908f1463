//! One connection: opening, framing, keep-alives, writing.

use super::super::route::ConnectionId;
use super::{End, Ends, Settings, StreamEvent, websocket};
use adapter_api::Transport;
use bytes::{Bytes, BytesMut};
use impp_model::Domain;
use sip_proto::framer::{Event as Frame, PING, PONG, StreamFramer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use transport::dane::DaneError;
use transport::tls::{Handshake, HandshakeError};

/// What the task of a connection holds.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: ConnectionId,
    pub(super) peer: SocketAddr,
    pub(super) transport: Transport,
    pub(super) events: mpsc::Sender<StreamEvent>,
    pub(super) outgoing: Outgoing,
    pub(super) settings: Arc<Settings>,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The peer.
    Theirs,
    /// This gateway.
    Ours,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    line_ends: LineEnds,
}

/// For keep-alives and the answers to them, which do not keep the connection in use.
#[derive(Debug, Clone)]
pub(super) struct LineEnds {
    sender: mpsc::WeakUnboundedSender<Bytes>,
    unwritten: Arc<AtomicUsize>,
}

/// How long a peer may take to accept a connection: shorter than a near side waits for its answer.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a write may take before the reader counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a message may take from its first octet to its last, and a stranger until the first one is there.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(32);

/// RFC 5626 §4.4.1: a connection of ours that is silent for so long is asked whether it lives.
pub(super) const PING_AFTER: Duration = Duration::from_secs(100);

/// RFC 5626 §4.4.1: an answer takes no longer.
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets that may wait while keep-alives are still answered.
const MAX_BEFORE_PONG: usize = 65_536;

/// Octets gathered into one write.
const WRITE_BATCH: usize = 65_536;

/// Octets asked for in one read.
const READ: usize = 16_384;

/// How long a connection stays open behind the answer to what broke it.
pub(super) const LINGER: Duration = Duration::from_millis(200);

impl Flow {
    /// Opens the connection and serves it, unless another address of the server answers first.
    pub(super) async fn open(self, ends: Option<Ends>, others: Vec<SocketAddr>) {
        let addresses = [self.peer].into_iter().chain(others);
        match transport::connect_any(addresses, CONNECT_TIMEOUT).await {
            Ok(stream) => match stream.peer_addr() {
                Ok(address) if address != self.peer => {
                    // RFC 3261 §18.1.1: Via names the address family that a request goes by, so that it is written anew.
                    let overtaken = StreamEvent::Overtaken { connection: self.id, by: stream, address };
                    // The core is gone when nobody listens.
                    let _ = self.events.send(overtaken).await;
                }
                Ok(_) | Err(_) => self.opened(stream, ends).await,
            },
            Err(errors) => {
                for error in &errors {
                    tracing::debug!(peer = %self.peer, error = error as &dyn std::error::Error, "connection refused");
                }
                self.closed(End::Refused).await;
            }
        }
    }

    /// Serves a connection that is made.
    pub(super) async fn opened(self, stream: TcpStream, ends: Option<Ends>) {
        match ends {
            Some(ends) => self.protect(stream, &ends).await,
            None => self.plain(stream, Side::Ours).await,
        }
    }

    /// Serves an accepted connection.
    pub(super) async fn accepted(self, stream: TcpStream) {
        // A connection that can't be tuned works all the same.
        let _ = transport::tune_stream(&stream);
        match self.transport {
            Transport::Tls | Transport::Wss => self.accept_tls(stream).await,
            Transport::Udp | Transport::Tcp | Transport::Ws => self.plain(stream, Side::Theirs).await,
        }
    }

    async fn plain(self, stream: TcpStream, side: Side) {
        if self.transport == Transport::Ws {
            return websocket::serve(self, stream, side).await;
        }
        let (reader, writer) = stream.into_split();
        self.serve(reader, writer, side).await;
    }

    async fn accept_tls(self, stream: TcpStream) {
        match self.settings.acceptor.accept(stream).await {
            Ok(handshake) => self.protected(handshake, Side::Theirs).await,
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "no TLS");
                self.closed(End::Refused).await;
            }
        }
    }

    async fn protect(self, stream: TcpStream, ends: &Ends) {
        let Some(wanted) = ends.peer.first() else { return self.closed(End::Refused).await };
        let tls = &self.settings.tls;
        let asking = timeout(CONNECT_TIMEOUT, tls.discover_sip(wanted, self.peer));
        let vouched = match asking.await.unwrap_or_else(|_| Err(DaneError::Failure(wanted.to_string()))) {
            Ok(vouched) => vouched,
            Err(error) => return self.unvouched(wanted, &error).await,
        };
        let handshake = match tls.connect_vouched(stream, wanted, ends.source.as_ref(), &[], &vouched).await {
            Ok(handshake) => handshake,
            Err(HandshakeError::Dane(error)) => return self.unvouched(wanted, &error).await,
            Err(error) => {
                tracing::warn!(peer = %self.peer, domain = %wanted, %error, "no TLS");
                return self.closed(End::Refused).await;
            }
        };
        // RFC 5922 §7.3: compared with the domain that was looked up; nothing is sent to anybody else.
        let fault = match handshake.peer.sip(wanted) {
            Err(fault) if ends.peer.iter().all(|domain| handshake.peer.sip(domain).is_err()) => fault,
            Ok(()) | Err(_) => return self.protected(handshake, Side::Ours).await,
        };
        tracing::warn!(peer = %self.peer, domain = %wanted, reason = fault.code(), "not the server that was wanted");
        self.closed(End::Unproven(fault)).await;
    }

    /// RFC 7673 §3.1, §3.4, §4.2: nothing is sent to a server that the name system may say something else of.
    async fn unvouched(self, wanted: &Domain, error: &DaneError) {
        tracing::warn!(peer = %self.peer, domain = %wanted, reason = error.code(), %error, "not the server that was wanted");
        self.closed(End::Unvouched(error.code())).await;
    }

    async fn protected(self, handshake: Handshake<TcpStream>, side: Side) {
        let secured = StreamEvent::Secured(self.id, Arc::new(handshake.peer), handshake.version);
        if self.events.send(secured).await.is_err() {
            return;
        }
        if self.transport == Transport::Wss {
            return websocket::serve(self, handshake.stream, side).await;
        }
        let (reader, writer) = tokio::io::split(handshake.stream);
        self.serve(reader, writer, side).await;
    }

    /// Reads and writes messages until either way ends.
    async fn serve(self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin, side: Side) {
        let Self { id, events, outgoing, settings, .. } = self;
        let Outgoing { receiver, line_ends } = outgoing;
        let reading = Reading { id, events: &events, line_ends: &line_ends, settings: &settings, side };
        tokio::select! {
            () = reading.run(reader) => {}
            () = write(writer, receiver, &line_ends.unwritten) => {}
        }
        // The core is gone when nobody listens.
        let _ = events.send(StreamEvent::Closed { connection: id, end: End::Broken }).await;
    }

    /// Tells that the connection has ended.
    pub(super) async fn closed(self, end: End) {
        // The core is gone when nobody listens.
        let _ = self.events.send(StreamEvent::Closed { connection: self.id, end }).await;
    }
}

impl Outgoing {
    pub(super) fn new(
        receiver: mpsc::UnboundedReceiver<Bytes>,
        sender: mpsc::WeakUnboundedSender<Bytes>,
        unwritten: Arc<AtomicUsize>,
    ) -> Self {
        Self { receiver, line_ends: LineEnds { sender, unwritten } }
    }

    pub(super) fn line_ends(&self) -> LineEnds {
        self.line_ends.clone()
    }

    /// The next message to write; `None` when the connection is to end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }

    /// Notes that octets have been written.
    pub(super) fn written(&self, octets: usize) {
        self.line_ends.unwritten.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl LineEnds {
    /// RFC 5626 §4.4.1: answers a keep-alive; a peer that does not read its answers can do without.
    pub(super) fn pong(&self) {
        self.write(PONG);
    }

    /// RFC 5626 §4.4.1: asks whether the peer is there.
    fn ping(&self) {
        self.write(PING);
    }

    fn write(&self, octets: &'static [u8]) {
        let Some(sender) = self.sender.upgrade() else { return };
        if self.unwritten.load(Ordering::Relaxed) < MAX_BEFORE_PONG {
            self.unwritten.fetch_add(octets.len(), Ordering::Relaxed);
            // The writer is gone when nobody listens.
            let _ = sender.send(Bytes::from_static(octets));
        }
    }
}

/// The reading half of a connection.
struct Reading<'f> {
    id: ConnectionId,
    events: &'f mpsc::Sender<StreamEvent>,
    line_ends: &'f LineEnds,
    settings: &'f Settings,
    side: Side,
}

/// What a silent connection is waited for.
#[derive(Debug, Clone, Copy)]
struct Silence {
    side: Side,
    heard: Instant, // anything at all
    used: Instant,  // a message
    greeted: bool,  // a message has come
    pinged: bool,
    pongs: bool, // the peer is known to answer pings
}

/// What comes of waiting too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    Ping,
    Unanswered,
    Close,
}

impl Silence {
    fn new(side: Side, now: Instant) -> Self {
        Self { side, heard: now, used: now, greeted: false, pinged: false, pongs: false }
    }

    /// When to do what, if nothing comes before.
    fn next(&self, begun: Option<Instant>, idle: Duration) -> (Instant, Overdue) {
        if let Some(begun) = begun {
            return (begun + MESSAGE_TIMEOUT, Overdue::Close);
        }
        if self.pinged {
            return (self.heard + PING_AFTER + PONG_TIMEOUT, Overdue::Unanswered);
        }
        let patience = if self.side == Side::Theirs && !self.greeted { MESSAGE_TIMEOUT.min(idle) } else { idle };
        let close = self.used + patience;
        let ping = self.heard + PING_AFTER;
        if self.side == Side::Ours && ping < close { (ping, Overdue::Ping) } else { (close, Overdue::Close) }
    }

    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pongs |= self.pinged;
        self.pinged = false;
    }

    fn use_up(&mut self, now: Instant) {
        (self.used, self.greeted) = (now, true);
    }
}

impl Reading<'_> {
    /// Reads until the stream ends, is idle for too long, or can't be framed any more.
    async fn run<R: AsyncRead + Unpin>(&self, mut reader: R) {
        let (mut framer, mut buffer) = (StreamFramer::new(self.settings.max_body), BytesMut::new());
        let mut begun: Option<Instant> = None; // when the message that is under way began to come
        let mut silence = Silence::new(self.side, Instant::now());
        loop {
            let (until, overdue) = silence.next(begun, self.settings.idle);
            buffer.reserve(READ);
            match tokio::time::timeout_at(until, reader.read_buf(&mut buffer)).await {
                Ok(Ok(1..)) => silence.hear(Instant::now()),
                Ok(Ok(0) | Err(_)) => return,
                Err(_) => match overdue {
                    Overdue::Ping => {
                        silence.pinged = true;
                        self.line_ends.ping();
                        continue;
                    }
                    // RFC 5626 §4.4.1: the flow has failed. One that never answered a ping may not know them.
                    Overdue::Unanswered if !silence.pongs => {
                        silence.hear(Instant::now());
                        silence.pongs = false;
                        continue;
                    }
                    Overdue::Unanswered | Overdue::Close => return,
                },
            }
            if !self.take(&mut framer, &mut buffer, &mut begun, &mut silence).await {
                return;
            }
            begun = framer.is_mid_message(&buffer).then(|| begun.unwrap_or_else(Instant::now));
        }
    }

    /// Hands on what the buffer holds; whether the stream goes on.
    async fn take(
        &self,
        framer: &mut StreamFramer,
        buffer: &mut BytesMut,
        begun: &mut Option<Instant>,
        silence: &mut Silence,
    ) -> bool {
        loop {
            let (event, last) = match framer.poll(buffer) {
                Ok(None) => return true,
                Ok(Some(Frame::Message(message))) => (StreamEvent::Message(self.id, message), false),
                Ok(Some(Frame::Broken(rejected))) => (StreamEvent::Broken(self.id, rejected), false),
                Err(rejected) => (StreamEvent::Broken(self.id, rejected), true),
                Ok(Some(Frame::Ping)) => {
                    self.line_ends.pong();
                    silence.use_up(Instant::now());
                    continue;
                }
                Ok(Some(Frame::Pong)) => continue,
            };
            *begun = None;
            silence.use_up(Instant::now());
            if self.events.send(event).await.is_err() {
                return false;
            }
            if last {
                // Time for the answer to go out before the close.
                tokio::time::sleep(LINGER).await;
                return false;
            }
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut outgoing: mpsc::UnboundedReceiver<Bytes>,
    unwritten: &AtomicUsize,
) {
    let mut batch = BytesMut::new();
    while let Some(first) = outgoing.recv().await {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < WRITE_BATCH {
            let Ok(more) = outgoing.try_recv() else { break };
            batch.extend_from_slice(&more);
        }
        let writing = async {
            writer.write_all(&batch).await?;
            writer.flush().await
        };
        match timeout(WRITE_TIMEOUT, writing).await {
            Ok(Ok(())) => drop(unwritten.fetch_sub(batch.len(), Ordering::Relaxed)),
            Ok(Err(_)) | Err(_) => return,
        }
    }
    // A peer that goes before it hears of the end has heard enough.
    let _ = timeout(WRITE_TIMEOUT, writer.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    // checks: OUT-003
    #[test]
    fn rfc5626_s4_4_1_our_connections_are_asked_and_a_known_answerer_must_answer() {
        let start = Instant::now();
        let mut silence = Silence::new(Side::Ours, start);
        assert_eq!(silence.next(None, IDLE), (start + PING_AFTER, Overdue::Ping));
        silence.pinged = true;
        assert_eq!(silence.next(None, IDLE), (start + PING_AFTER + PONG_TIMEOUT, Overdue::Unanswered));
        silence.hear(start + PING_AFTER);
        assert!(silence.pongs && !silence.pinged);
        // A keep-alive is no use of the connection: it still ends when it is idle.
        assert_eq!(silence.next(None, PING_AFTER), (start + PING_AFTER, Overdue::Close));
    }

    #[test]
    fn a_message_that_trickles_in_buys_no_time_with_its_octets() {
        let begun = Instant::now();
        let mut silence = Silence::new(Side::Theirs, begun);
        for second in 0..40 {
            silence.hear(begun + Duration::from_secs(second));
            assert_eq!(silence.next(Some(begun), IDLE), (begun + MESSAGE_TIMEOUT, Overdue::Close));
        }
    }

    #[test]
    fn a_stranger_has_little_time_until_its_first_message() {
        let start = Instant::now();
        let mut silence = Silence::new(Side::Theirs, start);
        assert_eq!(silence.next(None, IDLE), (start + MESSAGE_TIMEOUT, Overdue::Close));
        silence.use_up(start);
        assert_eq!(silence.next(None, IDLE), (start + IDLE, Overdue::Close));
        assert_eq!(silence.next(Some(start), IDLE), (start + MESSAGE_TIMEOUT, Overdue::Close));
    }
}
