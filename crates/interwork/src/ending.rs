//! What an outcome sets going: counts, traces, the answer to the near side, what late errors need.

use crate::core::{Core, now};
use crate::counters::{Direction, OperationKey};
use crate::inflight::Held;
use adapter_api::{InstanceName, Settle, TraceId};
use impp_model::{Kind, Operation, Outcome, Proof};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{End, OnceKey, Recall, Timestamp};

/// What a report of an outcome names.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) trace: TraceId,
    pub(crate) operation: Arc<Operation>,
    pub(crate) from: InstanceName,
    pub(crate) to: InstanceName,
    pub(crate) since: Instant,
    pub(crate) once: Option<OnceKey>,
    /// How the ledger names the hop.
    pub(crate) hop: Box<str>,
}

impl Held {
    pub(crate) fn ended(&self) -> Ended {
        let Self { trace, operation, from, to, since, once, hop, .. } = self;
        Ended {
            trace: *trace,
            operation: operation.clone(),
            from: from.clone(),
            to: to.clone(),
            since: *since,
            once: *once,
            hop: hop.clone(),
        }
    }
}

impl Ended {
    pub(crate) fn kind(&self) -> Kind {
        self.operation.kind()
    }
}

impl Core {
    /// Ends what was held and never in the ledger.
    pub(crate) fn close(&self, ended: &Ended, near: Settle, outcome: Outcome) {
        let ledger = &self.storage.ledger;
        // The equation is about INSTANT MESSAGES: no word about them is accepted or owed.
        if let Some(end) = End::of(outcome.clone()).filter(|_| ended.kind() == Kind::Message) {
            // What failed, and whose sender knows it, may come again as new.
            let failed = matches!(end, End::Failed(_) | End::Expired);
            ended.once.into_iter().filter(|_| failed).for_each(|once| ledger.withdraw(once));
            let once = ended.once.filter(|_| !failed);
            if let Some((key, recall)) = self.recall_of(ended, &end) {
                ledger.remember(key, recall, self.timestamp());
            }
            ledger.end_held(once, end, self.timestamp());
        }
        self.paces.delivered(&ended.hop, &outcome, self.timestamp());
        self.note_composing(&ended.operation, &ended.from, &outcome);
        if ended.once.is_some() {
            self.forget_failed(&ended.operation, &outcome);
        }
        self.report(ended, &outcome);
        near.settle(outcome.clone());
        self.answer_twins(ended.once, &outcome);
    }

    /// Who hears at once that a message failed hears nothing more of it.
    pub(crate) fn forget_failed(&self, operation: &Operation, outcome: &Outcome) {
        if let (Operation::Message(message), Outcome::Failure(_)) = (operation, outcome) {
            let (source, destination) = (&message.source.address, &message.destination.address);
            self.asked.forget(source, destination, message.message.id.as_ref());
        }
    }

    /// What a late error about an operation that ends so needs.
    pub(crate) fn recall_of(&self, ended: &Ended, end: &End) -> Option<(OnceKey, Recall)> {
        let created = self.storage.clock.at(ended.since);
        recall(&ended.operation, ended.trace.0, &ended.from, created).filter(|_| may_be_reversed(end))
    }

    /// Counts, logs and traces an outcome.
    pub(crate) fn report(&self, ended: &Ended, outcome: &Outcome) {
        let took = self.count(ended, outcome);
        self.traces.update(ended.trace, |record| record.took(took));
        self.end_trace(ended.trace, outcome.label(), outcome, Some(&ended.operation));
    }

    /// The same for the gateway's own word, in the trace of what it is about.
    pub(crate) fn report_told(&self, ended: &Ended, outcome: &Outcome) {
        self.count(ended, outcome);
        let told = if matches!(outcome, Outcome::Failure(_)) { "not told" } else { "told" };
        self.traces.update(ended.trace, |record| record.note(told, outcome.reason()));
    }

    fn count(&self, ended: &Ended, outcome: &Outcome) -> Duration {
        let Ended { trace, from, to, since, .. } = ended;
        let took = now().saturating_duration_since(*since);
        self.counters.latency(from, to, took);
        // Presence was counted when it came in: what its engine has then sent goes out.
        let came_in = (!ended.kind().is_presence()).then_some((from, Direction::In));
        for (adapter, direction) in came_in.into_iter().chain([(to, Direction::Out)]) {
            let (outcome, reason, kind) = (outcome.label(), outcome.reason(), ended.kind());
            self.counters.operation(OperationKey { adapter: adapter.clone(), direction, kind, outcome, reason });
        }
        // What is worth nothing later is not worth a line for an operator either.
        if let Outcome::Failure(failure) = outcome
            && ended.kind() != Kind::Composing
        {
            tracing::info!(trace = %trace, %from, %to, reason = failure.cause.code(), "not delivered");
        }
        took
    }
}

/// Whether an error can still come for what ended so: only a server has spoken for it, or nobody.
pub(crate) fn may_be_reversed(end: &End) -> bool {
    matches!(end, End::Delivered(Proof::Server) | End::HandedOver)
}

/// How the sender of a message would be told, under the id by which its far side knows it; none for other operations.
pub(crate) fn recall(
    operation: &Operation,
    trace: u64,
    near: &InstanceName,
    created: Timestamp,
) -> Option<(OnceKey, Recall)> {
    let Operation::Message(message) = operation else { return None };
    let recall = Recall {
        trace,
        near: near.as_str().into(),
        source: message.source.clone(),
        destination: message.destination.clone(),
        message_id: message.message.id.clone(),
        trans_id: message.trans_id.clone(),
        created,
        receipts: message.message.receipts,
        return_path: message.message.return_path.clone(),
    };
    Some((OnceKey::new(&message.source.address, &message.carried_id()), recall))
}
