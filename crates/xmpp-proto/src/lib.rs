//! XMPP without I/O: streams, stanzas, addresses and the machines that speak them.
//!
//! Octets come in as slices, go out as `Bytes`; time and randomness are arguments.

pub mod barrier; // RFC 6120 §8.2.3, XEP-0199
pub mod caps; // XEP-0115
pub mod component; // XEP-0114
pub mod contact; // XEP-0115
pub mod dialback; // XEP-0185, XEP-0220
pub mod fuzz;
pub mod gateway; // XEP-0030, XEP-0092, XEP-0199, XEP-0202
pub mod jid; // RFC 7622, XEP-0106
pub mod management; // XEP-0198
mod named;
pub mod ns;
pub mod sasl; // RFC 6120 §6, XEP-0178
mod secret;
pub mod server; // RFC 6120, RFC 7590, XEP-0220, XEP-0288, XEP-0198
pub mod stanza; // RFC 6120 §8, RFC 6121
pub mod stream; // RFC 6120 §4
