//! Operations that wait for a name to be looked up, in their order.

use crate::decisions::PairOfDomains;
use adapter_api::{InstanceName, Settle, TraceId};
use impp_model::Operation;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use store::{OnceKey, Origin, Seq, Timestamp};

/// An admitted operation on its way to an adapter.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) trace: TraceId,
    pub(crate) operation: Arc<Operation>,
    /// The instance it came through.
    pub(crate) near: InstanceName,
    /// The peer it came from; empty when it comes from the ledger.
    pub(crate) peer: Arc<str>,
    pub(crate) owner: Owner,
    pub(crate) since: Instant,
    /// Its place in the window of repeats.
    pub(crate) once: Option<OnceKey>,
    /// Whether an earlier try, perhaps of an earlier process, may have arrived.
    pub(crate) repeat: bool,
}

/// Who hears what becomes of an operation.
#[derive(Debug)]
pub(crate) enum Owner {
    /// The sender, through the adapter it came by.
    Sender(Settle),
    /// The ledger.
    Ledger(Try),
    /// Nobody: the gateway's own word, tried this once.
    Nobody,
    /// Who sent a canary: nothing of it is counted or kept.
    Canary,
}

impl Owner {
    /// Whether the operation is the gateway's own word about another, in whose trace it stands.
    pub(crate) fn is_gateway(&self) -> bool {
        match self {
            Self::Sender(_) | Self::Canary => false,
            Self::Ledger(attempt) => attempt.origin != Origin::Peer,
            Self::Nobody => true,
        }
    }
}

/// A try of an entry of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) seq: Seq,
    /// This one included.
    pub(crate) attempts: u32,
    /// See [`store::Claimed::edition`].
    pub(crate) edition: u32,
    /// Notices that go with this one in one text.
    pub(crate) others: Vec<Seq>,
    pub(crate) origin: Origin,
    pub(crate) created: Timestamp,
    /// What is tried, and the instance it came in through: for telling its sender.
    pub(crate) operation: Arc<Operation>,
    pub(crate) near: InstanceName,
}

impl Waiting {
    pub(crate) fn pair(&self) -> PairOfDomains {
        (
            self.near.clone(),
            self.operation.source().address.domain().clone(),
            self.operation.destination().address.domain().clone(),
        )
    }
}

/// Who waits for which pair of domains.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    pairs: HashMap<PairOfDomains, Vec<Waiting>>,
}

/// Pairs being looked up at once: bounds the queries a stranger can cause.
const MAX_PAIRS: usize = 1_000;
/// Operations that wait for one pair: two seconds at five hundred a second.
const MAX_PER_PAIR: usize = 1_000;

impl WaitingRoom {
    pub(crate) fn is_waiting(&self, pair: &PairOfDomains) -> bool {
        self.pairs.contains_key(pair)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.pairs.values().map(Vec::len).sum()
    }

    /// Opens a pair with its first operation.
    pub(crate) fn open(&mut self, pair: PairOfDomains, waiting: Waiting) -> Result<(), Box<Waiting>> {
        if self.pairs.len() >= MAX_PAIRS {
            return Err(Box::new(waiting));
        }
        self.pairs.insert(pair, vec![waiting]);
        Ok(())
    }

    /// Joins the queue of an open pair.
    pub(crate) fn join(&mut self, pair: &PairOfDomains, waiting: Waiting) -> Result<(), Box<Waiting>> {
        match self.pairs.get_mut(pair) {
            Some(queue) if queue.len() < MAX_PER_PAIR => {
                queue.push(waiting);
                Ok(())
            }
            Some(_) | None => Err(Box::new(waiting)),
        }
    }

    /// Takes all who wait; when nobody does, the pair is closed.
    pub(crate) fn next_batch(&mut self, pair: &PairOfDomains) -> Vec<Waiting> {
        let batch = self.pairs.get_mut(pair).map(std::mem::take).unwrap_or_default();
        if batch.is_empty() {
            self.pairs.remove(pair);
        }
        batch
    }
}
