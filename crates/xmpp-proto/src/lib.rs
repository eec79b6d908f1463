//! xmpp-proto

pub mod barrier; // RFC 6120 §8.2.3, XEP-0199
pub mod jid; // RFC 7622, XEP-0106
