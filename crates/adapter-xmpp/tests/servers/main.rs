//! Server-to-server streams over real sockets: gateways of different organisations, and peers that cheat.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "test code")]
#![allow(missing_docs, unreachable_pub, reason = "test code")]

mod between;
mod cheats;
mod kit;
