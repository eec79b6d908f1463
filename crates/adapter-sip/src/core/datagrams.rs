//! The UDP sockets.

use super::route::{Channel, Route, Source};
use super::unreachable::{self, Unreachable};
use crate::config::Listen;
use adapter_api::Transport;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use transport::BindError;

/// All UDP sockets of an instance.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
}

/// One datagram and where it came from.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) octets: Bytes,
    pub(crate) source: Source,
}

/// A socket that wakes its owner when it can be read, or has an error to tell: watched for room to write, it would wake
/// him for every datagram that leaves.
pub(super) type Watched = AsyncFd<UdpSocket>;

#[derive(Debug)]
struct Socket {
    udp: Arc<Watched>,
    local: SocketAddr,
    /// What the kernel had no room for.
    backlog: VecDeque<(Bytes, SocketAddr)>,
    /// Wakes when there is room again; while nothing is kept there is none.
    room: Option<Watched>,
}

/// RFC 3261 §18.1.1: what an element must be able to receive.
const MAX_DATAGRAM: usize = 65_535;

/// Datagrams read from one socket before others get their turn.
const BATCH: usize = 64;

/// Datagrams kept for a socket that takes no more; further ones are lost, as datagrams may be.
const MAX_BACKLOG: usize = 1024;

impl Datagrams {
    /// Opens a socket for each UDP address.
    pub(crate) fn bind(listens: &[Listen]) -> Result<Self, BindError> {
        let mut sockets = Vec::new();
        for address in listens.iter().filter(|listen| listen.is_udp()).filter_map(Listen::address) {
            let udp = transport::bind_udp(address)?;
            let local = udp.local_addr().unwrap_or(address);
            let udp = watch(udp, Interest::READABLE | Interest::ERROR).map_err(|source| BindError {
                transport: Transport::Udp,
                addr: address,
                source,
            })?;
            sockets.push(Socket { udp: Arc::new(udp), local, backlog: VecDeque::new(), room: None });
        }
        Ok(Self { sockets, buffer: vec![0; MAX_DATAGRAM] })
    }

    /// The addresses bound, in the order of the configuration.
    pub(crate) fn locals(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|socket| socket.local)
    }

    /// Reports ICMP errors of all sockets.
    pub(crate) fn watch(&self, reports: &mpsc::Sender<Unreachable>) -> Vec<JoinHandle<()>> {
        let sockets = self.sockets.iter().enumerate();
        sockets
            .map(|(index, socket)| tokio::spawn(unreachable::watch(index, socket.udp.clone(), reports.clone())))
            .collect()
    }

    /// Waits until a socket can be read, or takes what was kept for it. Cancel-safe.
    pub(crate) async fn ready(&self) {
        poll_fn(|context| {
            let ready = self.sockets.iter().any(|socket| socket.is_ready(context));
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Appends what has arrived, at most a batch for each socket.
    pub(crate) fn receive(&mut self, into: &mut Vec<Datagram>) {
        for (index, socket) in self.sockets.iter().enumerate() {
            for _ in 0..BATCH {
                // An error of an earlier send (ICMP) is reported here and belongs to no datagram.
                let read = |udp: &UdpSocket| udp.recv_from(&mut self.buffer);
                let Ok((len, peer)) = socket.udp.try_io(Interest::READABLE, read) else { break };
                let octets = Bytes::copy_from_slice(self.buffer.get(..len).unwrap_or_default());
                into.push(Datagram {
                    octets,
                    source: Source { peer, transport: Transport::Udp, channel: Channel::Socket(index) },
                });
            }
        }
    }

    /// Sends a datagram, or keeps it until the kernel takes it.
    pub(crate) fn send(&mut self, index: usize, peer: SocketAddr, octets: Bytes) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(index) else { return Ok(()) };
        if socket.backlog.is_empty() {
            let udp = socket.udp.get_ref();
            // The error of an earlier datagram is reported by the next call, once: it is not this one's.
            let sent = udp.send_to(&octets, peer).or_else(|_| udp.send_to(&octets, peer));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent.map(|_| ()),
            }
        }
        socket.keep(octets, peer);
        Ok(())
    }

    /// Sends what was kept.
    pub(crate) fn flush(&mut self) {
        self.sockets.iter_mut().for_each(Socket::flush);
    }

    /// The first socket from which `peer` can be reached.
    pub(crate) fn route(&self, peer: SocketAddr) -> Option<Route> {
        let socket = self.sockets.iter().position(|socket| can_reach(socket.local, peer))?;
        Some(Route::Datagram { socket, peer })
    }
}

impl Socket {
    fn is_ready(&self, context: &mut Context<'_>) -> bool {
        self.udp.poll_read_ready(context).is_ready()
            || self.room.as_ref().is_some_and(|room| room.poll_write_ready(context).is_ready())
    }

    fn keep(&mut self, octets: Bytes, peer: SocketAddr) {
        if self.backlog.len() < MAX_BACKLOG {
            self.backlog.push_back((octets, peer));
        }
        if self.room.is_none() {
            // Without a further descriptor what is kept goes when the owner next has something else to do.
            let watched = self.udp.get_ref().try_clone();
            self.room = watched.and_then(|udp| watch(udp, Interest::WRITABLE)).ok();
        }
    }

    fn flush(&mut self) {
        while let Some((octets, peer)) = self.backlog.front() {
            let send = |udp: &UdpSocket| udp.send_to(octets, *peer);
            let sent = match &self.room {
                Some(room) => room.try_io(Interest::WRITABLE, send),
                None => send(self.udp.get_ref()),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Lost, as datagrams may be: retransmissions are the machine's concern.
                Ok(_) | Err(_) => drop(self.backlog.pop_front()),
            }
        }
        self.room = None;
    }
}

#[allow(deprecated, reason = "a socket of std keeps its descriptor, which is what `unsafe` promises in the successor")]
fn watch(udp: UdpSocket, interest: Interest) -> io::Result<Watched> {
    AsyncFd::with_interest(udp, interest)
}

/// The same family, and no loopback address for a peer elsewhere.
pub(crate) fn can_reach(local: SocketAddr, peer: SocketAddr) -> bool {
    local.is_ipv4() == peer.is_ipv4() && (!local.ip().is_loopback() || peer.ip().is_loopback())
}
