//! Sockets and DNS: the I/O that every adapter shares.
//!
//! A peer's identity is the concern of TLS and has its own place here; these sockets know addresses only.

mod dns;
mod listen;
mod socket;

pub use dns::{DnsSettings, DnsSetupError, HickoryDns, parse_nameserver};
pub use impp_resolve::Transport;
pub use listen::{ListenAddr, ListenError};
pub use socket::{
    BindError, ConnectError, bind_tcp, bind_udp, by_turns, connect_any, connect_tcp, is_here, tune_stream,
};
