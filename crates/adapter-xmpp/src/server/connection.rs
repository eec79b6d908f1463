//! One connection: octets in and out, TLS under them, and nothing of XMPP.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use impp_model::Domain;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::Tls;
use transport::dane::{DaneError, Discovery};
use transport::tls::{CertificateDer, Handshake, HandshakeError, PeerIdentity, TlsAcceptor};

/// What a connection is called.
pub(super) type ConnectionId = u64;

/// What the core tells a connection.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this behind what was written.
    Write(Bytes),
    /// Read on: what was read before is dealt with.
    Read,
    /// Begin TLS once all is written.
    StartTls,
    /// Close once all is written.
    Close,
}

/// What a connection tells the core.
#[derive(Debug)]
pub(super) enum Happened {
    /// It is made, and protected from the start if there is an identity.
    Open { address: SocketAddr, secured: Option<Secured> },
    /// It could not be made.
    Failed(Fault),
    /// Octets came; no more are read until [`Command::Read`].
    Octets(BytesMut),
    /// TLS is there.
    Secured(Secured),
    /// TLS is not to be had.
    Insecure(HandshakeError),
    /// All is written, after the core had asked to be told.
    Written,
    /// It is gone.
    Gone,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the server has no address")]
    NoAddress,
    #[error("{0}")]
    Connect(#[from] transport::ConnectError),
    #[error("{0}")]
    Dane(#[from] DaneError),
    #[error("{0}")]
    Tls(#[from] HandshakeError),
}

/// What TLS told.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) peer: PeerIdentity,
    pub(super) certificate: Option<CertificateDer<'static>>,
    pub(super) version: &'static str,
}

/// Which part of the handshake is ours.
pub(super) enum Part {
    /// We were called.
    Server(TlsAcceptor),
    /// We call the server of `domain` on behalf of `source`, of which the name system says `discovery`.
    Client { tls: Arc<Tls>, domain: Domain, source: Domain, discovery: Discovery },
}

/// The core's hold on a connection.
#[derive(Debug)]
pub(super) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    gauge: Arc<Gauge>,
}

/// What is not written yet.
#[derive(Debug, Default)]
struct Gauge {
    octets: AtomicUsize,
    is_watched: AtomicBool,
}

/// The connection's end of its [`Handle`].
pub(super) struct Line {
    commands: mpsc::UnboundedReceiver<Command>,
    gauge: Arc<Gauge>,
    id: ConnectionId,
    events: mpsc::UnboundedSender<(ConnectionId, Happened)>,
}

/// XEP-0368 §3.
pub(super) const ALPN: &[&[u8]] = &[b"xmpp-server"];

/// A server that can be reached answers within this time.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may take to read what is left when we close.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Octets read at once.
const READ_BUFFER: usize = 64 * 1024;

/// A connection to be.
pub(super) fn line(id: ConnectionId, events: mpsc::UnboundedSender<(ConnectionId, Happened)>) -> (Handle, Line) {
    let (sender, commands) = mpsc::unbounded_channel();
    let gauge = Arc::<Gauge>::default();
    (Handle { commands: sender, gauge: Arc::clone(&gauge) }, Line { commands, gauge, id, events })
}

impl Handle {
    pub(super) fn tell(&self, command: Command) {
        if let Command::Write(octets) = &command {
            self.gauge.octets.fetch_add(octets.len(), Ordering::AcqRel);
        }
        // A connection that is gone has said so.
        let _ = self.commands.send(command);
    }

    /// Octets that the network has not taken.
    pub(super) fn unwritten(&self) -> usize {
        self.gauge.octets.load(Ordering::Acquire)
    }

    /// Asks for [`Happened::Written`].
    pub(super) fn watch(&self) {
        self.gauge.is_watched.store(true, Ordering::Release);
    }
}

/// Serves a connection that was accepted, with TLS from the start if `direct`.
pub(super) async fn serve(line: Line, socket: TcpStream, address: SocketAddr, acceptor: TlsAcceptor, direct: bool) {
    let part = Part::Server(acceptor);
    if direct {
        run_secured(line, socket, address, part).await;
    } else {
        run(line, socket, address, part).await;
    }
}

/// Makes a connection to one of the addresses of a server (RFC 8305 §5) and serves it.
pub(super) async fn call(line: Line, addresses: Vec<SocketAddr>, host: String, part: Part, direct: bool) {
    match reach(addresses, &host, part, direct).await {
        Ok((socket, address, part)) if direct => run_secured(line, socket, address, part).await,
        Ok((socket, address, part)) => run(line, socket, address, part).await,
        Err(fault) => line.happened(Happened::Failed(fault)),
    }
}

/// RFC 7673 §3.1: the SRV records that name a server; XEP-0368 §2: those of direct TLS are others.
pub(super) fn service(domain: &Domain, direct: bool) -> String {
    format!("{}._tcp.{domain}", if direct { "_xmpps-server" } else { "_xmpp-server" })
}

/// Asks the name system about the server, then connects.
async fn reach(
    addresses: Vec<SocketAddr>,
    host: &str,
    part: Part,
    direct: bool,
) -> Result<(TcpStream, SocketAddr, Part), Fault> {
    let Some(first) = addresses.first().copied() else { return Err(Fault::NoAddress) };
    let part = match part {
        Part::Client { tls, domain, source, .. } => {
            let service = service(&domain, direct);
            let asking = timeout(CONNECT_TIMEOUT, tls.discover(&service, host, first.port())).await;
            let discovery = asking.unwrap_or(Err(DaneError::Failure(service)))?;
            Part::Client { tls, domain, source, discovery }
        }
        part @ Part::Server(_) => part,
    };
    let connected = transport::connect_any(addresses, CONNECT_TIMEOUT).await;
    let socket = connected.map_err(|errors| errors.into_iter().next().map_or(Fault::NoAddress, Fault::Connect))?;
    let address = socket.peer_addr().unwrap_or(first);
    Ok((socket, address, part))
}

async fn run_secured(mut line: Line, socket: TcpStream, address: SocketAddr, part: Part) {
    match part.shake(socket, ALPN).await {
        Ok(Handshake { stream, peer, certificate, version, .. }) => {
            line.happened(Happened::Open { address, secured: Some(Secured { peer, certificate, version }) });
            line.pump(stream).await;
        }
        Err(error) => line.happened(Happened::Failed(error.into())),
    }
}

/// Begins in clear.
async fn run(mut line: Line, socket: TcpStream, address: SocketAddr, part: Part) {
    line.happened(Happened::Open { address, secured: None });
    let Some(socket) = line.pump(socket).await else { return };
    match part.shake(socket, &[]).await {
        Ok(Handshake { stream, peer, certificate, version, .. }) => {
            line.happened(Happened::Secured(Secured { peer, certificate, version }));
            line.pump(stream).await;
        }
        Err(error) => line.happened(Happened::Insecure(error)),
    }
}

impl Part {
    async fn shake(&self, socket: TcpStream, alpn: &[&[u8]]) -> Result<Handshake<TcpStream>, HandshakeError> {
        match self {
            Self::Server(acceptor) => acceptor.accept(socket).await,
            Self::Client { tls, domain, source, discovery } => {
                tls.connect_vouched(socket, domain, Some(source), alpn, discovery).await
            }
        }
    }
}

impl Line {
    fn happened(&self, what: Happened) {
        // Without a core the gateway has stopped.
        let _ = self.events.send((self.id, what));
    }

    /// Carries octets until the connection ends; gives the socket back for TLS.
    async fn pump<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: S) -> Option<S> {
        let (mut reader, mut writer) = tokio::io::split(socket);
        let mut queue = Queue::default();
        let mut input = BytesMut::new();
        let mut may_read = true;
        let mut last: Option<Command> = None;
        loop {
            if queue.is_empty() {
                match last {
                    Some(Command::StartTls) => return Some(reader.unsplit(writer)),
                    Some(_) => break,
                    None => self.all_written(),
                }
            }
            input.reserve(READ_BUFFER);
            tokio::select! {
                read = reader.read_buf(&mut input), if may_read && last.is_none() => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        may_read = false;
                        self.happened(Happened::Octets(input.split()));
                    }
                },
                written = queue.write(&mut writer), if !queue.is_empty() => match written {
                    Ok(count) => drop(self.gauge.octets.fetch_sub(count, Ordering::AcqRel)),
                    Err(_) => break,
                },
                command = self.commands.recv(), if last.is_none() => match command {
                    Some(Command::Write(octets)) => queue.push(octets),
                    Some(Command::Read) => may_read = true,
                    Some(command @ (Command::StartTls | Command::Close)) => last = Some(command),
                    None => last = Some(Command::Close),
                },
                () = tokio::time::sleep(LAST_WRITES), if last.is_some() => break,
            }
        }
        // The peer's end may be gone already.
        let _ = timeout(LAST_WRITES, writer.shutdown()).await;
        self.happened(Happened::Gone);
        None
    }

    fn all_written(&self) {
        if self.gauge.is_watched.swap(false, Ordering::AcqRel) {
            self.happened(Happened::Written);
        }
    }
}

/// What is to be written.
#[derive(Default)]
struct Queue {
    octets: VecDeque<Bytes>,
    /// TLS may hold back what it took.
    is_unflushed: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.octets.is_empty() && !self.is_unflushed
    }

    fn push(&mut self, octets: Bytes) {
        if !octets.is_empty() {
            self.octets.push_back(octets);
        }
    }

    /// Writes as far as the network takes it; how many octets it took. Cancel-safe.
    async fn write<S: AsyncWrite>(&mut self, writer: &mut WriteHalf<S>) -> io::Result<usize> {
        let Some(front) = self.octets.front_mut() else {
            writer.flush().await?;
            self.is_unflushed = false;
            return Ok(0);
        };
        let count = writer.write_buf(front).await?;
        self.is_unflushed = true;
        if front.is_empty() {
            self.octets.pop_front();
        }
        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
    }
}
