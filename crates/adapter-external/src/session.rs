//! What outlives a connection: frames under way, deliveries that wait, and who may be told.

use crate::flow::{Inbox, Outbox};
use crate::kept::Kept;
use crate::wire::{self, from_gateway::Frame};
use crate::{Reason, mapping};
use adapter_api::Settle;
use adapter_api::model::{Cause, Failure, Outcome, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Deliveries that may wait for the adapter; more come back as `Full`.
pub(crate) const MAX_DELIVERIES: usize = 4096;

/// Submissions that may wait for the hub; more are answered with overload.
pub(crate) const MAX_SUBMISSIONS: usize = 1024;

/// Frames that are kept for an adapter that takes none: those of all deliveries and answers, and some.
const MAX_KEPT: usize = 2 * (MAX_DELIVERIES + MAX_SUBMISSIONS);

/// Deliveries that were given up and may still be answered; an answer to an older one counts as unsolicited.
const MAX_GIVEN_UP: usize = 4096;

/// One adapter's life at this gateway, over any number of connections.
pub(crate) struct Session {
    pub(crate) id: String,
    /// Tells this session from others of the process.
    pub(crate) epoch: u64,
    pub(crate) outbox: Outbox<Frame>,
    pub(crate) inbox: Inbox,
    /// Answers that the hub owes.
    pub(crate) submissions: usize,
    pub(crate) kept: Kept,
    /// The connection that serves it; none while it waits for one.
    pub(crate) connection: Option<u64>,
    /// Since when it waits.
    pub(crate) detached: Instant,
    deliveries: BTreeMap<u64, (Settle, Instant)>,
    due: BTreeSet<(Instant, u64)>,
    given_up: BTreeSet<u64>,
}

impl Session {
    pub(crate) fn new(id: String, epoch: u64, kept: Kept, now: Instant) -> Self {
        Self {
            id,
            epoch,
            outbox: Outbox::new(crate::flow::WINDOW),
            inbox: Inbox::new(),
            submissions: 0,
            kept,
            connection: None,
            detached: now,
            deliveries: BTreeMap::new(),
            due: BTreeSet::new(),
            given_up: BTreeSet::new(),
        }
    }

    /// How many deliveries wait for the adapter.
    pub(crate) fn waiting(&self) -> usize {
        self.deliveries.len()
    }

    /// Puts a delivery on its way.
    pub(crate) fn deliver(&mut self, frame: wire::Deliver, deadline: Instant, settle: Settle) {
        let number = self.outbox.push(Frame::Deliver(frame));
        self.deliveries.insert(number, (settle, deadline));
        self.due.insert((deadline, number));
    }

    /// The adapter has settled the frame `of`; gives whom to tell, if anybody waits still.
    pub(crate) fn settled(&mut self, of: u64) -> Result<Option<Settle>, Reason> {
        // What was not written it can't have carried out.
        if !self.outbox.was_written(of) {
            return Err(Reason::Unsolicited { of });
        }
        match self.deliveries.remove(&of) {
            Some((settle, deadline)) => {
                self.due.remove(&(deadline, of));
                Ok(Some(settle))
            }
            None if self.given_up.remove(&of) => Ok(None),
            None => Err(Reason::Unsolicited { of }),
        }
    }

    /// The hub has settled the frame `of`.
    pub(crate) fn answer(&mut self, of: u64, outcome: &Outcome) {
        self.submissions = self.submissions.saturating_sub(1);
        self.outbox.push(Frame::Settled(wire::Settled { of, outcome: Some(mapping::write_outcome(outcome)) }));
    }

    /// Whether the adapter leaves more lying than any honest one does.
    pub(crate) fn overflows(&self) -> bool {
        self.outbox.len() > MAX_KEPT
    }

    /// The deliveries whose time is over, with what their senders hear.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Settle, Failure)> {
        let mut over = Vec::new();
        while let Some((deadline, number)) = self.due.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.due.remove(&(deadline, number));
            let Some((settle, _)) = self.deliveries.remove(&number) else { continue };
            let failure = if self.outbox.was_written(number) {
                self.given_up.insert(number);
                if self.given_up.len() > MAX_GIVEN_UP {
                    self.given_up.pop_first();
                }
                unconfirmed()
            } else {
                // An empty place keeps the count.
                self.outbox.replace(number, Frame::Beat(wire::Beat {}));
                link_down()
            };
            over.push((settle, failure));
        }
        over
    }

    /// Ends the session: what was written may have arrived, the rest has not.
    pub(crate) fn end(self) -> Vec<(Settle, Failure)> {
        let Self { deliveries, outbox, .. } = self;
        let failure = |number| if outbox.was_written(number) { unconfirmed() } else { link_down() };
        deliveries.into_iter().map(|(number, (settle, _))| (settle, failure(number))).collect()
    }
}

pub(crate) fn settle_all(ended: Vec<(Settle, Failure)>) {
    ended.into_iter().for_each(|(settle, failure)| settle.settle(failure));
}

fn unconfirmed() -> Failure {
    Failure::new(Side::Far, Cause::Unconfirmed).with_text("the adapter has not answered: it may have arrived")
}

pub(crate) fn link_down() -> Failure {
    Failure::new(Side::Ours, Cause::LinkDown).with_text("the adapter's process is not connected")
}
