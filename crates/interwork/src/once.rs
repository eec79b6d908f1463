//! Each message once: what its sender hands in again is answered as the first was, and sent no second time (DESIGN A5).

use crate::core::Core;
use crate::waiting::{Owner, Waiting};
use adapter_api::{Settle, TraceId};
use impp_model::{Cause, Failure, Operation, Outcome, Side};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use store::{End, OnceKey, Seen, Seq, State};

/// Who handed in a message again while the first is under way, and waits for what becomes of that.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    waiting: Mutex<HashMap<OnceKey, Vec<(TraceId, Settle)>>>,
    /// How many wait; while nobody does, the lock above is not touched.
    count: AtomicUsize,
}

/// Repeats that wait at once: a sender repeats what is not answered, a few times and seldom.
const MAX_TWINS: usize = 1_000;

/// What is known of a message that was handed in.
enum Known {
    /// It is the first of its kind.
    New,
    /// Another went before it, and this is its outcome.
    Answered(Outcome),
    /// Another is under way.
    UnderWay,
}

impl Core {
    /// Enters a message into the window of repeats. Gives back what is new; the sender of a repeat hears of the first.
    pub(crate) fn enter(&self, mut waiting: Waiting) -> Option<Waiting> {
        let Operation::Message(message) = &*waiting.operation else { return Some(waiting) };
        let key = OnceKey::of_message(message);
        let mut known = self.look_at(key);
        if matches!(known, Known::UnderWay) {
            // Once more under the lock that the first one's end takes: it may just have come.
            let mut twins = self.twins.waiting.lock();
            known = self.look_at(key);
            if matches!(known, Known::UnderWay) {
                if self.twins.count.load(Relaxed) >= MAX_TWINS {
                    drop(twins);
                    self.refuse(waiting, Failure::new(Side::Ours, Cause::Overload));
                } else if let Owner::Sender(near) = waiting.owner {
                    self.twins.count.fetch_add(1, Relaxed);
                    twins.entry(key).or_default().push((waiting.trace, near));
                }
                self.counters.duplicate();
                return None;
            }
        }
        match known {
            Known::New => {
                waiting.once = Some(key);
                Some(waiting)
            }
            Known::Answered(outcome) => {
                self.counters.duplicate();
                if let Owner::Sender(near) = waiting.owner {
                    self.answer_twin(waiting.trace, near, outcome);
                }
                None
            }
            Known::UnderWay => None,
        }
    }

    fn look_at(&self, key: OnceKey) -> Known {
        match self.storage.ledger.enter(key, self.timestamp()) {
            // Its sender knows that it failed, and tries again.
            Seen::New | Seen::Done(End::Failed(_) | End::Expired) => Known::New,
            Seen::Done(End::Delivered(proof)) => Known::Answered(Outcome::Success(proof)),
            Seen::Done(End::HandedOver) => Known::Answered(Outcome::HandedOver),
            Seen::Pending(Some(seq)) if self.is_durable(seq) => Known::Answered(Outcome::Indeterminant),
            Seen::Pending(_) => Known::UnderWay,
        }
    }

    fn is_durable(&self, seq: Seq) -> bool {
        self.storage.ledger.item(seq).is_ok_and(|item| item.state != State::Appending)
    }

    /// The first of a message has ended as far as its sender is concerned: those who sent it again hear the same.
    pub(crate) fn answer_twins(&self, key: Option<OnceKey>, outcome: &Outcome) {
        let Some(key) = key.filter(|_| self.twins.count.load(Relaxed) > 0) else { return };
        let twins = self.twins.waiting.lock().remove(&key).unwrap_or_default();
        self.twins.count.fetch_sub(twins.len(), Relaxed);
        for (trace, near) in twins {
            self.answer_twin(trace, near, outcome.clone());
        }
    }

    fn answer_twin(&self, trace: TraceId, near: Settle, outcome: Outcome) {
        tracing::debug!(%trace, outcome = outcome.label(), "a repeat, answered as the first was");
        self.traces.update(trace, |record| {
            record.end("repeat", &outcome);
        });
        near.settle(outcome);
    }
}
