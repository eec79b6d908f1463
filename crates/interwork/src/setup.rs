//! What the hub is made from.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::{Adapter, Configuration, InstanceName};
use impp_resolve::Limits;
use store::{Ledger, SteadyClock, TraceLog};
use tokio::sync::watch;

use crate::presence::PresenceLimits;
use crate::rulebook::Rulebook;

/// What the hub is made from.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// What it begins with of what may change while it runs; see [`Core`](crate::Core).
    pub rules: Rulebook,
    /// Where the adapters learn of changes.
    pub configuration: watch::Sender<Arc<Configuration>>,
    /// `[delivery]`.
    pub delivery: DeliveryLimits,
    /// `[presence]`.
    pub presence: PresenceLimits,
    /// What bounds discovery, with where this gateway listens itself: never a way to anybody else.
    pub discovery: Limits,
    /// How many traces are kept in memory.
    pub traces: usize,
}

/// How long the hub waits for confirmations.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    /// For senders that wait for an answer to each message.
    pub hold_timeout: Duration,
    /// For senders that do not.
    pub unanswered: Duration,
    /// When a message of a sender that is not answered is journalled.
    pub write_ahead_after: Duration,
    /// How long what is in the ledger is tried.
    pub expiry: Duration,
    /// When a sender that was answered is told that its message still waits; zero for never.
    pub warn_after: Duration,
    /// Whether senders whose protocol has no form for it are told of a late failure in a text message.
    pub notice: bool,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        // RFC 3261 §17.1.2.2: a non-INVITE transaction may last 64 times T1.
        Self {
            hold_timeout: Duration::from_secs(2),
            unanswered: Duration::from_secs(32),
            write_ahead_after: Duration::from_millis(20),
            expiry: Duration::from_secs(24 * 3600),
            warn_after: Duration::from_secs(5 * 60),
            notice: true,
        }
    }
}

/// Where the hub keeps what it has accepted.
#[derive(Debug)]
pub struct Storage {
    /// What was accepted and has not ended.
    pub ledger: Arc<Ledger>,
    /// Its time.
    pub clock: SteadyClock,
    /// Traces of what was in the ledger and has ended.
    pub traces: TraceLog,
}

/// An adapter with its name.
#[derive(Clone)]
pub struct Instance {
    /// The `NAME` of `[adapter.NAME]`.
    pub name: InstanceName,
    /// The adapter.
    pub adapter: Arc<dyn Adapter>,
}
