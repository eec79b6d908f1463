//! xmpp-proto
