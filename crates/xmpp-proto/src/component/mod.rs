//! Streams of external components (XEP-0114), both ends.
//!
//! [`ComponentStream`] is the component that connects to a server; [`ComponentServer`] the server that accepts one.
//! Both perform no I/O and read no clock. After every `handle_*` call and every command, drain `poll_output`, then
//! re-arm from `poll_timeout`. XEP-0114 §4: the protocol knows no TLS, so its place is loopback or a tunnel.

mod accept;
mod connect;
mod handshake; // XEP-0114 §3
mod link;

use std::time::Duration;

use bytes::Bytes;
use strict_xml::{Element, Limits};

pub use accept::{ComponentServer, ServerConfig};
pub use connect::{ComponentConfig, ComponentStream};
pub use handshake::handshake_digest;

pub use crate::secret::Secret;
pub use crate::stream::LinkError;

/// What a machine wants done or has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Octets for the peer, to be written in this order.
    Send(Bytes),
    /// The stream is authenticated; stanzas may flow.
    Opened,
    /// A message, presence or iq; its language is the stream's, if it had none of its own.
    Stanza(Element),
    /// The stream failed; `Closed` follows.
    Failed(LinkError),
    /// The stream is over: close the connection. Nothing follows.
    Closed,
}

/// The stream does not take stanzas: not yet open, or closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stream is not open")]
pub struct NotOpen;

/// Times and limits of a component stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// From connection to open stream.
    pub open_timeout: Duration,
    /// From our end tag to the peer's.
    pub close_timeout: Duration,
    /// White space is sent after this long without output (RFC 6120 §4.6.1); none sends nothing.
    pub keepalive: Option<Duration>,
    /// Bounds on one element.
    pub limits: Limits,
}

impl LinkConfig {
    /// A server on the same host answers at once; a restarting one within this time.
    pub const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
    /// Enough for a peer to finish writing.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// Shorter than the idle limits of tunnels and load balancers, commonly five minutes.
    pub const KEEPALIVE: Duration = Duration::from_secs(60);
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            open_timeout: Self::OPEN_TIMEOUT,
            close_timeout: Self::CLOSE_TIMEOUT,
            keepalive: Some(Self::KEEPALIVE),
            limits: Limits::default(),
        }
    }
}
