//! The most recent traces, in bounded memory and in few octets: a day's worth of questions is asked of the last minutes.

use crate::routing::Decision;
use crate::trace::{Event, Trace, add_bounded};
use adapter_api::{InstanceName, SourceProof, TraceId};
use impp_model::{Domain, Kind, MessageId, Operation, Outcome, Thread, TransId};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The most recent traces.
#[derive(Debug)]
pub struct Traces {
    shards: Vec<Mutex<Ring>>,
}

/// What a trace begins with.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) id: TraceId,
    pub(crate) at: SystemTime,
    /// The instance it came in through.
    pub(crate) adapter: &'a InstanceName,
    /// The peer it came from.
    pub(crate) peer: &'a str,
    pub(crate) proof: Option<SourceProof>,
    pub(crate) operation: &'a Operation,
}

/// A trace of the ring, to be changed.
#[derive(Debug)]
pub(crate) struct Open<'a> {
    record: &'a mut Record,
    labels: &'a mut Labels,
    octets: &'a mut usize,
}

/// Some of the traces, in the order in which they were added.
#[derive(Debug)]
struct Ring {
    records: VecDeque<Record>,
    capacity: usize,
    /// What lies outside of the records, and how much of it there may be.
    octets: usize,
    limit: usize,
    /// How many have gone from the front.
    gone: usize,
    /// The places of the traces, counted with those that have gone: what comes out of the ledger is older than its neighbours.
    places: HashMap<TraceId, usize, BuildHasherDefault<IdHasher>>,
    labels: Labels,
}

/// A trace in few octets: its texts in one piece, its steps as numbers.
#[derive(Debug)]
struct Record {
    id: TraceId,
    at: SystemTime,
    took: Option<Duration>,
    decision: Option<Arc<Decision>>,
    outcome: Option<Outcome>,
    text: Box<str>,
    /// Where each part of the text ends, in the order of [`Part`]; one that there is none of ends where it begins.
    ends: [u32; Part::COUNT],
    steps: Vec<Step>,
    adapter: Label,
    kind: Kind,
    proof: Option<SourceProof>,
}

/// The texts of a trace.
#[derive(Clone, Copy)]
enum Part {
    From,
    To,
    Peer,
    MessageId,
    Thread,
    TransId,
}

impl Part {
    const COUNT: usize = 6;
}

/// One thing that happened: microseconds after the beginning, 203 days of them, and two labels.
#[derive(Debug, Clone, Copy)]
struct Step(u64);

/// The number of a text that many traces share.
type Label = u16;

/// Those texts: what can happen, reason codes, names of instances. All of them stand in the program or its configuration.
#[derive(Debug, Default)]
struct Labels(Vec<Shared>);

#[derive(Debug, Clone)]
enum Shared {
    Fixed(&'static str),
    Name(InstanceName),
}

/// A power of two, so that the low bits of an id choose the shard: enough that writers rarely meet.
const SHARDS: usize = 16;
/// Octets of a trace's texts and steps on the average: usual ones have some 150, and only peers' long ids make more of them.
const OCTETS: usize = 512;
/// Octets beside a record's own that its allocations cost.
const OVERHEAD: usize = 32;
/// Steps that most messages have room for from the start.
const STEPS: usize = 3;

impl Shared {
    fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Name(name) => name.as_str(),
        }
    }
}

impl Labels {
    /// Bits of a step's label.
    const BITS: u32 = 10;
    /// More different texts than there are causes, events and instances; what is beyond reads as the first of all, nothing.
    const MAX: usize = 1 << Self::BITS;

    fn number(&mut self, text: &str, shared: impl FnOnce() -> Shared) -> Label {
        let found = self.0.iter().position(|known| known.as_str() == text);
        let number = found.unwrap_or_else(|| {
            if self.0.len() >= Self::MAX {
                return 0;
            }
            self.0.push(shared());
            self.0.len() - 1
        });
        Label::try_from(number).unwrap_or_default()
    }

    fn fixed(&mut self, text: &'static str) -> Label {
        self.number(text, || Shared::Fixed(text))
    }

    fn name(&mut self, name: &InstanceName) -> Label {
        self.number(name.as_str(), || Shared::Name(name.clone()))
    }

    fn text(&self, label: Label) -> Cow<'static, str> {
        match self.0.get(usize::from(label)) {
            Some(Shared::Fixed(text)) => Cow::Borrowed(text),
            Some(Shared::Name(name)) => Cow::Owned(name.as_str().to_owned()),
            None => Cow::Borrowed(""),
        }
    }

    fn instance(&self, label: Label) -> InstanceName {
        match self.0.get(usize::from(label)) {
            Some(Shared::Name(name)) => name.clone(),
            other => InstanceName::from(other.map_or("", Shared::as_str)),
        }
    }
}

impl Step {
    fn new(after: Duration, what: Label, reason: Label) -> Self {
        const MAX: u64 = u64::MAX >> (2 * Labels::BITS);
        let micros = u64::try_from(after.as_micros()).unwrap_or(MAX).min(MAX);
        Self((micros << Labels::BITS | u64::from(what)) << Labels::BITS | u64::from(reason))
    }

    fn event(self, labels: &Labels) -> Event {
        let label = |bits: u64| labels.text(Label::try_from(bits & (Labels::MAX as u64 - 1)).unwrap_or_default());
        let after = Duration::from_micros(self.0 >> (2 * Labels::BITS));
        Event { after, what: label(self.0 >> Labels::BITS), reason: label(self.0) }
    }
}

impl Record {
    fn begin(beginning: &Beginning<'_>, labels: &mut Labels) -> Self {
        let &Beginning { id, at, adapter, peer, proof, operation } = beginning;
        let message = if let Operation::Message(message) = operation { Some(message) } else { None };
        let parts = [
            operation.source().address.domain().as_str(),
            operation.destination().address.domain().as_str(),
            peer,
            message.and_then(|message| message.message.id.as_ref()).map_or("", MessageId::as_str),
            message.and_then(|message| message.message.thread.as_ref()).map_or("", Thread::as_str),
            message.map_or("", |message| message.trans_id.as_str()),
        ];
        let (mut text, mut ends) = (String::with_capacity(parts.iter().map(|part| part.len()).sum()), [0; Part::COUNT]);
        for (part, end) in parts.iter().zip(&mut ends) {
            text.push_str(part);
            *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        }
        let (steps, adapter, kind) = (Vec::with_capacity(STEPS), labels.name(adapter), operation.kind());
        let (took, decision, outcome, text) = (None, None, None, text.into());
        Self { id, at, took, decision, outcome, text, ends, steps, adapter, kind, proof }
    }

    fn part(&self, part: Part) -> Option<&str> {
        let place = |at: usize| self.ends.get(at).and_then(|end| usize::try_from(*end).ok());
        let begin = (part as usize).checked_sub(1).map_or(Some(0), place)?;
        self.text.get(begin..place(part as usize)?).filter(|text| !text.is_empty())
    }

    /// Whether its sender gave it this id: of the message, of the request, or of the conversation.
    fn is_of(&self, id: &str) -> bool {
        [Part::MessageId, Part::Thread, Part::TransId].into_iter().any(|part| self.part(part) == Some(id))
    }

    /// What lies outside of it.
    fn octets(&self) -> usize {
        OVERHEAD + self.text.len() + self.steps.capacity() * size_of::<Step>()
    }

    fn domain(&self, part: Part) -> Domain {
        // It was a domain when the trace began.
        let parsed = self.part(part).and_then(|text| Domain::parse_host(text).ok());
        parsed.unwrap_or_else(|| Domain::parse_host("invalid").expect("a name of letters"))
    }

    fn trace(&self, labels: &Labels) -> Trace {
        Trace {
            id: self.id,
            at: self.at,
            kind: self.kind,
            adapter: labels.instance(self.adapter),
            peer: self.part(Part::Peer).unwrap_or_default().into(),
            proof: self.proof,
            message_id: self.part(Part::MessageId).map(Into::into),
            from: self.domain(Part::From),
            to: self.domain(Part::To),
            decision: self.decision.clone(),
            outcome: self.outcome.clone(),
            took: self.took,
            events: self.steps.iter().map(|step| step.event(labels)).collect(),
            thread: self.part(Part::Thread).map(Into::into),
            trans_id: self.part(Part::TransId).map(TransId::from),
        }
    }
}

impl Open<'_> {
    /// Adds an event that happens at this moment.
    pub(crate) fn note(&mut self, what: &'static str, reason: &'static str) {
        let reason = self.labels.fixed(reason);
        self.step(what, reason);
    }

    /// Adds an event about an instance.
    pub(crate) fn note_instance(&mut self, what: &'static str, name: &InstanceName) {
        let reason = self.labels.name(name);
        self.step(what, reason);
    }

    fn step(&mut self, what: &'static str, reason: Label) {
        let step = Step::new(self.record.at.elapsed().unwrap_or_default(), self.labels.fixed(what), reason);
        let before = self.record.octets();
        add_bounded(&mut self.record.steps, step);
        *self.octets += self.record.octets() - before;
    }

    /// Notes the outcome that its sender hears, or that ends it.
    pub(crate) fn end(&mut self, what: &'static str, outcome: &Outcome) {
        self.note(what, outcome.reason());
        self.record.outcome = Some(outcome.clone());
    }

    /// Notes where it is routed, if that is known.
    pub(crate) fn decide(&mut self, decision: Option<&Arc<Decision>>) {
        if let Some(decision) = decision {
            self.record.decision = Some(decision.clone());
        }
    }

    pub(crate) fn took(&mut self, took: Duration) {
        self.record.took = Some(took);
    }

    /// The trace as others see it.
    pub(crate) fn trace(&self) -> Trace {
        self.record.trace(self.labels)
    }
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self {
            records: VecDeque::new(),
            capacity,
            octets: 0,
            limit: capacity.saturating_mul(OCTETS),
            gone: 0,
            places: HashMap::default(),
            // What reads as nothing, for labels beyond the last.
            labels: Labels(vec![Shared::Fixed("")]),
        }
    }

    fn begin(&mut self, beginning: &Beginning<'_>) {
        let record = Record::begin(beginning, &mut self.labels);
        self.octets += record.octets();
        while self.records.len() >= self.capacity || self.octets > self.limit {
            let Some(oldest) = self.records.pop_front() else { break };
            if self.places.get(&oldest.id) == Some(&self.gone) {
                self.places.remove(&oldest.id);
            }
            self.octets -= oldest.octets();
            self.gone += 1;
        }
        if self.records.len() < self.capacity {
            self.places.insert(record.id, self.gone + self.records.len());
            self.records.push_back(record);
        } else {
            self.octets -= record.octets();
        }
    }

    fn place(&self, id: TraceId) -> Option<usize> {
        self.places.get(&id)?.checked_sub(self.gone)
    }
}

impl Traces {
    /// Room for `capacity` traces, some 300 octets each.
    pub fn new(capacity: usize) -> Self {
        let ring = || Mutex::new(Ring::new(capacity.div_ceil(SHARDS)));
        Self { shards: (0..SHARDS).map(|_| ring()).collect() }
    }

    pub(crate) fn begin(&self, beginning: &Beginning<'_>) {
        if let Some(shard) = self.shard(beginning.id) {
            shard.lock().begin(beginning);
        }
    }

    /// Changes a trace, unless it has gone; returns whether it has not.
    pub(crate) fn update(&self, id: TraceId, change: impl FnOnce(&mut Open<'_>)) -> bool {
        let Some(shard) = self.shard(id) else { return false };
        let mut ring = shard.lock();
        let place = ring.place(id);
        let Ring { records, labels, octets, .. } = &mut *ring;
        let Some(record) = place.and_then(|place| records.get_mut(place)) else { return false };
        change(&mut Open { record, labels, octets });
        true
    }

    pub(crate) fn get(&self, id: TraceId) -> Option<Trace> {
        let ring = self.shard(id)?.lock();
        Some(ring.records.get(ring.place(id)?)?.trace(&ring.labels))
    }

    pub(crate) fn has(&self, id: TraceId) -> bool {
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
        let newest = |shard: &Mutex<Ring>| {
            let ring = shard.lock();
            let found = ring.records.iter().rev().find(|record| record.is_of(id))?;
            Some(found.trace(&ring.labels))
        };
        self.shards.iter().filter_map(newest).max_by_key(|trace| trace.at)
    }

    /// The newest traces, newest first, at most `count`.
    pub fn recent(&self, count: usize) -> Vec<Trace> {
        let newest = |shard: &Mutex<Ring>| {
            let ring = shard.lock();
            ring.records.iter().rev().take(count).map(|record| record.trace(&ring.labels)).collect::<Vec<_>>()
        };
        let mut all: Vec<Trace> = self.shards.iter().flat_map(newest).collect();
        all.sort_by_key(|trace| std::cmp::Reverse(trace.at));
        all.truncate(count);
        all
    }

    fn shard(&self, id: TraceId) -> Option<&Mutex<Ring>> {
        self.shards.get(usize::try_from(id.0).unwrap_or(usize::MAX) % SHARDS)
    }
}

/// Spreads ids, which count up and which no peer chooses.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u64(u64::from(*octet)));
    }

    fn write_u64(&mut self, id: u64) {
        // 2^64 by the golden ratio: neighbours fall far from each other, and a table looks at the highest bits, too.
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::message;
    use crate::trace::MAX_EVENTS;

    const CAPACITY: usize = 160;

    fn begin(traces: &Traces, id: u64, message_id: &str) {
        let mut operation = message("a@a.example", "b@b.example");
        if let Operation::Message(message) = &mut operation {
            message.message.id = Some(message_id.into());
            message.message.thread = Some(format!("call-of-{message_id}").as_str().into());
            message.trans_id = format!("branch-of-{message_id}").as_str().into();
        }
        traces.begin(&Beginning {
            id: TraceId(id),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(id),
            adapter: &"sip".into(),
            peer: "192.0.2.1",
            proof: Some(SourceProof::Secret),
            operation: &operation,
        });
    }

    #[test]
    fn a_trace_is_found_by_its_id_and_by_the_senders() {
        let traces = Traces::new(CAPACITY);
        begin(&traces, 7, "m1");
        begin(&traces, 23, "m2");
        assert_eq!(traces.find("0000000000000007").map(|t| t.id.0), Some(7));
        assert_eq!(traces.find("m2").map(|t| t.id.0), Some(23));
        for id in ["call-of-m2", "branch-of-m2"] {
            assert_eq!(traces.find(id).map(|t| t.id.0), Some(23), "{id}");
        }
        assert!(traces.find("m3").is_none() && traces.find("").is_none());
    }

    #[test]
    fn a_trace_is_read_as_it_was_noted() {
        let traces = Traces::new(CAPACITY);
        begin(&traces, 7, "m1");
        let decision = Arc::new(Decision {
            steps: vec!["why".into()],
            result: Err(impp_model::Failure::new(impp_model::Side::Far, impp_model::Cause::Loop)),
            valid_until: None,
        });
        assert!(traces.update(TraceId(7), |trace| {
            trace.note_instance("routed", &"xmpp".into());
            trace.decide(Some(&decision));
            trace.decide(None);
            trace.note("tried", "link-down");
            trace.end("delivered", &Outcome::HandedOver);
            trace.took(Duration::from_millis(3));
        }));
        assert!(!traces.update(TraceId(8), |_| {}) && !traces.has(TraceId(8)));
        let trace = traces.get(TraceId(7)).unwrap();
        assert_eq!(
            (trace.at, trace.kind, trace.proof),
            (SystemTime::UNIX_EPOCH + Duration::from_secs(7), Kind::Message, Some(SourceProof::Secret))
        );
        assert_eq!(
            (trace.adapter.as_str(), &*trace.peer, trace.from.as_str(), trace.to.as_str()),
            ("sip", "192.0.2.1", "a.example", "b.example")
        );
        assert_eq!(
            (trace.outcome, trace.took, trace.decision.map(|found| found.why().to_owned())),
            (Some(Outcome::HandedOver), Some(Duration::from_millis(3)), Some("why".into()))
        );
        let texts = |id: Option<&str>| id.map(str::to_owned);
        assert_eq!(texts(trace.message_id.as_ref().map(MessageId::as_str)), texts(Some("m1")));
        assert_eq!(texts(trace.thread.as_ref().map(Thread::as_str)), texts(Some("call-of-m1")));
        assert_eq!(texts(trace.trans_id.as_ref().map(TransId::as_str)), texts(Some("branch-of-m1")));
        let events: Vec<_> = trace.events.iter().map(|event| (&*event.what, &*event.reason)).collect();
        assert_eq!(events, [("routed", "xmpp"), ("tried", "link-down"), ("delivered", "")]);
    }

    #[test]
    fn of_many_events_the_first_and_the_last_are_kept() {
        let traces = Traces::new(CAPACITY);
        begin(&traces, 1, "m");
        traces.update(TraceId(1), |trace| {
            trace.note("routed", "sip");
            (0..3 * MAX_EVENTS).for_each(|_| trace.note("tried", "link-down"));
            trace.end("delivered", &Outcome::HandedOver);
        });
        let trace = traces.get(TraceId(1)).unwrap();
        assert_eq!(trace.events.len(), MAX_EVENTS);
        let ends = [trace.events.first(), trace.events.last()].map(|event| event.unwrap().what.clone());
        assert_eq!(ends, ["routed", "delivered"]);
    }

    #[test]
    fn steps_carry_times_and_labels_to_their_bounds() {
        let mut labels = Labels(vec![Shared::Fixed("")]);
        let long = Duration::from_secs(200 * 86_400);
        for number in 0..2 * Labels::MAX {
            labels.name(&InstanceName::from(number.to_string().as_str()));
        }
        let (last, beyond) = (labels.fixed("1022"), labels.fixed("another"));
        let event = Step::new(long, last, beyond).event(&labels);
        assert_eq!((event.after, &*event.what, &*event.reason), (long, "1022", ""));
        assert!(Step::new(Duration::MAX, 1, 2).event(&labels).after > long);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let traces = Traces::new(CAPACITY);
        for id in 0..20_000 {
            begin(&traces, id, "m");
        }
        assert!(traces.find(&TraceId(0).to_string()).is_none());
        assert_eq!(traces.recent(3).iter().map(|t| t.id.0).collect::<Vec<_>>(), [19_999, 19_998, 19_997]);
        assert_eq!(traces.recent(usize::MAX).len(), CAPACITY);
        for id in 20_000..22_000 {
            begin(&traces, id, &"x".repeat(2 * OCTETS));
        }
        assert!(traces.recent(usize::MAX).len() < CAPACITY / 2, "long ids take the room of others");
        assert!(traces.shards.iter().all(|shard| shard.lock().octets <= CAPACITY / SHARDS * OCTETS));
        begin(&traces, 30_000, &"x".repeat(100 * CAPACITY * OCTETS));
        assert!(traces.has(TraceId(30_000)), "the newest is kept, however long");
        begin(&Traces::new(0), 1, "m");
    }

    #[test]
    fn a_trace_takes_three_hundred_octets() {
        let traces = Traces::new(CAPACITY);
        begin(&traces, 16, "m");
        traces.update(TraceId(16), |trace| {
            trace.note("routed", "sip");
            trace.end("delivered", &Outcome::HandedOver);
        });
        let outside = traces.shards.first().map_or(0, |shard| shard.lock().octets);
        assert!(size_of::<Record>() + outside <= 300, "{} and {outside}", size_of::<Record>());
    }
}
