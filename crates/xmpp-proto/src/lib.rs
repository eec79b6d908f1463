//! xmpp-proto

pub mod jid; // RFC 7622, XEP-0106
