//! From a decision to an adapter.

use crate::core::{Core, now};
use crate::inflight::Held;
use crate::journal::Ahead;
use crate::order::Turn;
use crate::retry::is_retryable;
use crate::routing::{Choice, Decision, carries};
use crate::spool::hop_backlog;
use crate::waiting::{Owner, Waiting};
use adapter_api::{Delivery, Full, Hop, InstanceName, Settle};
use impp_model::{Cause, Failure, Kind, Operation, Side};
use std::sync::Arc;
use std::time::Instant;
use store::Pair;

impl Core {
    pub(crate) fn dispatch(&self, waiting: Waiting, decision: &Arc<Decision>) {
        let about_another = waiting.owner.is_gateway();
        let decided = Some(decision).filter(|_| !about_another);
        let choice = match &decision.result {
            Ok(choice) => choice,
            Err(failure) => {
                self.traces.update(waiting.trace, |record| record.decide(decided));
                let failure = failure.clone();
                return if is_retryable(&failure) {
                    self.keep(waiting, failure)
                } else {
                    self.refuse(waiting, failure)
                };
            }
        };
        self.traces.update(waiting.trace, |record| {
            record.decide(decided);
            record.note_instance(if about_another { "telling" } else { "routed" }, &choice.adapter);
        });
        if !self.candidates.get(choice.index).is_some_and(|c| carries(c, waiting.operation.kind())) {
            return self.refuse(waiting, Failure::new(Side::Ours, Cause::NotImplemented));
        }
        if let Some(failure) = self.unfit(choice.index, &waiting.operation) {
            return self.refuse(waiting, failure);
        }
        let way = match self.way_on(&waiting.operation, choice) {
            Ok(hop) => Choice { hop, ..choice.clone() },
            Err(failure) => return self.refuse(waiting, failure),
        };
        if now() >= self.deadline(&waiting) {
            let failure = Failure::new(Side::Far, Cause::DnsFailure).with_text("the lookup took too long; not sent");
            return self.keep(waiting, failure);
        }
        let pair = Pair::of(&waiting.operation);
        let hop = self.hop_name(choice, &waiting);
        let spooled = || self.storage.ledger.pair(pair).1;
        // What becomes of presence is its engine's business: it is neither kept nor in any order with messages.
        let from_sender = matches!(waiting.owner, Owner::Sender(_)) && !waiting.operation.kind().is_presence();
        if from_sender && self.paces.is_full(&hop, self.timestamp(), self.config.delivery.hold_timeout) {
            self.counters.queue_full();
            let failure = Failure::new(Side::Ours, Cause::Overload).with_text("too much is under way to this domain");
            return self.refuse(waiting, failure);
        }
        let lasting = waiting.operation.kind() != Kind::Composing;
        let journalled = from_sender && lasting && !self.answers_each(&waiting.near);
        if journalled && self.store_refusal().is_some() {
            // DESIGN A5: its sender would count on a journal that nothing can be written to.
            self.counters.queue_full();
            let failure = Failure::new(Side::Ours, Cause::Overload).with_text("nothing can be stored at present");
            return self.refuse(waiting, failure);
        }
        if journalled && self.storage.ledger.refuses_for(&hop).is_some() {
            self.counters.queue_full();
            return self.refuse(waiting, hop_backlog().with_text("nothing more can be stored for the next hop"));
        }
        if from_sender && self.order.enter(pair, waiting.trace, spooled) == Turn::Behind {
            return self.follow(waiting, pair, hop);
        }
        let deadline = self.deadline(&waiting);
        let Waiting { trace, operation, near: from, owner, since, once, repeat, .. } = waiting;
        let to = choice.adapter.clone();
        let (journal, owner) = (None, Some(owner));
        let held = Held { trace, from, to, since, deadline, operation, pair, hop, once, repeat, journal, owner };
        if journalled && self.config.delivery.write_ahead_after.is_zero() && self.storage.ledger.keeps() {
            return self.journal_ahead(Ahead { held, choice: way });
        }
        self.hand_on(held, &way, journalled);
    }

    /// Gives an operation to its adapter; one that is `young` is journalled if it stays for long.
    pub(crate) fn hand_on(&self, held: Held, choice: &Choice, young: bool) {
        let (Some(adapter), Some(me)) = (self.adapters.get(choice.index), self.me()) else { return };
        let (trace, operation, deadline, since) = (held.trace, held.operation.clone(), held.deadline, held.since);
        // What has ids of its own is no copy: a 482 to it is about itself.
        let repeat = held.repeat && !self.has_own_ids(&held);
        let edition = match &held.owner {
            Some(Owner::Ledger(attempt)) => attempt.edition,
            Some(Owner::Sender(_) | Owner::Nobody | Owner::Canary) | None => 0,
        };
        if held.repeat {
            self.flag_repeat(&held);
        }
        if matches!(held.owner, Some(Owner::Sender(_))) {
            self.paces.handed_on(&held.hop);
        }
        let token = self.inflight.hold(held);
        if young {
            self.young.add(since + self.config.delivery.write_ahead_after, token, trace);
        }
        let settle = Settle::new(me, token);
        let proven_only = self.proves_peers(choice.index) && self.wants_proof(&operation);
        let operation = self.named_for_its_network(operation);
        let hop = choice.hop.clone();
        let delivery = Delivery { trace, operation, repeat, edition, proven_only, hop, deadline, settle };
        if let Err(Full(delivery)) = adapter.deliver(delivery) {
            self.counters.queue_full();
            delivery.settle(Failure::new(Side::Ours, Cause::Overload));
        }
    }

    /// Whether no earlier try can have had the ids of this one: its sender gave none, and those that a link gives to its stanzas are new
    /// each time. Who is answered each time is known by his request.
    fn has_own_ids(&self, held: &Held) -> bool {
        let nameless = matches!(&*held.operation, Operation::Message(message) if message.message.id.is_none());
        nameless && matches!(held.owner, Some(Owner::Sender(_))) && !self.answers_each(&held.from)
    }

    /// How the ledger names the next hop: what `peer_changed` of its adapter says is up.
    fn hop_name(&self, choice: &Choice, waiting: &Waiting) -> Box<str> {
        let book = self.rules.load();
        let peer = match &*choice.hop {
            Hop::Link => waiting.operation.source().address.domain(),
            Hop::Fixed(_) | Hop::Located { .. } => book.wire_name(waiting.operation.destination().address.domain()),
        };
        hop_name(&choice.adapter, peer.as_str())
    }

    /// When an operation must be settled: for senders that wait for an answer, while they do.
    fn deadline(&self, waiting: &Waiting) -> Instant {
        let message = !waiting.operation.kind().is_presence();
        let answered = match waiting.owner {
            Owner::Sender(_) => message && self.answers_each(&waiting.near),
            Owner::Canary => message,
            Owner::Ledger(_) | Owner::Nobody => false,
        };
        let limits = &self.config.delivery;
        waiting.since + if answered { limits.hold_timeout } else { limits.unanswered }
    }

    /// Whether senders of this instance wait for an answer to each message.
    pub(crate) fn answers_each(&self, near: &InstanceName) -> bool {
        self.candidates.iter().find(|c| c.name == *near).is_some_and(|c| c.capabilities.answers_each)
    }
}

/// What the ledger calls the way over an instance to one peer.
pub(crate) fn hop_name(adapter: &InstanceName, peer: &str) -> Box<str> {
    [adapter.as_str(), " ", peer].concat().into()
}
