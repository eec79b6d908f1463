//! RFC 3261 §17.1.2, §17.2.2, RFC 4320: non-INVITE transactions as two tables of small records.
//!
//! Neither machine knows the message syntax: requests and responses pass through as octets, identified by a [`Key`](crate::transaction::Key).
//! Neither reads a clock, owns a socket or allocates for a single transaction beyond the octets it may have to repeat.
//! After every `handle_*` call and every command, drain `poll_output`, then re-arm from `poll_timeout`.

mod client; // RFC 3261 §17.1.2
mod key; // RFC 3261 §17.1.3, §17.2.3
mod server; // RFC 3261 §17.2.2, §8.2.2.2, RFC 4320 §4
mod slab;
#[cfg(test)]
mod testkit;
mod timers; // RFC 3261 §A

pub use client::{Client, ClientOutput, Refused, ResponseMatch};
pub use key::{Key, Keys};
pub use server::{RequestMatch, Server, ServerOutput};
pub use slab::Handle;
pub use timers::Timers;

/// Whether the transport itself repeats what was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reliability {
    /// UDP.
    Unreliable,
    /// TCP, TLS, SCTP, WebSocket.
    Reliable,
}

/// How many transactions each table holds before it refuses more.
///
/// At 5,000 requests a second over UDP, Timer J keeps 160,000 answered ones; this leaves room for bursts and bounds the
/// memory to some hundred megabytes.
pub const MAX_TRANSACTIONS: usize = 262_144;
