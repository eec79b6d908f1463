//! Names for the places that octets come from and go to.

use adapter_api::Transport;
use sip_proto::transaction::Reliability;
use std::net::SocketAddr;

/// One connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// From this UDP socket to that address.
    Datagram { socket: usize, peer: SocketAddr },
    /// Over this connection; if it is gone, a response goes over a new one to `reopen` (RFC 3261 §18.2.2).
    Stream { connection: ConnectionId, reopen: Option<SocketAddr> },
}

impl Route {
    pub(crate) fn reliability(self) -> Reliability {
        match self {
            Self::Datagram { .. } => Reliability::Unreliable,
            Self::Stream { .. } => Reliability::Reliable,
        }
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) channel: Channel,
}

/// By what a message came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Channel {
    Socket(usize),
    Connection(ConnectionId),
}

/// A server to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// Which of the servers found: those with the same number are one server's addresses, of which any will do.
    pub(crate) server: u16,
}
