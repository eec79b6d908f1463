//! What has been handed to an adapter and is not settled.

use crate::journal::Journalled;
use crate::waiting::Owner;
use adapter_api::{InstanceName, Token, TraceId};
use impp_model::Operation;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;
use store::{OnceKey, Pair};

/// One operation that waits for the far side.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) trace: TraceId,
    pub(crate) from: InstanceName,
    pub(crate) to: InstanceName,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    pub(crate) operation: Arc<Operation>,
    pub(crate) pair: Pair,
    /// How the ledger names the next hop.
    pub(crate) hop: Box<str>,
    /// Its place in the window of repeats.
    pub(crate) once: Option<OnceKey>,
    /// See [`Waiting::repeat`](crate::waiting::Waiting::repeat).
    pub(crate) repeat: bool,
    /// Its place in the journal, if it has one.
    pub(crate) journal: Option<Journalled>,
    /// Who hears of the outcome; gone when it was decided for an adapter that did not settle in time.
    pub(crate) owner: Option<Owner>,
}

impl Held {
    /// Itself with its owner; what stays only keeps the token.
    fn take(&mut self) -> Self {
        Self {
            trace: self.trace,
            from: self.from.clone(),
            to: self.to.clone(),
            since: self.since,
            deadline: self.deadline,
            operation: self.operation.clone(),
            pair: self.pair,
            hop: self.hop.clone(),
            once: self.once,
            repeat: self.repeat,
            journal: self.journal.take(),
            owner: self.owner.take(),
        }
    }
}

/// All held operations, by token. A token stays taken until its adapter settles, so it is never mistaken for another's.
#[derive(Debug)]
pub(crate) struct InFlight {
    shards: Vec<Mutex<Shard>>,
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Option<Held>>,
    free: Vec<usize>,
}

/// A power of two: enough that adapters' tasks rarely meet.
const SHARDS: usize = 16;

impl Default for InFlight {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0) }
    }
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub(crate) fn hold(&self, held: Held) -> Token {
        self.count.fetch_add(1, Relaxed);
        let number = usize::try_from(held.trace.0).unwrap_or(0) % SHARDS;
        let index = self.shards.get(number).map_or(0, |shard| {
            let mut shard = shard.lock();
            match shard.free.pop() {
                Some(index) => {
                    if let Some(slot) = shard.slots.get_mut(index) {
                        *slot = Some(held);
                    }
                    index
                }
                None => {
                    shard.slots.push(Some(held));
                    shard.slots.len() - 1
                }
            }
        });
        Token::try_from(index * SHARDS + number).unwrap_or(Token::MAX)
    }

    pub(crate) fn release(&self, token: Token) -> Option<Held> {
        let token = usize::try_from(token).ok()?;
        let mut shard = self.shards.get(token % SHARDS)?.lock();
        let held = shard.slots.get_mut(token / SHARDS)?.take()?;
        shard.free.push(token / SHARDS);
        self.count.fetch_sub(1, Relaxed);
        Some(held)
    }

    /// Changes the operation that has this token, if it is still the one with this trace and its owner waits.
    pub(crate) fn change(&self, token: Token, trace: TraceId, change: impl FnOnce(&mut Held)) {
        let Ok(token) = usize::try_from(token) else { return };
        let Some(shard) = self.shards.get(token % SHARDS) else { return };
        if let Some(held) = shard.lock().slots.get_mut(token / SHARDS).and_then(Option::as_mut)
            && held.trace == trace
            && held.owner.is_some()
        {
            change(held);
        }
    }

    /// Takes the owners of everything whose deadline passed before `limit`, with what they own.
    pub(crate) fn overdue(&self, limit: Instant) -> Vec<Held> {
        let mut late = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let overdue = |held: &&mut Held| held.deadline < limit && held.owner.is_some();
            late.extend(shard.slots.iter_mut().flatten().filter(overdue).map(Held::take));
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::message;
    use adapter_api::settle_channel;
    use std::time::Duration;

    fn held(trace: u64, deadline: Instant) -> Held {
        let (near, _) = settle_channel();
        let operation = message("a@a.example", "b@b.example");
        Held {
            trace: TraceId(trace),
            from: "a".into(),
            to: "b".into(),
            since: deadline,
            deadline,
            pair: Pair::of(&operation),
            operation: Arc::new(operation),
            hop: "b".into(),
            once: None,
            repeat: false,
            journal: None,
            owner: Some(Owner::Sender(near)),
        }
    }

    #[test]
    fn a_token_is_released_once_and_then_used_again() {
        let (flight, now) = (InFlight::default(), Instant::now());
        let first = flight.hold(held(3, now));
        let second = flight.hold(held(3, now));
        assert_ne!(first, second);
        assert!(flight.release(first).is_some());
        assert!(flight.release(first).is_none());
        assert_eq!(flight.hold(held(3, now)), first);
        assert_eq!(flight.len(), 2);
    }

    #[test]
    fn an_overdue_near_side_is_taken_once_and_the_token_stays_taken() {
        let (flight, now) = (InFlight::default(), Instant::now());
        let token = flight.hold(held(1, now));
        flight.hold(held(2, now + Duration::from_secs(9)));
        assert_eq!(flight.overdue(now + Duration::from_secs(1)).len(), 1);
        assert!(flight.overdue(now + Duration::from_secs(1)).is_empty());
        assert!(flight.release(token).is_some_and(|held| held.owner.is_none()));
    }
}
