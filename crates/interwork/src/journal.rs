//! The journal: what came over a link that can't repeat it, and is under way for a moment too long (DESIGN A5).

use crate::core::{Core, Ended, now};
use crate::inflight::Held;
use adapter_api::{Settle, Token, TraceId};
use impp_model::{Failure, Outcome};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Class, End, LedgerError, Seq, Urgency};
use tokio::sync::Notify;

/// Operations that are journalled unless they end before.
#[derive(Debug, Default)]
pub(crate) struct Young {
    /// In the order of their times: the pause is the same for all.
    queue: Mutex<VecDeque<(Instant, Token, TraceId)>>,
    added: Notify,
}

/// How often it is looked for what is due: as often as there are group commits.
const TICK: Duration = Duration::from_millis(5);

impl Young {
    pub(crate) fn add(&self, at: Instant, token: Token, trace: TraceId) {
        let mut queue = self.queue.lock();
        queue.push_back((at, token, trace));
        if queue.len() == 1 {
            self.added.notify_one();
        }
    }

    fn pop(&self, now: Instant) -> Option<(Token, TraceId)> {
        let mut queue = self.queue.lock();
        if queue.front()?.0 > now {
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
    /// Journals what is under way for too long. Runs until dropped.
    pub(crate) async fn write_ahead(&self) {
        loop {
            self.young.wait().await;
            let now = now();
            while let Some((token, trace)) = self.young.pop(now) {
                self.inflight.change(token, trace, |held| self.journal(held));
            }
        }
    }

    fn journal(&self, held: &mut Held) {
        let Some(core) = self.me() else { return };
        let state = Arc::new(Mutex::new(State::Writing));
        let entry = self.entry(held, Class::Journal, 1, true);
        let shared = state.clone();
        let done = move |result| core.journalled(&shared, result);
        match self.storage.ledger.append(&entry, Urgency::WriteBehind, done) {
            Ok(seq) => held.journal = Some(Journalled { seq, state }),
            Err(error) => tracing::debug!(trace = %held.trace, %error, "not journalled"),
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

    /// Ends what is in the journal, unless it may be kept for a later try; gives the sender back when it is not there after all.
    pub(crate) fn end_journalled(
        &self,
        ended: &Ended,
        near: Settle,
        journal: &Journalled,
        outcome: Outcome,
        keep: bool,
    ) -> Result<(), Settle> {
        let mut state = journal.state.lock();
        if matches!(*state, State::Lost) {
            return Err(near);
        }
        let failure = match outcome {
            Outcome::Failure(failure) if keep && crate::retry::is_retryable(&failure) => failure,
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

    fn conclude_journalled(&self, ended: &Ended, near: Settle, seq: Seq, outcome: Outcome) -> Result<(), Settle> {
        let Some(end) = End::of(outcome.clone()) else { return Err(near) };
        let (trace, now) = (ended.trace, self.timestamp());
        let done = move |result: Result<_, LedgerError>| {
            if let Err(error) = result {
                tracing::error!(%trace, %error, "the end of a journalled message is not stored: it may be sent again");
            }
        };
        if self.storage.ledger.settle(seq, end, None, now, Urgency::WriteBehind, done).is_err() {
            return Err(near);
        }
        self.report(ended, &outcome);
        near.settle(outcome);
        Ok(())
    }
}
