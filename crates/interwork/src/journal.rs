//! The journal: what came over a link that can't repeat it, and is under way for a moment too long (DESIGN A5).

use crate::core::{Core, now};
use crate::ending::{Ended, recall};
use crate::inflight::Held;
use crate::retry::is_retryable;
use crate::routing::Choice;
use crate::spool::must_not_wait;
use crate::waiting::Owner;
use adapter_api::{Settle, Token, TraceId};
use impp_model::{Cause, Failure, Outcome, Side};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Class, Conclusion, End, LedgerError, Seq, Urgency};
use tokio::sync::{Notify, mpsc};

/// Operations that are journalled unless they end before.
#[derive(Debug)]
pub(crate) struct Young {
    /// In the order of their times: the pause is the same for all.
    queue: Mutex<VecDeque<(Instant, Token, TraceId)>>,
    added: Notify,
    /// Those that are journalled before they are sent, as soon as they are.
    written: mpsc::UnboundedSender<Written>,
    to_send: Mutex<Option<mpsc::UnboundedReceiver<Written>>>,
}

/// An operation that is sent when it is journalled.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) held: Held,
    pub(crate) choice: Choice,
}

type Written = (Ahead, Result<Seq, LedgerError>);

/// How often it is looked for what is due: as often as there are group commits.
const TICK: Duration = Duration::from_millis(5);
/// Operations that may grow old enough, however long that takes: some 40 octets each; beyond, the oldest are journalled early.
const MAX_YOUNG: usize = 65_536;

impl Default for Young {
    fn default() -> Self {
        let (written, to_send) = mpsc::unbounded_channel();
        let (queue, added) = (Mutex::default(), Notify::default());
        Self { queue, added, written, to_send: Mutex::new(Some(to_send)) }
    }
}

impl Young {
    pub(crate) fn add(&self, at: Instant, token: Token, trace: TraceId) {
        let mut queue = self.queue.lock();
        queue.push_back((at, token, trace));
        if queue.len() == 1 {
            self.added.notify_one();
        }
    }

    /// Makes everything old enough.
    fn hasten(&self, now: Instant) {
        for (at, ..) in &mut *self.queue.lock() {
            *at = now.min(*at);
        }
    }

    fn pop(&self, now: Instant) -> Option<(Token, TraceId)> {
        let mut queue = self.queue.lock();
        if queue.front()?.0 > now && queue.len() <= MAX_YOUNG {
            return None;
        }
        queue.pop_front().map(|(_, token, trace)| (token, trace))
    }

    async fn wait(&self) {
        if self.queue.lock().is_empty() {
            self.added.notified().await;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// An operation's place in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Journalled {
    seq: Seq,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
enum State {
    /// On its way to the disk.
    #[default]
    Writing,
    /// There.
    Written,
    /// The store refused it.
    Lost,
    /// On its way to the disk, and its sender hears when it is there.
    Awaited(Box<Awaited>),
}

#[derive(Debug)]
struct Awaited {
    ended: Ended,
    near: Settle,
    failure: Failure,
}

impl Core {
    /// Journals what is under way for too long, and sends what was journalled first. Runs until dropped; only one at a time
    /// does anything.
    pub(crate) async fn write_ahead(&self) {
        let Some(mut to_send) = self.young.to_send.lock().take() else { return };
        loop {
            tokio::select! {
                Some((ahead, result)) = to_send.recv() => self.send_journalled(ahead, result),
                () = self.young.wait() => {
                    let now = now();
                    while let Some((token, trace)) = self.young.pop(now) {
                        self.inflight.change(token, trace, |held| self.journal(held));
                    }
                }
            }
        }
    }

    /// Journals what is under way without waiting for `write_ahead_after`.
    pub(crate) fn commit_young(&self) {
        self.young.hasten(now());
    }

    /// Writes an operation down before it is sent (`write_ahead_after = "0"`).
    pub(crate) fn journal_ahead(&self, ahead: Ahead) {
        let entry = self.entry(&ahead.held, Class::Journal, tries(&ahead.held), true);
        // The ledger may refuse at once, and then does not call back.
        let shared = Arc::new(Mutex::new(Some(ahead)));
        let (kept, written) = (shared.clone(), self.young.written.clone());
        // On the store's thread: the rest happens in the task above, in the order of the commits.
        let done = move |result| {
            if let Some(ahead) = shared.lock().take() {
                drop(written.send((ahead, result)));
            }
        };
        if let Err(error) = self.storage.ledger.append(&entry, Urgency::Urgent, done)
            && let Some(ahead) = kept.lock().take()
        {
            // Its receiver is in the task that runs the hub; behind those that are on their way to the disk.
            drop(self.young.written.send((ahead, Err(error))));
        }
    }

    fn send_journalled(&self, ahead: Ahead, result: Result<Seq, LedgerError>) {
        let Ahead { mut held, choice } = ahead;
        match result {
            Ok(seq) => {
                let state = Arc::new(Mutex::new(State::Written));
                held.journal = Some(Journalled { seq, state });
                if let Some(Owner::Sender(near)) = &held.owner {
                    near.keeper().kept();
                }
                self.traces.update(held.trace, |record| record.note("journalled", ""));
                if let Some(held) = self.yield_journalled(held, seq) {
                    self.hand_on(held, &choice, false);
                }
            }
            Err(error) => {
                tracing::debug!(trace = %held.trace, %error, "not journalled, so not sent");
                let failure =
                    Failure::new(Side::Ours, Cause::Overload).with_text("it could not be stored before sending");
                let (pair, trace) = (held.pair, held.trace);
                if let Some(Owner::Sender(near)) = held.owner.take() {
                    self.close(&held.ended(), near, failure.into());
                }
                self.leave(pair, trace);
            }
        }
    }

    /// Lets what is journalled wait behind those of its pair that began to wait while it was written, or because that took all
    /// its time; gives back what may go.
    fn yield_journalled(&self, mut held: Held, seq: Seq) -> Option<Held> {
        if now() < held.deadline && !self.storage.ledger.pair(held.pair).1 {
            return Some(held);
        }
        if let Err(error) = self.storage.ledger.postpone(seq, self.timestamp(), false, None) {
            tracing::warn!(trace = %held.trace, %error, "not spooled");
            return Some(held);
        }
        if let Some(Owner::Sender(near)) = held.owner.take() {
            self.spooled(&held.ended(), near, seq);
        }
        self.leave(held.pair, held.trace);
        None
    }

    fn journal(&self, held: &mut Held) {
        let Some(core) = self.me() else { return };
        // By now the token may be that of a try out of the ledger, which has the same trace.
        let Some(Owner::Sender(near)) = &held.owner else { return };
        if !self.order.may_write(held.pair, held.trace) {
            tracing::debug!(trace = %held.trace, "not journalled: one before it is not");
            return self.order.unwritten(held.pair, held.trace);
        }
        let keeper = near.keeper();
        let state = Arc::new(Mutex::new(State::Writing));
        let entry = self.entry(held, Class::Journal, tries(held), true);
        let (shared, trace) = (state.clone(), held.trace);
        let done = move |result: Result<_, _>| {
            let is_kept = result.is_ok();
            if is_kept {
                core.traces.update(trace, |record| record.note("journalled", ""));
            }
            core.journalled(&shared, result);
            if is_kept {
                keeper.kept();
            }
        };
        match self.storage.ledger.append(&entry, Urgency::WriteBehind, done) {
            Ok(seq) => held.journal = Some(Journalled { seq, state }),
            Err(error) => {
                tracing::debug!(trace = %held.trace, %error, "not journalled");
                self.order.unwritten(held.pair, held.trace);
            }
        }
    }

    fn journalled(&self, state: &Mutex<State>, result: Result<Seq, LedgerError>) {
        let next = if result.is_ok() { State::Written } else { State::Lost };
        let before = std::mem::replace(&mut *state.lock(), next);
        let State::Awaited(awaited) = before else { return };
        let Awaited { ended, near, failure } = *awaited;
        match result {
            Ok(seq) => self.spooled(&ended, near, seq),
            Err(error) => {
                tracing::warn!(trace = %ended.trace, %error, "not spooled");
                self.close(&ended, near, failure.into());
            }
        }
    }

    /// Ends what is in the journal; gives the sender back when it is not there after all.
    pub(crate) fn end_journalled(
        &self,
        ended: &Ended,
        near: Settle,
        journal: &Journalled,
        outcome: Outcome,
    ) -> Result<(), Settle> {
        let mut state = journal.state.lock();
        if matches!(*state, State::Lost) {
            return Err(near);
        }
        let failure = match outcome {
            Outcome::Failure(failure) if is_retryable(&failure) && !must_not_wait(&ended.operation) => failure,
            outcome @ (Outcome::Success(_) | Outcome::HandedOver | Outcome::Indeterminant | Outcome::Failure(_)) => {
                drop(state);
                return self.conclude_journalled(ended, near, journal.seq, outcome);
            }
        };
        if let Err(error) = self.postpone(journal.seq, 1, &failure) {
            tracing::warn!(trace = %ended.trace, %error, "not spooled");
            return Err(near);
        }
        if matches!(*state, State::Writing) {
            *state = State::Awaited(Box::new(Awaited { ended: ended.clone(), near, failure: *failure }));
            return Ok(());
        }
        drop(state);
        self.spooled(ended, near, journal.seq);
        Ok(())
    }

    /// A failure is told when it is on disk: whoever has heard of it must not get the message all the same after a crash. Where
    /// that is done by a stanza of its own the word of it is in the same commit, and goes its own way from there: neither a
    /// crash nor a link that is down takes it along.
    fn conclude_journalled(&self, ended: &Ended, near: Settle, seq: Seq, outcome: Outcome) -> Result<(), Settle> {
        let (Some(end), Some(core)) = (End::of(outcome.clone()), self.me()) else { return Err(near) };
        let (trace, now) = (ended.trace, self.timestamp());
        let conclusion = Conclusion { recall: self.recall_of(ended, &end), ..end.into() };
        let has_failed = matches!(outcome, Outcome::Failure(_));
        let created = self.storage.clock.at(ended.since);
        let about = recall(&ended.operation, trace.0, &ended.from, created).filter(|_| self.tells_always(&ended.from));
        let notice = about.and_then(|(_, about)| self.notice(&about, &conclusion.end));
        let conclusion = Conclusion { notice: notice.as_ref(), ..conclusion };
        let for_near = if notice.is_some() { Outcome::Indeterminant } else { outcome.clone() };
        let near = Arc::new(Mutex::new(Some(near)));
        let (waits, told, of) = (near.clone(), for_near, ended.clone());
        let done = move |result: Result<_, LedgerError>| {
            // Not on disk, it is tried again after a start: it stays accepted.
            let told = if result.is_ok() { told } else { Outcome::Indeterminant };
            if let Err(error) = result {
                tracing::error!(%trace, %error, "the end of a journalled message is not stored: it may be sent again");
            }
            if has_failed && let Some(near) = waits.lock().take() {
                near.settle(told.clone());
                core.answer_twins(of.once, &told);
                core.retries.look();
            }
        };
        let settled = self.storage.ledger.settle(seq, conclusion, now, Urgency::WriteBehind, done);
        let near = if settled.is_err() || !has_failed { near.lock().take() } else { None };
        match (settled, near) {
            (Err(_), Some(near)) => return Err(near),
            (Ok(()), Some(near)) => {
                near.settle(outcome.clone());
                self.answer_twins(ended.once, &outcome);
            }
            (_, None) => {}
        }
        self.paces.delivered(&ended.hop, &outcome, now);
        if ended.once.is_some() {
            self.forget_failed(&ended.operation, &outcome);
        }
        self.report(ended, &outcome);
        Ok(())
    }
}

/// The one under way, with that of an earlier process.
fn tries(held: &Held) -> u32 {
    1 + u32::from(held.repeat)
}
