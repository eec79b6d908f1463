//! Where the adapter connects: a Unix socket, or TCP for the one client that proves its name.

use crate::Reason;
use crate::adapter::Shared;
use crate::config::{Door, read_authorities};
use crate::connection::MAX_CONNECTIONS;
use adapter_api::model::Domain;
use adapter_api::{AdapterError, InstanceName, Problem, Tls};
use futures_util::stream::{self, Stream};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tonic::transport::server::Connected;
use transport::tls::{HandshakeError, TlsAcceptor};

/// What is listened on.
pub(crate) enum Listener {
    Socket(Socket),
    Tls(Box<TlsDoor>),
}

/// Handshakes at a time: strangers can begin them.
const MAX_HANDSHAKES: usize = 16;

/// After an accept that failed, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What HTTP/2 is called in ALPN (RFC 9113 §3.1).
pub(crate) const ALPN: &[&[u8]] = &[b"h2"];

impl Listener {
    /// Opens what is configured.
    pub(crate) fn open(shared: &Shared) -> Result<Self, AdapterError> {
        match shared.config.door().map_err(unusable)? {
            Door::Socket(path) => Socket::open(path).map(Self::Socket),
            Door::Tls(address, authorities, name) => {
                let authorities = read_authorities(&authorities).map_err(|errors| AdapterError::Config {
                    key: "client_authority_file".to_owned(),
                    problem: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                })?;
                Ok(Self::Tls(Box::new(TlsDoor::open(shared, address, Arc::new(authorities), name)?)))
            }
        }
    }

    /// Where that is; the port that was chosen for port 0.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(_) => None,
            Self::Tls(door) => door.listener.local_addr().ok(),
        }
    }

    /// The file to take away at the end.
    pub(crate) fn socket_file(&self) -> Option<PathBuf> {
        match self {
            Self::Socket(socket) => Some(socket.path.clone()),
            Self::Tls(_) => None,
        }
    }
}

fn unusable(problem: Problem) -> AdapterError {
    AdapterError::Config { key: problem.key, problem: format!("{}: {}", problem.problem, problem.remedy) }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.address()) {
            (Self::Socket(socket), _) => socket.path.display().fmt(f),
            (Self::Tls(_), Some(address)) => write!(f, "tls:{address}"),
            (Self::Tls(_), None) => f.write_str("tls"),
        }
    }
}

/// A Unix socket for the gateway's own user.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    fn open(path: PathBuf) -> Result<Self, AdapterError> {
        let listener =
            Self::bind(&path).map_err(|source| AdapterError::Listen { listen: path.display().to_string(), source })?;
        Ok(Self { listener, path })
    }

    fn bind(path: &Path) -> io::Result<UnixListener> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        // What an earlier process left; if somebody listens there, both can't.
        if std::os::unix::net::UnixStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    pub(crate) fn incoming(self) -> impl Stream<Item = io::Result<UnixStream>> {
        stream::unfold(self, |socket| async {
            let accepted = socket.listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, socket))
        })
    }
}

/// TCP, for whoever proves the adapter's name; all others end in the handshake.
pub(crate) struct TlsDoor {
    shared: Weak<Shared>,
    instance: InstanceName,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authorities: Arc<Tls>,
    handshakes: JoinSet<Option<Link>>,
    room: Arc<Semaphore>,
}

impl TlsDoor {
    fn open(shared: &Shared, address: SocketAddr, authorities: Arc<Tls>, name: Domain) -> Result<Self, AdapterError> {
        let listener = transport::bind_tcp(address)
            .map_err(|error| AdapterError::Listen { listen: format!("tls:{address}"), source: error.source })?;
        let acceptor = TlsAcceptor::demanding(Arc::clone(&shared.tls), ALPN, Arc::clone(&authorities), name);
        Ok(Self {
            shared: shared.me.clone(),
            instance: shared.instance.clone(),
            listener,
            acceptor,
            authorities,
            handshakes: JoinSet::new(),
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        })
    }

    pub(crate) fn incoming(self: Box<Self>) -> impl Stream<Item = io::Result<Link>> {
        stream::unfold(self, |mut door| async {
            let link = door.next().await;
            Some((Ok(link), door))
        })
    }

    /// The next connection of an adapter that has proven itself.
    async fn next(&mut self) -> Link {
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if self.handshakes.len() < MAX_HANDSHAKES => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        tracing::warn!(adapter = %self.instance, %error, "a connection can't be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.handshakes.join_next(), if !self.handshakes.is_empty() => {
                    if let Ok(Some(link)) = ended {
                        return link;
                    }
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        for error in self.authorities.reload_if_changed().err().into_iter().flatten() {
            tracing::error!(adapter = %self.instance, %error, "the changed client_authority_file is not used");
        }
        let (shared, instance) = (self.shared.clone(), self.instance.clone());
        let (acceptor, room) = (self.acceptor.clone(), Arc::clone(&self.room));
        self.handshakes.spawn(async move {
            let (reason, text) = match accept(stream, acceptor, room).await {
                Ok(link) => return Some(link),
                Err(refused) => refused,
            };
            tracing::warn!(adapter = %instance, %peer, reason, text, "an adapter's connection is refused");
            if let Some(shared) = shared.upgrade() {
                shared.state.lock().refused = Some(reason);
            }
            None
        });
    }
}

/// Shakes hands; else gives the reason code, and the reason in words.
async fn accept(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    room: Arc<Semaphore>,
) -> Result<Link, (&'static str, String)> {
    let refused = |error: HandshakeError| (reason_of(&error), error.to_string());
    transport::tune_stream(&stream).map_err(|error| refused(HandshakeError::Io(error)))?;
    let handshake = acceptor.accept(stream).await.map_err(refused)?;
    let busy = |_| (Reason::Busy.code(), format!("more than {MAX_CONNECTIONS} connections"));
    let permit = room.try_acquire_owned().map_err(busy)?;
    let proven = Proven { version: handshake.version };
    Ok(Link { stream: Box::pin(handshake.stream), proven, _permit: permit })
}

/// The reason code of a handshake that failed.
fn reason_of(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::Refused(fault) => fault.code(),
        HandshakeError::Timeout | HandshakeError::Io(_) | HandshakeError::Dane(_) | HandshakeError::Name | _ => "tls",
    }
}

/// What a handshake has shown of the adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proven {
    /// As `TLS 1.3`.
    pub(crate) version: &'static str,
}

/// A protected connection; its place is free again when it is dropped.
pub(crate) struct Link {
    stream: Pin<Box<dyn Duplex>>,
    proven: Proven,
    _permit: OwnedSemaphorePermit,
}

trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

impl Connected for Link {
    type ConnectInfo = Proven;

    fn connect_info(&self) -> Proven {
        self.proven
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}
