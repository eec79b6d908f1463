//! The adapter over real sockets, with a hub that does what the test says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]

mod conformance;
mod inbound;
mod kit;
mod notify;
mod outbound;
mod presence;
mod proof;
mod tls;
mod trunk;
mod vectors;
mod websocket;
