//! What happens in the hub, told at once to whoever watches: a console, the admin API.

use crate::core::Core;
use crate::routing::Decision;
use crate::trace::Trace;
use adapter_api::{InstanceName, PeerState, TraceId};
use impp_model::{Domain, Kind, Operation, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::{self, error::RecvError};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Happening {
    /// An operation was answered, or ended later.
    Operation(Passage),
    /// A peer of an instance can be reached, or can't.
    Peer {
        /// The instance.
        adapter: InstanceName,
        /// A configured domain, else `other`.
        peer: String,
        /// How it stands.
        state: PeerState,
    },
    /// The configuration was read anew.
    Reloaded {
        /// The keys that are in use.
        applied: Vec<String>,
        /// The keys that wait for a restart.
        restart: Vec<String>,
        /// How many problems refused it; zero if it is in use.
        problems: usize,
    },
}

/// What became of one operation, as its trace has it.
#[derive(Debug, Clone)]
pub struct Passage {
    /// Its trace.
    pub trace: TraceId,
    /// Its kind.
    pub kind: Kind,
    /// The instance it came in through.
    pub near: InstanceName,
    /// The source's domain.
    pub from: Domain,
    /// The destination's domain.
    pub to: Domain,
    /// The operation with its addresses; none where only its state is kept, as of presence.
    pub operation: Option<Arc<Operation>>,
    /// Where it was routed and why; none if it was refused before.
    pub decision: Option<Arc<Decision>>,
    /// `delivered`, `handed_over`, `failed`, `refused`, `spooled`, `expired`, ...: the event in its trace.
    pub what: &'static str,
    /// What its sender heard, or would have.
    pub outcome: Outcome,
    /// When that was.
    pub at: SystemTime,
    /// How long it took from its arrival.
    pub took: Duration,
}

/// Where happenings are told. Costs one load of an integer while nobody watches.
#[derive(Debug)]
pub(crate) struct Live {
    told: broadcast::Sender<Arc<Happening>>,
    viewers: Arc<AtomicUsize>,
}

/// Happenings kept for a viewer that is slow: half a second at two thousand a second, each some hundred octets and an
/// operation that others hold, too.
const BACKLOG: usize = 1_024;

/// Viewers at once: the screens of a large control room.
pub const MAX_VIEWERS: usize = 32;

impl Default for Live {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(BACKLOG), viewers: Arc::default() }
    }
}

impl Live {
    fn is_watched(&self) -> bool {
        self.viewers.load(Relaxed) > 0
    }

    fn tell(&self, happening: Happening) {
        // An error means that the last viewer has just gone.
        let _ = self.told.send(Arc::new(happening));
    }

    fn view(&self) -> Option<Viewer> {
        let more = |viewers| (viewers < MAX_VIEWERS).then_some(viewers + 1);
        self.viewers.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Viewer { told: self.told.subscribe(), viewers: self.viewers.clone() })
    }
}

/// Somebody who is told what happens from now on.
#[derive(Debug)]
pub struct Viewer {
    told: broadcast::Receiver<Arc<Happening>>,
    viewers: Arc<AtomicUsize>,
}

/// Why a viewer is told nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// So many happenings were not kept for it.
    #[error("too slow: {0} happenings were missed")]
    TooSlow(u64),
    /// The hub has gone.
    #[error("the gateway has stopped")]
    Stopped,
}

impl Viewer {
    /// The next happening, in their order. Cancel-safe.
    pub async fn next(&mut self) -> Result<Arc<Happening>, Missed> {
        self.told.recv().await.map_err(|error| match error {
            RecvError::Lagged(missed) => Missed::TooSlow(missed),
            RecvError::Closed => Missed::Stopped,
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewers.fetch_sub(1, Relaxed);
    }
}

impl Core {
    /// Tells somebody what happens from now on; none while [`MAX_VIEWERS`] are told already.
    pub fn view(&self) -> Option<Viewer> {
        self.live.view()
    }

    /// Tells those who watch what became of a changed configuration.
    pub fn reloaded(&self, applied: &[String], restart: &[String], problems: usize) {
        if self.live.is_watched() {
            let (applied, restart) = (applied.to_vec(), restart.to_vec());
            self.live.tell(Happening::Reloaded { applied, restart, problems });
        }
    }

    /// Tells those who watch how a peer stands.
    pub(crate) fn peer_told(&self, adapter: &InstanceName, peer: &str, state: PeerState) {
        if self.live.is_watched() {
            self.live.tell(Happening::Peer { adapter: adapter.clone(), peer: peer.to_owned(), state });
        }
    }

    /// Notes in an operation's trace what became of it, and tells those who watch.
    pub(crate) fn end_trace(
        &self,
        id: TraceId,
        what: &'static str,
        outcome: &Outcome,
        operation: Option<&Arc<Operation>>,
    ) {
        if let Some(operation) = operation {
            self.archive_end(id, what, outcome, operation, true);
        }
        self.note_end(id, what, outcome, operation);
    }

    /// The same, without a word to the archive.
    pub(crate) fn note_end(
        &self,
        id: TraceId,
        what: &'static str,
        outcome: &Outcome,
        operation: Option<&Arc<Operation>>,
    ) {
        let mut passage = None;
        self.traces.update(id, |record| {
            record.end(what, outcome);
            if self.live.is_watched() {
                passage = Some(Passage::of(record.trace(), what, outcome, operation));
            }
        });
        if let Some(passage) = passage {
            self.live.tell(Happening::Operation(passage));
        }
    }
}

impl Passage {
    fn of(record: Trace, what: &'static str, outcome: &Outcome, operation: Option<&Arc<Operation>>) -> Self {
        Self {
            trace: record.id,
            kind: record.kind,
            near: record.adapter,
            from: record.from,
            to: record.to,
            operation: operation.cloned(),
            decision: record.decision,
            what,
            outcome: outcome.clone(),
            at: SystemTime::now(),
            took: record.at.elapsed().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reloaded(problems: usize) -> Happening {
        Happening::Reloaded { applied: Vec::new(), restart: Vec::new(), problems }
    }

    #[tokio::test]
    async fn viewers_hear_in_order_and_a_slow_one_that_it_missed_something() {
        let live = Live::default();
        assert!(!live.is_watched());
        let (mut quick, mut slow) = (live.view().unwrap(), live.view().unwrap());
        for number in 0..BACKLOG + 7 {
            live.tell(reloaded(number));
            let heard = quick.next().await.unwrap();
            assert!(matches!(*heard, Happening::Reloaded { problems, .. } if problems == number));
        }
        assert_eq!(slow.next().await.unwrap_err(), Missed::TooSlow(7));
        drop((quick, slow));
        assert!(!live.is_watched());
    }

    #[test]
    fn viewers_are_bounded_and_make_room_when_they_go() {
        let live = Live::default();
        let mut viewers: Vec<_> = (0..MAX_VIEWERS).map(|_| live.view().unwrap()).collect();
        assert!(live.view().is_none());
        viewers.pop();
        assert!(live.view().is_some());
    }
}
