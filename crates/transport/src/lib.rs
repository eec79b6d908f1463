//! Sockets, TLS and DNS: the I/O that every adapter shares.

#[cfg(feature = "acme")]
pub mod acme; // RFC 8555, RFC 8737
mod alarm;
pub mod dane; // RFC 7673, RFC 7671
mod dns;
#[cfg(feature = "http")]
pub mod http; // RFC 9112
mod listen;
mod socket;
pub mod tls; // RFC 8446, RFC 6125, RFC 5922

pub use alarm::Alarm;
pub use dns::{DnsSettings, DnsSetupError, HickoryDns, parse_nameserver};
pub use impp_resolve::Transport;
pub use listen::{ListenAddr, ListenError};
pub use socket::{
    BindError, ConnectError, bind_tcp, bind_udp, by_turns, connect_any, connect_tcp, is_here, listen_remedy, site_of,
    tune_stream,
};
pub use tls::Tls;
