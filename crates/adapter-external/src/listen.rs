//! Where the adapter connects: a Unix socket, or TCP for the one client that proves its name.

use crate::Reason;
use crate::adapter::Shared;
use crate::config::{Door, read_authorities};
use crate::connection::MAX_CONNECTIONS;
use crate::link::{Link, Proven};
use adapter_api::model::Domain;
use adapter_api::{AdapterError, InstanceName, Problem, Tls};
use futures_util::stream::{self, Stream};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
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
            Door::Socket(path) => Socket::open(shared, path).map(Self::Socket),
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
    shared: Weak<Shared>,
    listener: UnixListener,
    path: PathBuf,
    room: Arc<Semaphore>,
}

impl Socket {
    fn open(shared: &Shared, path: PathBuf) -> Result<Self, AdapterError> {
        let listener =
            Self::bind(&path).map_err(|source| AdapterError::Listen { listen: path.display().to_string(), source })?;
        Ok(Self { shared: shared.me.clone(), listener, path, room: Arc::new(Semaphore::new(MAX_CONNECTIONS)) })
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

    pub(crate) fn incoming(self) -> impl Stream<Item = io::Result<Link>> {
        stream::unfold(self, |socket| async {
            let link = socket.next().await;
            Some((Ok(link), socket))
        })
    }

    /// The next connection for which there is room.
    async fn next(&self) -> Link {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(socket = %self.path.display(), %error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                return Link::new(stream, None, permit);
            }
            self.refuse();
        }
    }

    /// Says once that there is no room: whoever knocks without end fills no log.
    fn refuse(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let reason = Reason::Busy.code();
        if shared.state.lock().refused.replace(reason) != Some(reason) {
            tracing::warn!(adapter = %shared.instance, reason, text = MANY, "an adapter's connection is refused");
        }
    }
}

/// What is said of one connection too many.
const MANY: &str = "too many connections";

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
        let shared = self.shared.clone();
        let (acceptor, room) = (self.acceptor.clone(), Arc::clone(&self.room));
        self.handshakes.spawn(async move {
            let (reason, text) = match accept(stream, acceptor, room).await {
                Ok(link) => return Some(link),
                Err(refused) => refused,
            };
            if let Some(shared) = shared.upgrade() {
                tracing::warn!(adapter = %shared.instance, %peer, reason, text, "an adapter's connection is refused");
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
    let permit = room.try_acquire_owned().map_err(|_| (Reason::Busy.code(), MANY.to_owned()))?;
    Ok(Link::new(handshake.stream, Some(Proven { version: handshake.version }), permit))
}

/// The reason code of a handshake that failed.
fn reason_of(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::Refused(fault) => fault.code(),
        HandshakeError::Timeout | HandshakeError::Io(_) | HandshakeError::Dane(_) | HandshakeError::Name | _ => "tls",
    }
}
