//! The I/O shell: one connection to the server at a time, made again when it breaks.

mod backoff;
pub(crate) mod inbound;
mod outbound;
mod ping;
mod probe;
mod replies;
mod sent;
mod session;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adapter_api::{Delivery, Dns, Hub, PeerState, Provenance, Shutdown, SourceProof, SpeaksFor};
use impp_resolve::{Name, RecordType};
use strict_xml::Element;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::Alarm;

use crate::config::Settings;
pub(crate) use backoff::Backoff;
pub(crate) use inbound::{Arrival, Inbound, Settled};
pub(crate) use outbound::{HIGH_WATER, Outbound, ProofOfPresence, Verdict};
pub(crate) use probe::probe;
pub(crate) use replies::{Replies, Told, owe};

/// What the adapter's handle shares with its link.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Deliveries taken and not yet written.
    pub(crate) queued: AtomicUsize,
    /// Whether stanzas can flow.
    pub(crate) up: AtomicBool,
}

/// The standing link of one component.
pub(crate) struct Link {
    settings: Settings,
    dns: Arc<dyn Dns>,
    hub: Hub,
    shutdown: Shutdown,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Delivery>,
    batch: Vec<Delivery>,
    replies: mpsc::UnboundedReceiver<Element>,
    outbound: Outbound,
    inbound: Inbound,
    /// Whether a try to connect has failed since the link was last up.
    unreachable: bool,
}

/// A server on this host answers at once; one behind a tunnel within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Deliveries taken from the queue in one turn; bounds what one turn writes.
const BATCH: usize = 256;

/// Silence after which the kernel asks whether the peer is there, and the distance of its questions.
const TCP_PROBE: Duration = Duration::from_secs(10);

/// How long written octets may stay unacknowledged before the kernel gives the connection up.
const TCP_GIVE_UP: Duration = Duration::from_secs(30);

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("name not found")]
    Name,
    #[error("no answer in time")]
    Timeout,
    #[error("no address answers")]
    Unreachable(#[source] transport::ConnectError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It broke; `served`: after having been open for longer than any pause.
    Broken { served: bool },
    /// The gateway stops.
    Shutdown,
}

impl Link {
    pub(crate) fn new(
        settings: Settings,
        dns: Arc<dyn Dns>,
        hub: Hub,
        shutdown: Shutdown,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Delivery>,
    ) -> Self {
        let provenance = Arc::new(Provenance {
            may_repeat: false,
            adapter: hub.instance().clone(),
            peer: format!("{}:{}", settings.host, settings.port).into(),
            proof: SourceProof::Secret,
            speaks_for: SpeaksFor::Patterns(settings.vouches_for.clone().into()),
        });
        let limit = settings.limits.max_pending;
        let (sender, replies) = mpsc::unbounded_channel();
        let owing = hub.clone();
        let settlements = Box::new(move |settled: Settled| {
            // Without a receiver the link has ended for good.
            if let Some(Err(unsent)) = settled.reply.map(|reply| sender.send(reply)) {
                replies::owe(&owing, &unsent.0, false, None);
            }
        });
        let domain = settings.domain.clone();
        let inbound = Inbound::new(hub.clone(), provenance, Some(domain.clone()), limit, rand::random(), settlements);
        let errors = Replies::new(hub.clone(), limit);
        let outbound = Outbound::new(
            domain,
            settings.acknowledge,
            ProofOfPresence::Needless,
            settings.limits.max_stanza,
            errors,
            Instant::now(),
        );
        let batch = Vec::with_capacity(BATCH);
        Self { settings, dns, hub, shutdown, shared, queue, batch, replies, outbound, inbound, unreachable: false }
    }

    /// Serves until the gateway stops.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        self.hub.peer_changed(self.settings.domain.as_str(), PeerState::Down);
        loop {
            let ended = match self.connect().await {
                Some(Ok(socket)) => {
                    self.unreachable = false;
                    self.serve(socket).await
                }
                Some(Err(error)) => {
                    // The first failure of an outage is news, the others are not.
                    if std::mem::replace(&mut self.unreachable, true) {
                        tracing::debug!(domain = %self.settings.domain, %error, "XMPP server still unreachable");
                    } else {
                        tracing::warn!(domain = %self.settings.domain, hop = self.hop(), %error,
                            "XMPP server unreachable, trying again until it answers");
                    }
                    self.outbound.give_back();
                    self.count_queued();
                    Ended::Broken { served: false }
                }
                None => Ended::Shutdown,
            };
            self.outbound.link_lost();
            self.tell(PeerState::Down);
            match ended {
                Ended::Shutdown => break,
                Ended::Broken { served: true } => backoff.reset(),
                Ended::Broken { served: false } => {}
            }
            let pause = tokio::time::sleep(backoff.next(rand::random()));
            if self.meanwhile(pause).await.is_none() {
                break;
            }
        }
        self.finish();
    }

    /// Connects; `None` when the gateway stops meanwhile.
    async fn connect(&mut self) -> Option<Result<TcpStream, ConnectError>> {
        let (host, port, dns) = (self.settings.host.clone(), self.settings.port, Arc::clone(&self.dns));
        self.meanwhile(async move { connect_to(&*dns, &host, port).await }).await
    }

    /// Waits for `work` while deliveries queue and expire; `None` when the gateway stops.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut alarm) = (pin!(work), Alarm::default());
        loop {
            let due = self.outbound.next_timeout();
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.shutdown.requested() => return None,
                count = self.queue.recv_many(&mut self.batch, BATCH) => self.admit(count),
                Some(reply) = self.replies.recv() => self.outbound.reply(reply, None, Instant::now()),
                () = alarm.wait(due) => self.expire(Instant::now()),
            }
        }
    }

    /// Takes the batch just received into the queue.
    fn admit(&mut self, count: usize) {
        debug_assert_eq!(count, self.batch.len(), "the batch was empty before");
        for delivery in self.batch.drain(..) {
            self.outbound.admit(delivery);
        }
        if self.unreachable {
            self.outbound.give_back();
            self.count_queued();
        }
    }

    fn expire(&mut self, now: Instant) {
        self.outbound.expire(now);
        self.outbound.give_back_overdue(now);
        self.count_queued();
    }

    /// Frees the places of deliveries that have left the queue.
    fn count_queued(&self) {
        self.shared.queued.store(self.outbound.waiting() + self.queue.len(), Ordering::Relaxed);
    }

    /// Tells the hub, and whoever examines the adapter, of a change.
    fn tell(&self, state: PeerState) {
        let up = state == PeerState::Up;
        if self.shared.up.swap(up, Ordering::Relaxed) != up {
            self.hub.peer_changed(self.settings.domain.as_str(), state);
        }
    }

    /// Settles what is left.
    fn finish(&mut self) {
        self.queue.close();
        self.replies.close();
        self.take_replies();
        while let Ok(delivery) = self.queue.try_recv() {
            self.outbound.admit(delivery);
        }
        self.outbound.shut_down();
        self.count_queued();
    }

    fn hop(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}

/// The addresses of the configured host: a literal, loopback by its name, or what DNS says.
async fn resolve(dns: &dyn Dns, host: &str) -> Vec<IpAddr> {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = literal.parse() {
        return vec![address];
    }
    // RFC 6761 §6.3: this name is loopback without asking.
    if host == "localhost" {
        return vec![IpAddr::from([127, 0, 0, 1])];
    }
    let Ok(name) = Name::parse(host) else { return Vec::new() };
    let (four, six) = tokio::join!(dns.query(&name, RecordType::A), dns.query(&name, RecordType::Aaaa));
    let addresses = [four, six].into_iter().flatten().flat_map(|answer| answer.records);
    addresses.filter_map(|record| record.address()).collect()
}

/// Small writes go out at once, and a peer that is gone is noticed.
pub(crate) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(TCP_PROBE).with_interval(TCP_PROBE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_GIVE_UP))?;
    Ok(())
}

/// Connects to the server of a component link.
pub(crate) async fn connect_to(dns: &dyn Dns, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let attempt = async {
        let addresses = resolve(dns, host).await.into_iter().map(|address| SocketAddr::new(address, port));
        let found = transport::connect_any(transport::by_turns(addresses), CONNECT_TIMEOUT).await;
        // Every address failed; the first one's error stands for the others.
        let of = |errors: Vec<_>| errors.into_iter().next().map_or(ConnectError::Name, ConnectError::Unreachable);
        let socket = found.map_err(of)?;
        prepare(&socket)?;
        Ok(socket)
    };
    timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or(Err(ConnectError::Timeout))
}
