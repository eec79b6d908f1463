//! Plays the end-to-end vectors of `tests/vectors/interwork` against the gateway over loopback sockets.
//!
//! [`play::play`] starts the hub with its real adapters, is the SIP peer and the XMPP server around it, sends what a vector
//! sends and judges what comes. An action, property or field that it does not know fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's helpers fail like the test"
)]

mod gateway;
mod given;
pub mod pattern;
pub mod play;
mod secured; // RFC 5922
mod sip_peer; // RFC 3261 §18
mod sip_text; // RFC 3261 §7
pub mod suite;
mod xmpp_server; // XEP-0114
