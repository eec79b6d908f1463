//! RFC 3261 §17.1.2, §17.2.2, RFC 4320: non-INVITE transactions as two tables of small records.
//!
//! Neither machine knows the message syntax: requests and responses pass through as octets, identified by a [`Key`](crate::transaction::Key).
//! Neither reads a clock, owns a socket or allocates for a single transaction beyond the octets it may have to repeat.
//! After every `handle_*` call and every command, drain `poll_output`, then re-arm from `poll_timeout`.

mod answered; // RFC 3261 §17.2.2: Timer J
mod client; // RFC 3261 §17.1.2
mod key; // RFC 3261 §17.1.3, §17.2.3
mod server; // RFC 3261 §17.2.2, §8.2.2.2, RFC 4320 §4
mod slab;
#[cfg(test)]
mod testkit;
mod timers; // RFC 3261 §A

pub use client::{Client, ClientOutput, Refused, ResponseMatch};
pub use key::{Key, Keys};
pub use server::{Repetition, RequestMatch, Server, ServerOutput};
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

/// How many requests of ours are remembered, and how many of others are unanswered, before more are refused.
///
/// At 30,000 requests a second over UDP, Timer K keeps 150,000 of ours that are answered; this leaves room for bursts.
pub const MAX_TRANSACTIONS: usize = 262_144;

/// How many requests of others are remembered over UDP after their answer, before new ones are refused.
///
/// Timer J keeps each for 32 seconds, up to an eighth more: this bears 36,000 a second for ever. Answered in brief, as nearly all
/// messages are, a million of them take 40 MiB; at [`OCTETS_PER_ANSWER`] all together take half a gibibyte and their places.
pub const MAX_ANSWERED: usize = 5 << 18;

/// Octets that the answers take together, for each one allowed by a table's limit.
///
/// A 200 to a MESSAGE over one hop has about 340 where it is kept as it is. Fewer long ones fill the table.
pub const OCTETS_PER_ANSWER: usize = 384;
