//! Each message once: what its sender hands in again is answered as the first was, and sent no second time (DESIGN A5).

use crate::core::Core;
use crate::twins::{Joined, Twins};
use crate::waiting::{Owner, Waiting};
use adapter_api::{Settle, TraceId};
use impp_model::{Cause, Failure, Operation, Outcome, Side};
use store::{End, OnceKey, Seen, Seq, State};

/// Who handed in a message again while the first is under way, and waits for what becomes of that.
pub(crate) type Repeats = Twins<OnceKey, (TraceId, Settle)>;

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
        match self.look_at(key) {
            Known::New => {
                waiting.once = Some(key);
                return Some(waiting);
            }
            Known::Answered(outcome) => self.answer_repeat(waiting, outcome),
            Known::UnderWay => return self.wait_for_the_first(waiting, key),
        }
        None
    }

    /// Gives it back when the first has just ended in a way that lets it come again.
    fn wait_for_the_first(&self, mut waiting: Waiting, key: OnceKey) -> Option<Waiting> {
        let look = || Some(self.look_at(key)).filter(|known| !matches!(known, Known::UnderWay));
        let near = match waiting.owner {
            Owner::Sender(near) => near,
            Owner::Ledger(_) | Owner::Nobody => return None,
        };
        let trace = waiting.trace;
        match self.twins.join(key, (trace, near), MAX_TWINS, look) {
            Joined::Waits => self.counters.duplicate(),
            Joined::Answered((_, near), known) => {
                waiting.owner = Owner::Sender(near);
                match known {
                    Known::Answered(outcome) => self.answer_repeat(waiting, outcome),
                    Known::New | Known::UnderWay => {
                        waiting.once = Some(key);
                        return Some(waiting);
                    }
                }
            }
            Joined::Full((_, near)) => {
                self.counters.duplicate();
                waiting.owner = Owner::Sender(near);
                self.refuse(waiting, Failure::new(Side::Ours, Cause::Overload));
            }
        }
        None
    }

    fn answer_repeat(&self, waiting: Waiting, outcome: Outcome) {
        self.counters.duplicate();
        if let Owner::Sender(near) = waiting.owner {
            self.answer_twin(waiting.trace, near, outcome);
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
        let twins = key.map(|key| self.twins.take(&key)).unwrap_or_default();
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
