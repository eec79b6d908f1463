//! One operation on its way out through an adapter.

use crate::{Settle, TraceId};
use impp_model::{Operation, Outcome, domain::Domain};
use impp_resolve::Transport;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// An operation for an adapter to carry out, with the right to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// The message's trace, for logs and notes.
    pub trace: TraceId,
    /// What to carry out; shared with the hub, which may have to try again.
    pub operation: Arc<Operation>,
    /// Whether an earlier try may have reached the far side: this one must be recognisable as its repeat (DESIGN A5).
    pub repeat: bool,
    /// Which ids the far side sees: another number after a try that failed for certain, the same in a repeat as in the try
    /// that may have arrived.
    pub edition: u32,
    /// Whether it may go only to a peer that its certificate proves over TLS, and is refused else. Set for adapters with
    /// [`proves_peers`](crate::Capabilities::proves_peers) alone.
    pub proven_only: bool,
    /// Where to.
    pub hop: Arc<Hop>,
    /// When it must be settled.
    pub deadline: Instant,
    /// The answer.
    pub settle: Settle,
}

impl Delivery {
    /// Ends this delivery with `outcome`.
    pub fn settle(self, outcome: impl Into<Outcome>) {
        self.settle.settle(outcome);
    }
}

/// The adapter's queue has no room; the delivery comes back.
#[derive(Debug)]
pub struct Full(pub Box<Delivery>);

/// Where the hub's routing sends an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Over the adapter's own standing link or to its own users.
    Link,
    /// To a fixed next hop in the adapter's own form, as `sip:192.0.2.1:5060;transport=tcp`.
    Fixed(Arc<str>),
    /// To the first of these that answers, for the users of `domain`.
    Located {
        /// The addressee's domain: what a certificate must prove, whatever the targets are called.
        domain: Domain,
        /// In the order to try.
        targets: Vec<Target>,
    },
}

/// One place to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name that DNS gave for it.
    pub host: String,
    /// Its address.
    pub address: SocketAddr,
    /// The transport, where discovery decided it.
    pub transport: Option<Transport>,
}
