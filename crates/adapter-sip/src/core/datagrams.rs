//! The UDP sockets.

use super::route::{Channel, Route, Source};
use super::unreachable::{self, Unreachable};
use crate::config::Listen;
use adapter_api::Transport;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::UdpSocket;
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

#[derive(Debug)]
struct Socket {
    udp: Arc<UdpSocket>,
    local: SocketAddr,
    /// What the kernel had no room for.
    backlog: VecDeque<(Bytes, SocketAddr)>,
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
            let udp = Arc::new(transport::bind_udp(address)?);
            let local = udp.local_addr().unwrap_or(address);
            sockets.push(Socket { udp, local, backlog: VecDeque::new() });
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
            let readable = self.sockets.iter().any(|socket| {
                socket.udp.poll_recv_ready(context).is_ready()
                    || (!socket.backlog.is_empty() && socket.udp.poll_send_ready(context).is_ready())
            });
            if readable { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Appends what has arrived, at most a batch for each socket.
    pub(crate) fn receive(&mut self, into: &mut Vec<Datagram>) {
        for (index, socket) in self.sockets.iter().enumerate() {
            for _ in 0..BATCH {
                // An error of an earlier send (ICMP) is reported here and belongs to no datagram.
                let Ok((len, peer)) = socket.udp.try_recv_from(&mut self.buffer) else { break };
                let octets = Bytes::copy_from_slice(self.buffer.get(..len).unwrap_or_default());
                into.push(Datagram {
                    octets,
                    source: Source { peer, transport: Transport::Udp, channel: Channel::Socket(index) },
                });
            }
        }
    }

    /// Sends a datagram, or keeps it until the kernel takes it.
    pub(crate) fn send(&mut self, index: usize, peer: SocketAddr, octets: Bytes) -> std::io::Result<()> {
        let Some(socket) = self.sockets.get_mut(index) else { return Ok(()) };
        if socket.backlog.is_empty() {
            // The error of an earlier datagram is reported by the next call, once: it is not this one's.
            let sent = socket.udp.try_send_to(&octets, peer).or_else(|_| socket.udp.try_send_to(&octets, peer));
            match sent {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                sent => return sent.map(|_| ()),
            }
        }
        if socket.backlog.len() < MAX_BACKLOG {
            socket.backlog.push_back((octets, peer));
        }
        Ok(())
    }

    /// Sends what was kept.
    pub(crate) fn flush(&mut self) {
        for socket in &mut self.sockets {
            while let Some((octets, peer)) = socket.backlog.front() {
                match socket.udp.try_send_to(octets, *peer) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    // Lost, as datagrams may be: retransmissions are the machine's concern.
                    Ok(_) | Err(_) => drop(socket.backlog.pop_front()),
                }
            }
        }
    }

    /// The first socket from which `peer` can be reached.
    pub(crate) fn route(&self, peer: SocketAddr) -> Option<Route> {
        let socket = self.sockets.iter().position(|socket| can_reach(socket.local, peer))?;
        Some(Route::Datagram { socket, peer })
    }
}

/// The same family, and no loopback address for a peer elsewhere.
pub(crate) fn can_reach(local: SocketAddr, peer: SocketAddr) -> bool {
    local.is_ipv4() == peer.is_ipv4() && (!local.ip().is_loopback() || peer.ip().is_loopback())
}
