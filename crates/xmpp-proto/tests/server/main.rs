//! Streams between servers: both ends against each other in virtual time, octet by octet, and each against scripts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test fails by panicking; a module of a test has no outside"
)]

mod bidi; // XEP-0288
mod breaks; // XEP-0198 §5
mod dialback; // XEP-0220
mod errors; // RFC 6120 §4.9
mod external; // RFC 6120 §6, XEP-0178
mod headers; // RFC 6120 §4.7
mod liveness; // RFC 6120 §4.6
mod management; // XEP-0198
mod support;
mod tls;
mod torture; // RFC 6120 §11, §13.12
mod vectors; // tests/vectors/interwork/xmpp-layer.json
