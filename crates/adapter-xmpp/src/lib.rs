//! XMPP: as a component of an existing server (XEP-0114).

pub mod mapping; // RFC 7247, RFC 7572
