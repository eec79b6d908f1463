//! Server-to-server streams over real sockets: gateways of different organisations, and peers that cheat.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]
#![allow(missing_docs, unreachable_pub, reason = "test code")]

mod between;
mod callbacks; // XEP-0220 §2.1.2
mod cheats;
mod dane; // RFC 7673
mod judged; // the conformance kit
mod kit;
