//! Where each recent operation went and why.

use crate::core::Core;
use crate::routing::Decision;
use crate::traces::Beginning;
use adapter_api::{InstanceName, SourceProof, TraceId};
use impp_model::{Domain, Kind, MessageId, Outcome, Thread, TransId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use store::Entry;

/// The record of one operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// When it came in.
    pub at: SystemTime,
    /// Its kind.
    pub kind: Kind,
    /// The instance it came in through.
    pub adapter: InstanceName,
    /// The peer it came from.
    pub peer: Arc<str>,
    /// How that peer was authenticated; none of what an earlier process took.
    pub proof: Option<SourceProof>,
    /// The id its sender gave it.
    pub message_id: Option<MessageId>,
    /// The source's domain.
    pub from: Domain,
    /// The destination's domain.
    pub to: Domain,
    /// Where it was routed and why; none if it was refused before.
    pub decision: Option<Arc<Decision>>,
    /// What became of it; none while it is under way.
    pub outcome: Option<Outcome>,
    /// How long that took.
    pub took: Option<Duration>,
    /// What happened to it, in order.
    pub events: Vec<Event>,
    /// The conversation it belongs to: of SIP, its Call-ID.
    #[serde(default)]
    pub thread: Option<Thread>,
    /// What told it from other requests of its sender on the way in.
    #[serde(default)]
    pub trans_id: Option<TransId>,
}

/// One thing that happened to an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// How long after it came in.
    pub after: Duration,
    /// What: `routed`, `journalled`, `spooled`, `tried`, `reversed`, a label of an outcome, ...
    pub what: Cow<'static, str>,
    /// A reason code, the instance it was routed to, or nothing.
    pub reason: Cow<'static, str>,
}

/// Events kept of one operation: the first and, of the others, the last; a day of tries has some three hundred.
pub(crate) const MAX_EVENTS: usize = 64;

/// Adds one more, and lets one of the middle go if there are too many.
pub(crate) fn add_bounded<T>(events: &mut Vec<T>, event: T) {
    if events.len() >= MAX_EVENTS {
        events.remove(MAX_EVENTS / 2);
    }
    events.push(event);
}

impl Trace {
    /// Adds an event that happens at this moment.
    fn note(&mut self, what: &'static str, reason: &'static str) {
        let after = self.at.elapsed().unwrap_or_default();
        add_bounded(&mut self.events, Event { after, what: what.into(), reason: reason.into() });
    }

    /// Whether its sender gave it this id: of the message, of the request, or of the conversation.
    fn is_of(&self, id: &str) -> bool {
        self.message_id.as_ref().is_some_and(|own| own.as_str() == id)
            || self.trans_id.as_ref().is_some_and(|own| own.as_str() == id)
            || self.thread.as_ref().is_some_and(|own| own.as_str() == id)
    }
}

impl Core {
    /// The trace with this id, or the newest whose sender gave it this id. May read the disk for a second.
    pub fn trace(&self, id: &str) -> Option<Trace> {
        let stored = || self.storage.traces.get(u64::from_str_radix(id, 16).ok()?);
        self.traces.find(id).or_else(stored).or_else(|| self.storage.traces.find(|trace: &Trace| trace.is_of(id)))
    }

    /// Stores the trace of what was in the ledger and has ended.
    pub(crate) fn store_trace(&self, id: TraceId) {
        if let Some(trace) = self.traces.get(id) {
            self.storage.traces.put(id.0, &trace, self.timestamp());
        }
    }

    /// Adds what happened to something after it had ended.
    pub(crate) fn note_late(&self, id: TraceId, what: &'static str, reason: &'static str) {
        self.traces.update(id, |record| record.note(what, reason));
        if let Some(mut trace) = self.storage.traces.get::<Trace>(id.0) {
            trace.note(what, reason);
            self.storage.traces.put(id.0, &trace, self.timestamp());
        }
    }

    /// Begins a trace anew for an entry that an earlier process took, or whose trace is forgotten.
    pub(crate) fn take_up_trace(&self, entry: &Entry) {
        let id = TraceId(entry.trace);
        if self.traces.has(id) {
            return;
        }
        self.traces.begin(&Beginning {
            id,
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(entry.created.0),
            adapter: &InstanceName::from(&*entry.near.instance),
            peer: "",
            proof: None,
            operation: &entry.operation,
        });
        self.traces.update(id, |record| record.end("taken up", &Outcome::Indeterminant));
    }
}
