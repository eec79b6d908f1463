//! XMPP without I/O: streams, stanzas, addresses and the machines that speak them.
//!
//! Octets come in as slices, go out as `Bytes`; time and randomness are arguments.

pub mod barrier; // RFC 6120 §8.2.3, XEP-0199
pub mod component; // XEP-0114
pub mod fuzz;
pub mod gateway; // XEP-0030, XEP-0092, XEP-0199, XEP-0202
pub mod jid; // RFC 7622, XEP-0106
mod named;
pub mod ns;
pub mod stanza; // RFC 6120 §8, RFC 6121
pub mod stream; // RFC 6120 §4
