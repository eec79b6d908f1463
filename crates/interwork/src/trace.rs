//! Where each recent operation went and why, in bounded memory.

use crate::core::Core;
use crate::routing::Decision;
use adapter_api::{InstanceName, SourceProof, TraceId};
use impp_model::{Domain, Kind, MessageId, Operation, Outcome, Thread, TransId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
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
const MAX_EVENTS: usize = 64;

impl Trace {
    /// Adds an event that happens at this moment.
    pub(crate) fn note(&mut self, what: &'static str, reason: impl Into<Cow<'static, str>>) {
        if self.events.len() >= MAX_EVENTS {
            self.events.remove(MAX_EVENTS / 2);
        }
        let after = self.at.elapsed().unwrap_or_default();
        self.events.push(Event { after, what: what.into(), reason: reason.into() });
    }

    /// Whether its sender gave it this id: of the message, of the request, or of the conversation.
    fn is_of(&self, id: &str) -> bool {
        self.message_id.as_ref().is_some_and(|own| own.as_str() == id)
            || self.trans_id.as_ref().is_some_and(|own| own.as_str() == id)
            || self.thread.as_ref().is_some_and(|own| own.as_str() == id)
    }

    /// Notes the outcome that its sender hears, or that ends it.
    pub(crate) fn end(&mut self, what: &'static str, outcome: &Outcome) {
        self.note(what, outcome.reason());
        self.outcome = Some(outcome.clone());
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
        if self.traces.get(id).is_some() {
            self.traces.update(id, |record| record.note(what, reason));
        }
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
        let message = if let Operation::Message(message) = &entry.operation { Some(message) } else { None };
        let mut trace = Trace {
            id,
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(entry.created.0),
            kind: entry.operation.kind(),
            adapter: InstanceName::from(&*entry.near.instance),
            peer: "".into(),
            proof: None,
            message_id: message.and_then(|message| message.message.id.clone()),
            from: entry.operation.source().address.domain().clone(),
            to: entry.operation.destination().address.domain().clone(),
            decision: None,
            outcome: Some(Outcome::Indeterminant),
            took: None,
            events: Vec::new(),
            thread: message.and_then(|message| message.message.thread.clone()),
            trans_id: message.map(|message| message.trans_id.clone()),
        };
        trace.note("taken up", "");
        self.traces.add(trace);
    }
}

/// The most recent traces.
#[derive(Debug)]
pub struct Traces {
    shards: Vec<Mutex<Ring>>,
}

/// Some of the traces, in the order in which they were added.
#[derive(Debug)]
struct Ring {
    traces: VecDeque<Trace>,
    capacity: usize,
    /// How many have gone from the front.
    gone: usize,
    /// The places of the traces, counted with those that have gone: what comes out of the ledger is older than its neighbours.
    places: HashMap<TraceId, usize>,
}

/// A power of two, so that the low bits of an id choose the shard: enough that writers rarely meet.
const SHARDS: usize = 16;

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { traces: VecDeque::new(), capacity, gone: 0, places: HashMap::new() }
    }

    fn add(&mut self, trace: Trace) {
        if self.capacity == 0 {
            return;
        }
        if self.traces.len() >= self.capacity
            && let Some(oldest) = self.traces.pop_front()
        {
            if self.places.get(&oldest.id) == Some(&self.gone) {
                self.places.remove(&oldest.id);
            }
            self.gone += 1;
        }
        self.places.insert(trace.id, self.gone + self.traces.len());
        self.traces.push_back(trace);
    }

    fn place(&self, id: TraceId) -> Option<usize> {
        self.places.get(&id)?.checked_sub(self.gone)
    }
}

impl Traces {
    /// Room for `capacity` traces, some 500 octets each.
    pub fn new(capacity: usize) -> Self {
        let ring = || Mutex::new(Ring::new(capacity.div_ceil(SHARDS)));
        Self { shards: (0..SHARDS).map(|_| ring()).collect() }
    }

    pub(crate) fn add(&self, trace: Trace) {
        if let Some(shard) = self.shard(trace.id) {
            shard.lock().add(trace);
        }
    }

    pub(crate) fn update(&self, id: TraceId, change: impl FnOnce(&mut Trace)) {
        if let Some(shard) = self.shard(id) {
            let mut ring = shard.lock();
            if let Some(trace) = ring.place(id).and_then(|place| ring.traces.get_mut(place)) {
                change(trace);
            }
        }
    }

    pub(crate) fn get(&self, id: TraceId) -> Option<Trace> {
        let ring = self.shard(id)?.lock();
        ring.traces.get(ring.place(id)?).cloned()
    }

    fn has(&self, id: TraceId) -> bool {
        self.shard(id).is_some_and(|shard| shard.lock().place(id).is_some())
    }

    /// The trace with this id, or the newest whose sender gave it this id.
    pub fn find(&self, id: &str) -> Option<Trace> {
        if let Ok(number) = u64::from_str_radix(id, 16) {
            let found = self.get(TraceId(number));
            if found.is_some() {
                return found;
            }
        }
        let named = |trace: &&Trace| trace.is_of(id);
        self.shards
            .iter()
            .filter_map(|shard| shard.lock().traces.iter().rev().find(named).cloned())
            .max_by_key(|trace| trace.at)
    }

    /// The newest traces, newest first, at most `count`.
    pub fn recent(&self, count: usize) -> Vec<Trace> {
        let mut all: Vec<Trace> = self
            .shards
            .iter()
            .flat_map(|shard| shard.lock().traces.iter().rev().take(count).cloned().collect::<Vec<_>>())
            .collect();
        all.sort_by_key(|trace| std::cmp::Reverse(trace.at));
        all.truncate(count);
        all
    }

    fn shard(&self, id: TraceId) -> Option<&Mutex<Ring>> {
        self.shards.get(usize::try_from(id.0).unwrap_or(usize::MAX) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: u64, message_id: &str) -> Trace {
        Trace {
            id: TraceId(id),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(id),
            kind: Kind::Message,
            adapter: "sip".into(),
            peer: "192.0.2.1".into(),
            proof: None,
            message_id: Some(message_id.into()),
            from: Domain::parse_host("a.example").unwrap(),
            to: Domain::parse_host("b.example").unwrap(),
            decision: None,
            outcome: None,
            took: None,
            events: Vec::new(),
            thread: Some(format!("call-of-{message_id}").as_str().into()),
            trans_id: Some(format!("branch-of-{message_id}").as_str().into()),
        }
    }

    const CAPACITY: usize = 160;

    #[test]
    fn a_trace_is_found_by_its_id_and_by_the_senders() {
        let traces = Traces::new(CAPACITY);
        traces.add(trace(7, "m1"));
        traces.add(trace(23, "m2"));
        assert_eq!(traces.find("0000000000000007").map(|t| t.id.0), Some(7));
        assert_eq!(traces.find("m2").map(|t| t.id.0), Some(23));
        for id in ["call-of-m2", "branch-of-m2"] {
            assert_eq!(traces.find(id).map(|t| t.id.0), Some(23), "{id}");
        }
        assert!(traces.find("m3").is_none());
    }

    #[test]
    fn of_many_events_the_first_and_the_last_are_kept() {
        let mut trace = trace(1, "m");
        trace.note("routed", "sip");
        for _ in 0..3 * MAX_EVENTS {
            trace.note("tried", "link-down");
        }
        trace.end("delivered", &Outcome::HandedOver);
        assert_eq!(trace.events.len(), MAX_EVENTS);
        let ends = [trace.events.first(), trace.events.last()].map(|event| event.unwrap().what.clone());
        assert_eq!(ends, ["routed", "delivered"]);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let traces = Traces::new(CAPACITY);
        for id in 0..20_000 {
            traces.add(trace(id, "m"));
        }
        assert!(traces.find(&TraceId(0).to_string()).is_none());
        assert_eq!(traces.recent(3).iter().map(|t| t.id.0).collect::<Vec<_>>(), [19_999, 19_998, 19_997]);
        assert_eq!(traces.recent(usize::MAX).len(), CAPACITY);
    }
}
