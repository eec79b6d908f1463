//! Each message once: what its sender hands in again is answered as the first was, and sent no second time (DESIGN A5).

use crate::core::{Core, now};
use crate::inflight::Held;
use crate::routing::Candidate;
use crate::twins::{Joined, Twins};
use crate::waiting::{Owner, Waiting};
use adapter_api::{InstanceName, Repetition, Settle, TraceId};
use impp_model::{Cause, Failure, Operation, Outcome, Side};
use std::time::{Duration, Instant};
use store::{End, OnceKey, Seen, Seq, State};

/// Who handed in a message again while the first is under way, and waits for what becomes of that.
pub(crate) type Repeats = Twins<OnceKey, (TraceId, Settle)>;

/// Repeats that wait at once: a sender repeats what is not answered, a few times and seldom.
const MAX_TWINS: usize = 1_000;

/// How long after a start that follows a crash what comes in may be a repeat of what the dead process had sent on.
// RFC 3261 §17.1.2.2: Timer F, 64 times T1, ends the retransmissions of a request that the dead process was the last to see.
const REPEATED_FOR: Duration = Duration::from_secs(32);

/// Until when repeats may come of which nothing is known here: what a process holds without the ledger dies with it.
#[derive(Debug)]
pub(crate) struct AfterCrash(Option<Instant>);

impl AfterCrash {
    /// For a process that starts, after one that ended in order or did not.
    pub(crate) fn new(ended: bool, now: Instant) -> Self {
        Self((!ended).then(|| now + REPEATED_FOR))
    }
}

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
    pub(crate) fn enter(&self, waiting: Waiting) -> Option<Waiting> {
        let Operation::Message(message) = &*waiting.operation else { return Some(waiting) };
        let key = OnceKey::of_message(message);
        match self.look_at(key) {
            Known::New => return Some(self.entered(waiting, key)),
            Known::Answered(outcome) => self.answer_repeat(waiting, outcome),
            Known::UnderWay => return self.wait_for_the_first(waiting, key),
        }
        None
    }

    fn entered(&self, waiting: Waiting, key: OnceKey) -> Waiting {
        let repeat = waiting.repeat || self.may_have_been_sent(&waiting.near);
        Waiting { once: Some(key), repeat, ..waiting }
    }

    /// Gives it back when the first has just ended in a way that lets it come again.
    fn wait_for_the_first(&self, mut waiting: Waiting, key: OnceKey) -> Option<Waiting> {
        let look = || Some(self.look_at(key)).filter(|known| !matches!(known, Known::UnderWay));
        let near = match waiting.owner {
            Owner::Sender(near) => near,
            Owner::Ledger(_) | Owner::Nobody | Owner::Canary => return None,
        };
        let trace = waiting.trace;
        match self.twins.join(key, (trace, near), MAX_TWINS, look) {
            Joined::Waits => self.counters.duplicate(),
            Joined::Answered((_, near), known) => {
                waiting.owner = Owner::Sender(near);
                match known {
                    Known::Answered(outcome) => self.answer_repeat(waiting, outcome),
                    Known::New | Known::UnderWay => return Some(self.entered(waiting, key)),
                }
            }
            Joined::Full((_, near)) => {
                self.counters.duplicate();
                waiting.owner = Owner::Sender(near);
                self.turn_away(waiting, Failure::new(Side::Ours, Cause::Overload));
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

    /// Whether a message of which nothing is known may have been sent by a process that crashed: its sender then repeats it.
    /// Links that cannot repeat bring nothing again.
    fn may_have_been_sent(&self, near: &InstanceName) -> bool {
        let repeatable = |one: &Candidate| one.capabilities.repetition != Repetition::Unrepeatable;
        let repeats = || self.candidates.iter().any(|one| one.name == *near && repeatable(one));
        self.after_crash.0.is_some_and(|until| now() < until) && repeats()
    }

    /// What is about to be sent may be there already: it has the same ids, and is counted.
    pub(crate) fn flag_repeat(&self, held: &Held) {
        self.counters.repeat();
        self.traces.update(held.trace, |record| record.note("may be a repeat", ""));
        if let Operation::Message(message) = &*held.operation {
            tracing::debug!(trace = %held.trace, id = %message.carried_id(), "may be a repeat");
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
        self.end_trace(trace, "repeat", &outcome, None);
        near.settle(outcome);
    }
}
