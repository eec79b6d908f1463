//! The bounded queue between committing threads and the one that writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::api::Urgency;
use crate::core::{Kind, Request};

/// Between the starts of two groups when nothing in them is urgent (DESIGN A5).
pub const WRITE_BEHIND: Duration = Duration::from_millis(5);
/// Batches that wait for the disk: a second's worth at full speed.
pub const MAX_QUEUED: usize = 65_536;
/// Octets of batches that wait for the disk.
pub const MAX_QUEUED_OCTETS: usize = 64 * 1024 * 1024;
/// Batches of one group: its commit stays within some tens of milliseconds.
const MAX_GROUP: usize = 1024;

/// Requests that wait to be written.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Whether the bounds are reached, for those who look without a lock.
    full: AtomicBool,
}

#[derive(Default)]
struct State {
    requests: VecDeque<(usize, Request)>,
    octets: usize,
    urgent: bool,
    closing: bool,
    /// Whether the writer waits for something to do, and must be woken for the first request.
    idle: bool,
}

/// Why a request was not taken.
pub(crate) enum Refused {
    Full(Request),
    Closed(Request),
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), full: AtomicBool::new(false) }
    }

    /// Takes a request; an essential one above the bounds too. What the writer itself adds, in a completion, is written though
    /// the queue is closed.
    pub(crate) fn push(&self, request: Request, urgency: Urgency, by_writer: bool) -> Result<(), Refused> {
        let (size, essential) = match &request.kind {
            Kind::Write(batch) => (batch.size(), batch.essential),
            Kind::Acquire(..) => (0, true),
        };
        let mut state = self.state.lock();
        if state.closing && !by_writer {
            return Err(Refused::Closed(request));
        }
        if state.lacks_room_for(size) && !essential {
            return Err(Refused::Full(request));
        }
        state.requests.push_back((size, request));
        state.octets += size;
        self.full.store(state.lacks_room_for(0), Relaxed);
        let hurry = urgency == Urgency::Urgent || state.half_full();
        let wake = state.idle || (hurry && !state.urgent);
        state.urgent |= hurry;
        state.idle = false;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether only what is essential is taken at present.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// Waits for the next group; `None` when the queue is closed and empty. `last` is when the group before was taken.
    pub(crate) fn take(&self, last: Instant) -> Option<Vec<Request>> {
        let mut state = self.state.lock();
        loop {
            if state.requests.is_empty() {
                if state.closing {
                    return None;
                }
                state.idle = true;
                self.wake.wait(&mut state);
            } else if state.urgent || state.closing || last.elapsed() >= WRITE_BEHIND {
                let group = state.group();
                self.full.store(state.lacks_room_for(0), Relaxed);
                return Some(group);
            } else {
                self.wake.wait_until(&mut state, last + WRITE_BEHIND);
            }
        }
    }

    /// Waits for `pause`, or until the queue is closed; returns whether it is.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        let (mut state, end) = (self.state.lock(), Instant::now() + pause);
        while !state.closing && !self.wake.wait_until(&mut state, end).timed_out() {}
        state.closing
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_one();
    }
}

impl State {
    fn lacks_room_for(&self, size: usize) -> bool {
        self.requests.len() >= MAX_QUEUED || self.octets.saturating_add(size) > MAX_QUEUED_OCTETS
    }

    fn half_full(&self) -> bool {
        self.requests.len() >= MAX_QUEUED / 2 || self.octets >= MAX_QUEUED_OCTETS / 2
    }

    fn group(&mut self) -> Vec<Request> {
        let count = self.requests.len().min(MAX_GROUP);
        let mut group = Vec::with_capacity(count);
        for (size, request) in self.requests.drain(..count) {
            self.octets -= size;
            group.push(request);
        }
        // The rest has waited for a whole group already.
        self.urgent = !self.requests.is_empty();
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Batch, Completion};
    use crate::key::{Fence, Shard};

    fn request(essential: bool) -> Request {
        let shard = Shard::new(0).unwrap();
        let batch = Batch { essential, ..Batch::new(shard, Fence(1)) };
        Request { kind: Kind::Write(batch), done: Completion::new(|_| {}) }
    }

    #[test]
    fn a_full_queue_refuses_all_but_the_essential() {
        let queue = Queue::new();
        for _ in 0..MAX_QUEUED {
            assert!(queue.push(request(false), Urgency::WriteBehind, false).is_ok());
        }
        assert!(matches!(queue.push(request(false), Urgency::Urgent, false), Err(Refused::Full(_))));
        assert!(queue.push(request(true), Urgency::WriteBehind, false).is_ok());
        assert!(queue.is_full(), "nobody begins what will be essential");
        assert_eq!(queue.take(Instant::now()).unwrap().len(), MAX_GROUP);
        assert!(!queue.is_full());
        assert!(queue.push(request(false), Urgency::Urgent, false).is_ok());
    }

    #[test]
    fn a_closed_queue_gives_out_the_rest() {
        let queue = Queue::new();
        assert!(queue.push(request(false), Urgency::WriteBehind, false).is_ok());
        queue.close();
        assert!(matches!(queue.push(request(true), Urgency::Urgent, false), Err(Refused::Closed(_))));
        assert!(queue.push(request(true), Urgency::Urgent, true).is_ok(), "what a completion adds");
        assert_eq!(queue.take(Instant::now()).unwrap().len(), 2);
        assert!(queue.take(Instant::now()).is_none());
    }

    #[test]
    fn a_request_that_is_dropped_is_told() {
        let queue = Queue::new();
        let (done, told) = Completion::channel();
        let kind = Kind::Acquire(Shard::new(0).unwrap(), Fence(1));
        assert!(queue.push(Request { kind, done }, Urgency::Urgent, false).is_ok());
        drop(queue);
        assert!(matches!(told.blocking_recv(), Ok(Err(crate::StoreError::Closed))));
    }

    #[test]
    fn urgent_ones_take_the_others_along() {
        let queue = Queue::new();
        assert!(queue.push(request(false), Urgency::WriteBehind, false).is_ok());
        assert!(queue.push(request(false), Urgency::Urgent, false).is_ok());
        assert_eq!(queue.take(Instant::now()).unwrap().len(), 2);
    }
}
