//! Where each recent operation went and why, in bounded memory.

use adapter_api::{InstanceName, SourceProof, TraceId};
use impp_model::{Domain, Kind, MessageId, Outcome};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::routing::Decision;

/// The record of one operation.
#[derive(Debug, Clone)]
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
    /// How that peer was authenticated.
    pub proof: SourceProof,
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
}

/// The most recent traces.
#[derive(Debug)]
pub struct Traces {
    shards: Vec<Mutex<VecDeque<Trace>>>,
}

/// A power of two, so that the low bits of an id choose the shard: enough that writers rarely meet.
const SHARDS: usize = 16;
/// Traces kept in all; at some 300 octets each about 3 MB.
const CAPACITY: usize = 10_000;

impl Default for Traces {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Traces {
    pub(crate) fn add(&self, trace: Trace) {
        if let Some(shard) = self.shard(trace.id) {
            let mut ring = shard.lock();
            if ring.len() >= CAPACITY / SHARDS {
                ring.pop_front();
            }
            ring.push_back(trace);
        }
    }

    pub(crate) fn update(&self, id: TraceId, change: impl FnOnce(&mut Trace)) {
        if let Some(shard) = self.shard(id) {
            // Ids rise within a shard, so the search is short for what is under way.
            if let Some(trace) = shard.lock().iter_mut().rev().find(|trace| trace.id == id) {
                change(trace);
            }
        }
    }

    /// The trace with this id, or the newest whose sender gave it this message id.
    pub fn find(&self, id: &str) -> Option<Trace> {
        if let Ok(number) = u64::from_str_radix(id, 16) {
            let found = self.shard(TraceId(number))?.lock().iter().rev().find(|trace| trace.id.0 == number).cloned();
            if found.is_some() {
                return found;
            }
        }
        let named = |trace: &&Trace| trace.message_id.as_ref().is_some_and(|message| message.as_str() == id);
        self.shards
            .iter()
            .filter_map(|shard| shard.lock().iter().rev().find(named).cloned())
            .max_by_key(|trace| trace.at)
    }

    /// The newest traces, newest first, at most `count`.
    pub fn recent(&self, count: usize) -> Vec<Trace> {
        let mut all: Vec<Trace> = self
            .shards
            .iter()
            .flat_map(|shard| shard.lock().iter().rev().take(count).cloned().collect::<Vec<_>>())
            .collect();
        all.sort_by_key(|trace| std::cmp::Reverse(trace.at));
        all.truncate(count);
        all
    }

    fn shard(&self, id: TraceId) -> Option<&Mutex<VecDeque<Trace>>> {
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
            proof: SourceProof::None,
            message_id: Some(message_id.into()),
            from: Domain::parse_host("a.example").unwrap(),
            to: Domain::parse_host("b.example").unwrap(),
            decision: None,
            outcome: None,
            took: None,
        }
    }

    #[test]
    fn a_trace_is_found_by_its_id_and_by_the_senders() {
        let traces = Traces::default();
        traces.add(trace(7, "m1"));
        traces.add(trace(23, "m2"));
        assert_eq!(traces.find("0000000000000007").map(|t| t.id.0), Some(7));
        assert_eq!(traces.find("m2").map(|t| t.id.0), Some(23));
        assert!(traces.find("m3").is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let traces = Traces::default();
        for id in 0..20_000 {
            traces.add(trace(id, "m"));
        }
        assert!(traces.find(&TraceId(0).to_string()).is_none());
        assert_eq!(traces.recent(3).iter().map(|t| t.id.0).collect::<Vec<_>>(), [19_999, 19_998, 19_997]);
        assert_eq!(traces.recent(usize::MAX).len(), CAPACITY);
    }
}
